"""Reading a run folder changes nothing in it, whatever it holds; only a run repairs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchsep
from benchsep._util.digest import canonical, digest
from benchsep.cli.app import app
from benchsep.errors import BenchsepError, FormatError
from benchsep.runner.plan import make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite
from tests.helpers.noise import noise_songs

ASKED = {"systems": ("mixture",), "metrics": ("usdr",), "yardsticks": False, "inline": True}
READERS = {
    "show": ("show", "RUN"),
    "compare": ("compare", "RUN", "--metric", "usdr"),
    "plan": ("plan", "--dataset", "folder:SONGS", "--systems", "mixture", "--metrics", "usdr",
             "--no-yardsticks", "-o", "RUN"),
    "check": ("check", "RUN", "--baseline", "BASELINE"),
    "noise": ("noise", "RUN"),
    "report": ("report", "RUN", "-o", "REPORT", "--no-page", "--max-songs", "0"),
    "export-museval": ("export-museval", "RUN", "-o", "REPORT"),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with songs, a finished run of them and its baseline."""
    folder = tmp_path_factory.mktemp("readers")
    songs = noise_songs(folder / "songs", ("one", "two", "three"))
    benchsep.run(out=folder / "run", dataset=f"folder:{songs}", **ASKED)
    done = CliRunner().invoke(
        app, ["baseline", str(folder / "run"), "-o", str(folder / "baseline.json")]
    )
    assert done.exit_code == 0, done.output
    return folder


def _other_format(content: dict, *, summed: bool = True) -> str:
    body = {**{k: v for k, v in content.items() if k != "checksum"}, "format": 3}
    body["new"] = "of a later version"
    return canonical({**body, "checksum": digest(body) if summed else "of another kind"})


def _edited(content: dict) -> str:
    content["cells"][0]["value"] = 99.0
    return canonical(content)


DAMAGES: dict[str, Callable[[dict], str]] = {
    "another format": _other_format,
    "another format and checksum": lambda content: _other_format(content, summed=False),
    "edited by hand": _edited,
    "cut": lambda content: canonical(content)[:200],
    "no JSON": lambda _: "\x00" * 100,
    "no object": lambda _: "[1, 2]",
    "empty": lambda _: "",
}


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _call(words: tuple[str, ...], made: Path, run: Path, tmp_path: Path) -> str:
    places = {"RUN": run, "SONGS": made / "songs", "BASELINE": made / "baseline.json",
              "REPORT": tmp_path / "report"}  # fmt: skip
    for place, path in places.items():
        words = tuple(word.replace(place, str(path)) for word in words)
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit | BenchsepError)
    return done.output + str(done.exception or "")


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_reader_changes_a_run_folder(made, tmp_path, damage):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    for path in (run / "cells").glob("*/*.json"):
        path.write_text(DAMAGES[damage](json.loads(path.read_text())))
    before = _contents(run)
    for name, words in READERS.items():
        _call(words, made, run, tmp_path)
        assert _contents(run) == before, name


def test_reading_says_the_format_and_the_version_that_wrote_it(made, tmp_path, capsys):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    manifest = Store(run).manifest()
    manifest["packages"]["benchsep"] = "9.8.7"
    Store(run).write_manifest(manifest)
    paths = sorted((run / "cells").glob("*/*.json"))
    paths[0].write_text(_other_format(json.loads(paths[0].read_text())))
    assert set(benchsep.load_run(run)["track"]) == {"one", "two", "three"} - {paths[0].stem}
    said = capsys.readouterr().err
    assert "format 3" in said and "written by benchsep 9.8.7" in said and str(paths[0]) in said
    for path in paths[1:]:
        path.write_text(_other_format(json.loads(path.read_text())))
    with pytest.raises(FormatError, match=r"format 3.*by benchsep 9\.8\.7.* another folder$"):
        benchsep.load_run(run)
    assert "written by benchsep 9.8.7" in _call(READERS["show"], made, run, tmp_path)


@pytest.mark.parametrize("where", ["records", "manifest"])
def test_a_run_refuses_a_folder_of_another_format_and_leaves_it_as_it_is(made, tmp_path, where):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    paths = [run / "manifest.json"] if where == "manifest" else (run / "cells").glob("*/*.json")
    for path in paths:
        path.write_text(_other_format(json.loads(path.read_text())))
    before = _contents(run)
    with pytest.raises(FormatError, match="and changed nothing"):
        benchsep.run(out=run, dataset=f"folder:{made / 'songs'}", **ASKED)
    assert _contents(run) == before


def test_only_a_run_sets_aside_and_never_over_what_was_set_aside_before(made, tmp_path, capsys):
    run, songs = Path(shutil.copytree(made / "run", tmp_path / "run")), made / "songs"
    path = run / "cells" / "mixture" / "one.json"
    whole, kept = benchsep.load_run(run), []
    for value in (99.0, 77.0):
        content = json.loads(path.read_text())
        content["cells"][0]["value"] = value
        kept.append(canonical(content))
        path.write_text(kept[-1])
        suite = Suite(dataset=f"folder:{songs}", **ASKED)
        assert [job.track.name for job in make_plan(suite, Store(run)).jobs] == ["one"]
        benchsep.run(suite, out=run)
        assert "edited by hand (its checksum is wrong); set aside" in capsys.readouterr().err
        assert benchsep.load_run(run)["value"].equals(whole["value"])
    assert sorted(p.read_text() for p in path.parent.glob("*.corrupt*")) == sorted(kept)


def test_a_damaged_record_among_whole_ones_is_named_and_left_out(made, tmp_path, capsys):
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    path = run / "cells" / "mixture" / "one.json"
    path.write_text(_edited(json.loads(path.read_text())))
    assert set(benchsep.load_run(run)["track"]) == {"two", "three"}
    assert f"{path} is damaged or edited by hand" in capsys.readouterr().err
