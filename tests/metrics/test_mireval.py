"""The SDR of BSS Eval v3 against mir_eval and torchmetrics, and where it has no value."""

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


def mono_pair(clip, stem: str, bleed: float, noise: float) -> list[np.ndarray]:
    """A second of the clip and a degraded estimate, as ``[1, frames]`` each."""
    cut = {s: Audio(a.samples[:, RATE : 2 * RATE], RATE) for s, a in clip.stems.items()}
    pair = cut[stem], degraded(cut, bleed, noise)[stem]
    return [audio.mono().samples for audio in pair]


FAULTS = [(0.3, 3e-3), (1e-3, 1e-5)]
"""Values of -5 to 15 dB, and of 40 to 60 dB."""


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stem", ["vocals", "bass"])
@pytest.mark.parametrize("faults", FAULTS)
def test_the_value_is_that_of_mir_eval_on_the_mono_signal(clip, stem, faults) -> None:
    separation = pytest.importorskip("mir_eval.separation", reason="the reference is mir_eval")
    pair = mono_pair(clip, stem, *faults)
    double = [samples.astype(float) for samples in pair]
    expected = separation.bss_eval_sources(*double, compute_permutation=False)[0][0]
    assert one(*pair).value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parity
@pytest.mark.parametrize("stem", ["vocals", "drums", "bass", "other"])
@pytest.mark.parametrize("faults", FAULTS)
def test_the_value_is_that_of_torchmetrics(clip, stem, faults) -> None:
    audio = pytest.importorskip("torchmetrics.functional.audio", reason="it is the reference")
    torch = pytest.importorskip("torch")
    truth, heard = mono_pair(clip, stem, *faults)
    double = [torch.from_numpy(x[0]).double() for x in (heard, truth)]
    expected = float(audio.signal_distortion_ratio(*double, filter_length=TAPS))
    assert one(truth, heard).value == pytest.approx(expected, abs=1e-6)


def test_the_value_does_not_depend_on_the_level() -> None:
    rng = np.random.default_rng(2)
    song, noise = rng.normal(0, 0.1, (2, 1, 4000)).astype(np.float32)
    heard = song + np.float32(0.01) * noise
    quiet = np.float32(2**-9)
    expected = pytest.approx(one(song, heard).value, abs=1e-9)
    assert one(quiet * song, heard).value == expected
    assert one(song, quiet * heard).value == expected


@pytest.mark.parametrize("level", [2.0**-9, 2.0**11, 2.0**-5])
def test_a_level_far_from_the_reference_costs_no_precision(level) -> None:
    rng = np.random.default_rng(4)
    song = rng.normal(0, 0.1, (2, 9000)).astype(np.float32)
    heard = song + np.float32(1e-4) * rng.normal(0, 0.1, song.shape).astype(np.float32)
    expected = one(song, heard).value
    assert 70 < expected < 90
    assert one(song, np.float32(level) * heard).value == pytest.approx(expected, abs=1e-6)


def test_channels_are_averaged() -> None:
    rng = np.random.default_rng(5)
    for channels in (1, 2, 3):
        song, noise = rng.normal(0, 0.1, (2, channels, 9000)).astype(np.float32)
        mono = [Audio(x, RATE).mono().samples for x in (song, song + noise)]
        assert one(song, song + noise).value == pytest.approx(one(*mono).value, abs=1e-9)


def test_further_systems_use_the_autocorrelation_of_the_first(monkeypatch) -> None:
    from benchsep.metrics import mireval

    rng = np.random.default_rng(3)
    song, noise = (Audio(x, RATE) for x in rng.normal(0, 0.1, (2, 2, 9000)).astype(np.float32))
    references, stems = References({"vocals": song}), ("vocals",)
    heard = Audio(song.samples + noise.samples, RATE)
    first = MirEval().score_track(references, {"vocals": noise}, stems)
    monkeypatch.setattr(mireval.Span, "of", None)
    assert MirEval().score_track(references, {"vocals": noise}, stems) == first
    found = MirEval().score_track(references, {"vocals": heard}, stems)["vocals"]["sdr"]
    monkeypatch.undo()
    assert found == one(song.samples, heard.samples)


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
    assert one(opposite, song).status == "ref_silent"
    assert one(song, opposite).status == "est_silent"
    assert one(opposite[:, :9], song[:, :9]).status == "ref_silent"
    assert one(song[:, :9], opposite[:, :9]).status == "est_silent"


def test_a_pure_tone_has_no_value() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 441 / RATE * np.arange(RATE))[None].astype(np.float32)
    assert one(tone, tone).status == "not_finite"
