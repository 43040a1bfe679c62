"""What a package gives so that its models can be ablated.

A trainer is registered under the entry point group ``benchsep.trainers`` and called without
arguments. It needs the four methods below; everything that moves a weight must be in what
``resolve`` returns: its hash is the variant's identity, and what is trained is not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Trainer(Protocol):
    """From settings to a checkpoint that a system loads."""

    def resolve(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """The whole configuration, defaults included, as JSON.

        Raises
        ------
        UsageError
            a setting that does not exist or does not fit.
        """
        ...

    def train(
        self, resolved: Mapping[str, Any], data: Path, folder: Path, cache: Path
    ) -> dict[str, Any]:
        """Train into ``folder`` (continue what is there) and return facts for the record.

        ``cache`` is shared by all variants (decoded audio, tokens). The facts are JSON;
        ``cpu_seconds`` is needed; ``device`` (what computed) and ``note`` (a few words, the
        validation's result, say) are shown in the report.
        """
        ...

    def spec(self, folder: Path, options: Mapping[str, str]) -> str:
        """The system spec of a trained folder."""
        ...

    def cpu_seconds(self, resolved: Mapping[str, Any]) -> float:
        """What training will take on one core, as measured when this was written."""
        ...
