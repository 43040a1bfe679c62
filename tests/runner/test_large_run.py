"""A large run folder: each record is read once and parsed once, whatever is asked of it."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

import benchsep
from benchmarks.large_run import make_run, measure
from benchsep._util.digest import canonical, digest
from benchsep.cli.show import print_tables
from benchsep.runner import done, store
from benchsep.runner.frame import load_cells_and_costs, load_costs
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

    counting(store, "parse_json")
    counting(store, "digest")
    counting(done, "metric_id")
    return counted


def test_showing_a_run_parses_each_record_once_and_serialises_none(suite, counts, capsys):
    print_tables(suite.parent / "run", "csv")
    assert "oracle-mwf" in capsys.readouterr().out
    assert counts["parse_json"] == TRACKS * SYSTEMS
    assert counts["digest"] <= 3  # of the manifest


def test_a_finished_run_parses_each_record_twice_and_hashes_each_metric_once(suite, counts):
    result = benchsep.run(suite, out=suite.parent / "run", jobs=1)
    assert not result.outcomes and result.plan.done == TRACKS * SYSTEMS
    result.frame()
    # Once to plan and once to show; one system's once more for the hashes of the mixtures, and
    # one for the edition.
    assert counts["parse_json"] <= (2 * SYSTEMS + 1) * TRACKS + 1
    assert counts["metric_id"] == len(benchsep.load_run(suite.parent / "run")["metric_id"].unique())


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


@pytest.mark.slow
def test_the_times_of_a_thousand_tracks(tmp_path, capsys):
    """Wide bounds, in CPU seconds: a busy machine takes several times the idle one's."""
    measure(tmp_path, 1000, 7)
    lines = capsys.readouterr().out.splitlines()
    cpu = {line.split(":")[0]: float(line.split(",")[1].split()[0]) for line in lines[1:]}
    assert cpu["load_run"] < 10 and cpu["show"] < 25 and cpu["run again"] < 40
