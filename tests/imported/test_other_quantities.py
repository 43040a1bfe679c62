"""Imported values that are not those of the run's column: an error, a note, or another column."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchsep import stats
from benchsep.errors import StoreError, UsageError
from benchsep.imported.join import Imports, Joined, with_imports
from benchsep.imported.museval import VALUES
from benchsep.imported.table import read_table
from benchsep.museval.io import export_run
from benchsep.runner.frame import COLUMNS
from tests.imported.test_join import museval_file, run_of
from tests.stats.test_stats import TRAITS

FOUR = ("vocals", "drums", "bass", "other")


def row(
    track: str = "s", stem: str = "vocals", metric: str = "usdr", **more: Any
) -> dict[str, Any]:
    usual = {"system": "own", "family": "discriminative", "draw": 0, "value": 2.0, "status": "ok",
             "edition": "folder", "split": "test", "metric_version": "2"}  # fmt: skip
    return {**usual, "track": track, "stem": stem, "metric": metric, **more}


def run_with(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def joined(tmp_path: Path, cells: pd.DataFrame, text: str, **more: Any) -> Joined:
    file = tmp_path / "t.csv"
    file.write_text(text)
    return with_imports(cells, {}, Imports((str(file),), **more))


def theirs(found: Joined) -> dict[tuple[str, str], float]:
    part = found.cells[found.cells["system"].str.endswith(("(csv)", "(museval)"))]
    return dict(zip(zip(part["stem"], part["metric"], strict=True), part["value"], strict=True))


# -- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("usdr", "1_0", "'1_0' is not a number"),
        ("usdr", "\u0661", "is not a number"),
        ("visqol", "391", r"visqol of m, 's', vocals is 391; expected 1 to"),
        ("bleedless.bleedless", "-30", "is -30; expected 0 to 100"),
        ("mrstft", "-0.5", "is -0.5; expected at least 0"),
        ("onsets.f1", "71", "is 71; expected 0 to 1"),
    ],
)
def test_a_value_that_the_metric_cannot_have(
    tmp_path: Path, metric: str, value: str, message: str
) -> None:
    text = f"system,track,stem,metric,value\nm,s,vocals,{metric},{value}\n"
    with pytest.raises(UsageError, match=message):
        joined(tmp_path, run_with(row(metric=metric)), text)


def test_shares_of_one_in_a_column_of_percent_are_noted(tmp_path: Path) -> None:
    cells = run_with(row(metric="bleedless.bleedless"))
    text = "system,track,stem,metric,value\nm,s,vocals,bleedless.bleedless,"
    assert "at most 1, its range is 0 to 100" in joined(tmp_path, cells, f"{text}0.4\n").messages[0]
    assert "at most 1" not in joined(tmp_path, cells, f"{text}40\n").messages[0]
    assert joined(tmp_path, cells, f"{text}104\n").messages  # networks exceed their scales a little


def test_a_family_is_one_that_is_known_and_one_for_each_system(tmp_path: Path) -> None:
    head = "system,track,stem,metric,value,family\n"
    with pytest.raises(
        UsageError, match="line 2: unknown family 'neural', expected one of generative"
    ):
        joined(tmp_path, run_with(row()), f"{head}m,s,vocals,usdr,1,neural\n")
    with pytest.raises(UsageError, match="m has the family generative in line 2"):
        text = f"{head}m,s,vocals,usdr,1,generative\nm,s,bass,usdr,1,oracle\n"
        joined(tmp_path, run_with(row()), text)
    found = joined(tmp_path, run_with(row()), f"{head}m,s,vocals,usdr,1,Generative\n")
    assert set(found.cells["family"]) == {"discriminative", "generative"}


# -- windows ------------------------------------------------------------------------------------


def windows(times: list[float], metric: str = "SDR", target: str = "vocals") -> str:
    head = "method,track,target,metric,score,time\n"
    return head + "".join(f"m,s,{target},{metric},{v},{t}\n" for v, t in enumerate(times))


def test_windows_of_another_length_have_a_column_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for times, column in (
        ([0, 1, 2], "bsseval.sdr"),
        ([0, 2, 4], "imported:SDR of 2000-ms windows"),
        ([0, 0.5, 1], "imported:SDR of 500-ms windows"),
        ([0.3, 1.3], "imported:SDR of other windows"),
    ):
        file.write_text(windows(times))
        assert list(read_table(file).frame["metric"]) == [column]
    file.write_text(windows([0, 1], "usdr"))
    assert list(read_table(file).frame["metric"]) == ["imported:usdr, median over windows"]


def test_windows_that_a_table_lacks_have_no_value(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(windows([0, 1, 4]))
    (frame,) = read_table(file).frame.to_dict("records")
    assert frame["frames"] == [0.0, 1.0, None, None, 2.0] and frame["value"] == 1.0


def test_a_window_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(windows([0, 1, 1]))
    with pytest.raises(
        UsageError, match=r"line 4 has another bsseval.sdr of m.*at 1 s than line 3"
    ):
        read_table(file)
    file.write_text(windows([0, 1]).replace(",1\n", ",1:00\n"))
    with pytest.raises(UsageError, match="line 3: found the time '1:00', expected the seconds"):
        read_table(file)


def test_a_time_beside_single_values_is_no_window(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("system,track,stem,usdr,time\nm,s,vocals,3,2:10\nm,t,vocals,4,4.25\n")
    assert list(read_table(file).frame["metric"]) == ["usdr"] * 2


def test_a_museval_file_with_a_window_twice_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "m" / "test" / "song 0.json"
    museval_file(file, 6)
    content = json.loads(file.read_text())
    content["targets"][0]["frames"][1]["time"] = 0.0
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="windows that are there twice, or not in order"):
        with_imports(run_of(6), {}, Imports((str(tmp_path),)))


def test_one_statistic_leaves_out_imported_values_without_windows(tmp_path: Path) -> None:
    metric = "bsseval.sdr"
    cells = run_with(row(metric=metric, value=2.0, frames=[1.0, 2.0, 9.0]))
    found = joined(tmp_path, cells, f"system,track,stem,metric,value\nm,s,vocals,{metric},5\n")
    traits = {metric: TRAITS["visqol"]}
    for statistic, own in (("mean", 4.0), ("median", 2.0)):
        other = {metric: replace(traits[metric], aggregate="median")}
        frame, _ = stats.reaggregated(found.cells, other, statistic)  # type: ignore[arg-type]
        values = dict(zip(frame["system"], frame["value"], strict=True))
        assert values["own"] == own
        assert math.isnan(values["m (csv)"]) == (statistic == "mean")


# -- the stem set -------------------------------------------------------------------------------


def museval_table(*targets: str, silent: str = "") -> str:
    """A table of museval's; a window of ``silent`` has no value."""
    lines = [
        f"m,song 0,{target},{name},{'' if target == silent and time == 2 else 10 * time},{time}"
        for target in targets
        for name in VALUES
        for time in range(6)
    ]
    return "\n".join(["method,track,target,metric,score,time", *lines, ""])


