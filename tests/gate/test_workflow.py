"""The reusable workflow and its description: what a stranger copies runs, and finds a drift."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchsep.audio import STEMS, Audio, write_audio

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
# Only a checkout has them: the wheel's tests run without.
pytestmark = pytest.mark.skipif(
    not WORKFLOWS.is_dir(), reason="no .github/workflows beside the tests"
)


@pytest.fixture(scope="module")
def gate() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((WORKFLOWS / "drift-gate.yml").read_text())
    return found


def inputs(workflow: dict[str, Any]) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    declared: dict[str, Any] = workflow[True]["workflow_call"]["inputs"]
    return declared


def calls() -> list[tuple[str, dict[str, Any]]]:
    """Every job that calls the gate, in this repository's workflows and in the page about it."""
    texts = {path.name: path.read_text() for path in WORKFLOWS.glob("*.yml")}
    page = (ROOT / "docs" / "drift-gate.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", re.sub(r"(?m)^ {3}", "", page), re.S)
    texts |= {f"docs/drift-gate.md, block {i}": block for i, block in enumerate(blocks)}
    found = []
    for name, text in texts.items():
        jobs = yaml.safe_load(text).get("jobs", {}).values()
        found += [(name, job) for job in jobs if "drift-gate.yml" in job.get("uses", "")]
    return found


def test_every_call_is_one_that_github_accepts(gate: dict[str, Any]) -> None:
    found = calls()
    assert {name.split(",")[0] for name, _ in found} == {"gate.yml", "docs/drift-gate.md"}
    for name, job in found:
        assert job["uses"] == "./.github/workflows/drift-gate.yml", name
        assert set(job["with"]) <= set(inputs(gate)), name
        required = {key for key, value in inputs(gate).items() if value.get("required")}
        assert required <= set(job["with"]), name


def test_this_repositorys_own_gate_names_files_that_exist() -> None:
    (job,) = [job for name, job in calls() if name == "gate.yml"]
    assert (ROOT / job["with"]["suite"]).is_file()
    assert (ROOT / job["with"]["baseline"]).is_file()


def test_no_input_is_run_as_code(gate: dict[str, Any]) -> None:
    steps = [step["run"] for step in gate["jobs"]["gate"]["steps"] if "run" in step]
    assert len(steps) == 3 and not any("${{" in step for step in steps)


def test_its_steps_pass_a_faithful_run_and_stop_a_drift(
    gate: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for stem in STEMS:
        wave = rng.normal(0, 0.1, (2, 44_100)).astype(np.float32)
        write_audio(tmp_path / "songs" / "one" / f"{stem}.wav", Audio(wave, 44_100))
    suite = {"dataset": "folder:songs", "systems": ["mixture"], "metrics": ["usdr"], "inline": True}
    suite["yardsticks"] = False
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    program = tmp_path / "bin" / "benchsep"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom benchsep.cli.app import main\nmain()\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    known = {"SUITE": "suite.yaml", "BASELINE": "baseline.json", "STRICT": ""}
    assert set(known) | {"INSTALL", "LOCK"} <= set(gate["jobs"]["gate"]["env"])

    def sh(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, env={**os.environ, **known, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    steps = {step.get("name"): step.get("run", "") for step in gate["jobs"]["gate"]["steps"]}
    run, compare = steps["Run the suite"], steps["Compare with the baseline"]
    made = sh(f"{run}\nbenchsep baseline runs/gate -o baseline.json")
    assert made.returncode == 0, made.stderr
    passed = sh(compare)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    content = json.loads((tmp_path / "baseline.json").read_text())
    row = next(row for row in content["cells"] if row["system"] == "mixture")
    row["values"]["usdr"] += 0.1
    (tmp_path / "baseline.json").write_text(json.dumps(content))
    stopped = sh(compare)
    assert stopped.returncode == 1 and "::error title=benchsep check::" in stopped.stdout
    assert "<failure" in (tmp_path / "drift.xml").read_text()


def test_every_locked_version_has_a_hash_and_no_address():
    """What the lock names is on PyPI: it has no address of one machine's index."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 100
    for pin in pins:
        assert re.fullmatch(r"[\w.-]+==[\w.+-]+( --hash=sha256:[0-9a-f]{64})+", pin), pin


def test_github_runs_the_targets_of_the_local_ci():
    """Lint and tests of a pull request are those of ``.ci/run``."""
    jobs = yaml.safe_load((WORKFLOWS / "tests.yml").read_text())["jobs"].values()
    commands = {step["run"] for job in jobs for step in job["steps"] if "run" in step}
    local = [line.partition(" #")[0] for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    assert {"make lint", "make coverage"} <= commands & set(local)
