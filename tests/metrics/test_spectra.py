"""Transforms with a signal in each lane against numpy's, and the sums over their powers."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.metrics import spectra
from benchsep.metrics.mel import Bank
from benchsep.metrics.spectra import (
    LANES,
    PairSums,
    aligned,
    banded,
    plan,
    powers,
    transform,
)


def lanes_of(rows: int, seed: int = 0) -> np.ndarray:
    lanes = aligned(rows)
    lanes[:] = np.random.default_rng(seed).standard_normal(lanes.shape)
    return lanes


def spectra_of(lanes: np.ndarray, first: int, size: int) -> np.ndarray:
    """Powers ``[size / 2 + 1, 16]`` in double precision."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    frame = lanes[first : first + size].astype(float) * hann[:, None]
    return np.abs(np.fft.rfft(frame, axis=0)) ** 2


@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024, 2048, 4096])
def test_powers_are_those_of_a_plain_transform(size):
    lanes, first = lanes_of(size + 30, size), 14
    tables, room, found = plan(size), aligned(size), aligned(size // 2 + 1)
    transform(lanes, first, tables.window, tables.twiddles, size, room)
    powers(room, tables.places, tables.halves, found)
    expected = spectra_of(lanes, first, size)
    np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max())


def test_equal_signals_have_equal_spectra_to_the_bit():
    lanes = lanes_of(512)
    lanes[:] = lanes[:, :1]
    tables, room = plan(512), aligned(512)
    transform(lanes, 0, tables.window, tables.twiddles, 512, room)
    assert (room == room[:, :1]).all()


@pytest.mark.parametrize("valid", [[8, 8, 8], [8, 3, 0]])
@pytest.mark.parametrize("size", [64, 1024])
def test_sums_are_their_formulas(size, valid):
    # Ratios of 1e24 in every bin: their product needs exponents of its own.
    lanes, hop, floor = lanes_of(2 * size, 1), size // 4, 1e-8
    lanes[:, : LANES // 2] *= 1e6
    lanes[:, LANES // 2 :] *= 1e-6
    lanes[size:, 1] = 0
    sums = PairSums(size, floor)
    sums.add(lanes, 6, hop, np.array(valid[:1]))
    sums.add(lanes, 6 + hop, hop, np.array(valid[1:]))
    expected = np.zeros(3)
    for frame, count in enumerate(valid):
        power = np.maximum(spectra_of(lanes, 6 + frame * hop, size), floor)
        y, x = power[:, :count], power[:, 8 : 8 + count]
        expected += (
            ((np.sqrt(y) - np.sqrt(x)) ** 2).sum(),
            y.sum(),
            np.abs(np.log(np.sqrt(x)) - np.log(np.sqrt(y))).sum(),
        )
    assert sums.totals() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("samples", [256, 400, 5000, 40_000])
def test_bands_are_the_products_of_filters_and_spectra(samples, root):
    rng = np.random.default_rng(samples)
    signal = rng.standard_normal(samples).astype(np.float32)
    filters = rng.random((21, 129)).astype(np.float32)  # more bands than lanes
    filters[0, 7:] = filters[1, :100] = filters[2] = 0  # the third band has no bin
    filters[3, 5:9] = 0
    found = banded(signal, 256, 64, Bank.of(filters), root=root)
    frames = np.lib.stride_tricks.sliding_window_view(signal, 256)[::64].T
    power = spectra_of(frames, 0, 256)
    expected = (filters @ (np.sqrt(power) if root else power)).T
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize("samples", [10, 200, 1000, 40_000])
def test_an_edge_is_as_zeros_at_both_ends(samples):
    signal = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    bank = Bank.of(np.random.default_rng(1).random((20, 129)).astype(np.float32))
    padded = banded(np.pad(signal, 128), 256, 64, bank, root=True)
    np.testing.assert_array_equal(banded(signal, 256, 64, bank, root=True, edge=128), padded)


@pytest.mark.parametrize("root", [False, True])
def test_blocks_join_without_a_seam(root, monkeypatch):
    signal = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    bank = Bank.of(np.random.default_rng(1).random((20, 129)).astype(np.float32))
    for hop in (64, 100, 256):
        whole = banded(signal, 256, hop, bank, root=root, edge=128)
        for rows in (256, 300, 1024):  # 1 to 16 frames
            monkeypatch.setattr(spectra, "ROWS", rows)
            found = banded(signal, 256, hop, bank, root=root, edge=128)
            monkeypatch.undo()
            np.testing.assert_array_equal(found, whole)


def test_bands_have_a_least_value_and_so_have_rows_without_a_frame():
    signal = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    bank = Bank.of(np.random.default_rng(1).random((33, 129)).astype(np.float32))
    plain, seen = banded(signal, 256, 64, bank, root=True), []
    least = float(np.median(plain))
    found = banded(
        signal, 256, 64, bank, root=True, least=least, finish=lambda x: seen.append(x.copy())
    )
    np.testing.assert_array_equal(found, np.maximum(plain, np.float32(least)))
    (block,) = seen
    rows = block.reshape(-1, 33)
    np.testing.assert_array_equal(rows[: len(found)], found)
    assert len(rows) > len(found)
    assert (rows[len(found) :] == np.float32(least)).all()


def test_bands_are_finished_in_place():
    signal = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    bank = Bank.of(np.random.default_rng(1).random((33, 129)).astype(np.float32))
    plain = banded(signal, 256, 64, bank, root=True)
    found = banded(signal, 256, 64, bank, root=True, finish=lambda x: np.negative(x, out=x))
    np.testing.assert_array_equal(found, -plain)
