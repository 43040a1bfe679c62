"""The store where nothing is as it should be: each reason, and what stays untouched."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchsep._util.digest import canonical, digest
from benchsep.errors import FormatError, StoreError
from benchsep.runner import claims, store
from benchsep.runner.claims import Claims, Owner
from benchsep.runner.reading import Sheets, shown
from benchsep.runner.record import Record
from benchsep.runner.sheet import Columns, Sheet
from benchsep.runner.store import Store
from tests.runner.test_record import stored


def write(path: Path, body: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(canonical({**body, "checksum": digest(body)}))


def test_paths_are_names_below_the_root(tmp_path):
    made = Store(tmp_path)
    assert (
        made.path("My System", "a/b")
        == tmp_path / "cells" / store.file_name("My System") / f"{store.file_name('a/b')}.json"
    )
    base = tmp_path / "estimates" / "s" / "t"
    assert made.estimate_folder("s", "t", 0) == base
    assert made.estimate_folder("s", "t", 2) == base / "draw-2"
    base.mkdir(parents=True)
    for name in ("vocals.flac", "bass.wav", "notes.txt", "a.flac.partial"):
        (base / name).touch()
    assert made.kept_estimates("s", "t", 0) == {
        "bass": base / "bass.wav", "vocals": base / "vocals.flac",
    }  # fmt: skip
    assert made.kept_estimates("s", "u", 0) == {}
    assert made == Store(tmp_path, Owner("elsewhere", 1, 1)), "who claims is no part of a folder"


def test_what_is_no_file_in_place_of_a_record_is_named_and_left_alone(tmp_path, capsys):
    """A folder, and a link that leads to itself, called as a record is."""
    folder = tmp_path / "cells" / "s"
    (folder / "a.json").mkdir(parents=True)
    (folder / "b.json").symlink_to(folder / "b.json")
    os.mkfifo(folder / "pipe.json")
    (folder / "notes.txt").touch()
    found, problems = Store(tmp_path).records_and_problems()
    assert found == [] and len(problems) == 2
    assert [type(problem) for problem in problems] == [StoreError] * 2
    assert f"{folder / 'a.json'} cannot be read (Is a directory)" in str(problems[0])
    assert f"{folder / 'b.json'} cannot be read (Too many levels" in str(problems[1])
    assert Store(tmp_path).sheets() == []
    assert capsys.readouterr().err.count("; left out") == 2
    assert {path.name for path in folder.iterdir()} == {
        "a.json",
        "b.json",
        "pipe.json",
        "notes.txt",
    }


def test_an_empty_folder_has_nothing_and_says_how_to_make_a_run(tmp_path):
    made = Store(tmp_path)
    assert made.records() == made.sheets() == [] and made.any_sheet() is None
    assert made.records_and_problems() == ([], [])
    assert made.read("s", "t") is None and made.sheet("s", "t") is None
    with pytest.raises(StoreError, match=r"not a run folder \(no manifest\.json\); `benchsep run"):
        made.manifest()
    made.refuse_other_formats()
    made.set_aside("s", "t")
    made.sweep()
    assert not list(tmp_path.iterdir())


def test_records_are_sorted_by_system_and_track(tmp_path):
    made = Store(tmp_path)
    record = Record.from_json(stored())
    for label, track in (("b", "2"), ("a", "2"), ("b", "1"), ("A", "1")):
        made.write(
            replace(record, system=replace(record.system, label=label),
                    track=replace(record.track, name=track))
        )  # fmt: skip
    found = [(r.system.label, r.track.name) for r in made.records()]
    assert found == sorted(found) == [(s.system.label, s.track.name) for s in made.sheets()]
    assert len(found) == 4 and made.any_sheet().track.name in "12"


def test_each_problem_is_told_once_and_foreign_records_are_counted(tmp_path, capsys):
    made = Store(tmp_path)
    record = Record.from_json(stored())
    made.write(record)
    made.write_manifest({"packages": {"benchsep": "9.8"}})
    folder = made.path("s", "t").parent
    for number in (1, 2, 3):
        write(folder / f"foreign {number}.json", {"format": 3, "new": number})
    (folder / "cut.json").write_text("{")
    (folder / "copy.json").write_bytes(made.path("s", "t").read_bytes())
    assert made.records() == [record]
    said = capsys.readouterr().err
    assert said.count("format 3") == 1 and "2 more records are of another format" in said
    assert "cut.json is damaged (its checksum is wrong)" in said
    assert "`benchsep run` computes it again; left out" in said
    assert "copy.json is a copy of another record; left out" in said
    assert "written by benchsep 9.8" in said
    records, problems = made.records_and_problems()
    assert records == [record] and len(problems) == 5
    made.path("s", "t").unlink()
    (folder / "cut.json").unlink()
    (folder / "copy.json").unlink()
    with pytest.raises(FormatError, match=r"format 3, written by benchsep 9\.8"):
        made.records()
    assert made.any_sheet() is None


def test_a_folder_of_foreign_and_damaged_records_is_no_foreign_folder(tmp_path, capsys):
    made = Store(tmp_path)
    write(tmp_path / "cells" / "s" / "a.json", {"format": 3})
    (tmp_path / "cells" / "s" / "b.json").write_text("{")
    assert made.records() == []
    said = capsys.readouterr().err
    assert said.count("left out") == 2 and "an unknown version" in said


def test_what_cannot_be_opened_is_named(tmp_path):
    made = Store(tmp_path)
    path = made.path("s", "t")
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"t\.json cannot be read \(Is a directory\)"):
        made.read("s", "t")
    path.rmdir()
    path.parent.rmdir()
    (tmp_path / "cells" / "s").symlink_to(tmp_path / "cells" / "s")
    with pytest.raises(StoreError, match="its results would be missing, so fix its permissions"):
        made.records()


def test_set_aside_takes_damaged_records_alone_and_numbers_them(tmp_path, capsys):
    made = Store(tmp_path)
    record = Record.from_json(stored())
    made.write(record)
    made.set_aside("s", "t")
    assert made.read("s", "t") == record and not capsys.readouterr().err
    path = made.path("s", "t")
    for number, suffix in enumerate((".corrupt", ".corrupt-2", ".corrupt-3")):
        path.write_text("{" * number)
        made.set_aside("s", "t")
        assert path.with_name(f"t.json{suffix}").read_text() == "{" * number
        assert f"set aside as t.json{suffix}, to be computed again" in capsys.readouterr().err
    write(path, {"format": 3})
    with pytest.raises(FormatError):
        made.set_aside("s", "t")
    assert path.exists()


MANIFESTS: list[tuple[dict[str, Any], str]] = [
    ({"suite": []}, "suite is list, expected an object"),
    ({"packages": "x"}, "packages is str, expected an object of texts"),
    ({"systems": {"a": 1}}, r"systems\.a is int, expected an object"),
    ({"metrics": {"m": []}}, r"metrics\.m is list, expected an object"),
    ({"systems": {"a": {"info": {"name": 1}}}}, r"systems\.a\.info is no description of a system"),
    ({"systems": {"a": {"info": []}}}, r"systems\.a\.info is no description of a system"),
    ({"dataset": {"notes": "x"}}, r"dataset\.notes is str, expected a list of texts"),
    ({"dataset": {"tracks": "x"}}, r"dataset\.tracks is str, expected a list of names"),
    ({"dataset": {"tracks": [1]}}, r"dataset\.tracks is list with int, expected a list of names"),
    ({"suite": {"stems": 1.5}}, r"suite\.stems is float, expected a list of names"),
    ({"suite": {"draws": {}}}, r"suite\.draws is dict, expected a whole number"),
    ({"suite": {"stem_set": []}}, r"suite\.stem_set is list, expected a text or null"),
    ({"labels": {"a": 1}}, "labels is dict with int, expected an object of texts"),
    ({"systems": {"a": {"spec": 1}}}, r"systems\.a\.spec is int, expected a text"),
]


@pytest.mark.parametrize(("body", "says"), MANIFESTS)
def test_a_manifest_that_no_reader_could_use_is_named(tmp_path, body, says):
    made = Store(tmp_path)
    made.write_manifest(body)
    with pytest.raises(StoreError, match=rf"damaged \({says}\); run the suite again"):
        made.manifest()
    made.refuse_other_formats()


@pytest.mark.parametrize(
    ("text", "says"),
    [("[1]", "expected an object, found list"), ("{", "cannot be read"),
     ("[" * 10**5, "cannot be read"),
     ('{"suite": {}, "checksum": "0"}', r"\(its checksum is wrong\); run"),
     ('{"suite": {"x": NaN}, "checksum": "0"}', "not representable as strict JSON")],
    ids=["list", "cut", "deep", "checksum", "NaN"],
)  # fmt: skip
def test_a_damaged_manifest_is_named(tmp_path, text, says):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match=says):
        Store(tmp_path).manifest()


def test_an_old_manifest_without_a_checksum_is_read_and_a_newer_format_is_not(tmp_path):
    made = Store(tmp_path)
    (tmp_path / "manifest.json").write_text('{"suite": {"seed": 1}}')
    assert made.manifest() == {"suite": {"seed": 1}}
    made.write_manifest({"suite": {}})
    assert made.manifest() == {"suite": {}}, "the checksum is no part of it"
    (tmp_path / "manifest.json").write_text('{"format": 3, "packages": {"benchsep": "7.1"}}')
    for ask in (made.manifest, made.refuse_other_formats):
        with pytest.raises(FormatError, match=r"format 3, written by benchsep 7\.1"):
            ask()
    (tmp_path / "manifest.json").write_text('{"format": 3}')
    with pytest.raises(FormatError, match="an unknown version"):
        made.manifest()


def test_a_file_is_no_run_folder(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StoreError, match="is a file; results need a folder: -o FOLDER"):
        Store(path).refuse_other_formats()


# -- reading ------------------------------------------------------------------------------------


def test_sheets_are_read_once_and_a_vanished_one_is_none(tmp_path, monkeypatch):
    made, sheets = Store(tmp_path), Sheets()
    record = Record.from_json(stored())
    made.write(record)
    path = made.path("s", "t")
    first = sheets(path)
    assert sheets(path) is first and first.cells.frames == first.cells.key == ()
    made.write(record)
    assert sheets(path) is not first, "another inode"
    path.unlink()
    assert sheets(path) is None
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        sheets(path)
    assert shown("x" * 100) == "'" + "x" * 39


@pytest.mark.parametrize("where", ["value", "status"])
def test_a_checksum_inside_a_text_is_no_checksum(tmp_path, where):
    """Two lines look like one: the content itself is serialised and hashed."""
    made = Store(tmp_path)
    content = stored()
    content["stamp"] = '\n "checksum": "' + "0" * 32 + '",'
    if where == "status":
        content["stamp"] += "\ud7ff\u2028 é"
    record = Record.from_json(content)
    made.write(record)
    assert made.read("s", "t") == record
    path = made.path("s", "t")
    data = json.loads(path.read_text())
    for wrong in ("0" * 32, data["checksum"][:-1], "", 3):
        path.write_text(canonical({**data, "checksum": wrong}))
        assert made.read("s", "t") is None
    del data["checksum"]
    path.write_text(canonical(data))
    assert made.read("s", "t") is None


def test_of_records_that_are_all_damaged_there_is_no_sheet(tmp_path):
    made = Store(tmp_path)
    made.write(Record.from_json(stored()))
    assert made.any_sheet() is not None
    made.path("s", "t").write_text("{")
    assert made.any_sheet() is None


def test_what_is_of_another_format_is_named_with_its_format(tmp_path):
    made = Store(tmp_path)
    made.write(Record.from_json(stored()))
    path = made.path("s", "t")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 77}))
    with pytest.raises(FormatError, match=r"t\.json: format 77, written by"):
        made.read("s", "t")
    (tmp_path / "manifest.json").write_text('{"format": 77}')
    with pytest.raises(FormatError, match=r"manifest\.json: format 77, written by"):
        made.manifest()


def test_columns_taken_sorted_and_with_what_is_absent():
    content = stored()
    one = content["cells"][0]
    content["cells"] = [
        {**one, "stem": "vocals", "value": 1.0, "frames": [1.0]},
        {**one, "stem": "bass", "value": None, "status": "ref_silent", "frames": None, "key": "b"},
    ]
    sheet = Sheet.from_json(content)
    assert sheet.draw_numbers == {0}
    cells = sheet.cells.sorted()
    assert cells.stem == ("bass", "vocals") and cells.key == ("b", "k")
    assert cells.frames == (None, [1.0]) and np.isnan(cells.value[0]) and cells.value[1] == 1.0
    assert cells.sorted() is cells
    assert cells.places == [("usdr", "bass", 0), ("usdr", "vocals", 0)]
    more = cells.with_absent(1, "drums", "unavailable: x")
    assert more.stem == ("bass", "vocals", "drums") and more.status[2] == "unavailable: x"
    assert np.isnan(more.value[2]) and np.isnan(more.seconds[2])
    assert more.frames[2] is None and more.key[2] == "" and more.metric[2] == "usdr"
    assert more.device == ("", "", "")
    light = Sheet.from_json(content, whole=False).cells.with_absent(0, "drums", "ok")
    assert light.frames == light.key == () and len(light.stem) == 3
    assert isinstance(more, Columns)
    empty = Sheet.from_json({**content, "cells": []})
    assert empty.cells.stem == () and empty.cells.value.shape == (0,)


# -- claims -------------------------------------------------------------------------------------


def test_claims_of_others_are_left_and_the_folder_goes_when_it_is_empty(tmp_path):
    mine, other = Claims(tmp_path / "c"), Claims(tmp_path / "c", Owner("h:m:t:c", 2**22 + 7, 1))
    mine.sweep()
    assert mine.claim("s", "t") and other.claim("s", "u") and not mine.claim("s", "u")
    mine.release("s", "u")
    mine.refresh("s", "u")
    mine.release("s", "nothing")
    mine.refresh("s", "nothing")
    assert len(list(mine.folder.iterdir())) == 2
    mine.release("s", "t")
    mine.sweep()
    assert mine.folder.exists() and not mine.is_free("s", "u") and mine.is_free("s", "t")
    other.release("s", "u")
    mine.sweep()
    assert not mine.folder.exists()


def test_a_claim_is_kept_fresh_and_only_by_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "REFRESH_S", 0.01)
    mine = Claims(tmp_path / "c")
    assert mine.claim("s", "t")
    path = next(mine.folder.iterdir())
    os.utime(path, (1, 1))
    with mine.kept_fresh("s", "t"):
        for _ in range(1000):
            if path.stat().st_mtime > 1:
                break
            claims.time.sleep(0.01)
    assert path.stat().st_mtime > 1
    Claims(mine.folder, Owner("h:m:t:c", 1, 1)).refresh("s", "t")
    os.utime(path, (1, 1))
    Claims(mine.folder, Owner("h:m:t:c", 1, 1)).refresh("s", "t")
    assert path.stat().st_mtime == 1


def test_claiming_gives_up_where_others_are_always_quicker(tmp_path, monkeypatch):
    mine = Claims(tmp_path / "c")
    tries = []

    def gone(self: Path, *_: Any, **__: Any) -> Any:
        tries.append(self)
        raise FileNotFoundError

    monkeypatch.setattr(Path, "open", gone)
    assert not mine.claim("s", "t") and len(tries) == claims.MAX_ATTEMPTS


def test_a_new_claim_that_was_moved_by_mistake_is_given_back_without_links(tmp_path, monkeypatch):
    mine = Claims(tmp_path / "c")
    assert mine.claim("s", "t")
    path = next(mine.folder.iterdir())
    text = path.read_text()
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    claims._remove_if(path, lambda _: False)
    assert path.read_text() == text and len(list(mine.folder.iterdir())) == 1
    claims._remove_if(path, lambda _: True)
    assert not list(mine.folder.iterdir())
    claims._remove_if(path, lambda _: True)
    assert claims.is_abandoned(path)


def test_an_ancient_claim_of_another_machine_is_abandoned_at_once(tmp_path):
    path = tmp_path / "claim"
    path.write_text("host:machine:token:computer 1 1\n")
    day = claims.ANCIENT_S
    for age, is_ancient in ((day - 100, False), (day + 100, True)):
        touched = claims.time.time() - age
        os.utime(path, (touched, touched))
        assert claims.is_abandoned(path) is is_ancient
