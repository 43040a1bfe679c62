"""Every error that benchsep raises on purpose.

Each message says what was found, what was expected, and how to fix it. Any other exception that
reaches the user is a bug.
"""


class BenchsepError(Exception):
    """Base class: catch it to catch every error of this module."""


class UsageError(BenchsepError):
    """The call itself is wrong: an unknown name, a bad option, a malformed suite (exit code 2)."""


class AudioError(BenchsepError):
    """Samples that cannot be used: empty, not finite, wrong rate, wrong shape, unreadable file."""


class DatasetError(BenchsepError):
    """A data root or a track lacks files that its layout needs, or its files are wrong."""


class SeparatorError(BenchsepError):
    """A separator that cannot be loaded, or that broke its contract while separating."""


class CheckpointError(SeparatorError):
    """Weights that are missing, unsafe, corrupt, or made for another model."""


class MetricError(BenchsepError):
    """A metric cannot be computed, and the audio of the estimate is not the reason."""


class Unavailable(BenchsepError):
    """Something optional is not installed here: the message names the command that installs it.

    A run stores no value for a metric that raises it, and computes the metric in a later run in
    which it is available.
    """


class Undefined(BenchsepError):
    """The value is not defined for these signals: for example, they have no onset or no mixture.

    For metrics. The same signals always give this result, so a later run does not compute it again.
    """


class StoreError(BenchsepError):
    """A run folder cannot be read or written."""


class FormatError(StoreError):
    """Results whose format this version of benchsep does not know."""


class DriftError(BenchsepError):
    """A baseline and a run have nothing that can be compared."""


class TrainingError(BenchsepError):
    """A training cannot continue, for example because its gradients are no longer finite."""
