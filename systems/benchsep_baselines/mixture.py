"""The mixture as every stem: what doing nothing scores."""

from __future__ import annotations

from typing import ClassVar

from benchsep.audio import STEMS, Audio
from benchsep.systems.contract import SystemInfo


class Mixture:
    """Returns its input as each of the four stems, the baseline for all other rows."""

    about: ClassVar[dict[str, str]] = {
        "family": "mixture",
        "licence": "none needed",
        "what": "the mixture as every stem: the score without any separation",
    }

    def __init__(self, *, device: str = "cpu") -> None:
        self.info = SystemInfo(
            name="mixture",
            family="mixture",
            training_data="none",
            trained_on=(),
            licence="none needed",
            needs_accelerator=False,
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        """The mixture as the estimate of each stem."""
        return {stem: mixture for stem in STEMS}
