"""How many windows are decoded together, and how their steps are computed."""

from __future__ import annotations

import pytest
import torch
from tokensep.decode.render import CACHE_BYTES, CPU_BATCH, TokenSource
from tokensep.lm.config import PRESETS, InferenceConfig, SamplingConfig
from tokensep.lm.model import TokenLM

from tests.helpers.lm_dummies import DummyCodec, tiny_config


def source(monkeypatch, device: str, **options: object) -> TokenSource:
    monkeypatch.setattr(TokenSource, "device", torch.device(device))
    return TokenSource(TokenLM(tiny_config()), DummyCodec(), InferenceConfig(**options), None)


@pytest.mark.parametrize(
    ("device", "step"), [("cpu", "plain"), ("mps", "plain"), ("cuda", "graph")]
)
def test_a_gpu_decodes_all_windows_at_once(monkeypatch, device, step):
    found = source(monkeypatch, device)
    size = found.batch_size()
    assert size > 10_000 if device == "cuda" else size == CPU_BATCH
    assert found.step_kind(size, 3) == step


def test_what_the_user_says_is_kept(monkeypatch):
    found = source(monkeypatch, "cuda", batch=5, step="plain")
    assert found.batch_size() == 5 and found.step_kind(5, 3) == "plain"


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_caches_of_a_batch_fit_into_what_is_allowed(monkeypatch, cfg):
    """Counted from the decoder that a draw really makes."""
    from tokensep.decode.step import State

    config = PRESETS["mini"]
    sampling = SamplingConfig(cfg=cfg)
    monkeypatch.setattr(TokenSource, "device", torch.device("cuda"))
    lm = TokenLM(config).eval()
    size = TokenSource(lm, DummyCodec(), InferenceConfig(sampling=sampling), None).batch_size()
    cond = torch.zeros(1, config.window_frames, config.encoder.dim)
    with torch.no_grad():
        decoder = State(lm, cond, "sequential", cfg, [0, 1, 2, 3], "plain").decoder
    one = sum(cache.nbytes for cache in [*decoder.keys, *decoder.values])
    assert 0.8 * CACHE_BYTES < size * one <= CACHE_BYTES
