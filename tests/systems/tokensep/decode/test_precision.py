"""Tokens drawn in float64: the same on every processor, and those of the same model."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import torch
from tokensep.codec.model import HCodec
from tokensep.decode.precision import in_float64
from tokensep.lm.conditioner import LogMel
from tokensep.separator import TokenSep

OLD_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
"""Without AVX: other orders of additions, no fused multiplication, other kernels of exp and log."""

DRAWN = """
import sys, hashlib, numpy as np, torch
torch.set_num_threads(1)
from tokensep.separator import TokenSep
from benchsep.datasets.clip import ClipDataset
model, seen = TokenSep.from_checkpoint("mini"), []
track = ClipDataset().tracks()[0].load()
wave = torch.from_numpy(track.mixture.samples.mean(0)[None, : 24 * 1764].copy())
options = model.config.inference.model_copy(update={"precision": sys.argv[1]})
source = model._source(options)
cond = source.condition(wave)
codes = source.draw(cond, [3], "plain").codes.numpy()
for found in (codes, cond.numpy()):
    print(hashlib.sha256(found.tobytes()).hexdigest())
"""


def drawn(precision: str, **environment: str) -> list[str]:
    """Hashes of the tokens and of the condition of a window of real music."""
    env = {**os.environ, **environment}
    command = [sys.executable, "-c", DRAWN, precision]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_another_processor_draws_the_same_tokens_in_float64():
    """In float32 the condition differs, and with it some tokens of a song."""
    exact, exact_old = drawn("float64"), drawn("float64", **OLD_PROCESSOR)
    assert exact[0] == exact_old[0]
    assert exact[1] != exact_old[1], "the other processor was not imitated"


def test_what_is_computed_in_float64_is_the_same_model():
    model = TokenSep.from_checkpoint("mini")
    exact = in_float64(model.lm, model.codec, model.codebooks)
    assert isinstance(exact.codec, HCodec) and exact.codebooks.dtype == torch.float64
    wave = 0.1 * torch.randn(1, 64 * 1764, generator=torch.Generator().manual_seed(0))
    codes = model.codec.encode(wave)
    assert torch.equal(exact.codec.encode(wave.double()).stack(), codes.stack())
    latents = model.codec.latents(codes)
    cond = model.lm.condition(wave, latents)
    found = exact.lm.condition(wave.double(), latents.double())
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, cond, atol=2e-4)
    # tables that follow from the configuration are not float32 numbers
    window = next(m for m in exact.lm.modules() if isinstance(m, LogMel)).window
    count = len(window)
    np.testing.assert_allclose(window, np.hanning(count + 1)[:-1], atol=1e-15)


def test_the_option_keeps_the_cells_of_float32():
    """Only what differs from the default is part of a cell's key."""
    from tokensep.integration import system as plugin

    assert "precision" not in plugin.load().info.options
    exact = plugin.load(precision="float64").info.options
    assert exact["precision"] == "float64"
