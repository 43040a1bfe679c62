"""ViSQOL: perceptual similarity of the estimate to the true stem, as a mean opinion score.

Conventions
-----------
input      mono (mean of the channels) at 48 kHz (soxr HQ); the level and a constant delay of the
           estimate do not affect the value
value      MOS-LQO, 1 (bad) to 4.732 (equal), mean over tracks; higher is better; the regression is
           not exactly monotone; its maximum is 4.738, for signals that are not quite equal
silence    a silent reference has no value (``ref_silent``; Google's program would give a perfect
           4.732). A silent estimate has the lowest score, 1, and is included in means, so that a
           system gains nothing from a failure
length     references shorter than 0.96 s have no value (``too_short``)

The numbers are those of google/visqol 3.3.3 in audio mode, computed by
:mod:`benchsep.metrics.visqol.engine`; ``docs/metrics/visqol.md`` has the evidence. From arrays::

    from benchsep.metrics.visqol.engine import Reference
    Reference(reference_48k).compare(estimate_48k).score
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.audio import STEMS
from benchsep.metrics.device import current
from benchsep.metrics.metric import Companion, References, Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, score_prepared

if TYPE_CHECKING:
    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain
    from benchsep.metrics.visqol.engine import FilterBank

RATE = 48_000
LOWEST, HIGHEST = 1.0, 4.738
"""The lowest score, and the highest that the regression gives; equal signals have 4.732."""

MODEL_SHA256 = "1e8246ed33bf36dc5c859351f7110f2cd31f98661989715c0fcf974ec48d3e2e"
"""Hash of Google's published model file, from which the model in this package was converted."""


class Visqol:
    """The metric ``visqol`` (see :class:`benchsep.metrics.metric.Metric`).

    A reference's spectrogram is computed once for all systems on a track and cached in
    ``References.cache``: 12 MB per minute and stem.
    """

    name = "visqol"
    known_as = ("ViSQOL v3", "ViSQOLAudio")
    version = "2"
    values = (
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
            display="ViSQOL",
            question="quality",
            companion=Companion(
                "interference",
                "ViSQOL rewards bandwidth more than isolation, and no interference measure was "
                "run: add 'usdr' or 'bsseval' to see bleed.",
            ),
            companion_rank=None,
            # A tenth of the step from the mixture (2.99) to an ideal ratio mask (3.98).
            tie_margin=0.10,
            # One point below the mean of the mixture, so worse than no separation.
            failure=2.0,
            drift=Tolerance(0.01, 0.005, "moved by 7e-4; a patch alignment may flip"),
            rank=10,
            overview=True,
            own_table=False,
            aliases=("visqol",),
        ),
    )
    rate: int | None = RATE
    channels: Channels = "mono"
    domain: Domain = "music"
    default_stems: tuple[str, ...] = STEMS
    device_tolerance = 1e-4
    default: int | None = 1
    licence = "algorithm and model: Apache-2.0 (Google); code: MIT"
    source = (
        "M. Chinen et al., ViSQOL v3, QoMEX 2020; google/visqol conformance 333, audio mode, "
        "nu-SVR; values checked against its conformance list and visqol-python 3.8.0"
    )

    def settings(self) -> dict[str, Any]:
        """All settings that affect a value in addition to the version."""
        return {"mode": "audio", "model_sha256": MODEL_SHA256, "resampler": "soxr HQ"}

    def available(self) -> str:
        """``""``: all dependencies are part of benchsep."""
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """Score each stem separately."""
        from benchsep.metrics.visqol.engine import Reference, TooShort

        bank = _bank()

        def prepare(reference: Audio) -> Reference | str:
            try:
                return Reference(reference.samples[0], bank=bank)
            except TooShort:
                return "too_short"

        def score(reference: Reference, estimate: Audio) -> dict[str, Score]:
            try:
                return {"": Score(reference.compare(estimate.samples[0]).score)}
            except TooShort:
                return every(self.values, "too_short")

        return score_prepared(self, references, estimates, stems, prepare, score)


def _bank() -> FilterBank:
    """The filter bank of the device in use."""
    from benchsep.metrics.visqol import gammatone
    from benchsep.metrics.visqol.gammatone_on_device import DeviceBank

    device = current()
    return gammatone if device is None else DeviceBank(device)
