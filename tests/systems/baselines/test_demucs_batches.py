"""Chunks of demucs models in batches: the estimates of one chunk at a time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from benchsep_baselines import htdemucs as module
from benchsep_baselines.demucs_batches import BatchPool
from benchsep_baselines.htdemucs import htdemucs
from demucs.apply import BagOfModels
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs

from benchsep.audio import STEMS, Audio
from benchsep.errors import UsageError
from tests.systems.baselines.test_demucs import TINY, package

SMALL = {"channels": 4, "segment": Fraction(1, 2)}
KINDS = {
    "htdemucs": {},
    "hdemucs": {"klass": HDemucs, "kwargs": {**SMALL, "nfft": 1024, "depth": 4}},
    "demucs": {"klass": Demucs, "kwargs": {**SMALL, "depth": 3, "lstm_layers": 1}},
}


@pytest.fixture(scope="module")
def piece(clip):
    """The last chunk is shorter."""
    return Audio(clip.mixture.samples[:, 20_000:90_001], clip.mixture.rate)


@pytest.fixture(scope="module", params=KINDS)
def th(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.th"
    torch.save(package(**KINDS[request.param]), path)
    return path


def estimates(piece: Audio, **options) -> np.ndarray:
    found = htdemucs(**options).separate(piece, seed=3)
    return np.stack([found[stem].samples for stem in STEMS])


def assert_equal_up_to_rounding(found: np.ndarray, expected: np.ndarray) -> None:
    # Mostly the same bytes; kernels for other batches may round differently.
    assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("batch", "options"), [(100, {"shifts": 0}), (2, {"shifts": 2, "overlap": 0.4})]
)
def test_batches_of_any_size_give_the_same_stems(th, piece, batch, options):
    one = estimates(piece, checkpoint=str(th), **options)
    found = estimates(piece, checkpoint=str(th), batch=batch, **options)
    assert_equal_up_to_rounding(found, one)


def test_a_segment_of_ones_own_and_a_short_song(tmp_path, piece):
    path = tmp_path / "small.th"
    torch.save(package(), path)
    for frames in (1, 3000, piece.frames):
        part = Audio(piece.samples[:, :frames], piece.rate)
        options = {"checkpoint": str(path), "shifts": 0, "segment": "0.5"}
        found = estimates(part, batch=4, **options)
        assert_equal_up_to_rounding(found, estimates(part, **options))


def test_a_bag_computes_the_chunks_of_each_model(tmp_path, piece, monkeypatch):
    models = []
    for seed in (0, 1):
        path = tmp_path / f"{seed}.th"
        torch.save(package(seed=seed), path)
        models.append(module.load_model(path))
    bag = BagOfModels(models, [[1.0, 0.5, 0.0, 1.0], [1.0, 1.0, 1.0, 0.2]])
    monkeypatch.setattr(module, "_assemble", lambda *_, **__: bag)
    options = {"checkpoint": str(path), "shifts": 1}
    found = estimates(piece, batch=3, **options)
    assert_equal_up_to_rounding(found, estimates(piece, **options))


def test_the_model_is_called_with_whole_batches(tmp_path, piece, monkeypatch):
    path = tmp_path / "small.th"
    torch.save(package(), path)
    system = htdemucs(checkpoint=str(path), shifts=0, batch=4)
    seen, forward = [], system.model.forward
    monkeypatch.setattr(system.model, "forward", lambda x: seen.append(len(x)) or forward(x))
    system.separate(piece, seed=0)
    stride = int(0.75 * 0.6 * 44_100)
    chunks = -(-piece.frames // stride)
    assert seen == [4] * (chunks // 4) + ([chunks % 4] if chunks % 4 else [])


def test_nothing_is_kept_of_chunks_that_were_given():
    pool = BatchPool(2)
    assert pool.waiting == []
    pool.submit(None, None, None, segment=None, device=None)
    pool.shutdown(wait=True, cancel_futures=True)
    assert pool.waiting == []


def test_a_model_that_draws_a_shift_for_each_chunk_gets_one_at_a_time(tmp_path, piece):
    path = tmp_path / "drawn.th"
    torch.save(package(kwargs={**TINY, "t_sin_random_shift": 50}), path)
    options = {"checkpoint": str(path), "shifts": 1}
    one, three = (estimates(piece, batch=batch, **options) for batch in (1, 3))
    assert np.array_equal(one, three)


def test_the_option_is_declared_where_it_is_used(tmp_path):
    path = tmp_path / "small.th"
    torch.save(package(), path)
    one, four = (htdemucs(checkpoint=str(path), batch=batch).info for batch in (1, "4"))
    assert "batch" not in one.options and four.options["batch"] == 4
    for batch in (0, -1, 2.5, "many", 257):
        with pytest.raises(UsageError, match="batch"):
            htdemucs(checkpoint=str(path), batch=batch)
