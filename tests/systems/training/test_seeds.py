"""Seeds of training: distinct for distinct places, at any size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from benchsep_training.seeds import generator, hashed, step_seed
from tokensep.decode.position import HostPosition
from tokensep.decode.render import window_seed
from tokensep.decode.sampling import Noise, Sampler, within_64_bits
from tokensep.lm.config import LMTrainConfig, SamplingConfig
from tokensep.train import masks

SEEDS = (0, 1, 5, 2**31, 5 + 2**32, 2**45, 2**63 - 1, 2**63)


def test_each_seed_step_and_process_has_its_own_stream():
    places = itertools.product(SEEDS, (0, 1, 2, 16_384, 10**6), (0, 1, 63, 64, 128, 4095))
    drawn = [step_seed(*place) for place in places]
    assert len(set(drawn)) == len(drawn)
    assert all(torch.Generator().manual_seed(seed) and 0 <= seed < 2**63 for seed in drawn)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 16_384, 0), (1, 0, 0)),  # seed << 20 + 64 step + rank gave both the same seed
        ((0, 0, 64), (0, 1, 0)),
        ((5, 1, 7), (5 + 2**32, 7, 0)),  # and numpy's SeedSequence these
    ],
)
def test_places_that_once_shared_a_stream_do_not(one, other):
    assert step_seed(*one) != step_seed(*other)


def test_a_key_is_more_than_its_digits():
    keys = [("a", 1, 23), ("a", 12, 3), ("a", 123), ("b", 1, 23), ("a", 1, 23, 0)]
    assert len({hashed(*key) for key in keys}) == len(keys)
    assert generator("a", 1).random() == generator("a", 1).random()


def test_the_choice_for_a_whole_batch_is_not_that_of_a_crop():
    """It once was the first number of the third crop's generator."""
    train = LMTrainConfig(parallel_fraction=0.5)
    whole = [masks.independent_stems(train, step) for step in range(60)]
    assert 15 < sum(whole) < 45
    crops = [np.random.default_rng([0, step, 2]).random() < 0.5 for step in range(60)]
    assert whole != crops


def test_inference_draws_with_seeds_of_any_size():
    logits, config = torch.zeros(1, 3, 50), SamplingConfig(temperature=1.0)
    large = [2**45, 2**45 + 1, 2**60, 2**63 - 1, 2**63]
    drawn = []
    for seed in large:
        noise = Noise([window_seed(seed, 3) + 1], (3, 50), 1, torch.device("cpu"), HostPosition())
        noise.prepare(0)
        drawn.append(Sampler(config)(logits, noise.take()))
    assert len({tuple(tokens[0].tolist()) for tokens in drawn}) == len(large)


def test_ordinary_seeds_of_inference_are_the_old_ones():
    assert window_seed(7, 5) == (7 * 1_000_003 + 5) * 64
    assert within_64_bits(window_seed(7, 5)) == window_seed(7, 5)
    assert within_64_bits(2**64 - 1) == 2**64 - 1 and within_64_bits(-1) == -1
    large = [
        within_64_bits(window_seed(2**60, index) + draw) for index in range(9) for draw in (0, 1)
    ]
    assert len(set(large)) == 18 and all(0 <= seed < 2**64 for seed in large)
