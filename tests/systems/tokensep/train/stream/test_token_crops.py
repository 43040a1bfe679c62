"""Crops of the LM from token shards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchsep_training.batches import Turn
from tokensep.errors import DataError
from tokensep.lm.config import LMTrainConfig
from tokensep.train.stream.loader import StreamBatches
from tokensep.train.stream.shards import find_shards
from tokensep.train.stream.token_crops import TokenCrops
from tokensep.train.tokenizing.job import common_job

from tests.helpers.labelled import labelled
from tests.helpers.lm_dummies import HOP, DummyCodec, tiny_config
from tests.helpers.token_shards import tokenized

FRAMES = 12
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on few cores


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Token shards of each kind; the clips have 50 frames, one folder's only 5."""
    root = tmp_path_factory.mktemp("tokens")
    shards = labelled(root, clips=7)
    short = labelled(root / "short", clips=2, seconds=0.2)
    return {
        "sum": tokenized(shards, root / "sum"),
        "recorded": tokenized(shards, root / "recorded", mixture="recorded"),
        "bare": tokenized(shards, root / "bare", stem_audio=False),
        "short": tokenized(short, root / "short-tokens"),
    }


def crops_of(folder, **settings):
    train = LMTrainConfig(**{"remix": 0.0, "shuffle_shards": 2, **settings})
    return TokenCrops(find_shards([folder]), common_job([folder]), tiny_config(), train)


def encoded(wave):
    return DummyCodec().encode(torch.from_numpy(wave)[None]).stack()[0].numpy()


def test_codes_belong_to_the_wave(folders, monkeypatch):
    """All stems but one are silenced: then the crop's wave is that stem, and its codes fit."""
    crops = crops_of(folders["sum"])
    clip = crops._clip(0, 1)
    for s in range(4):
        silent = np.arange(4) != s
        wave, codes = crops._together(clip, 0.3, silent)
        assert (encoded(wave) == codes[s]).mean() > 0.99
        assert (codes[silent] == crops.silence[:, None]).all()


def test_a_crop_of_one_clip_holds_its_mixture(folders):
    for kind, share in (("sum", 1.0), ("recorded", 1 / 0.9)):
        crops = crops_of(folders[kind], mixture=kind)
        clip, silent = crops._clip(1, 0), np.zeros(4, bool)
        wave, _ = crops._together(clip, 0.0, silent)
        stems = sum(clip.wave(s, 0, FRAMES * HOP) for s in tiny_config().stems)
        np.testing.assert_allclose(wave, share * stems, atol=1e-3)
    again = crops_of(folders["recorded"], mixture="sum")
    clip = again._clip(1, 0)
    wave, _ = again._together(clip, 0.0, silent)
    stems = sum(clip.wave(s, 0, FRAMES * HOP) for s in tiny_config().stems)
    np.testing.assert_allclose(wave, stems, atol=1e-5)


def test_remixed_stems_come_from_several_clips(folders, monkeypatch):
    monkeypatch.setattr("tokensep.train.stream.token_crops.SILENT", 0.0)
    crops = crops_of(folders["sum"], remix=1.0)
    sources = {
        (shard, clip): crops._clip(shard, clip)
        for shard, count in enumerate(crops.shards.counts)
        for clip in range(count)
    }
    wave, codes = crops.crop(5)
    homes = []
    for s in range(4):
        for place, clip in sources.items():
            starts = range(clip.frames - FRAMES + 1)
            hits = [f for f in starts if np.array_equal(clip.codes[s, :, f : f + 12], codes[s])]
            homes += [(place, s, f) for f in hits]
    assert [s for _, s, _ in homes] == [0, 1, 2, 3] and len({place for place, _, _ in homes}) > 1
    parts = [
        sources[place].wave(tiny_config().stems[s], f * HOP, FRAMES * HOP) for place, s, f in homes
    ]
    np.testing.assert_allclose(wave, np.sum(parts, axis=0), atol=1e-5)


class Magnitudes(DummyCodec):
    """Its codes are those of a frame's magnitudes."""

    def encode(self, wave):
        pieces = wave.unflatten(-1, (-1, HOP)) @ self.basis.T
        return super().encode((pieces.abs() @ self.basis).flatten(-2))


