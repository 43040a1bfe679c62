"""The SDR of BSS Eval v3 against mir_eval, and where it has no value."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.metrics.metric import References
from benchsep.metrics.mireval import TAPS, MirEval
from tests.helpers.degraded import degraded

RATE = 44_100


def one(reference: np.ndarray, estimate: np.ndarray):
    pair = Audio.of(reference, RATE), Audio.of(estimate, RATE)
    scores = MirEval().score_track(
        References({"vocals": pair[0]}), {"vocals": pair[1]}, ("vocals",)
    )
    return scores["vocals"]["sdr"]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stem", ["vocals", "bass"])
def test_the_value_is_that_of_mir_eval_on_the_mono_signal(clip, stem) -> None:
    separation = pytest.importorskip("mir_eval.separation", reason="the reference is mir_eval")
    cut = {s: Audio(a.samples[:, RATE : 2 * RATE], RATE) for s, a in clip.stems.items()}
    estimates = degraded(cut, 0.3, 3e-3)
    found = MirEval().score_track(References(cut), estimates, (stem,))[stem]["sdr"].value
    mono = [a.samples.astype(float).mean(0)[None] for a in (cut[stem], estimates[stem])]
    expected = separation.bss_eval_sources(*mono, compute_permutation=False)[0][0]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_filter_is_forgiven_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    song = rng.normal(0, 0.1, (2, RATE)).astype(np.float32)
    late = np.pad(song, ((0, 0), (40, 0)))[:, :RATE] * 0.5
    assert one(song, late).value is None or one(song, late).value > 30
    noise = rng.normal(0, 0.1, song.shape).astype(np.float32) * 0.1
    noisy = one(song, song + noise)
    # the mean of two independent channels: signal and noise shrink alike, and 512 of 44,100
    # dimensions of the noise are taken for signal
    assert noisy.value == pytest.approx(20.0, abs=0.2)


def test_what_has_no_value_says_why() -> None:
    rng = np.random.default_rng(1)
    song = rng.normal(0, 0.1, (2, RATE)).astype(np.float32)
    assert one(song, song).status == "not_finite"
    assert one(song, 0 * song).status == "est_silent"
    assert one(song[:, : TAPS - 1], song[:, : TAPS - 1]).status == "too_short"
    opposite = np.stack([song[0], -song[0]])
    assert one(opposite, song).status in ("not_finite", "ref_silent")
