"""The interface of a trainer, which a package provides for ablations of its models.

A trainer is registered under the entry point group ``benchsep.trainers`` and called without
arguments. It needs the four methods below. The result of ``resolve`` must contain everything that
affects the weights: its hash is the variant's identity, and a variant that is already trained is
not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Trainer(Protocol):
    """Trains a checkpoint for settings."""

    def resolve(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """The complete configuration, including defaults, as JSON.

        Raises
        ------
        UsageError
            a setting does not exist or is invalid.
        """
        ...

    def train(
        self, resolved: Mapping[str, Any], data: Path, folder: Path, cache: Path
    ) -> dict[str, Any]:
        """Train into ``folder`` (or continue) and return facts for the record.

        ``cache`` is shared by all variants (decoded audio, tokens). The facts are JSON;
        ``cpu_seconds`` is required. The report shows ``device`` and ``note`` (a short text, for
        example the result of the validation).
        """
        ...

    def spec(self, folder: Path, options: Mapping[str, str]) -> str:
        """The system spec for a trained folder."""
        ...

    def cpu_seconds(self, resolved: Mapping[str, Any]) -> float:
        """Expected seconds of a training on one core."""
        ...
