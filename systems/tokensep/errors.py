"""The errors of tokensep: those of benchsep, and two more."""

from benchsep.errors import (
    AudioError,
    BenchsepError,
    CheckpointError,
    DatasetError,
    TrainingError,
    Unavailable,
    UsageError,
)

__all__ = [
    "AudioError",
    "BenchsepError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "TrainingError",
    "Unavailable",
    "UsageError",
]


class ConfigError(UsageError):
    """A configuration with an unknown key, a value out of range, or parts that do not fit."""


class DataError(DatasetError):
    """A data folder or file lacks required content or is damaged."""
