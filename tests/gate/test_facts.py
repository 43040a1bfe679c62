"""What identifies a run and its baseline, and the sentences on what moved."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import DriftError
from benchsep.gate.baseline import read_baseline, run_facts, write_baseline
from benchsep.gate.cells import CellKey, cells_of_baseline, cells_of_run, rows_of_baseline
from benchsep.gate.check import check
from tests.gate.test_check import MANIFEST, TRAITS, a_run


@pytest.fixture
def baseline(tmp_path):
    path = tmp_path / "baseline.json"
    write_baseline(a_run(), MANIFEST, path, TRAITS)
    return path


def test_another_version_of_a_metric_counts_only_where_it_is_compared(baseline):
    frame = a_run()
    frame.loc[frame["metric"] == "leak", "metric_version"] = "2"
    assert check(frame, MANIFEST, baseline).reasons == ("metric version of leak changed: 1 -> 2",)
    assert not check(frame, MANIFEST, baseline, metrics=["visqol"]).failed
    other = a_run().assign(checkpoint_sha256="d" * 64)
    assert check(other, MANIFEST, baseline, metrics=["visqol"]).failed


def test_hashes_are_cut_and_versions_are_not(tmp_path):
    version = "2026.11.28+a-long-version-of-a-plugin"
    frame = a_run().assign(metric_version=version)
    content = write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
    assert set(content["metric_versions"].values()) == {version}
    assert set(content["checkpoints"].values()) == {"c" * 16}


def with_device(name):
    return {**MANIFEST, "suite": {**MANIFEST["suite"], "metric_device": name}}


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [("cpu", "cuda:0", ["metric_device cpu -> cuda:0"]), ("cuda", "cpu", ["metric_device cuda -> "
     "cpu"]), ("cuda", "cuda", []), ("cpu", "cpu", [])],
)  # fmt: skip
def test_where_metrics_computed_is_a_note(tmp_path, before, after, note):
    write_baseline(a_run(), with_device(before), tmp_path / "b.json", TRAITS)
    report = check(a_run(), with_device(after), tmp_path / "b.json")
    assert not report.failed and list(report.notes) == note


def test_a_literal_that_json_does_not_know_is_named(tmp_path):
    for name in ("NaN", "Infinity", "-Infinity"):
        (tmp_path / "b.json").write_text(f'{{"noise": {name}}}')
        with pytest.raises(DriftError, match=f"not strict JSON: literal {name};"):
            read_baseline(tmp_path / "b.json")


def test_a_system_without_weights_has_a_checkpoint_none(baseline):
    frame = a_run()
    frame.loc[frame["system"] == "two", "checkpoint_sha256"] = ""
    write_baseline(frame, MANIFEST, baseline, TRAITS)
    assert check(a_run(), MANIFEST, baseline).reasons == (
        f"checkpoint of two changed: none -> {'c' * 16}",
    )


def test_what_a_part_of_a_run_does_not_hold_has_not_changed(baseline):
    """Mixtures and references of songs that are not there are missing cells, no other audio."""
    frame = a_run()
    frame = frame[~((frame["track"] == "Song – 2") & (frame["stem"] == "drums"))]
    reasons = check(frame[frame["track"] != "Song – 3"], MANIFEST, baseline).reasons
    assert [r for r in reasons if "audio" in r or "mixture" in r] == []
    # two systems, three metrics: six cells of one stem of a song, twelve of a whole song
    assert reasons[0].startswith("18 cells missing: ")


def test_seed_and_draws_are_notes_whatever_stood_there_before(baseline):
    manifest = {"suite": {"seed": 3, "draws": 2}}
    assert check(a_run(), manifest, baseline).notes == ("seed 0 -> 3", "draws 1 -> 2")
    assert check(a_run(), {}, baseline).notes == ("seed 0 -> None", "draws 1 -> None")
    assert check(a_run(), MANIFEST, baseline).notes == ()


def test_facts_of_a_run_are_those_that_it_has():
    manifest = {**MANIFEST, "packages": {"benchsep": "9.9"}}
    found = {"benchsep": "9.9", "code": MANIFEST["code"], "seed": 0, "draws": 1}
    assert run_facts(manifest) == found
    assert run_facts({}) == {} and run_facts({"packages": []}) == {}


def test_rows_hold_both_values_of_a_cell_whose_status_changed(baseline):
    frame = a_run()
    frame.loc[0, "status"] = "ill_conditioned"
    frame.loc[1, ["value", "status"]] = [np.nan, "failed: out of memory"]
    report = check(frame, MANIFEST, baseline)
    changed, gone = (row for row in report.rows if row.verdict in ("status", "missing"))
    before = dict(zip(a_run()["metric"].head(3), a_run()["value"].head(3), strict=True))
    assert changed.why == "ok -> ill_conditioned" and changed.difference is None
    assert changed.value == changed.baseline == round(before[changed.metric], 6)
    assert gone.value is None and gone.baseline == round(before[gone.metric], 6)
    assert f"1 cell with another status: {changed.system} {changed.metric} (1)" in report.reasons


def test_reasons_list_the_commonest_and_say_how_many_more(baseline):
    frame = a_run(systems=("one@mini", "two"))
    lost = (frame["system"] == "two") | (frame["metric"] == "visqol")
    frame.loc[lost, "value"] = np.nan
    frame.loc[lost, "status"] = [f"failed: {n % 4}" for n in range(lost.sum())]
    reasons = check(frame, MANIFEST, baseline).reasons
    missing = next(r for r in reasons if "cells missing" in r)
    assert missing.startswith("48 cells missing: ") and missing.endswith(" (12) and 1 more")
    assert missing.count(" (12)") == 3 and missing.count(", ") == 2
    assert sum("of these: ok -> failed: " in r for r in reasons) == 3
    assert "nothing was compared for visqol" in reasons


def test_metrics_that_were_compared_nowhere_are_listed(baseline):
    frame = a_run()
    frame.loc[frame["metric"] != "leak", ["value", "status"]] = [np.nan, "ref_silent"]
    reasons = check(frame, MANIFEST, baseline).reasons
    assert "nothing was compared for bsseval.sdr, visqol" in reasons
    new = a_run().query("metric == 'visqol'").assign(metric="usdr")
    reasons = check(pd.concat([frame, new], ignore_index=True), MANIFEST, baseline).reasons
    assert "nothing was compared for bsseval.sdr, visqol" in reasons, "usdr is no loss"


def test_draws_of_a_song_are_averaged_before_songs(tmp_path):
    """Two draws of song 0 and one of song 1: the songs weigh the same."""
    one = a_run(songs=2, systems=("one",)).query("stem == 'vocals' and metric == 'visqol'")
    frame = pd.concat([one, one[one["track"] == "Song – 0"].assign(draw=1)], ignore_index=True)
    write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
    frame["value"] += [0.004, 0.001, 0.002]
    (group,) = check(frame, MANIFEST, tmp_path / "b.json").groups
    assert group.songs == 2
    assert group.difference == pytest.approx((0.003 + 0.001) / 2, abs=2e-6)


def test_a_limit_is_the_largest_difference_that_passes(baseline):
    content = read_baseline(baseline)
    content["tolerances"] = {"visqol": {"cell": 0.5, "mean": 0.5, "reason": ""}}
    row = content["cells"][0]
    row["values"]["visqol"] = 3.0
    frame = a_run()
    at = (frame["system"] == row["system"]) & (frame["track"] == row["track"])
    at &= (frame["stem"] == row["stem"]) & (frame["metric"] == "visqol")
    for shift, verdict in ((-0.5, "ok"), (0.5, "ok"), (-0.500001, "drifted"),
                           (0.500001, "improved")):  # fmt: skip
        frame.loc[at, "value"] = 3.0 + shift
        found = check(frame, MANIFEST, content)
        (cell,) = [r for r in found.rows if r.baseline == 3.0 and r.metric == "visqol"]
        assert cell.verdict == verdict and cell.tolerance == 0.5, shift


def test_a_metric_without_a_better_side_only_drifts(tmp_path):
    content: dict[str, Any] = write_baseline(a_run(), MANIFEST, tmp_path / "b.json", TRAITS)
    content["directions"]["leak"] = 0
    for shift in (-1, 1):
        frame = a_run()
        frame.loc[frame["metric"] == "leak", "value"] += shift
        report = check(frame, MANIFEST, content)
        assert report.failed and not report.improvements


# -- the file -----------------------------------------------------------------------------------


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(content))
    *parts, last = path.split("/")
    at = copy
    for part in parts:
        at = at[int(part)] if isinstance(at, list) else at[part]
    at[int(last) if isinstance(at, list) else last] = value
    return copy


SPREAD = {"system": "s", "stem": "v", "metric": "visqol", "sd": 0.1, "df": 3, "runs": 2,
          "worst": 0.2}  # fmt: skip
DAMAGES = [
    ("edition", 1, "edition is int, expected str"),
    ("run", [], "run is list, expected dict"),
    ("cells", {}, "cells is dict, expected list"),
    ("noise", None, "noise is NoneType, expected list"),
    ("metric_versions/visqol", 1, "metric_versions is not an object of texts"),
    ("checkpoints/two", None, "checkpoints is not an object of texts"),
    ("mixtures/Song – 0", 3, "mixtures is not an object of texts"),
    ("references/Song – 0", "x", "references.Song – 0 is not an object of texts"),
    ("references/Song – 0/drums", 1, "references.Song – 0 is not an object of texts"),
    ("directions/visqol", 2, "directions.visqol is 2, expected -1, 0 or 1"),
    ("directions/visqol", True, "directions.visqol is True"),
    ("directions/visqol", 1.0, r"directions.visqol is 1\.0"),
    ("tolerances/usdr", {"cell": 1, "mean": 1}, "tolerances.usdr lacks numbers cell and mean"),
    ("tolerances/usdr", {"cell": 1, "mean": -1, "reason": ""}, "tolerances.usdr lacks"),
    ("tolerances/usdr", {"cell": 1e300, "mean": 1, "reason": ""}, "tolerances.usdr lacks"),
    ("tolerances/usdr", {"cell": 1, "mean": 1, "reason": 1}, "tolerances.usdr lacks"),
    ("tolerances/usdr", {"cell": 1, "mean": 1, "reason": "", "x": 1}, "tolerances.usdr lacks"),
    ("tolerances/usdr", [], "tolerances.usdr lacks"),
    ("noise", [SPREAD, {**SPREAD, "df": 0}], r"noise\[1\] is not a measured spread"),
    ("noise", [{**SPREAD, "runs": 0}], r"noise\[0\]"),
    ("noise", [{**SPREAD, "runs": 2.0}], r"noise\[0\]"),
    ("noise", [{**SPREAD, "sd": True}], r"noise\[0\]"),
    ("noise", [{**SPREAD, "stem": 1}], r"noise\[0\]"),
    ("noise", [3], r"noise\[0\]"),
    ("cells/1", 3, r"cells\[1\] is not a row of values"),
    ("cells/1/draw", "0", r"cells\[1\]"),
    ("cells/1/draw", True, r"cells\[1\]"),
    ("cells/1/track", None, r"cells\[1\]"),
    ("cells/0/values", [], r"cells\[0\]"),
    ("cells/0/values/visqol", None, r"cells\[0\]"),
    ("cells/0/values/visqol", [1.0, "ok", 2], r"cells\[0\]"),
    ("cells/0/values/visqol", ["1", "ok"], r"cells\[0\]"),
    ("cells/0/values/visqol", [1.0, "fine"], r"cells\[0\]"),
    ("cells/0/values/other", 1.0, "directions lacks other"),
]


@pytest.mark.parametrize(("path", "value", "says"), DAMAGES)
def test_a_damage_of_a_baseline_is_named(baseline, path, value, says):
    content = changed(json.loads(baseline.read_text()), path, value)
    baseline.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DriftError, match=says):
        read_baseline(baseline)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tolerances/usdr", {"cell": 0, "mean": 0.0, "reason": ""}),
        ("noise", [{**SPREAD, "sd": 0, "df": 1, "runs": 1}]),
        ("cells/0/values/visqol", [None, "ill_conditioned"]),
        ("cells/0/values/visqol", "failed: a: b"),
        ("cells/0/values/visqol", 3),
        ("directions/visqol", 0),
    ],
)
def test_what_a_writer_may_have_written_is_read(baseline, path, value):
    content = changed(json.loads(baseline.read_text()), path, value)
    baseline.write_text(json.dumps(content), encoding="utf-8")
    assert read_baseline(str(baseline)) == content


def test_cells_survive_the_file_and_are_sorted():
    frame = a_run()
    frame.loc[0, "status"] = "ill_conditioned"
    frame.loc[1, ["value", "status"]] = [np.nan, "failed: a: b"]
    cells = cells_of_run(frame.sample(frac=1, random_state=2))
    rows = rows_of_baseline(cells)
    assert cells_of_baseline({"cells": rows}) == cells
    places = [(r["system"], r["track"], r["stem"], r["draw"]) for r in rows]
    assert places == sorted(places) and list(rows[0]["values"]) == sorted(TRAITS)
    assert str(CellKey("s", "t", "v", 2, "m")) == "s / t / v / m (draw 2)"


def test_a_fact_with_two_values_in_one_run_is_named_and_an_empty_one_passed_over(tmp_path):
    frame = a_run()
    frame.loc[3, "mixture_sha256"] = None
    content = write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
    assert content["mixtures"]["Song – 0"] == "mix-0"
    assert list(content["references"]["Song – 1"]) == ["drums", "vocals"]
    frame.loc[4, "mixture_sha256"] = "other"
    with pytest.raises(DriftError, match="Song – 0 has two values of mixture_sha256 in one run: "):
        write_baseline(frame, MANIFEST, tmp_path / "b.json", TRAITS)
