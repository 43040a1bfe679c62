"""Late estimates are noticed, reported and, on request, moved."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.runner.notes.lag import aligned, lags_of, loudest_parts

RATE = 44_100


def music(seed=0, seconds=2.0):
    """Filtered noise that comes and goes, ``[2, n]``."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    noise = np.convolve(rng.normal(0, 1, n), np.ones(8) / 8, "same")
    fade = 0.1 * (1 + np.sin(2 * np.pi * 1.5 * np.arange(n) / RATE))
    return np.tile(noise * fade, (2, 1)).astype(np.float32)


def late(samples, lag):
    out = np.zeros_like(samples)
    out[:, max(lag, 0) : samples.shape[1] + min(lag, 0)] = (
        samples[:, : samples.shape[1] - lag] if lag >= 0 else samples[:, -lag:]
    )
    return out


def measured(reference, estimate):
    """The lag that a run would store."""
    references = {"x": Audio(reference, RATE)}
    return lags_of(references, {"x": Audio(estimate, RATE)}, loudest_parts(references)).get("x", 0)


@pytest.mark.parametrize("lag", [0, 1, 1105, 2257, -300])
def test_the_lag_of_a_noisy_estimate_is_measured(lag):
    reference = music()
    noise = 0.03 * np.random.default_rng(1).normal(0, 1, reference.shape)
    estimate = late(reference, lag) + noise.astype(np.float32)
    assert measured(reference, estimate) == lag


def test_an_estimate_that_matches_no_waveform_has_no_lag():
    assert measured(music(0), music(1)) == 0


def test_silence_has_no_lag():
    silence = np.zeros((2, 2 * RATE), np.float32)
    assert measured(silence, music()) == measured(music(), silence) == 0


@pytest.mark.parametrize("lag", [500, -500])
def test_alignment_takes_the_lag_out(lag):
    reference = music()
    moved = aligned({"x": Audio(late(reference, lag), RATE)}, {"x": lag})["x"].samples
    inner = slice(600, -600)
    assert np.array_equal(moved[:, inner], reference[:, inner])


def test_a_run_reports_late_systems_and_can_align_them(tmp_path):
    for seed, stem in enumerate(STEMS):
        samples = music(seed)
        write_audio(tmp_path / "songs" / "A" / f"{stem}.wav", Audio(samples, RATE))
        write_audio(tmp_path / "late" / "A" / f"{stem}.wav", Audio(late(samples, 1105), RATE))
    words = ["run", "--dataset", f"folder:{tmp_path / 'songs'}", "--metrics", "usdr", "-j", "1"]
    words += ["--systems", f"dir:{tmp_path / 'late'}", "--no-yardsticks"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "run")])
    sentence = "dir:late is 1,105 samples late on 1 of 1 songs"
    assert sentence in done.stderr
    assert (
        sentence
        in CliRunner().invoke(app, ["show", str(tmp_path / "run"), "--format", "md"]).stdout
    )
    moved = CliRunner().invoke(app, [*words, "--align", "-o", str(tmp_path / "aligned")])
    assert "dir:late was 1,105 samples late on 1 of 1 songs: its estimates were" in moved.stderr
    assert "are too low" not in moved.stderr + moved.stdout
    plain, moved = (benchsep.load_run(tmp_path / name) for name in ("run", "aligned"))
    assert moved["value"].min() > plain["value"].max() + 10
