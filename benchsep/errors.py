"""Every error that benchsep raises on purpose.

Each message says what was found, what was expected, and how to fix it. Any other exception that
reaches the user is a bug.
"""


class BenchsepError(Exception):
    """Root of the taxonomy: catch this to catch everything below."""


class UsageError(BenchsepError):
    """The call itself is wrong: an unknown name, a bad option, a malformed suite (exit code 2)."""


class AudioError(BenchsepError):
    """Samples that cannot be used: empty, not finite, wrong rate, wrong shape, unreadable file."""


class DatasetError(BenchsepError):
    """A data root or a track that does not hold what its layout promises."""


class SeparatorError(BenchsepError):
    """A separator that cannot be loaded, or that broke its contract while separating."""


class CheckpointError(SeparatorError):
    """Weights that are missing, unsafe, corrupt, or made for another model."""


class MetricError(BenchsepError):
    """A metric that cannot be computed for a reason that is not the estimate's content."""


class Unavailable(BenchsepError):
    """Something optional is absent here: the message names the command that brings it.

    A metric that raises it has no value here yet: it is asked again once it is available.
    """


class Undefined(BenchsepError):
    """These signals do not have the value: no onset, no mixture, no such stem.

    For metrics. The same signals give the same answer, so nobody asks for the value again.
    """


class StoreError(BenchsepError):
    """A run folder that cannot be read or written as it should."""


class FormatError(StoreError):
    """Results whose format this version of benchsep does not know."""


class DriftError(BenchsepError):
    """A baseline and a run that cannot be compared at all."""


class TrainingError(BenchsepError):
    """A training that cannot go on: its gradients are not finite any more."""