def test_vocals_scored_against_the_accompaniment_have_no_sir_among_four(tmp_path: Path) -> None:
    own = run_of(6)
    cells = pd.concat([own.assign(stem=stem) for stem in FOUR]).drop_duplicates(
        ["track", "stem", "metric"]
    )
    text = museval_table(*FOUR, "accompaniment", silent="drums")
    found = joined(tmp_path, cells, text)
    values = theirs(found)
    assert ("vocals", "bsseval.sir") not in values and ("bass", "bsseval.sir") in values
    # Over the windows of the four stems: 0, 1, 3, 4 and 5.
    assert values["vocals", "bsseval.sdr"] == 30.0
    assert "vocals scored with other stems than vdbo: SIR and SAR left out" in found.messages[0]
    assert ("vocals", "bsseval.sir") in theirs(joined(tmp_path, cells, museval_table(*FOUR)))
    assert ("vocals", "bsseval.sir") in theirs(joined(tmp_path, cells, museval_table("vocals")))


def test_an_average_over_stems_is_no_stem_of_another_set(tmp_path: Path) -> None:
    cells = run_with(*(row(stem=s, metric="bsseval.sir") for s in FOUR))
    lines = [f"m,s,{stem},bsseval.sir,1" for stem in (*FOUR, "average")]
    found = joined(tmp_path, cells, "\n".join(["system,track,stem,metric,value", *lines, ""]))
    assert set(theirs(found)) == {(stem, "bsseval.sir") for stem in FOUR}
    assert "stems that the run does not have: average" in found.messages[0]
    assert "left out" not in found.messages[0]


def test_values_without_windows_of_another_set_keep_the_sdr(tmp_path: Path) -> None:
    cells = run_with(*(row(stem=s, metric=f"bsseval.{m}") for s in FOUR for m in ("sdr", "sir")))
    targets = "vocals", "accompaniment"
    lines = [f"m,s,{stem},bsseval.{m},1" for stem in targets for m in ("sdr", "sir")]
    found = joined(tmp_path, cells, "\n".join(["system,track,stem,metric,value", *lines, ""]))
    assert theirs(found) == {("vocals", "bsseval.sdr"): 1.0}
    assert "SIR and SAR left out, SDR and ISR kept" in found.messages[0]


# -- the same audio and version -----------------------------------------------------------------


@pytest.mark.parametrize("column", ["mixture_sha256", "reference_sha256"])
def test_a_song_of_the_same_name_with_other_audio_is_an_error(tmp_path: Path, column: str) -> None:
    text = f"system,track,stem,metric,value,{column}\nm,s,vocals,usdr,1,"
    cells = run_with(row(**{column: "a" * 64}))
    with pytest.raises(UsageError, match=r"'s', vocals: m was scored on another .*sha256 bbbb"):
        joined(tmp_path, cells, text + "b" * 64)
    for same in ("a" * 64, ""):
        assert theirs(joined(tmp_path, cells, text + same)) == {("vocals", "usdr"): 1.0}