def test_polarity_is_random_where_codes_do_not_depend_on_it(folders, tmp_path):
    assert not crops_of(folders["sum"]).job.polarity_free
    shards = labelled(tmp_path, clips=3)
    free = crops_of(tokenized(shards, tmp_path / "free", Magnitudes()))
    plain = crops_of(tokenized(shards, tmp_path / "plain"))
    assert free.job.polarity_free
    signs = []
    for number in range(12):
        one, other = free.crop(number)[0], plain.crop(number)[0]
        signs.append(float(np.sign(one @ other)))
        np.testing.assert_allclose(one, signs[-1] * other, atol=1e-6)
    assert set(signs) == {-1.0, 1.0}


def test_a_clip_shorter_than_a_crop_ends_in_silence(folders):
    crops = crops_of(folders["short"])
    wave, codes = crops.crop(0)
    assert wave[: 5 * HOP].any() and not wave[5 * HOP :].any()
    assert (codes[:, :, 5:] == crops.silence[:, None]).all()
    assert crops_of(folders["short"], remix=1.0).crop(1)[1].shape == (4, 5, 12)


def test_crops_are_a_function_of_seed_and_number(folders):
    a, b = crops_of(folders["sum"], remix=0.5), crops_of(folders["sum"], remix=0.5)
    for number in (9, 0, 123, 9):
        for one, two in zip(a.crop(number), b.crop(number), strict=True):
            np.testing.assert_array_equal(one, two)
    other = crops_of(folders["sum"], remix=0.5, seed=1)
    assert not np.array_equal(a.crop(9)[0], other.crop(9)[0])


def test_without_stem_audio_crops_are_of_one_clip_and_nothing_is_silenced(folders):
    crops = crops_of(folders["bare"])
    numbers = range(40)
    assert not any((crops.crop(n)[1] == crops.silence[:, None]).all((1, 2)).any() for n in numbers)
    with pytest.raises(DataError, match=r"no stem audio.*-O remix=0"):
        crops_of(folders["bare"], remix=0.5)
    with pytest.raises(DataError, match="no recorded mixtures"):
        crops_of(folders["sum"], mixture="recorded")


def test_windows_and_codes_for_validation_and_for_the_head(folders):
    crops = crops_of(folders["sum"])
    windows = crops.windows(3)
    assert len(windows) == 3 and windows[0].wave.shape == (FRAMES * HOP,)
    assert len(crops.windows(99)) == 7
    assert crops.code_sample().shape == (7 * 4 * 50, 5)


def batches(folder, workers, start=0, count=7, rank=0, ranks=1, accumulate=2, size=2):
    source = StreamBatches(crops_of(folder, remix=0.5), size, accumulate, workers=workers)
    turns = [divmod(j, accumulate) for j in range(start, start + count)]
    found = [source.batch(Turn(step, piece, rank, ranks)) for step, piece in turns]
    source.close()
    return found


def test_workers_change_nothing_and_a_stream_begins_anywhere(folders):
    plain = batches(folders["sum"], 0, count=12)
    for workers, start in ((1, 0), (3, 0), (3, 5), (1, 9)):
        found = batches(folders["sum"], workers, start, 3)
        for one, two in zip(found, plain[start:], strict=False):
            assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_processes_share_the_crops_of_one(folders):
    """Two processes with batches of 2 see what one with batches of 4 sees."""
    one = batches(folders["sum"], 0, count=4, size=4)
    two = [
        batches(folders["sum"], workers, count=4, rank=r, ranks=2)
        for r, workers in ((0, 3), (1, 0))
    ]
    for whole, left, right in zip(one, *two, strict=True):
        assert torch.equal(whole[0], torch.cat([left[0], right[0]]))
        assert torch.equal(whole[1], torch.cat([left[1], right[1]]))


def test_batches_besides_those_of_a_step_do_not_disturb_the_stream(folders):
    source = StreamBatches(crops_of(folders["sum"]), 2, 1, workers=1)
    plain = StreamBatches(crops_of(folders["sum"]), 2, 1)
    for turn in (Turn(0, 0), Turn(1, 4), Turn(1, 5), Turn(1, 0), Turn(2, 0)):
        assert torch.equal(source.batch(turn)[0], plain.batch(turn)[0])
    workers = source._batches._workers
    assert len(workers) == 1
    source.close()


def test_an_error_in_a_worker_is_told(folders, tmp_path):
    shards = find_shards([folders["sum"]])
    (tmp_path / "bad.tar").write_bytes(b"")
    shards.paths[:] = [tmp_path / "bad.tar"] * len(shards.paths)
    crops = TokenCrops(
        shards, common_job([folders["sum"]]), tiny_config(), LMTrainConfig(shuffle_shards=2)
    )
    with pytest.raises(DataError, match=r"bad\.tar is not a complete shard"):
        StreamBatches(crops, 2, 1, workers=2).batch(Turn(0, 0))
