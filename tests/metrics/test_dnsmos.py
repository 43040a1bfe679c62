"""DNSMOS against speechmos, on real vocals."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.errors import AudioError
from benchsep.metrics.dnsmos import DNSMOS, network
from benchsep.metrics.dnsmos.graphs import graph_path, session
from benchsep.metrics.dnsmos.network import (
    RATE,
    WINDOW,
    dnsmos,
    dnsmos_embedding,
    p835_outputs,
    p835_plainly,
    window_starts,
)
from benchsep.metrics.metric import References

NOTHING = References({})
PARITY = 1e-6
"""speechmos computes its mel power in another order of float32 operations."""


@pytest.fixture(scope="module")
def vocals(clip):
    return np.clip(clip.stems["vocals"].mono().resampled(RATE).samples[0], -1, 1)


@pytest.fixture(scope="module")
def upstream():
    pytest.importorskip("speechmos", reason="the parity reference is speechmos")
    import speechmos.dnsmos

    return lambda signal: speechmos.dnsmos.run(signal, RATE)


@pytest.mark.parametrize("seconds", [0.1, 9.01, 14.0])
def test_values_are_those_of_speechmos(vocals, upstream, seconds):
    signal = np.resize(vocals, int(seconds * RATE))
    expected, found = upstream(signal), dnsmos(signal)
    for name in ("ovrl", "sig", "bak", "p808"):
        assert found[name].mean() == pytest.approx(expected[f"{name}_mos"], abs=PARITY)


def test_windows_lost_to_rounding_are_lost_here_too():
    # metrics.md §4 counted them in speechmos: 17 of 51 at 60 s, 21 of 231 at 240 s.
    assert len(window_starts(60 * RATE)) == 51 - 17
    assert len(window_starts(240 * RATE)) == 231 - 21


def test_a_track_gets_every_value_with_its_windows(clip):
    scores = DNSMOS().score_track(NOTHING, clip.stems, ("vocals",))["vocals"]
    assert set(scores) == {value.name for value in DNSMOS.values}
    for score in scores.values():
        assert score.status == "ok"
        assert score.value == pytest.approx(np.mean(score.frames))


def test_the_mixture_sounds_worse_than_the_vocals(clip):
    both = {"vocals": clip.stems["vocals"], "other": clip.mixture}
    scores = DNSMOS().score_track(NOTHING, both, ("vocals", "other"))
    assert scores["vocals"]["ovrl"].value > scores["other"]["ovrl"].value


def test_silence_and_absence_are_statuses():
    silent = {"vocals": Audio(np.zeros((2, 44_100)), 44_100)}
    scores = DNSMOS().score_track(NOTHING, silent, ("vocals", "bass"))
    assert {s.status for s in scores["vocals"].values()} == {"est_silent"}
    assert scores["bass"]["ovrl"].status == "undefined: the system gives no bass"
    assert scores["bass"]["ovrl"].value is None


def test_overdriven_samples_are_clipped_not_refused(clip):
    loud = Audio(clip.stems["vocals"].samples * 20, clip.stems["vocals"].rate)
    assert np.abs(loud.samples).max() > 1
    assert DNSMOS().score_track(NOTHING, {"vocals": loud}, ("vocals",))["vocals"]["ovrl"].value


def test_one_sample_gets_a_row():
    one = {"vocals": Audio(np.full((1, 1), 0.5), 48_000)}
    assert DNSMOS().score_track(NOTHING, one, ("vocals",))["vocals"]["ovrl"].status == "too_short"


@pytest.mark.parametrize(
    "bad", [np.zeros(0), np.zeros((2, 9)), np.full(9, 1.5), np.full(9, np.nan)], ids=str
)
def test_unusable_arrays_are_named_errors(bad):
    with pytest.raises(AudioError, match="expected"):
        dnsmos(bad)


def test_the_metric_says_what_is_missing(monkeypatch):
    import importlib.util

    assert DNSMOS().available() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install" in DNSMOS().available()


def test_shared_activations_are_those_of_whole_windows(clip):
    # Four different stems joined: real audio with hard cuts inside windows.
    joined = np.concatenate([clip.stems[s].mono().resampled(RATE).samples[0] for s in clip.stems])
    signal = np.clip(joined, -1, 1)
    # Windows in both phases of the later pools, at the very start and at the very end.
    starts = [0, RATE, 2 * RATE, 7 * RATE, (len(signal) - WINDOW) // 640 * 640]
    expected = p835_plainly(signal, starts)
    assert p835_outputs(signal, starts) == pytest.approx(expected, abs=1e-5)
    # Windows far apart share nothing, and one may come twice.
    some = [starts[1], starts[1], starts[-1]]
    assert p835_outputs(signal, some) == pytest.approx(expected[[1, 1, -1]], abs=1e-5)
    with pytest.raises(ValueError, match="multiples of 640"):
        p835_outputs(signal, [0, 320])


def test_shared_opinions_are_those_of_whole_windows(clip):
    joined = np.concatenate([clip.stems[s].mono().resampled(RATE).samples[0] for s in clip.stems])
    signal = np.clip(joined, -1, 1)
    signal[14 * RATE : 15 * RATE] *= 3.0  # a peak that later windows have in common
    starts = [0, RATE, 2 * RATE, 6 * RATE, 7 * RATE, 7 * RATE, 8 * RATE + 640]
    power = network.mel_power(signal)
    windows = [network._decibels(network._window_mel(signal, power, k)) for k in starts]
    whole = session("model_v8")
    expected = [whole.run(None, {"input_1": x[None]})[0][0, 0] for x in windows]
    assert network.p808_outputs(signal, starts) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="multiples of 4"):
        network.p808_outputs(signal, [320])


def test_the_embedding_is_one_row_a_window(vocals):
    found = dnsmos_embedding(vocals)
    assert found.shape == (len(dnsmos(vocals)["ovrl"]), 64)
    assert (found >= 0).all() and found.any()


def test_graphs_are_cut_only_where_that_is_possible():
    from benchsep.errors import MetricError
    from benchsep.metrics.dnsmos.onnx import subgraph

    model = graph_path("sig_bak_ovr").read_bytes()
    with pytest.raises(MetricError, match="neither inputs nor weights"):
        subgraph(model, {}, ["Identity:0"])
    for broken in (model[:1000], b"\xff" * 20, b"<html>"):
        with pytest.raises(MetricError):
            subgraph(broken, {"input_1": ("N", WINDOW)}, ["Identity:0"])
