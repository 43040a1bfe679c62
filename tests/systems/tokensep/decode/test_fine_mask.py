"""The U-Net of the guided decoder: sizes, where it begins, what moves with time."""

from __future__ import annotations

import pytest
import torch
from tokensep.decode.fine_mask import TIME_STEP, FineMask

BINS, DIM = 129, 6


def trained(seed: int = 0) -> FineMask:
    """As if trained: the last layers are no longer 0."""
    torch.manual_seed(seed)
    net = FineMask(3, 5, BINS, 4, DIM).eval()
    for layer in (net.exit, net.direct):
        torch.nn.init.normal_(layer.weight, std=0.1)
    return net


def heard(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 3, count, BINS, generator=rng),
        torch.randn(2, count, DIM, generator=rng),
    )


@pytest.mark.parametrize("count", [1, 3, 4, 17])
def test_any_number_of_spectra(count):
    assert trained()(*heard(count)).shape == (2, 5, count, BINS)


def test_a_new_network_adds_nothing():
    assert not FineMask(3, 5, BINS, 4, DIM)(*heard(9)).any()


def test_the_highest_bin_follows_the_one_below():
    out = trained()(*heard(8))
    assert torch.equal(out[..., -1], out[..., -2])


@torch.no_grad()
def test_what_is_heard_later_is_answered_later():
    """By whole steps of the coarsest level; away from the edges, which are zeros."""
    net, (maps, context) = trained(), heard(160)
    whole = net(maps, context)
    later = net(maps[:, :, TIME_STEP:], context[:, TIME_STEP:])
    torch.testing.assert_close(later[:, :, 72:76], whole[:, :, 76:80], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_partial_of_one_bin_is_told_from_its_neighbour():
    net, (maps, context) = trained(), heard(8)
    moved = maps.clone()
    moved[:, 0, 4, 40] += 3
    change = (net(moved, context) - net(maps, context)).abs().amax((0, 1, 2))
    assert int(change.argmax()) == 40
