"""A baseline, and a check of a run against it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchsep.gate.baseline import read_baseline
from benchsep.gate.check import check
from benchsep.gate.render import render
from benchsep.runner.frame import COLUMNS
from tests.fuzz.target import Target


@cache
def run() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Two songs of one system, as a table, and its manifest."""
    fixed = {**dict.fromkeys(COLUMNS), "family": "mixture", "draw": 0, "status": "ok",
             "edition": "hq", "metric": "usdr", "metric_version": "1", "system": "s",
             "reference_sha256": "ab", "mixture_sha256": "cd", "checkpoint_sha256": ""}  # fmt: skip
    rows = [
        {**fixed, "track": track, "stem": stem, "value": value}
        for track, stem, value in (("t", "vocals", 1.0), ("t", "bass", 2.0), ("u", "vocals", 3.0))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)), {}


def read(data: bytes, folder: Path) -> object:
    path = folder / "baseline.json"
    path.write_bytes(data)
    found = check(*run(), read_baseline(path))
    return [render(found, form) for form in ("table", "md", "json", "junit", "github")]


TARGET = Target(
    read,
    (b'"format"', b'"benchsep-baseline/1"', b'"edition"', b'"metric_versions"', b'"checkpoints"',
     b'"mixtures"', b'"references"', b'"directions"', b'"tolerances"', b'"noise"', b'"cells"',
     b'"values"', b'"usdr"', b'"vocals"', b'"draw"', b'"cell"', b'"mean"', b'"reason"', b'"sd"',
     b'"df"', b'"runs"', b'"worst"', b'"ref_silent"', b'"failed: x"', b"NaN", b"1e999", b"-1"),
)  # fmt: skip
