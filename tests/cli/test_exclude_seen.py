"""``--exclude-seen``: songs that a system saw in training are left out for it."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from benchsep.runner.store import Store
from tests.cli.conftest import Call


@pytest.fixture
def seen_run(finished_run: Path, tmp_path: Path) -> Path:
    """The finished run as one of a data set on which ``noisy`` was trained."""
    store = Store(Path(shutil.copytree(finished_run, tmp_path / "run")))
    manifest = store.manifest()
    manifest["dataset"]["name"] = "tones"
    manifest["systems"]["noisy"]["info"]["trained_on"] = ["tones:test"]
    store.write_manifest(manifest)
    return store.root


def systems(text: str) -> set[str]:
    return {row["system"] for row in csv.DictReader(io.StringIO(text))}


def test_show_report_and_explain_leave_them_out_on_request(
    seen_run: Path, call: Call, tmp_path: Path
) -> None:
    assert "noisy ‡" in call("show", seen_run, "--format", "md")
    assert "noisy" in systems(call("show", seen_run, "--format", "csv"))
    left = systems(call("show", seen_run, "--exclude-seen", "--format", "csv"))
    assert left and "noisy" not in left
    out = tmp_path / "report"
    call("report", seen_run, "-o", out, "--exclude-seen", "--max-songs", 0, "--no-page")
    assert systems((out / "tables.csv").read_text()) == left
    first = call("explain", seen_run, "t1.r1c1", "--exclude-seen")
    assert "system noisy" not in first and "system noisy" in call("explain", seen_run, "t1.r1c1")


def test_compare_has_no_pair_with_them(seen_run: Path, call: Call) -> None:
    words = ("compare", seen_run, "--format", "csv")
    assert "noisy" in call(*words, "--yardsticks")
    assert "noisy" not in call(*words, "--yardsticks", "--exclude-seen")
