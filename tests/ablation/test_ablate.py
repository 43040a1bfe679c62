"""``benchsep ablate`` on a grid of seconds: trained once, continued, recomputed where deleted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

GRID = Path(__file__).resolve().parents[2] / "configs" / "ablations" / "smoke.yaml"


def ablate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchsep", "ablate", *map(str, arguments), "-j", "1"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("ablation")
    done = ablate(GRID, "--work", work, "-o", work / "report")
    assert done.returncode == 0, done.stderr
    assert "trained 3/3" in done.stderr, "two of the four variants share a checkpoint"
    return work


def test_nothing_is_done_twice_and_a_deleted_variant_is_made_again_alone(finished):
    report = (finished / "report" / "smoke.md").read_bytes()
    weights = {p: p.read_bytes() for p in finished.glob("variants/*/lm.safetensors")}
    assert len(weights) == 3
    kept, _, gone = sorted(weights)
    before = kept.stat().st_mtime_ns
    shutil.rmtree(gone.parent)
    again = ablate(GRID, "--work", finished, "-o", finished / "report")
    assert again.returncode == 0, again.stderr
    assert "trained 1/1: shuffled Conformer" in again.stderr
    assert gone.read_bytes() == weights[gone] and kept.stat().st_mtime_ns == before
    plain = [line for line in report.decode().splitlines() if "| 0." not in line]
    after = (finished / "report" / "smoke.md").read_text().splitlines()
    assert [line for line in after if "| 0." not in line] == plain


def test_the_plan_is_told_without_doing_anything(finished, tmp_path):
    told = ablate(GRID, "--work", tmp_path / "new", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("CPU hours") >= 3 and not (tmp_path / "new").exists()
    assert "is trained" in ablate(GRID, "--work", finished, "--dry-run").stdout


def test_training_alone_makes_the_same_weights_and_no_report(finished, tmp_path):
    shutil.copytree(finished / "cache", tmp_path / "cache")
    done = ablate(GRID, "--train-only", "--work", tmp_path, "-o", tmp_path / "report")
    assert done.returncode == 0 and "trained 3/3" in done.stderr, done.stderr
    assert not (tmp_path / "report").exists() and not (tmp_path / "run").exists()
    for path in finished.glob("variants/*/lm.safetensors"):
        assert (tmp_path / path.relative_to(finished)).read_bytes() == path.read_bytes()


def test_a_killed_ablation_continues_to_the_same_weights(finished, tmp_path):
    shutil.copytree(finished / "cache", tmp_path / "cache")
    grid = yaml.safe_load(GRID.read_text())
    grid["variants"] = {"Conformer": {}}
    grid["control"] = ""
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(grid))
    command = [sys.executable, "-m", "benchsep", "ablate", str(path), "-j", "1"]
    options = ["--work", str(tmp_path), "-o", str(tmp_path / "report")]
    running = subprocess.Popen(
        [*command, *options], start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("variants/*/training/checkpoints/step-*/state.json")):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    done = ablate(path, *options)
    assert done.returncode == 0, done.stderr
    made = next(tmp_path.glob("variants/*/lm.safetensors"))
    assert made.read_bytes() == (finished / made.relative_to(tmp_path)).read_bytes()


def test_a_training_that_fails_is_a_row_with_its_reason(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "work")
    grid = yaml.safe_load(GRID.read_text())
    grid["variants"] = {"Conformer": {}, "broken": {"train.batch": 0}}
    grid["control"] = ""
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(grid))
    done = ablate(path, "--work", tmp_path / "work", "-o", tmp_path / "report")
    assert done.returncode == 1 and "training failed" in done.stderr
    text = (tmp_path / "report" / "broken.md").read_text()
    assert "not trained" in text and "has no result: training failed" in text


def test_a_training_needs_data():
    told = ablate(GRID.with_name("encoder.yaml"))
    assert told.returncode == 2 and "pass --root" in told.stderr and "Traceback" not in told.stderr
