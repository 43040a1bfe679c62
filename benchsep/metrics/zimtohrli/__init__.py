"""Zimtohrli: a psychoacoustic distance to the true stem, as a mean opinion score.

Conventions
-----------
arrays     float ``[frames]``, mono, 48 kHz
direction  higher is better; 1 to 5 (equal signals)
process    the package crashes (heap corruption) on empty and short signals, so it runs in a
           separate process: a crash is a failed cell with its reason and does not end the run
length     at least 0.2 s (else ``too_short``), because shorter signals crash the package
silence    silent reference: ``ref_silent``; silent estimate: ``est_silent``. The package's score
           for silence is 2.9, higher than for a bad separation

Source: J. Alakuijala, M. Bruse et al., "Zimtohrli: An Efficient Psychoacoustic Audio Similarity
Metric", 2025; google/zimtohrli, package ``zimtohrli`` (Apache-2.0).
"""

from __future__ import annotations

import atexit
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from benchsep._util.absent import package_absent
from benchsep.metrics.metric import Companion, Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, score_pairs

if TYPE_CHECKING:
    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, References
    from benchsep.metrics.zimtohrli.process import Worker

RATE = 48_000
SHORTEST = RATE // 5
"""Samples. The package crashes with fewer than about 2,400 to 4,800 samples."""
LOWEST, HIGHEST = 1.0, 5.0


class Zimtohrli:
    """The metric ``zimtohrli`` (see :class:`benchsep.metrics.metric.Metric`)."""

    name = "zimtohrli"
    version = "2"
    values: tuple[ValueTraits, ...] = (
        ValueTraits(
            name="",
            direction=+1,
            unit="MOS",
            low=LOWEST,
            high=HIGHEST,
            digits=2,
            aggregate="mean",
            window_s=None,
            waveform_matching=False,
            speech_model=False,
            display="Zimtohrli",
            question="quality",
            companion=Companion(
                "interference",
                "Zimtohrli judges how close it sounds, and no interference measure was run: add "
                "'usdr' or 'bsseval' to see bleed.",
            ),
            companion_rank=None,
            tie_margin=0.10,
            failure=None,
            drift=Tolerance(0.01, 0.005, "the package's own arithmetic"),
            rank=15,
            overview=True,
            own_table=False,
            aliases=(),
        ),
    )
    rate: int | None = RATE
    channels: Channels = "mono"
    domain: Domain = "music"
    default_stems: tuple[str, ...] = ("vocals", "drums", "bass", "other")
    default: int | None = None
    licence = "Apache-2.0 (Google)"
    source = "Alakuijala, Bruse et al. 2025; google/zimtohrli, the package's own values"

    def settings(self) -> dict[str, Any]:
        """The version of the package, because values depend on it."""
        return {"package": _version() or "absent", "resampler": "soxr HQ"}

    def available(self) -> str:
        """``""`` if the package is installed."""
        if _version():
            return ""
        return package_absent("pip install 'benchsep[zimtohrli]'")

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """Score each stem separately, in the process of the package."""

        def score(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            signals = reference.samples[0], estimate.samples[0]
            if len(signals[0]) < SHORTEST:
                return every(self.values, "too_short")
            answer = _worker().mos(*signals)
            if isinstance(answer, str):
                return every(self.values, f"failed: {answer}")
            return {"": Score(answer)}

        return score_pairs(self, references, estimates, stems, score, silent_estimate="est_silent")


def _version() -> str:
    try:
        return metadata.version("zimtohrli")
    except metadata.PackageNotFoundError:
        return ""


@cache
def _worker() -> Worker:
    from benchsep.metrics.zimtohrli.process import Worker

    worker = Worker()
    atexit.register(worker.close)
    return worker
