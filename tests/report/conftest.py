"""A small run as the long table every report function takes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from benchsep.metrics.metric import ValueTraits
from tests.helpers.sample_run import SYSTEMS, TRACKS, TRAITS, make_rows


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(make_rows())


@pytest.fixture
def costs() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"system": s, "family": f, "track": t, "draw": 0, "seconds": 3.4, "audio_seconds": 6.8,
             "rtf": 0.5, "peak_memory_mb": 812.0}
            for s, f in SYSTEMS.items() for t in TRACKS
        ]
    )  # fmt: skip


@pytest.fixture
def traits() -> dict[str, ValueTraits]:
    return dict(TRAITS)


@pytest.fixture
def manifest() -> dict[str, Any]:
    return {
        "suite": {"split": "test"},
        "dataset": {
            "name": "musdb18-7s", "edition": "aac-7s",
            "notes": ["rounded to 16 bit", "mixture = sum of stems"],
        },
        "metrics": {"visqol": {"version": "1"}, "usdr": {"version": "2"}},
        "packages": {"benchsep": "0.1.0"},
        "code": {"sha": "0123456789abcdef", "dirty": False},
    }  # fmt: skip
