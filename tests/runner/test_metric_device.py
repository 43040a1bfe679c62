"""``--metric-device``: recorded with each cell, part of no key, checked before the first job.

``torch-cpu`` stands for a GPU: the same code on the CPU.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.errors import Unavailable, UsageError
from benchsep.gate.baseline import write_baseline
from benchsep.gate.check import check
from benchsep.metrics.device import device_tolerance
from benchsep.metrics.spectral import MRSTFT
from benchsep.runner.merge.board import merge
from benchsep.runner.record import Record
from benchsep.runner.store import Store
from benchsep.runner.traits import traits_in

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
TOLERANCE = device_tolerance(MRSTFT())


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    for stem in STEMS:
        audio = Audio(rng.normal(0, 0.1, (1, 8000)).astype(np.float32), 8000)
        write_audio(folder / "one" / f"{stem}.wav", audio)
    return folder


def run(songs: Path, out: Path, **options):
    options = {"metrics": ("mrstft", "usdr"), "inline": True, **options}
    return benchsep.run(
        out=out, dataset=f"folder:{songs}", systems=("mixture",), yardsticks=False, **options
    )


@pytest.fixture(scope="module")
def made(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders ``cpu`` and ``device``, of the same request."""
    root = tmp_path_factory.mktemp("runs")
    run(songs, root / "cpu")
    run(songs, root / "device", metric_device="torch-cpu")
    return root


def text_of(folder: Path) -> str:
    (path,) = (folder / "cells").glob("*/*.json")
    return path.read_text(encoding="utf-8")


def test_cells_name_the_device_that_scored_them_and_no_other(made):
    cells = benchsep.load_run(made / "device")
    found = cells.groupby("metric")["metric_device"].unique().map(list).to_dict()
    assert found == {"mrstft": ["torch-cpu"], "usdr": [""]}
    assert set(benchsep.load_run(made / "cpu")["metric_device"]) == {""}
    assert '"device"' not in text_of(made / "cpu")  # the bytes of before
    assert text_of(made / "device").count('"device": "torch-cpu"') == len(STEMS)
    manifest = Store(made / "device").manifest()
    assert manifest["suite"]["metric_device"] == "torch-cpu"


def test_the_device_is_part_of_no_key(made, songs, tmp_path):
    cpu, there = (benchsep.load_run(made / name) for name in ("cpu", "device"))
    assert list(cpu["key"]) == list(there["key"])
    assert np.abs(cpu["value"] - there["value"]).max() <= TOLERANCE
    again = run(songs, made / "device")
    assert (again.plan.done, len(again.outcomes)) == (1, 0)
    run(songs, made / "device", metric_device="torch-cpu")  # the folder as it was


def test_a_record_is_read_as_it_was_written(made):
    (record,) = Store(made / "device").records()
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(ValueError, match="device of a cell is int"):
        content = record.to_json()
        content["cells"][0]["device"] = 1
        Record.from_json(content)


def test_runs_of_two_devices_merge_and_the_cpu_engine_counts(made, tmp_path):
    for order in (("cpu", "device"), ("device", "cpu")):
        out = tmp_path / order[0]
        assert not merge([made / name for name in order], out).conflicts
        assert set(benchsep.load_run(out)["metric_device"]) == {""}


@pytest.mark.parametrize(
    ("device", "moved", "agree"),
    [
        ("torch-cpu", 0.9 * TOLERANCE, True),
        ("torch-cpu", 3 * TOLERANCE, False),
        ("", 0.9 * TOLERANCE, False),  # one device differs by rounding only
    ],
)
def test_values_of_two_devices_agree_within_the_stated_tolerance(made, device, moved, agree):
    from benchsep.runner.merge.records import all_agree

    (record,) = Store(made / "cpu").records()
    cell = next(cell for cell in record.cells if cell.metric == "mrstft")
    other = replace_cell(cell, device=device, value=cell.value + moved)
    assert all_agree([cell, other]) == agree
    unknown = [replace_cell(c, metric="absent") for c in (cell, other)]
    assert not all_agree(unknown)


def replace_cell(cell, **changes):
    return cell._replace(**changes)


