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
from click.testing import Result
from typer.testing import CliRunner

from benchsep.cli.app import app
from benchsep.errors import UsageError

SMOKE = Path(__file__).resolve().parents[2] / "configs" / "ablations" / "smoke.yaml"


def grid(folder: Path, name: str, **changes: object) -> Path:
    """The smoke grid without its slow parts: trainings alone are processes of their own."""
    made = yaml.safe_load(SMOKE.read_text())
    made["suite"]["inline"] = True
    made["base"]["spec.decoding"] = "parallel"
    made["variants"] = {
        "Conformer": {},
        "shuffled Conformer": {"model.encoder.shuffled": True},
        "masked": {"spec.refine": "mask"},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(made | changes))
    return path


def ablate(*arguments: object) -> Result:
    """``benchsep ablate`` in this process."""
    return CliRunner().invoke(app, ["ablate", *map(str, arguments), "-j", "1"])


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    return grid(tmp_path_factory.mktemp("grid"), "smoke")


@pytest.fixture(scope="module")
def finished(smoke, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("ablation")
    done = ablate(smoke, "--work", work, "-o", work / "report")
    assert done.exit_code == 0, done.output
    assert "trained 2/2" in done.stderr, "two of the three variants share a checkpoint"
    return work


def test_nothing_is_done_twice_and_a_deleted_variant_is_made_again_alone(smoke, finished):
    report = (finished / "report" / "smoke.md").read_bytes()
    weights = {p: p.read_bytes() for p in finished.glob("variants/*/lm.safetensors")}
    assert len(weights) == 2
    kept, gone = sorted(weights)
    before = kept.stat().st_mtime_ns
    shutil.rmtree(gone.parent)
    again = ablate(smoke, "--work", finished, "-o", finished / "report")
    assert again.exit_code == 0, again.output
    assert "trained 1/1: shuffled Conformer" in again.stderr
    assert gone.read_bytes() == weights[gone] and kept.stat().st_mtime_ns == before
    plain = [line for line in report.decode().splitlines() if "| 0." not in line]
    after = (finished / "report" / "smoke.md").read_text().splitlines()
    assert [line for line in after if "| 0." not in line] == plain


def test_the_plan_is_told_without_doing_anything(smoke, finished, tmp_path):
    told = ablate(smoke, "--work", tmp_path / "new", "--dry-run")
    assert told.exit_code == 0, told.output
    assert told.stdout.count("CPU hours") >= 4 and not (tmp_path / "new").exists()
    assert "is trained" in ablate(smoke, "--work", finished, "--dry-run").stdout


def test_training_alone_makes_the_same_weights_and_no_report(finished, tmp_path):
    shutil.copytree(finished / "cache", tmp_path / "cache")
    one = grid(tmp_path, "one", variants={"Conformer": {}}, control="")
    done = ablate(one, "--train-only", "--work", tmp_path, "-o", tmp_path / "report")
    assert done.exit_code == 0 and "trained 1/1" in done.stderr, done.output
    assert not (tmp_path / "report").exists() and not (tmp_path / "run").exists()
    (made,) = tmp_path.glob("variants/*/lm.safetensors")
    assert made.read_bytes() == (finished / made.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize("victim", ["command", "command and training"])
def test_a_killed_ablation_continues_to_the_same_weights(finished, tmp_path, victim):
    """The command is killed alone, and its training lives on, or both are."""
    shutil.copytree(finished / "cache", tmp_path / "cache")
    one = grid(tmp_path, "one", variants={"Conformer": {}}, control="")
    options = ["--work", tmp_path, "-o", tmp_path / "report"]
    running = subprocess.Popen(
        [sys.executable, "-m", "benchsep", "ablate", *map(str, (one, *options)), "-j", "1"],
        start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("variants/*/training/checkpoints/step-*/state.json")):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    (os.kill if victim == "command" else os.killpg)(running.pid, signal.SIGKILL)
    running.wait()
    done = ablate(one, *options)
    assert done.exit_code == 0, done.output
    made = next(tmp_path.glob("variants/*/lm.safetensors"))
    assert made.read_bytes() == (finished / made.relative_to(tmp_path)).read_bytes()
    report, whole = tmp_path / "report" / "one.md", finished / "report" / "smoke.md"
    values = next(r for r in report.read_text().splitlines() if r.startswith("| Conformer |"))
    assert values in whole.read_text().splitlines()


def test_a_training_that_fails_is_a_row_with_its_reason(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "work")
    variants = {"Conformer": {}, "broken": {"model.lm.dim": 2**20}}  # terabytes
    broken = grid(tmp_path, "broken", variants=variants, control="")
    done = ablate(broken, "--work", tmp_path / "work", "-o", tmp_path / "report")
    assert done.exit_code == 1 and "training failed" in done.stderr
    text = (tmp_path / "report" / "broken.md").read_text()
    assert "not trained" in text and "has no result: training failed" in text


def test_a_setting_that_no_training_has_is_found_before_anything_is_trained(tmp_path):
    variants = {"Conformer": {}, "broken": {"train.batch": 0}}
    broken = grid(tmp_path, "broken", variants=variants, control="")
    done = ablate(broken, "--work", tmp_path / "work", "-o", tmp_path / "report")
    assert isinstance(done.exception, UsageError) and "batch: " in str(done.exception)
    assert not list((tmp_path / "work").rglob("*.safetensors"))


def test_a_data_set_that_cannot_be_run_is_found_before_anything_is_trained(smoke, tmp_path):
    done = ablate(smoke, "--root", tmp_path, "--work", tmp_path / "work", "-o", tmp_path / "report")
    assert isinstance(done.exception, UsageError) and "leave out --root" in str(done.exception)
    assert not list((tmp_path / "work").rglob("*.safetensors"))


def test_a_training_needs_data():
    command = [sys.executable, "-m", "benchsep", "ablate", "encoder"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2 and "pass --root" in told.stderr and "Traceback" not in told.stderr
