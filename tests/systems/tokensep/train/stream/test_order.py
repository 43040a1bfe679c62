"""The order in which a stream reads clips."""

from __future__ import annotations

import numpy as np
import pytest
from tokensep.train.stream.order import Order

COUNTS = [4, 0, 7, 3, 5, 0, 6, 1]


def clips_of(order, numbers):
    places = [order.place(number) for number in numbers]
    return [window[index] for window, index in places]


@pytest.mark.parametrize("window", [1, 2, 3, 8, 100])
def test_each_epoch_reads_every_clip_once_in_another_order(window):
    order = Order(COUNTS, 3, window)
    every = {(shard, clip) for shard, count in enumerate(COUNTS) for clip in range(count)}
    epochs = [clips_of(order, range(26 * e, 26 * (e + 1))) for e in range(3)]
    assert all(len(epoch) == 26 and set(epoch) == every for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_place_depends_on_seed_and_number_alone():
    numbers = np.random.default_rng(0).permutation(200).tolist()
    forward = clips_of(Order(COUNTS, 1, 2), range(200))
    assert clips_of(Order(COUNTS, 1, 2), numbers) == [forward[n] for n in numbers]
    assert clips_of(Order(COUNTS, 2, 2), range(200)) != forward


def test_clips_are_shuffled_within_a_window_of_shards():
    order = Order([50] * 20, 0, 4)
    epoch = clips_of(order, range(1000))
    windows = [epoch[start : start + 200] for start in range(0, 1000, 200)]
    assert all(len({shard for shard, _ in clips}) == 4 for clips in windows)
    first = [shard for shard, _ in windows[0]]
    changes = np.count_nonzero(np.diff(first))
    assert changes > 120, "neighbours come from different shards"


def test_a_hundred_thousand_shards_need_little_memory_and_time():
    import time
    import tracemalloc

    order = Order([60] * 100_000, 0, 16)
    tracemalloc.start()
    began = time.process_time()
    for number in (0, 3_000_000, 5_999_999, 17_000_000):
        order.place(number)
    assert time.process_time() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()