def test_the_gate_compares_devices_and_says_so(made, tmp_path):
    cells, manifest = benchsep.load_run(made / "cpu"), Store(made / "cpu").manifest()
    traits = traits_in(cells, manifest)
    write_baseline(cells, manifest, tmp_path / "baseline.json", traits)
    there = benchsep.load_run(made / "device")
    found = check(there, Store(made / "device").manifest(), tmp_path / "baseline.json")
    assert not found.failed
    assert "metric_device cpu -> torch-cpu" in found.notes
    assert not check(cells, manifest, tmp_path / "baseline.json").notes


def test_worker_processes_score_there_too(songs, tmp_path):
    run(songs, tmp_path / "run", inline=False, jobs=1, metric_device="torch-cpu")
    cells = benchsep.load_run(tmp_path / "run").set_index("metric")["metric_device"]
    assert set(cells["mrstft"]) == {"torch-cpu"}


# -- before the first job ------------------------------------------------------------------------


@no_gpu
def test_a_gpu_that_is_not_there_ends_a_run_before_it_starts(songs, tmp_path):
    with pytest.raises(
        Unavailable, match=r"'cuda': torch .* finds no such device .* --metric-device cpu"
    ):
        run(songs, tmp_path / "run", metric_device="cuda")
    assert not (tmp_path / "run").exists()
    with pytest.raises(Unavailable, match="'cuda:1'"):
        benchsep.score(np.zeros(10), np.zeros(10), metrics=["usdr"], metric_device="cuda:1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric_device": "mps"}, "float64"),
        ({"metric_device": "gpu"}, "expected cpu, cuda, cuda:1 or torch-cpu"),
        ({"metric_device": "cuda", "cluster": "local:1"}, "cluster"),
    ],
)
def test_other_devices_are_refused(songs, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        run(songs, tmp_path / "run", **options)


def test_a_suite_and_the_command_line_take_it(songs, tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"dataset: folder:{songs}\nsystems: [mixture]\nyardsticks: false\nmetrics: [mrstft]\n"
        "metric_device: torch-cpu\n"
    )
    call = CliRunner().invoke
    done = call(app, ["run", str(suite), "-o", str(tmp_path / "run"), "--inline"])
    assert done.exit_code == 0
    assert set(benchsep.load_run(tmp_path / "run")["metric_device"]) == {"torch-cpu"}
    one = str(songs / "one" / "bass.wav")
    scored = [
        call(app, ["score", one, one, "--metrics", "mrstft", "--metric-device", device]).stdout
        for device in ("cpu", "torch-cpu")
    ]
    assert scored[0] == scored[1] and "mrstft" in scored[0]
    bad = call(app, ["score", one, one, "--metric-device", "mps"])
    assert bad.exit_code != 0


# -- the plan ------------------------------------------------------------------------------------


def test_a_plan_has_no_rate_of_a_device_until_a_run_was_timed_there(made, songs, tmp_path):
    from benchsep.runner.cost import forecast, own_rates, rates_of_run
    from benchsep.runner.plan import make_plan
    from benchsep.runner.suite import Suite

    suite = Suite(dataset=f"folder:{songs}", systems=("mixture",), metrics=("mrstft", "usdr"))
    there = suite.model_copy(update={"metric_device": "torch-cpu"})
    plan = make_plan(there, Store(tmp_path / "run"))
    unknown = forecast(plan, own_rates())
    assert unknown.unknown == ["scoring with mrstft on torch-cpu"]
    assert unknown.metrics["mrstft"] is None and unknown.metrics["usdr"] is not None
    rates = rates_of_run(made / "device")
    assert rates.metrics["mrstft"] == own_rates().metrics["mrstft"]  # the CPU engine's
    assert forecast(plan, rates).metrics["mrstft"] > 0
    assert not forecast(plan, rates).unknown
    on_cpu = forecast(replace(plan, suite=suite), rates)
    assert on_cpu.metrics["mrstft"] is not None


@no_gpu
def test_a_run_on_gpus_is_planned_on_a_machine_that_has_none(songs, tmp_path):
    out = str(tmp_path / "run")
    words = ["plan", "--dataset", f"folder:{songs}", "--systems", "mixture", "-o", out]
    done = CliRunner().invoke(app, [*words, "--metrics", "mrstft", "--metric-device", "cuda:3"])
    assert done.exit_code == 0 and "scoring with mrstft on cuda:3" in done.stdout