def test_exported_files_know_their_audio_and_version(tmp_path: Path) -> None:
    run = run_of(6).assign(mixture_sha256="a" * 64, reference_sha256="c" * 64)
    export_run(run, tmp_path / "same")
    imports = Imports((f"x={tmp_path / 'same'}",))
    assert len(with_imports(run, {}, imports).cells) == 2 * len(run)
    for other, message in (
        (run.assign(mixture_sha256="b" * 64), "another mixture"),
        (run.assign(reference_sha256="b" * 64), "another true stem"),
    ):
        with pytest.raises(UsageError, match=message):
            with_imports(other, {}, imports)
    newer = with_imports(run.assign(metric_version="2"), {}, imports)
    assert "bsseval.sdr is of version 1, the run's of 2: it has a column" in newer.messages[0]
    assert ("vocals", "imported:bsseval sdr, version 1") in theirs(newer)
    assert newer.manifest["imported"]["x (museval)"]["version"].startswith("museval")


def test_songs_of_files_that_say_their_edition_are_as_long_as_the_runs(tmp_path: Path) -> None:
    """All folders of songs have one name of edition."""
    export_run(run_of(6, "folder"), tmp_path)
    with pytest.raises(UsageError, match=r"'song 0' has 6 windows of 1 s .* and 30 in the run"):
        with_imports(run_of(30, "folder"), {}, Imports((str(tmp_path),), "folder"))


def test_a_table_of_another_version_has_a_column_of_its_own(tmp_path: Path) -> None:
    head = "system,track,stem,metric,value,metric_version\n"
    found = joined(tmp_path, run_with(row()), f"{head}m,s,vocals,usdr,1,1\n")
    assert theirs(found) == {("vocals", "imported:usdr, version 1"): 1.0}
    assert "usdr is of version 1, the run's of 2" in found.messages[0]
    for version in ("2", ""):
        found = joined(tmp_path, run_with(row()), f"{head}m,s,vocals,usdr,1,{version}\n")
        assert theirs(found) == {("vocals", "usdr"): 1.0}


def test_songs_that_look_alike_are_known_by_their_own_spelling(tmp_path: Path) -> None:
    cells = run_with(row("Song", value=1.0), row("song", value=2.0))
    found = joined(tmp_path, cells, "system,track,stem,metric,value\nm,Song,vocals,usdr,7\n")
    theirs_ = found.cells[found.cells["system"] == "m (csv)"]
    assert list(theirs_["track"]) == ["Song"]
    with pytest.raises(UsageError, match="no song of the run"):
        joined(tmp_path, cells, "system,track,stem,metric,value\nm,SONG,vocals,usdr,7\n")


def test_a_declared_edition_does_not_hide_another_cut(tmp_path: Path) -> None:
    for song in ("song 0", "song 1"):
        museval_file(tmp_path / "m" / "test" / f"{song}.json", 6)
    found = with_imports(run_of(200), {}, Imports((str(tmp_path),), "hq"))
    assert "2 songs of another length than the run's: 'song 0' has 6 windows of 1 s, in the run 200" in found.messages[0]  # fmt: skip  # noqa: E501
    same = with_imports(run_of(6), {}, Imports((str(tmp_path),), "hq"))
    assert "another length" not in same.messages[0]


def test_files_of_another_split_are_noted(tmp_path: Path) -> None:
    museval_file(tmp_path / "m" / "train" / "song 0.json", 6)
    found = with_imports(run_of(6), {}, Imports((str(tmp_path),)))
    assert "files of the split train, in the run test" in found.messages[0]
    assert set(found.cells["split"]) == {"test"}


def test_targets_of_one_song_have_as_many_windows(tmp_path: Path) -> None:
    file = tmp_path / "m" / "test" / "song 0.json"
    museval_file(file, 6)
    content = json.loads(file.read_text())
    content["targets"][0]["frames"] = content["targets"][0]["frames"][:4]
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"different numbers of windows .bass: 6, .*vocals: 4"):
        with_imports(run_of(6), {}, Imports((str(tmp_path),)))


def test_a_file_of_one_target_says_why_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / "m" / "test" / "song 0.json"
    museval_file(file, 6)
    content = json.loads(file.read_text())
    content["targets"] = content["targets"][:1]
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="no value can be shown: vocals scored with other stems"):
        with_imports(run_of(6), {}, Imports((str(tmp_path),)))


def test_an_oracle_that_nobody_declares_is_ranked_and_the_note_below_the_table_says_so(
    tmp_path: Path,
) -> None:
    for method in ("IRM1", "UMX"):
        museval_file(tmp_path / method / "test" / "song 0.json", 6)
    found = with_imports(run_of(6), {}, Imports((str(tmp_path),)))
    remark = found.manifest["imported"]["IRM1 (museval)"]["remark"]
    assert "no family is declared, so these are ranked as systems: 'IRM1', 'UMX'" in remark
    declared = Imports((str(tmp_path),), families={"IRM1": "oracle", "UMX": "discriminative"})
    remark = with_imports(run_of(6), {}, declared).manifest["imported"]["IRM1 (museval)"]["remark"]
    assert "family" not in remark
