"""A large run folder: each record is read once and parsed once, whatever is asked of it."""

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import benchsep
from benchmarks.large_run import make_run, measure
from benchsep._util.digest import canonical, digest
from benchsep.cli.app import app
from benchsep.cli.show import print_tables
from benchsep.runner import done, reading, store
from benchsep.runner.frame import (
    TABLE_COLUMNS,
    load_cells_and_costs,
    load_costs,
    load_for_tables,
)
from benchsep.runner.reading import Sheets
from benchsep.runner.store import Store

TRACKS, SYSTEMS = 3, 8


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("large"), TRACKS, 7)


@pytest.fixture
def copy(suite: Path, tmp_path: Path) -> Path:
    """A copy of the run folder, to change."""
    return shutil.copytree(suite.parent / "run", tmp_path / "run")


@pytest.fixture
def counts(monkeypatch) -> Counter[str]:
    """Calls that cost much: parses of records, serialisations, ids of metrics."""
    counted: Counter[str] = Counter()

    def counting(module, name):
        original = getattr(module, name)

        def called(*args, **kwargs):
            counted[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, called)

    counting(reading, "parse_json")
    counting(reading, "digest")
    counting(store, "digest")
    counting(done, "metric_id")
    counting(done, "metrics_to_score")
    return counted


def test_showing_a_run_parses_each_record_once_and_serialises_none(suite, counts, capsys):
    print_tables(suite.parent / "run", "csv")
    assert "oracle-mwf" in capsys.readouterr().out
    assert counts["parse_json"] == TRACKS * SYSTEMS
    assert counts["digest"] <= 3  # of the manifest


def test_a_finished_run_reads_each_record_once_to_plan_and_to_show(suite, counts, capsys):
    run = suite.parent / "run"
    with pytest.raises(SystemExit) as end:
        app(["run", str(suite), "-o", str(run), "-j", "1", "--format", "csv"])
    assert not end.value.code and "oracle-mwf" in capsys.readouterr().out
    assert counts["parse_json"] == TRACKS * SYSTEMS
    assert counts["metric_id"] == len(benchsep.load_run(run)["metric_id"].unique())
    assert counts["metrics_to_score"] <= SYSTEMS, "all songs of a system have the same cells"


def test_a_finished_run_is_known_to_be_finished(suite):
    result = benchsep.run(suite, out=suite.parent / "run", jobs=1)
    assert not result.outcomes and result.plan.done == TRACKS * SYSTEMS
    pd.testing.assert_frame_equal(result.cells(), benchsep.load_run(result.root))


def test_a_record_that_changed_is_read_again_and_no_other(suite, copy, counts):
    sheets = Sheets()
    before, _ = load_for_tables(copy, read=sheets)
    assert counts["parse_json"] == TRACKS * SYSTEMS
    record = Store(copy).records()[0]
    counts.clear()
    cells = (record.cells[0]._replace(value=1.25), *record.cells[1:])
    Store(copy).write(replace(record, cells=cells))
    after, _ = load_for_tables(copy, read=sheets)
    assert counts["parse_json"] == 1
    assert (after["value"] == 1.25).sum() == 1 and len(after) == len(before)
    assert list(after) == list(TABLE_COLUMNS)


def test_other_content_of_the_same_size_and_time_is_seen(copy):
    sheets = Sheets()
    before, _ = load_for_tables(copy, read=sheets)
    path = next((copy / "cells").rglob("*.json"))
    stat, data = path.stat(), bytearray(path.read_bytes())
    at = data.index(b'"value": ') + len(b'"value": ')
    data[at : at + 1] = b"1" if data[at : at + 1] != b"1" else b"2"
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns and path.stat().st_size == stat.st_size
    after, _ = load_for_tables(copy, read=sheets)
    assert len(after) < len(before), "its checksum does not hold"


def test_both_tables_of_one_pass_are_those_of_two(suite):
    run = suite.parent / "run"
    cells, costs = load_cells_and_costs(run)
    pd.testing.assert_frame_equal(cells, benchsep.load_run(run), check_exact=True)
    pd.testing.assert_frame_equal(costs, load_costs(run), check_exact=True)
    assert len(costs) == TRACKS * SYSTEMS and list(costs["system"]) == sorted(costs["system"])


def test_values_are_those_that_the_files_hold(suite):
    run = suite.parent / "run"
    stored = [json.loads(p.read_text()) for p in (run / "cells").rglob("*.json")]
    expected = {
        (r["system"], r["track"], c["metric"], c["stem"], c["draw"]):
            (c["value"], c["frames"], c["key"], c["status"], c["seconds"])
        for r in stored for c in r["cells"]
    }  # fmt: skip
    loaded = benchsep.load_run(run)
    keys = loaded[["system", "track", "metric", "stem", "draw"]].itertuples(index=False, name=None)
    values = loaded[["value", "frames", "key", "status", "seconds"]]
    found = dict(zip(keys, values.itertuples(index=False, name=None), strict=True))
    assert found == expected


@pytest.mark.parametrize("how", ["reformatted", "sorted otherwise", "escaped"])
def test_a_record_that_was_formatted_anew_is_as_good_as_before(copy, how):
    before = benchsep.load_run(copy)
    for path in (copy / "cells").rglob("*.json"):
        content = json.loads(path.read_text())
        if how == "sorted otherwise":
            content = dict(reversed(content.items()))
        path.write_text(json.dumps(content, indent=None if how == "reformatted" else 1))
    pd.testing.assert_frame_equal(benchsep.load_run(copy), before, check_exact=True)


@pytest.mark.parametrize(
    "change",
    [
        {"draw": True}, {"draw": "0"}, {"value": True}, {"value": "1"}, {"value": 10**400},
        {"frames": {"a": 1}}, {"frames": ["1"]}, {"frames": [True]}, {"seconds": []},
        {"status": "odd"}, {"status": None}, {"stem": None}, {"key": 1}, {"metric": ["usdr"]},
    ],
)  # fmt: skip
def test_a_cell_of_a_wrong_type_is_refused_whatever_its_checksum(copy, change):
    path = next((copy / "cells").rglob("*.json"))
    body = {k: v for k, v in json.loads(path.read_text()).items() if k != "checksum"}
    body["cells"][-1] = {**body["cells"][-1], **change}
    path.write_text(canonical({**body, "checksum": digest(body)}))
    assert len(Store(copy).records()) == TRACKS * SYSTEMS - 1


def test_the_times_of_a_thousand_tracks(tmp_path, capsys):
    """Wide bounds, in CPU seconds: a busy machine takes several times the idle one's.

    A hundred tracks in the short form: to make a thousand takes more than a minute.
    """
    many = os.environ.get("BENCHSEP_FAULTS") == "long"
    measure(tmp_path, 1000 if many else 100, 7)
    lines = capsys.readouterr().out.splitlines()
    cpu = {line.split(":")[0]: float(line.split(",")[1].split()[0]) for line in lines[1:]}
    bounds = {"load_run": 8, "show": 14, "run again": 20}
    assert all(cpu[name] < (most if many else most / 2) for name, most in bounds.items()), cpu
    peak = {line.split(":")[0]: int(line.split("peak")[1].split()[0]) for line in lines[1:]}
    assert max(peak.values()) < 450, "MB"
