from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokensep.errors import ConfigError
from tokensep.lm import layout as layouts
from tokensep.lm.config import PRESETS, LayoutConfig, TokenSepConfig
from tokensep.lm.layout import Layout

KINDS = ("interleaved-delay", "grouped-delay", "depth")


def config(kind: str, semantic: int, acoustic: int, delays: tuple[int, ...] | None = None):
    return TokenSepConfig(
        semantic_layers=semantic,
        acoustic_layers=acoustic,
        codebook_size=32,
        layout=LayoutConfig(kind=kind, delays=delays),
    )


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    semantic=st.integers(0, 5),
    acoustic=st.integers(1, 6),
    frames=st.integers(1, 20),
    seed=st.integers(0, 10**6),
)
def test_every_layout_is_undone_by_its_inverse(kind, semantic, acoustic, frames, seed):
    layout = layouts.build(config(kind, semantic, acoustic))
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 32, (2, 3, semantic + acoustic, frames), generator=generator)
    grid = layout.to_grid(codes)
    assert grid.shape == (2, 3, layout.steps(frames), semantic + acoustic)
    assert torch.equal(layout.to_codes(grid), codes)
    # every token once, the rest is padding
    assert int((grid != layout.pad).sum()) == codes.numel()


@settings(max_examples=30, deadline=None)
@given(delays=st.lists(st.integers(0, 7), min_size=1, max_size=8), frames=st.integers(1, 9))
def test_grouped_delays_round_trip_whatever_the_delays(delays, frames):
    delays = [d - min(delays) for d in delays]
    layout = layouts.build(config("grouped-delay", 0, len(delays), tuple(delays)))
    codes = torch.arange(len(delays) * frames).reshape(len(delays), frames) % 32
    assert torch.equal(layout.to_codes(layout.to_grid(codes)), codes)


def test_interleaved_delay_is_the_lineages_picture():
    """UniTok-Audio §3.2: S and A frames alternate, layer q is q steps late."""
    layout = layouts.build(config("interleaved-delay", 2, 2))
    codes = torch.tensor([[0, 1], [2, 3], [10, 11], [12, 13]])  # S0 S1 A0 A1, two frames
    p = layout.pad
    assert layout.to_grid(codes).tolist() == [
        [0, p, p, p],
        [p, 2, 10, p],
        [1, p, p, 12],
        [p, 3, 11, p],
        [p, p, p, 13],
    ]


def test_a_cells_frame_is_known_to_the_aligned_condition():
    """``groups`` lists exactly the lags, in frames, at which some cell sits."""
    for name, preset in PRESETS.items():
        layout = layouts.build(preset)
        index = layout.frame_index(40)
        newest = torch.arange(len(index))[:, None] // layout.stride
        lags = set((newest - index)[index >= 0].tolist())
        assert lags == set(layout.groups), name


def test_step_counts_of_the_paper():
    """paper.md §3.3: interleaved 16-layer delay, 5 s at 12.5 Hz: 2 x 62.5 + 15 per stem."""
    layout = layouts.build(PRESETS["paper"])
    assert 2 * 62 + 15 <= layout.steps(63) <= 2 * 63 + 16


def test_a_wrong_layer_count_is_named():
    layout = Layout("depth", 1, (0, 0), 8)
    with pytest.raises(ConfigError, match="found 3 layers, expected 2 as in the layout depth"):
        layout.to_grid(torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(ConfigError, match="whole number of frames"):
        Layout("x", 2, (0, 1), 8).to_codes(torch.zeros(3, 2, dtype=torch.long))
