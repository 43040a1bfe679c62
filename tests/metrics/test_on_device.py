"""Metrics with torch on a device: the values of the CPU engines within the stated tolerances.

``torch-cpu`` runs the code of a GPU on the CPU. With a GPU every test runs there, too.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchsep import registry
from benchsep.audio import Audio
from benchsep.errors import Unavailable, UsageError
from benchsep.metrics import spectral_on_device
from benchsep.metrics.bsseval import on_device
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.device import described, device_tolerance, resolved, scoring_on
from benchsep.metrics.metric import References
from benchsep.metrics.spectral import MRSTFT
from benchsep.metrics.visqol import gammatone, gammatone_on_device
from tests.helpers.degraded import degraded
from tests.helpers.harness import unchecked

HAS_GPU = torch.cuda.is_available()
on_a_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason="torch sees no CUDA device on this machine"),
]
METRICS = ("bsseval", "mrstft", "visqol")
RATE = 44_100


@pytest.fixture(params=["torch-cpu", pytest.param("cuda", marks=on_a_gpu)])
def device(request):
    return request.param


def cut(audio: Audio, start: float, seconds: float) -> Audio:
    first = round(start * audio.rate)
    return Audio(audio.samples[:, first : first + round(seconds * audio.rate)], audio.rate)


@pytest.fixture(scope="module")
def stems(clip):
    """Two mono stems of 2.3 s: three windows of BSSEval, the last of them in part."""
    return {s: cut(clip.stems[s].mono(), 1.0, 2.3) for s in ("vocals", "drums")}


def of_metric(stems: dict[str, Audio], name: str) -> dict[str, Audio]:
    """What a metric needs of them: BSSEval whole windows and another stem, the others neither."""
    if name == "bsseval":
        return stems
    return {"vocals": cut(stems["vocals"], 0, 1.0)}


def spoilt(stems: dict[str, Audio]) -> dict[str, Audio]:
    return degraded(stems, bleed=0.2, noise=1e-3)


def changed(stems: dict[str, Audio], change, *names: str) -> dict[str, Audio]:
    """``change`` applied to copies of the samples of some stems."""
    return {
        stem: Audio(change(audio.samples.copy()), audio.rate) if stem in names else audio
        for stem, audio in stems.items()
    }


def silent_second(samples):
    samples[:, RATE // 2 : 2 * RATE] = 0
    return samples


def late_start(samples):
    samples[:, :20_000] = 0
    return samples


CASES = {
    "bleed": lambda stems: (stems, spoilt(stems)),
    "nearly perfect": lambda stems: (stems, degraded(stems, 1e-3, 1e-5)),
    "perfect": lambda stems: (stems, stems),
    "half as loud": lambda stems: (
        stems,
        {s: Audio(a.samples / 2, RATE) for s, a in stems.items()},
    ),
    "a silent window": lambda stems: (changed(stems, silent_second, "drums"), spoilt(stems)),
    "silent frames": lambda stems: (
        changed(stems, late_start, "vocals"),
        changed(spoilt(stems), late_start, "vocals"),
    ),
    "a silent reference": lambda stems: (changed(stems, np.zeros_like, "vocals"), spoilt(stems)),
    "a silent estimate": lambda stems: (stems, changed(stems, np.zeros_like, "vocals")),
    "quiet": lambda stems: tuple(
        {s: Audio(a.samples * 1e-2, RATE) for s, a in each.items()}
        for each in (stems, spoilt(stems))
    ),
    "too short": lambda stems: tuple(
        {s: cut(a, 0.5, 0.04) for s, a in each.items()} for each in (stems, spoilt(stems))
    ),
    "shorter than a window": lambda stems: tuple(
        {s: cut(a, 0.5, 0.97) for s, a in each.items()} for each in (stems, spoilt(stems))
    ),
    "NaN": lambda stems: (
        stems,
        {**stems, "vocals": unchecked(np.full_like(stems["vocals"].samples, np.nan), RATE)},
    ),
    "a scaled copy": lambda stems: (
        {**stems, "drums": Audio(stems["vocals"].samples / 3, RATE)},
        spoilt(stems),
    ),
    "mono as stereo": lambda stems: tuple(
        {s: a.to_channels(2) for s, a in each.items()} for each in (stems, spoilt(stems))
    ),
    "missing": lambda stems: (stems, {"vocals": spoilt(stems)["vocals"]}),
}


def assert_same(ours, theirs, tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for stem in ours:
        for name, cell in ours[stem].items():
            other = theirs[stem][name]
            assert cell.status == other.status
            assert (cell.value is None) == (other.value is None)
            if cell.status != "ok":  # an ill-conditioned value is noise
                continue
            for a, b in zip(
                (cell.value, *(cell.frames or ())), (other.value, *(other.frames or ())),
                strict=True,
            ):  # fmt: skip
                assert (a is None) == (b is None)
                assert a is None or abs(a - b) <= tolerance


def both(name: str, references, estimates, device: str):
    """Scores of the CPU engine, and of the device."""
    metric, stems = get_metric(name), tuple(references)
    ours = metric.score_track(References(references), dict(estimates), stems)
    with scoring_on(device):
        return ours, metric.score_track(References(references), dict(estimates), stems)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("case", CASES)
def test_a_device_gives_what_the_cpu_engine_gives(stems, name, case, device):
    references, estimates = CASES[case](of_metric(stems, name))
    ours, theirs = both(name, references, estimates, device)
    assert_same(ours, theirs, device_tolerance(get_metric(name)))
    if case in ("bleed", "nearly perfect", "quiet", "silent frames"):
        assert all(cell.status == "ok" for row in ours.values() for cell in row.values())


@pytest.mark.parametrize("name", METRICS)
def test_stereo_stems_of_a_song_score_alike(clip, name, device):
    references = {s: cut(clip.stems[s], 1.0, 1.1) for s in ("bass", "other")}
    tolerance = device_tolerance(get_metric(name))
    assert_same(*both(name, references, degraded(references, 0.2, 1e-3), device), tolerance)


def test_identical_signals_have_no_distance_and_the_highest_score(stems, device):
    for name, expected in (("mrstft", 0.0), ("visqol", pytest.approx(4.7321, abs=1e-4))):
        same = of_metric(stems, name)
        with scoring_on(device):
            found = get_metric(name).score_track(References(same), dict(same), tuple(same))
        assert [row[""].value for row in found.values()] == [expected]


@pytest.mark.parametrize("frames", [2049, 4095, 4096, 4097, 8191, 8192, 9000, 20_481])
def test_segments_join_at_any_length(monkeypatch, frames, device):
    monkeypatch.setattr(spectral_on_device, "SEGMENT", 4096)
    rng = np.random.default_rng(frames)
    reference, noise = rng.normal(0, 0.1, (2, frames)).astype(np.float32)
    estimate = reference + 0.1 * noise
    expected = MRSTFT().distance(reference, estimate, RATE)
    with scoring_on(device):
        assert MRSTFT().distance(reference, estimate, RATE) == pytest.approx(expected, abs=1e-5)


def test_blocks_of_windows_and_of_samples_move_no_value(monkeypatch, stems, device):
    metric, estimates = get_metric("bsseval"), spoilt(stems)
    with scoring_on(device):
        whole = metric.score_track(References(stems), dict(estimates), tuple(stems))
        monkeypatch.setattr(on_device, "BLOCKS", 1)
        monkeypatch.setattr(on_device, "WINDOWS", 1)
        pieces = metric.score_track(References(stems), dict(estimates), tuple(stems))
    assert_same(whole, pieces, 1e-6)


def test_levels_of_windows_anywhere_are_those_of_the_filters(device):
    rng = np.random.default_rng(0)
    signal = (rng.normal(0, 0.1, 20_000) * np.linspace(0, 1, 20_000) ** 4).astype(np.float32)
    signal[8000:13_000] = 0
    starts = np.array([0, 7, 960, 8000, 9001, 12_000, 16_160])
    bank = gammatone_on_device.DeviceBank(resolved(device))
    expected = gammatone.levels_at(signal, starts, 1.7)
    found = bank.levels_at(signal, starts, 1.7)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-16)
    assert (found[:, 3] == 0).all()  # silence is exact: its floor depends on it
    assert bank.levels_at(signal, starts[:0]).shape == (32, 0)
    with pytest.raises(IndexError):
        bank.levels_at(signal, np.array([16_161]))


def test_tolerances_lie_within_those_of_the_drift_gate():
    found = set()
    for name in registry.names("metric"):
        metric = get_metric(name)
        if (tolerance := device_tolerance(metric)) is None:
            continue
        found.add(name)
        for value in metric.values:
            assert value.drift is not None
            assert 0 < tolerance <= min(value.drift.cell, value.drift.mean)
    assert found == set(METRICS)


def test_the_cpu_engine_is_back_after_an_error():
    with pytest.raises(ZeroDivisionError), scoring_on("torch-cpu"):
        raise ZeroDivisionError
    assert described("cpu") == "" and described("torch-cpu") == "torch-cpu"
    assert resolved("cpu") is None


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "mps:0", "CUDA", ""])
def test_unknown_devices_are_refused_by_name(name):
    with pytest.raises(UsageError, match=r"expected cpu, cuda, cuda:1 or torch-cpu"):
        resolved(name)


def test_mps_is_refused_for_its_precision():
    with pytest.raises(UsageError, match="float64"):
        resolved("mps")


@pytest.mark.skipif(HAS_GPU, reason="this machine has a CUDA device")
def test_a_gpu_that_is_not_there_is_an_error():
    for name in ("cuda", "cuda:1"):
        with pytest.raises(
            Unavailable, match=r"torch .* finds no such device .* --metric-device cpu"
        ):
            resolved(name)


def test_a_number_too_high_says_what_was_found(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA Test")
    with pytest.raises(
        Unavailable, match=r"'cuda:1': this machine has only cuda:0 \(NVIDIA Test\)"
    ):
        resolved("cuda:1")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="torch sees no CUDA device on this machine")
def test_memory_on_the_gpu_does_not_grow_with_the_song(clip):
    peaks = []
    for repeats in (5, 20):
        stems = {s: Audio(np.tile(a.samples, repeats), RATE) for s, a in clip.stems.items()}
        torch.cuda.reset_peak_memory_stats()
        for name in METRICS:
            both(name, stems, spoilt(stems), "cuda")
        peaks.append(torch.cuda.max_memory_allocated() / 2**20)
    assert peaks[1] < min(1024, 1.1 * peaks[0] + 32)
