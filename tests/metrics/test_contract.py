"""Every registered metric keeps the contract of ``benchsep.metrics.metric``."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest
import torch

from benchsep import registry
from benchsep.metrics.audiobox import Audiobox
from benchsep.metrics.embedding import ClapEmbedding, EmbeddingDistance, MertEmbedding
from tests.helpers.harness import CHECKS, Bench
from tests.helpers.tiny_networks import save_tiny_audiobox, save_tiny_clap, save_tiny_mert

ROOT = Path(__file__).resolve().parents[2]


def registered() -> dict[str, str]:
    """Name to ``module:attribute``: what ``pyproject.toml`` declares, and what plugins add."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = project.get("entry-points", {}).get(registry.GROUPS["metric"], {})
    return {**dict.fromkeys(registry.names("metric"), ""), **ours}


METRICS = registered()
TINY = {
    "emb-mert": lambda folder: EmbeddingDistance(
        MertEmbedding(str(save_tiny_mert(folder)), layer=2)
    ),
    "emb-clap": lambda folder: EmbeddingDistance(ClapEmbedding(str(save_tiny_clap(folder)))),
    "audiobox": lambda folder: Audiobox(str(save_tiny_audiobox(folder))),
}
"""Their weights come from the Hugging Face hub: small random networks take their place."""


@pytest.fixture(scope="module")
def bench(clip) -> Bench:
    return Bench.of(clip)


@pytest.fixture(scope="module", params=sorted(METRICS))
def metric(request, tmp_path_factory):
    if request.param in TINY:
        torch.manual_seed(0)
        return TINY[request.param](tmp_path_factory.mktemp("network"))
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
