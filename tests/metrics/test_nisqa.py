"""NISQA against torchmetrics, with the weights of ../shared; and without any weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.cli.info import _plugins
from benchsep.errors import AudioError, Unavailable
from benchsep.metrics import nisqa as module
from benchsep.metrics.metric import References
from benchsep.metrics.nisqa import NISQA, OUTPUTS, RATE, VARIABLE, nisqa, split

NOTHING = References({})
ROUNDING = 3e-6
"""Another order of float32 sums: up to ten units in the last place."""


@pytest.fixture(scope="module")
def weights() -> Path:
    here = Path(__file__).resolve().parents[3] / "shared/data/weights/nisqa/nisqa.tar"
    path = Path(os.environ.get(VARIABLE, here))
    if not path.is_file():
        pytest.skip(f"no NISQA weights at {path}: set {VARIABLE} (CC BY-NC-SA 4.0, not shipped)")
    return path


@pytest.fixture(scope="module")
def vocals(clip):
    return clip.stems["vocals"].mono().resampled(RATE).samples[0]


@pytest.fixture
def upstream(weights, tmp_path, monkeypatch):
    import torch
    from torchmetrics.functional.audio import nisqa as theirs

    (tmp_path / "nisqa.tar").write_bytes(weights.read_bytes())
    monkeypatch.setattr(theirs, "NISQA_DIR", str(tmp_path))
    theirs._load_nisqa_model.cache_clear()
    return lambda signal: theirs.non_intrusive_speech_quality_assessment(
        torch.from_numpy(np.ascontiguousarray(signal)), RATE
    ).numpy()


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """A machine without weights and without a network."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(module, "default_path", lambda: tmp_path / "NISQA" / "nisqa.tar")
    monkeypatch.setattr(module, "_attempt", [])
    return tmp_path


@pytest.mark.parametrize("seconds", [0.14, 1.0, 6.0, 30.0])
def test_values_are_those_of_torchmetrics(vocals, weights, upstream, seconds):
    signal = np.resize(vocals, int(seconds * RATE))
    assert nisqa(signal, weights)[0] == pytest.approx(upstream(signal), abs=ROUNDING)


def test_a_song_is_the_mean_of_windows_of_upstream(vocals, weights, upstream):
    song = np.resize(vocals, 60 * RATE)
    found = nisqa(song, weights)
    assert found.shape == (2, len(OUTPUTS))
    halves = [upstream(half) for half in (song[: 30 * RATE], song[30 * RATE :])]
    assert found == pytest.approx(np.stack(halves), abs=1e-6)


def test_the_network_takes_the_longest_window(vocals, weights):
    assert nisqa(np.resize(vocals, 52 * RATE), weights).shape == (1, 5)


@pytest.mark.parametrize("seconds", [1, 52, 53, 104, 105, 241])
def test_windows_are_equal_and_lose_nothing(seconds):
    song = np.arange(seconds * RATE, dtype=np.float32)
    windows = split(song)
    assert np.array_equal(np.concatenate(windows), song)
    assert max(map(len, windows)) <= 52 * RATE
    assert max(map(len, windows)) - min(map(len, windows)) <= 1
    assert len(windows) == -(-seconds // 52)


def test_silent_windows_of_a_song_do_not_count(vocals, weights):
    half = np.resize(vocals, 40 * RATE)
    song = np.concatenate([half, np.zeros_like(half)])
    assert nisqa(song, weights) == pytest.approx(nisqa(half, weights))


def test_statuses(weights, clip):
    metric = NISQA(weights)
    estimates = {
        "vocals": clip.stems["vocals"],
        "drums": Audio(np.zeros((2, 44_100)), 44_100),
        "bass": Audio(np.full((1, 1), 0.5), 44_100),
    }
    scores = metric.score_track(NOTHING, estimates, ("vocals", "drums", "bass", "other"))
    assert [scores[stem]["mos"].status for stem in scores] == [
        "ok",
        "est_silent",
        "too_short",
        "undefined: the system gives no other",
    ]
    assert set(scores["vocals"]) == set(OUTPUTS)


def test_unusable_arrays_are_named_errors(weights):
    for bad in (np.zeros(10), np.zeros((2, RATE)), np.zeros(RATE)):
        with pytest.raises(AudioError):
            nisqa(bad, weights)


def test_without_weights_every_cell_names_the_command_that_mends_it(no_weights, monkeypatch, clip):
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    monkeypatch.setattr("requests.get", lambda *a, **k: pytest.fail("offline means no request"))
    metric = NISQA()
    scores = metric.score_track(NOTHING, clip.stems, ("vocals",))["vocals"]
    for score in scores.values():
        assert score.status.startswith("unavailable: ")
        assert "curl -fL --create-dirs" in score.status
    assert metric.available() and "unavailable: " + metric.available() == scores["mos"].status


def test_a_named_file_that_is_wrong_is_not_passed_over(no_weights, monkeypatch, weights):
    (no_weights / "NISQA").mkdir()
    module.default_path().write_bytes(weights.read_bytes())
    assert NISQA().available() == ""
    page = no_weights / "proxy.html"
    page.write_text("<html>404</html>")
    monkeypatch.setenv(VARIABLE, str(page))
    assert "is not NISQA v2's nisqa.tar" in NISQA().available()
    with pytest.raises(Unavailable, match="sha256"):
        NISQA().resolved()


def test_a_download_is_tried_once_and_an_error_page_is_not_kept(no_weights, monkeypatch):
    monkeypatch.delenv("BENCHSEP_OFFLINE", raising=False)
    calls = []

    class Page:
        content = b"<html>denied by proxy</html>"

        def raise_for_status(self):
            pass

    monkeypatch.setattr("requests.get", lambda *a, **k: calls.append(k["timeout"]) or Page())
    assert NISQA().available() == ""  # looking does not download
    for _ in range(2):
        with pytest.raises(Unavailable, match="curl"):
            NISQA().resolved()
    assert calls == [module.TIMEOUT]
    assert not module.default_path().exists()
    assert "curl" in NISQA().available()


def test_a_good_download_is_kept_and_used(no_weights, monkeypatch, weights):
    monkeypatch.delenv("BENCHSEP_OFFLINE", raising=False)

    class File:
        content = weights.read_bytes()

        def raise_for_status(self):
            pass

    monkeypatch.setattr("requests.get", lambda *a, **k: File())
    assert NISQA().resolved() == module.default_path()
    assert list(module.default_path().parent.iterdir()) == [module.default_path()]


def test_doctor_says_whether_the_weights_are_here(tmp_path, monkeypatch):
    weights = tmp_path / "nisqa.tar"
    monkeypatch.setenv(VARIABLE, str(weights))
    checks = {check.what: check for check in _plugins("metric") if "nisqa" in check.what}
    part = checks["metric nisqa, weights (CC BY-NC-SA 4.0)"]
    assert part.state == "missing" and "curl" in part.remedy
    weights.write_bytes(b"")
    assert NISQA.about["parts"]() == {"weights (CC BY-NC-SA 4.0)": ""}
