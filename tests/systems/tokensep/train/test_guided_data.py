"""What the guided decoder learns from: crops of songs, and generated stems that are made worse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchsep_training.seeds import generator
from tokensep.errors import DataError
from tokensep.train.data import Source
from tokensep.train.guided_data import Worse
from tokensep.train.stereo_songs import StereoSongs

from tests.helpers.lm_dummies import SyntheticSongs, tiny_config

CONFIG = tiny_config()


def songs(**more) -> StereoSongs:
    return StereoSongs(SyntheticSongs(**more), {"one", "two"}, CONFIG)


def made() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 50), torch.randn(4, 7, 3)


def test_crops_are_stereo_and_a_function_of_the_generator():
    data = songs()
    a, b, other = (data.crop(generator("crop", 0, i), 0.5) for i in (1, 1, 2))
    assert a.shape == (4, 2, CONFIG.window_frames * CONFIG.frame_hop) and a.dtype == np.float32
    assert np.array_equal(a, b) and not np.array_equal(a, other)


def test_fixed_crops_are_the_songs_at_the_lms_loudness():
    store = SyntheticSongs(seconds=CONFIG.window_frames * CONFIG.frame_hop / SyntheticSongs.rate)
    for crop, song in zip(songs_of(store).windows(1), store.songs(), strict=True):
        mixture = crop.sum(0).mean(0)
        level = 10 * np.log10(np.mean(mixture**2))
        assert level == pytest.approx(CONFIG.loudness, abs=0.01)
        true = np.stack([s.audio for s in store.sources if s.song == song]).astype(float)
        assert np.corrcoef(true.ravel(), crop[..., : true.shape[-1]].ravel())[0, 1] > 0.9999


def songs_of(store: SyntheticSongs) -> StereoSongs:
    return StereoSongs(store, set(store.songs()), CONFIG)


def test_a_song_shorter_than_a_crop_ends_in_silence():
    crop = songs(seconds=0.05).windows(1)[0]
    assert crop[..., :300].any() and not crop[..., 500:].any()


def test_channels_of_a_source_stay_apart():
    store = SyntheticSongs()
    left_only = [
        Source(s.song, s.stem, s.audio * np.array([[1], [0]], np.int16)) for s in store.sources
    ]
    store.sources = left_only
    for number in range(6):
        crop = songs_of(store).crop(generator("sides", 0, number), 0.0)
        silent = ~crop.any(-1)  # [S, 2]: one side of each stem, swapped or not
        assert silent.any(1).all()


def test_a_stem_without_recordings_is_named():
    store = SyntheticSongs()
    store.sources = [s for s in store.sources if s.stem != "bass"]
    with pytest.raises(DataError, match="no recording of bass"):
        songs_of(store)


def test_generated_stems_leak_into_each_other_and_their_sum_stays():
    generated, latents = made()
    found, moved = Worse(nothing=0.0, leaks=1.0)(generated, latents, generator("leak", 0))
    assert not torch.allclose(found, generated) and not torch.allclose(moved, latents)
    torch.testing.assert_close(found.sum(0), generated.sum(0))
    torch.testing.assert_close(moved.sum(0), latents.sum(0))


def test_nothing_or_everything_of_what_was_generated():
    generated, latents = made()
    gone = Worse(nothing=1.0, leaks=0.0)(generated, latents, generator("gone", 0))
    kept = Worse(nothing=0.0, leaks=0.0)(generated, latents, generator("kept", 0))
    assert not any(part.any() for part in gone)
    assert kept[0] is generated and kept[1] is latents


def test_the_chances_are_those_that_were_asked_for():
    generated, latents = made()
    worse, counts = Worse(nothing=0.5, leaks=0.3), [0, 0]
    for number in range(400):
        found, _ = worse(generated, latents, generator("chance", number))
        counts[0] += not found.any()
        counts[1] += bool(found.any()) and found is not generated
    assert counts[0] == pytest.approx(200, abs=40) and counts[1] == pytest.approx(120, abs=40)
