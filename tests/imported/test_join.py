"""Museval's results beside a run: never songs of another edition, families as declared."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from benchsep import stats
from benchsep.errors import StoreError, UsageError
from benchsep.imported.join import Imports, with_imports
from benchsep.imported.museval import VALUES, import_runs
from benchsep.museval.io import export_run
from tests.museval.test_io import a_run
from tests.stats.test_stats import TRAITS

SONGS = tuple(f"song {i}" for i in range(8))


def run_of(seconds: int, edition: str = "hq") -> pd.DataFrame:
    frame = a_run(SONGS).assign(edition=edition)
    rng = np.random.default_rng(0)
    frame["frames"] = [list(rng.normal(5, 1, seconds)) for _ in range(len(frame))]
    return frame.assign(value=[float(np.median(f)) for f in frame["frames"]])


def museval_file(path, seconds: int, level: float = 5.0) -> None:
    """As museval writes it: no word on the edition."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [
        {"time": float(i), "duration": 1.0, "metrics": dict.fromkeys(VALUES, level)}
        for i in range(seconds)
    ]
    targets = [{"name": stem, "frames": frames} for stem in ("vocals", "drums", "bass", "other")]
    path.write_text(json.dumps({"targets": targets, "museval_version": "0.4.1"}))


def joined(cells, *paths, edition=None, families=None, manifest=None) -> pd.DataFrame:
    imports = Imports(tuple(map(str, paths)), edition, families or {})
    return with_imports(cells, manifest or {}, imports).cells


def results(folder, seconds: int, method: str = "IRM1", songs=SONGS):
    for song in songs:
        museval_file(folder / method / "test" / f"{song}.json", seconds)
    return folder


def test_the_edition_is_the_one_that_the_files_say(tmp_path):
    export_run(run_of(6, "aac-7s"), tmp_path)
    assert set(import_runs(tmp_path, edition="hq")["edition"]) == {"aac-7s"}
    with pytest.raises(UsageError, match=r"'song 0'.*aac-7s.*hq; one table never has two editions"):
        joined(run_of(6), tmp_path)


def test_a_clip_is_not_paired_with_a_whole_song(tmp_path):
    folder = results(tmp_path, 6)
    with pytest.raises(UsageError, match=r"'song 0' has 6 windows .*200 in the run.*--import-ed"):
        joined(run_of(200), folder)
    assert len(joined(run_of(7), folder)) == len(run_of(7)) + 8 * 8


def test_an_edition_that_is_declared_is_believed(tmp_path):
    folder = results(tmp_path, 6)
    joined(run_of(200), folder, edition="hq")
    with pytest.raises(UsageError, match="scored on edition aac, the run on hq"):
        joined(run_of(6), folder, edition="aac")


def test_an_imported_oracle_can_be_declared(tmp_path):
    folder = results(tmp_path, 6)
    cells = joined(run_of(6), folder, families={"IRM1": "oracle"})
    traits = {m: TRAITS["visqol"] for m in set(cells["metric"])}
    ranked = {s.system for s in stats.aggregate(cells, traits) if s.ranked}
    assert ranked == {"htdemucs@mini"}
    assert stats.compare(cells, traits).empty
    with pytest.raises(UsageError, match="expected one of generative"):
        joined(run_of(6), folder, families={"IRM1": "orcale"})
    with pytest.raises(UsageError, match="no imported system 'IRM2'"):
        joined(run_of(6), folder, families={"IRM2": "oracle"})


def test_names_are_compared_as_people_see_them(tmp_path):
    run = run_of(6).assign(track="Caf\u00e9 - Song")
    cells = joined(run, results(tmp_path, 6, songs=("Cafe\u0301 - Song",)))
    assert set(cells["track"]) == {"Caf\u00e9 - Song"}


def test_a_method_with_the_label_of_a_system_keeps_a_row_of_its_own(tmp_path):
    cells = joined(run_of(6), results(tmp_path, 6, "htdemucs@mini"))
    assert set(cells["system"]) == {"htdemucs@mini", "htdemucs@mini (museval)"}


