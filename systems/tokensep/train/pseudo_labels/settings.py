"""Settings of cutting and filtering, and the share of this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokensep.errors import DataError

Stems = dict[str, NDArray[np.float32]]
Label = Callable[[NDArray[np.float32], int], Stems]
"""A teacher: mixture ``[channels, T]`` and its rate in Hz → stems ``[channels, T]``."""


@dataclass(frozen=True)
class Settings:
    """Lengths in seconds, levels in dB; this process is ``rank`` of ``world``.

    Raises
    ------
    DataError
        ``rank`` is not in 0 to ``world - 1``; a length is not above 0; a level is not a number.
    """

    shard_seconds: float = 1800.0
    piece_seconds: float = 30.0
    min_seconds: float = 2.0
    min_residual_db: float = 10.0
    min_level_db: float = -60.0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise DataError(
                f"found rank {self.rank} of {self.world} processes, expected 0 to world - 1"
            )
        for name in ("shard_seconds", "piece_seconds", "min_seconds"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise DataError(f"{name.replace('_', ' ')} {value:g}; expected more than 0")
        for name in ("min_residual_db", "min_level_db"):
            if math.isnan(value := getattr(self, name)):
                raise DataError(f"{name.replace('_', ' ')} {value:g}; expected a number")
