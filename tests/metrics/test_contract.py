"""Every registered metric keeps the contract of ``benchsep.metrics.metric``."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from benchsep import registry
from tests.helpers.harness import CHECKS, Bench

ROOT = Path(__file__).resolve().parents[2]


def registered() -> dict[str, str]:
    """Name to ``module:attribute``: what ``pyproject.toml`` declares, and what plugins add."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = project.get("entry-points", {}).get(registry.GROUPS["metric"], {})
    return {**dict.fromkeys(registry.names("metric"), ""), **ours}


METRICS = registered()
FROM_A_HUB = {"emb-mert", "emb-clap"}
"""Weights come from the Hugging Face hub at first use: no test may fetch them."""


@pytest.fixture(scope="module")
def bench(clip) -> Bench:
    return Bench.of(clip)


@pytest.fixture(scope="module", params=sorted(METRICS))
def metric(request):
    if request.param in FROM_A_HUB:
        pytest.skip(f"{request.param} fetches its weights from the Hugging Face hub")
    target = METRICS[request.param]
    if target:
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
    else:
        found = registry.resolve("metric", request.param)
    made = found if hasattr(found, "score_track") and not isinstance(found, type) else found()
    assert made.name == request.param
    return made


def test_there_are_metrics_to_check():
    assert METRICS


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_contract(metric, bench, check):
    check(metric, bench)
