"""DNSMOS: a prediction of the listening-test rating of speech, without a reference.

Conventions
-----------
rate       16 kHz; other rates are resampled (:meth:`benchsep.audio.Audio.resampled`)
channels   mono: the mean over channels
level      unchanged (values depend on the absolute level); samples beyond [-1, 1] are clipped, as
           in a 16-bit file (``speechmos`` raises an error for them)
length     at least 20 ms (else ``too_short``); a signal under 9.01 s is doubled until it is long
           enough (as in ``speechmos``)
direction  higher is better, 1 to 5
silence    a silent estimate has no value (``est_silent``); the reference is not used

Values
------
ovrl, sig, bak  P.835: overall, voice, background (network ``sig_bak_ovr``, quadratic map)
p808            P.808 overall opinion (network ``model_v8``)

Each is the mean over windows of 9.01 s with a hop of 1 s. Two properties of ``speechmos`` 0.0.1.1
are kept, because they affect its values: the number of windows is computed from whole seconds, and
a window whose rounded end is one sample early is left out (a third of the windows of a minute).
``docs/metrics/dnsmos.md`` has the parity table.

Both networks were trained on telephone-like speech. On singing they distinguish a mixture from
vocals, but not good from perfect estimates: true vocals score about 2. Always compare with the
``reference`` row.

Source: Reddy, Gopal, Cutler, "DNSMOS P.835", ICASSP 2022; the ONNX graphs shipped in the
``speechmos`` wheel, byte for byte those of microsoft/DNS-Challenge.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.absent import package_absent
from benchsep.errors import Unavailable
from benchsep.metrics.dnsmos.graphs import GRAPHS, graph_path
from benchsep.metrics.dnsmos.network import RATE, SHORTEST, dnsmos
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, score_each

if TYPE_CHECKING:
    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, Question, References


def _value(name: str, display: str, question: Question) -> ValueTraits:
    return ValueTraits(
        name=name,
        direction=+1,
        unit="MOS",
        low=1.0,
        high=5.0,
        digits=2,
        aggregate="mean",
        window_s=None,
        waveform_matching=False,
        speech_model=True,
        display=display,
        question=question,
        companion=None,
        companion_rank=None,
        # A tenth of the step from the mixture (OVRL 1.10) to the true vocals (2.18).
        tie_margin=0.10,
        # True vocals score between 1.1 and 3, depending on the song, so no value counts as a
        # failure.
        failure=None,
        drift=Tolerance(0.02, 0.01, "float32 network; CPU kernels differ"),
        rank=80,
        overview=name == "ovrl",
        own_table=False,
        aliases=(),
    )


class DNSMOS:
    """The metric ``dnsmos``: see the module."""

    name = "dnsmos"
    known_as = ("MOS", "DNSMOS P.835")
    needs_reference = False
    version = "3"
    values: tuple[ValueTraits, ...] = (
        _value("ovrl", "DNSMOS OVRL", "quality"),
        _value("sig", "DNSMOS SIG", "quality"),
        _value("bak", "DNSMOS BAK", "interference"),  # P.835: how intrusive is the background?
        _value("p808", "DNSMOS P.808", "quality"),
    )
    default: int | None = 6
    rate: int | None = RATE
    channels: Channels = "mono"
    domain: Domain = "speech"
    default_stems: tuple[str, ...] = ("vocals",)
    licence = "code MIT, networks CC BY 4.0 (microsoft/DNS-Challenge, through speechmos)"
    source = "Reddy et al., DNSMOS P.835, ICASSP 2022; values of speechmos 0.0.1.1"

    def settings(self) -> dict[str, Any]:
        return {"graphs": {name: sha[:16] for name, sha in GRAPHS.items()}}

    def available(self) -> str:
        if importlib.util.find_spec("onnxruntime") is None:
            return package_absent("DNSMOS runs on onnxruntime: pip install onnxruntime")
        try:
            for name in GRAPHS:
                graph_path(name)
        except Unavailable as error:
            return str(error)
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        return score_each(self, estimates, stems, self._score)

    def _score(self, estimate: Audio) -> dict[str, Score]:
        signal = np.clip(estimate.samples[0], -1, 1)
        if len(signal) < SHORTEST:
            return every(self.values, "too_short")
        found = dnsmos(signal)
        return {
            name: Score(float(windows.mean()), frames=tuple(map(float, windows)))
            for name, windows in found.items()
        }