def test_a_run_without_bsseval_has_nothing_to_compare(tmp_path):
    with pytest.raises(UsageError, match="--metrics bsseval"):
        joined(run_of(6).assign(metric="visqol"), results(tmp_path, 6))


def test_what_a_nas_leaves_is_no_score(tmp_path):
    folder = results(tmp_path, 6)
    for junk in ("._song 0.json", "@eaDir/song 0.json"):
        path = folder / "IRM1" / "test" / junk
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x00\x05\x16\x07")
    museval_file(folder / "@eaDir" / "test" / "song 0.json", 6)
    frame = import_runs(folder)
    assert set(frame["system"]) == {"IRM1"} and set(frame["track"]) == set(SONGS)


def messages(cells, *paths, **more) -> tuple[str, ...]:
    return with_imports(cells, {}, Imports(tuple(map(str, paths)), **more)).messages


def test_songs_that_do_not_match_are_counted_and_named_in_a_line(tmp_path):
    folder = results(tmp_path, 6, songs=(*SONGS[:6], *(f"extra {i}" for i in range(5))))
    (line,) = messages(run_of(6), folder)
    assert (
        "5 of its 11 songs are not in the run: 'extra 0', 'extra 1', 'extra 2' and 2 more" in line
    )
    assert "2 of the run's 8 songs are not in it: 'song 6', 'song 7'" in line
    assert set(joined(run_of(6), folder)["track"]) == set(SONGS)
    with pytest.raises(
        UsageError, match=r"no song of the run.*its songs are 'a', those of the run 'song 0'"
    ):
        joined(run_of(6), results(tmp_path / "b", 6, songs=("a",)))


def test_what_is_imported_is_said_in_the_manifest_with_its_source(tmp_path):
    folder = results(tmp_path, 6)
    found = with_imports(run_of(6), {"suite": {}}, Imports((str(folder),)))
    entry = found.manifest["imported"]["IRM1 (museval)"]
    assert entry["source"] == str(folder) and entry["version"] == "museval 0.4.1"
    assert with_imports(run_of(6), {"suite": {}}, None).manifest == {"suite": {}}


def test_a_name_before_the_path_is_that_of_the_row(tmp_path):
    one, two = results(tmp_path / "a", 6), results(tmp_path / "b", 6)
    systems = set(joined(run_of(6), one, f"again={two}")["system"])
    assert {"IRM1 (museval)", "again (museval)"} < systems
    with pytest.raises(
        UsageError, match=r"already; give the imported one another name: --import NAME="
    ):
        joined(run_of(6), one, two)
    results(two, 6, "IRM2")
    systems = set(joined(run_of(6), one, f"again={two}")["system"])
    assert {"again IRM1 (museval)", "again IRM2 (museval)"} < systems


def test_stems_that_the_run_does_not_score_are_left_out(tmp_path):
    table = tmp_path / "t.csv"
    rows = "".join(f"m,song 0,{s},bsseval.sdr,1\n" for s in ("vocals", "bass", "guitar"))
    table.write_text("system,track,stem,metric,value\n" + rows)
    cells = joined(run_of(6), table)
    assert set(cells.loc[cells["system"] == "m (csv)", "stem"]) == {"vocals"}
    assert "stems that the run does not have: bass, guitar" in messages(run_of(6), table)[0]


def test_what_is_no_result_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "x.txt").write_text("")
    for path, message in (
        (tmp_path, "is a run folder of benchsep; .*benchsep merge"),
        (tmp_path / "x.txt", "expected a folder of museval's results"),
        (tmp_path / "absent", "no such file or folder"),
    ):
        with pytest.raises((UsageError, StoreError), match=message):
            joined(run_of(6), path)


def test_two_spellings_of_one_song_are_not_two_draws(tmp_path):
    with pytest.raises(UsageError, match="occurs twice"):
        joined(run_of(6), results(tmp_path, 6, songs=("song 0", "Song 0")))
