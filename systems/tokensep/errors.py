"""The errors that tokensep raises on purpose (it stands alone; the plugin translates them).

Each message says what was found, what was expected, and how to mend it.
"""


class TokenSepError(Exception):
    """Root of the taxonomy."""


class ConfigError(TokenSepError):
    """A configuration with an unknown key, a value out of range, or parts that do not fit."""


class CheckpointError(TokenSepError):
    """Weights that are missing, corrupt, or made for another model."""


class AudioError(TokenSepError):
    """Samples that cannot be used: empty, not finite, or of the wrong shape."""


class DataError(TokenSepError):
    """A data folder or file that does not hold what its layout promises."""


class TrainingError(TokenSepError):
    """A training that cannot go on: what it computes is no number any more."""


class Unavailable(TokenSepError):
    """Something optional is absent: the message names the command that brings it."""
