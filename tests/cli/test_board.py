"""``benchsep board``, ``report`` and ``show`` of folders that hold no result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchsep.cli.app import app
from benchsep.errors import StoreError


@pytest.fixture
def copy(finished_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_run, tmp_path / "copy")
    return tmp_path / "copy"


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "cells")


def damage(folder: Path) -> None:
    for path in folder.glob("cells/*/*.json"):
        path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("change", [empty, damage])
def test_a_folder_without_a_result_makes_no_page(
    copy: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """An empty page was written, exit 0; ``show`` printed nothing."""
    change(copy)
    for command in ("board", "report"):
        done = CliRunner().invoke(app, [command, str(copy), "-o", str(tmp_path / "out")])
        assert isinstance(done.exception, StoreError)
        assert f"{copy}: found no readable result, expected" in str(done.exception)
        assert not (tmp_path / "out").exists()
    shown = CliRunner().invoke(app, ["show", str(copy)])
    assert shown.exit_code == 0 and f"{copy} has no readable result" in shown.stderr


def test_a_damaged_record_is_named_once(copy: Path, tmp_path: Path) -> None:
    """A report reads its records once; it read them twice, and said twice what is wrong."""
    path = next(copy.glob("cells/*/*.json"))
    path.write_text("hello")
    for command in ("board", "report"):
        words = [command, str(copy), "-o", str(tmp_path / command)]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0 and done.stderr.count(str(path)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", r"cannot be read \(.*\); run the suite again"),
        (b"[]", "expected an object, found list; run the suite again"),
        (b"\xff\xfe", "cannot be read .*; run the suite again"),
        (None, r"cannot be read \(Is a directory\); fix its permissions"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_what_to_do(
    copy: Path, content: bytes | None, said: str
) -> None:
    manifest = copy / "manifest.json"
    if content is None:
        manifest.unlink()
        manifest.mkdir()
    else:
        manifest.write_bytes(content)
    with pytest.raises(StoreError, match=rf"manifest\.json: {said}"):
        CliRunner().invoke(app, ["board", str(copy), "-o", "x"], catch_exceptions=False)


def test_a_file_is_no_board(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for command in ("board", "merge"):
        with pytest.raises(StoreError, match=r"file: not a run folder \(a file\)"):
            words = [command, str(tmp_path / "file"), "-o", str(tmp_path / "out")]
            CliRunner().invoke(app, words, catch_exceptions=False)
