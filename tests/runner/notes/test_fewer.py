"""A song that lacks a draw keeps the mean of the draws that exist, and the reader is told."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio
from benchsep.cli.app import app
from benchsep.runner.notes.fewer import fewer_draws
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs


class Sampler:
    """Its estimates follow the seed."""

    info = SystemInfo("drawn", "generative", deterministic=False)

    def __init__(self, device: str = "cpu") -> None:
        pass

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        rng = np.random.default_rng(seed)
        return {s: Audio(rng.normal(0, 0.1, mixture.samples.shape), mixture.rate) for s in STEMS}


class EndedError(Exception):
    """The run is ended here."""


@contextlib.contextmanager
def _ends_after_one(plan):
    def listen(outcome):
        raise EndedError

    yield listen


def _run(songs: Path, out: Path, draws: int, **options) -> None:
    benchsep.run(dataset=f"folder:{songs}", systems=("drawn", "mixture"), metrics=("usdr",),
                 yardsticks=False, inline=True, draws=draws, out=out, **options)  # fmt: skip


def _shown(command: str, folder: Path, capsys) -> str:
    options = ["--format", "md"] if command == "show" else []
    with pytest.raises(SystemExit):
        app([command, str(folder), *options])
    told = capsys.readouterr()
    return told.out + told.err


def test_a_run_that_asks_for_more_draws_and_is_ended_says_which_songs_lack_some(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(registry._local["system"], "drawn", Sampler)
    songs, run = noise_songs(tmp_path / "songs", ("one", "two"), seconds=1.2), tmp_path / "run"
    _run(songs, run, 1)
    assert " songs have fewer than" not in _shown("show", run, capsys)
    with pytest.raises(EndedError):
        _run(songs, run, 3, progress=_ends_after_one)
    expected = "drawn: 1 of 2 songs have fewer than 3 draws (two: 1)."
    for command in ("show", "compare"):
        assert expected in _shown(command, run, capsys), command
    _run(songs, run, 3)
    for command in ("show", "compare"):
        assert " songs have fewer than" not in _shown(command, run, capsys)


def _cells(draws: dict[str, list[int]], *, system: str = "s", status: str = "ok") -> pd.DataFrame:
    rows = [
        (system, song, "usdr", stem, draw, status)
        for song, numbers in draws.items() for draw in numbers for stem in ("bass", "vocals")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["system", "track", "metric", "stem", "draw", "status"])


def _manifest(draws: int, **deterministic: bool) -> dict:
    infos = {label: {"info": {"deterministic": fixed}} for label, fixed in deterministic.items()}
    return {"suite": {"draws": draws}, "systems": infos}


def test_the_song_with_the_fewest_draws_is_named():
    cells = _cells({"a": [0, 1, 2], "b": [0, 1], "c": [2], "d": [0, 1]})
    [sentence] = fewer_draws(cells, _manifest(3, s=False))
    assert sentence.startswith("s: 3 of 4 songs have fewer than 3 draws (c: 1). Their values are")


def test_one_stem_without_a_draw_is_enough():
    cells = _cells({"a": [0, 1], "b": [0, 1]})
    [sentence] = fewer_draws(cells.iloc[:-1], _manifest(2, s=False))
    assert "1 of 2 songs have fewer than 2 draws (b: 1)" in sentence


def test_a_run_in_which_every_song_lacks_the_same_draw_says_so():
    [sentence] = fewer_draws(_cells({"a": [0], "b": [0]}), _manifest(2, s=False))
    assert "2 of 2 songs have fewer than 2 draws (a: 1)" in sentence


def test_systems_that_do_not_draw_and_songs_without_a_value_are_not_named():
    fixed, drawn = _cells({"a": [0], "b": [0]}), _cells({"a": [0, 1], "b": [0, 1]}, system="d")
    both = pd.concat([fixed, drawn])
    assert fewer_draws(both, _manifest(2, s=True, d=False)) == []
    failed = pd.concat([drawn, _cells({"c": [0]}, system="d", status="failed: x")])
    assert fewer_draws(failed, _manifest(2, d=False)) == []
    assert fewer_draws(fixed, {}) == [] == fewer_draws(fixed.drop(columns="draw"), _manifest(2))


def test_of_a_system_that_the_manifest_does_not_describe_its_best_song_counts():
    cells = _cells({"a": [0, 1], "b": [0]})
    [sentence] = fewer_draws(cells, {})
    assert "1 of 2 songs have fewer than 2 draws (b: 1)" in sentence
    assert fewer_draws(_cells({"a": [0], "b": [0]}), _manifest(2)) == []
