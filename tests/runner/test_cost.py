"""``benchsep plan``: jobs, hours and disk, from rates that a test can check by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.errors import StoreError, UsageError
from benchsep.runner.cost import (
    MetricCost,
    Rates,
    forecast,
    own_rates,
    rates_of_run,
    render,
    seconds_of,
)
from benchsep.runner.plan import make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite
from benchsep.systems.reference import REFERENCE_SYSTEMS, WRONG_SONG

SECONDS = 2.0
RATES = Rates(
    source="this test",
    systems={"cpu": {"mixture": 10.0, "dir": 0.0}, "cuda": {"big@x": 3600.0}},
    metrics={"usdr": MetricCost(once=(5.0, 1.0), each=(0.0, 2.0))},
    load=(0.0, 0.5),
    stored_bytes=1e9,
)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for track in ("one", "two", "three"):
        for stem in STEMS:
            audio = Audio(rng.normal(0, 0.1, (2, round(SECONDS * 8000))).astype(np.float32), 8000)
            write_audio(tmp_path / "songs" / track / f"{stem}.wav", audio)
    return tmp_path / "songs"


def planned(songs: Path, out: Path, **options):
    defaults = {
        "dataset": f"folder:{songs}",
        "systems": ("mixture",),
        "metrics": ("usdr",),
        "yardsticks": False,
    }
    return make_plan(Suite(**{**defaults, **options}), Store(out))


def test_hours_are_those_of_the_rates(songs, tmp_path):
    found = forecast(planned(songs, tmp_path / "run"), RATES)
    assert (found.jobs, found.done, found.tracks) == (3, 0, 3)
    assert found.audio_hours == pytest.approx(3 * SECONDS / 3600)
    separation = 3 * SECONDS * 10
    scoring = 3 * ((5 + SECONDS) + 2 * SECONDS)
    loading = 3 * SECONDS * 0.5
    assert found.cpu_hours == pytest.approx((separation + scoring + loading) / 3600)
    assert found.gpu_hours == found.disk_gb == 0 and not found.unknown


def test_references_count_once_for_all_systems_on_a_track(songs, tmp_path):
    systems = ("mixture", f"dir:{songs}")
    found = forecast(planned(songs, tmp_path / "run", systems=systems), RATES)
    assert found.metrics["usdr"] == pytest.approx(3 * ((5 + SECONDS) + 2 * 2 * SECONDS) / 3600)


def test_kept_estimates_need_room(songs, tmp_path):
    found = forecast(planned(songs, tmp_path / "run", keep_estimates="flac"), RATES)
    assert found.disk_gb == pytest.approx(3 * SECONDS * 4 * 1.0)


def test_what_is_done_is_not_in_the_forecast(songs, tmp_path):
    options = {"metrics": ("usdr",), "yardsticks": False, "inline": True}
    benchsep.run(
        out=tmp_path / "run", dataset=f"folder:{songs}", systems=("mixture",), limit=1, **options
    )
    found = forecast(planned(songs, tmp_path / "run"), RATES)
    assert (found.jobs, found.done) == (2, 1)
    assert found.audio_hours == pytest.approx(2 * SECONDS / 3600)


def test_what_has_no_rate_is_named_and_not_guessed(songs, tmp_path):
    plan = planned(songs, tmp_path / "run", systems=("oracle-irm",), metrics=("usdr", "sisdr"))
    found = forecast(plan, RATES)
    assert found.unknown == ["scoring with sisdr", "separation with oracle-irm on cpu"]
    assert found.metrics["sisdr"] is None and found.systems["oracle-irm"]["cpu_hours"] is None
    shown = render(found, 2)
    assert "not included in the sums: scoring with sisdr" in shown and "?" in shown


def test_a_gpu_separates_and_yardsticks_stay_on_the_cpu(songs, tmp_path):
    plan = planned(songs, tmp_path / "run", device="cuda:1")
    assert forecast(plan, RATES).gpu_hours == 0
    job = plan.jobs[0]
    info = benchsep.SystemInfo("big", "discriminative", checkpoint="x")
    plan.jobs[:] = [type(job)(**{**vars(job), "info": info, "label": "big@x", "spec": "big"})]
    found = forecast(plan, RATES)
    assert found.gpu_hours == pytest.approx(SECONDS)
    assert found.systems["big@x"]["cpu_hours"] == 0


def test_a_run_on_gpus_is_reckoned_where_there_is_none(songs):
    from typer.testing import CliRunner

    words = ["plan", "--dataset", f"folder:{songs}", "--systems", "htdemucs:checkpoint=mini"]
    words += ["--device", "cuda", "--metrics", "usdr", "--no-yardsticks", "--format", "json"]
    found = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    rate = own_rates().systems["cuda"]["htdemucs@mini"]
    assert found["gpu_hours"] == pytest.approx(3 * SECONDS * rate / 3600)
    assert found["systems"]["htdemucs@mini"]["cpu_hours"] == 0 and not found["unknown"]


def test_an_earlier_run_gives_its_own_rates(songs, tmp_path):
    run = tmp_path / "run"
    benchsep.run(
        out=run, dataset=f"folder:{songs}", systems=("mixture",), metrics=("usdr", "sisdr"),
        yardsticks=False, inline=True,
    )  # fmt: skip
    rates = rates_of_run(run)
    frame, costs = benchsep.load_run(run), benchsep.load_costs(run)
    assert rates.systems["cpu"]["mixture"] == pytest.approx(
        costs["seconds"].sum() / costs["audio_seconds"].sum()
    )
    # Three values of sisdr carry the seconds of the same computation.
    spent = frame[frame["metric"] == "sisdr"]["seconds"].sum()
    assert rates.metrics["sisdr"].each == (0.0, pytest.approx(spent / (3 * SECONDS)))
    assert rates.metrics["visqol"] == own_rates().metrics["visqol"]


def test_a_folder_without_a_run_has_no_rates(tmp_path):
    with pytest.raises(StoreError, match="not a run folder"):
        rates_of_run(tmp_path)


def test_own_rates_cover_what_a_plain_run_does():
    rates = own_rates()
    assert set(Suite().metrics) - {"nisqa"} <= set(rates.metrics)
    timed = {*REFERENCE_SYSTEMS, WRONG_SONG, "htdemucs@mini", "tokensep@mini"}
    assert timed <= set(rates.systems["cpu"])
    assert "cores" in rates.source
    assert all(rate >= 0 for rate in rates.systems["cpu"].values())


def test_the_length_of_a_stem_file_is_read_from_its_header(clip):
    from benchsep.datasets.clip import ClipDataset

    assert seconds_of(ClipDataset().tracks()[0]) == pytest.approx(clip.mixture.seconds, abs=0.1)


def test_the_command_prints_text_and_json(songs, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    words = ["plan", "--dataset", f"folder:{songs}", "--systems", "mixture", "-j", "4"]
    words += ["--metrics", "usdr,bsseval", "--keep-estimates", "flac"]
    text = CliRunner().invoke(app, words)
    assert text.exit_code == 0 and "18 jobs" not in text.stdout
    assert "15 jobs on 3 tracks" in text.stdout and "shared by 4 cores" in text.stdout
    assert "best on this machine: -j " in text.stdout
    found = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert found["longest_seconds"] == pytest.approx(SECONDS) and found["best_workers"] >= 1
    assert found["jobs"] == 15 and found["cores"] == 4 and found["disk_gb"] > 0
    assert set(found["metrics"]) == {"usdr", "bsseval"}
    assert not (tmp_path / "runs").exists()  # planning writes nothing


def test_an_unknown_format_is_refused(songs, tmp_path):
    with pytest.raises(UsageError, match="terminal, md, tex"):
        render(forecast(planned(songs, tmp_path), RATES), 1, "xml")
