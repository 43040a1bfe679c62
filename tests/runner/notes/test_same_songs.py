"""A song that is linked or copied under another name is counted twice, and the reader is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import benchsep
from benchsep.cli.app import app
from benchsep.runner.notes.same_songs import same_songs
from tests.helpers.noise import noise_songs


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_song_that_is_there_twice_is_named(tmp_path: Path, how: str, capsys) -> None:
    songs = noise_songs(tmp_path / "songs", ("one", "two"), seconds=1.2)
    if how == "link":
        (songs / "another").symlink_to(songs / "one", target_is_directory=True)
    else:
        shutil.copytree(songs / "one", songs / "another")
    benchsep.run(dataset=f"folder:{songs}", systems=("mixture",), metrics=("usdr",),
                 yardsticks=False, inline=True, out=tmp_path / "run")  # fmt: skip
    with pytest.raises(SystemExit):
        app(["show", str(tmp_path / "run"), "--format", "md"])
    assert "counts as a song: another = one." in capsys.readouterr().out


def test_different_songs_and_unknown_mixtures_are_not_named() -> None:
    assert same_songs({}) == [] == same_songs({"mixtures": {"a": "1", "b": "2"}})
    assert same_songs({"mixtures": {"a": "", "b": ""}}) == []


def test_a_few_groups_are_named_and_the_others_counted() -> None:
    [sentence] = same_songs({"mixtures": {f"{n}{c}": str(n) for n in range(5) for c in "ab"}})
    assert "0a = 0b; 1a = 1b; 2a = 2b and 2 more." in sentence
