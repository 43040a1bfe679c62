"""Convolutions that bf16 spoils on a CPU stay in float32, the others do not."""

from __future__ import annotations

import pytest
import torch
from benchsep_training import bf16
from benchsep_training.bf16 import bf16_error, keep_in_float32
from torch import nn


def cast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def relative_error(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found.detach().float() - true.detach()).norm() / true.detach().norm())


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(8, 24, (3, 8), (1, 4), padding=(1, 4)),
        nn.ConvTranspose2d(24, 8, (3, 8), (1, 4), padding=(1, 4)),
        nn.Conv1d(16, 24, 4),
        nn.Conv1d(24, 8, 16, stride=3, dilation=2),
        nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 8, 16)),
        nn.Conv1d(12, 12, 7, padding=3, groups=12),
    ],
    ids=lambda conv: type(conv).__name__,
)
def test_results_and_gradients_are_near_those_in_float32(conv):
    """The first five are wrong in bf16 with torch 2.13 on a processor with AMX."""
    wave = torch.randn(2, conv.in_channels, *[70] * len(conv.kernel_size))
    true_wave = wave.clone().requires_grad_()
    true = conv(true_wave)
    weights = torch.randn_like(true)
    (true * weights).sum().backward()
    keep_in_float32(conv)
    wave.requires_grad_()
    with cast():
        found = conv(wave).float()
    (found * weights).sum().backward()
    assert relative_error(found, true) < 0.01
    assert relative_error(wave.grad, true_wave.grad) < 0.01


def test_only_what_is_spoiled_is_kept(monkeypatch):
    monkeypatch.setattr(bf16, "bf16_error", lambda conv: float(conv.kernel_size == (5,)))
    net = nn.Sequential(nn.Conv1d(3, 3, 5), nn.Conv1d(3, 3, 2), nn.Conv1d(3, 3, 5), nn.Linear(3, 3))
    x = torch.randn(1, 3, 20)
    true = net[0](x)
    assert keep_in_float32(net) == ["0", "2"]
    with cast():
        assert torch.equal(net[0](x), true) and net[0](x).dtype == torch.float32
        assert net[1](x).dtype == torch.bfloat16
    assert torch.equal(net[0](x.bfloat16()), net[0](x.bfloat16().float())), "it takes bf16, too"


def test_each_kind_is_tried_once_and_draws_nothing_of_the_callers(monkeypatch):
    tried = []
    whole = bf16.bf16_error
    monkeypatch.setattr(bf16, "bf16_error", lambda conv: tried.append(conv) or whole(conv))
    net = nn.Sequential(*(nn.Conv1d(3, 3, 5) for _ in range(4)), nn.Conv1d(3, 3, 5, stride=2))
    state = torch.get_rng_state()
    keep_in_float32(net)
    assert len(tried) == 2
    assert torch.equal(torch.get_rng_state(), state)


def test_rounding_alone_is_no_fault():
    assert 1e-4 < bf16_error(nn.Conv1d(32, 32, 3)) < bf16.LARGEST_ERROR / 5
