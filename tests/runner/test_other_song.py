"""The yardstick ``wrong-song``: the stems of the data set's next song, in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import benchsep
from benchsep.audio import STEMS, Audio, read_audio, write_audio
from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.metric import References
from benchsep.runner.plan import ONE_SONG, make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite
from benchsep.systems.estimate import estimate
from benchsep.systems.spec import load_system
from tests.helpers.noise import noise_songs

NAMES = ("A", "B", "C")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    return noise_songs(tmp_path / "songs", NAMES)


def run(songs: Path, out: Path, **options: object) -> benchsep.RunResult:
    settings = {
        "metrics": ("sisdr",),
        "inline": True,
        "yardsticks": False,
        "systems": ("wrong-song",),
    }
    return benchsep.run(out=out, dataset=f"folder:{songs}", **{**settings, **options})  # type: ignore[arg-type]


def test_each_song_is_scored_with_the_stems_of_the_next_one(songs: Path, tmp_path: Path) -> None:
    cells = run(songs, tmp_path / "run").cells()
    metric = get_metric("sisdr")
    for song, after in zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True):
        truth, other = (
            {s: read_audio(songs / name / f"{s}.wav") for s in STEMS} for name in (song, after)
        )
        expected = metric.score_track(References(truth), other, STEMS)
        part = cells[(cells["track"] == song) & (cells["metric"] == "sisdr")].set_index("stem")
        for stem in STEMS:
            # the gain that matches the levels moves no SI-SDR
            assert part.loc[stem, "value"] == pytest.approx(expected[stem][""].value, abs=1e-3)


def test_the_choice_of_songs_changes_no_value(songs: Path, tmp_path: Path) -> None:
    whole = run(songs, tmp_path / "whole").cells()
    part = run(songs, tmp_path / "part", tracks=("A",)).cells()
    keys = ["stem", "metric", "value"]
    first = whole[whole["track"] == "A"][keys].reset_index(drop=True)
    assert first.equals(part[keys].reset_index(drop=True))


def test_a_change_of_the_next_song_computes_the_cells_again(songs: Path, tmp_path: Path) -> None:
    before = run(songs, tmp_path / "run").cells()
    assert not run(songs, tmp_path / "run").outcomes
    rng = np.random.default_rng(9)
    path = songs / "B" / "drums.wav"
    samples = rng.normal(0, 0.1, (2, read_audio(path).frames)).astype(np.float32)
    write_audio(path, Audio(samples, 8000))
    again = run(songs, tmp_path / "run")
    assert {o.track for o in again.outcomes} == {"A", "B"}
    after = again.cells()
    drums = (before["track"] == "A") & (before["stem"] == "drums") & (before["metric"] == "sisdr")
    assert (before[drums]["value"] != after[drums]["value"]).all()
    assert before[before["track"] == "C"].equals(after[after["track"] == "C"])


def test_it_is_included_where_there_is_a_second_song(songs: Path, tmp_path: Path) -> None:
    suite = Suite(dataset=f"folder:{songs}", systems=("mixture",), metrics=("usdr",))
    assert "wrong-song" in make_plan(suite, Store(tmp_path / "r")).systems
    off = suite.model_copy(update={"yardsticks": False})
    assert "wrong-song" not in make_plan(off, Store(tmp_path / "r")).systems
    one = noise_songs(tmp_path / "one", ("A",))
    alone = suite.model_copy(update={"dataset": f"folder:{one}"})
    assert "wrong-song" not in make_plan(alone, Store(tmp_path / "r")).systems


def test_with_one_song_it_is_unavailable_with_the_reason(tmp_path: Path) -> None:
    result = run(noise_songs(tmp_path / "one", ("A",)), tmp_path / "run")
    assert set(result.cells()["status"]) == {f"unavailable: {ONE_SONG}"}
    assert not result.failed


def test_levels_and_lengths_are_those_of_the_right_stem() -> None:
    rng = np.random.default_rng(0)
    system = load_system("wrong-song")

    def stems(level: float, frames: int, rate: int = 8000) -> dict[str, Audio]:
        return {s: Audio(rng.normal(0, level, (2, frames)).astype(np.float32), rate) for s in STEMS}

    right = stems(0.1, 1000)
    for other in (stems(0.3, 300), stems(0.01, 5000), stems(0.1, 900, 16_000)):
        mixture = Audio(sum(a.samples for a in right.values()), 8000)
        found = estimate(system, mixture, seed=0, references=right, other=other)
        for stem, audio in found.items():
            assert audio.samples.shape == right[stem].samples.shape
            rms = [np.sqrt(np.mean(a.samples.astype(float) ** 2)) for a in (audio, right[stem])]
            assert rms[0] == pytest.approx(rms[1], rel=1e-5)
    silent = {s: replace(a, samples=0 * a.samples) for s, a in right.items()}
    found = estimate(system, mixture, seed=0, references=right, other=silent)
    assert all(audio.silent for audio in found.values())
    with pytest.raises(UsageError, match="needs another song"):
        estimate(system, mixture, seed=0, references=right)
