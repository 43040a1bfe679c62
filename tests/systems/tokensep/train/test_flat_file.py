"""Training data that are written piece by piece: the same bytes as at once, in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from tokensep.train.encoding import encode_songs, silence_codes
from tokensep.train.flat_file import FlatFile
from tokensep.train.token_dataset import TokenDataset
from tokensep.train.token_files import write_clips

from tests.helpers.lm_dummies import RATE, DummyCodec, tiny_config

STEMS = ("vocals", "drums", "bass", "other")


@pytest.mark.parametrize("dtype", [np.int16, np.float16, np.float32])
@pytest.mark.parametrize("shapes", [[(3,)], [(2, 5), (0,), (1234,)], []])
def test_a_flat_file_is_what_numpy_would_save(tmp_path, dtype, shapes):
    pieces = [np.random.default_rng(i).normal(0, 99, s).astype(dtype) for i, s in enumerate(shapes)]
    with FlatFile(tmp_path / "a.npy", dtype) as file:
        for piece in pieces:
            file.append(piece)
    np.save(tmp_path / "b.npy", np.concatenate([np.zeros(0, dtype), *(p.ravel() for p in pieces)]))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_file_whose_writer_died_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt), FlatFile(tmp_path / "a.npy", np.int16) as file:
        file.append(np.arange(10))
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="pickle"):
        np.load(tmp_path / "a.npy")


def songs(count):
    for number in range(count):
        rng = np.random.default_rng(number)
        yield f"{number}", {s: rng.normal(0, 0.1, 20 * RATE).astype(np.float32) for s in STEMS}


def peak_bytes(tmp_path, count):
    codec, config = DummyCodec(), tiny_config()
    tracemalloc.start()
    clips = encode_songs(songs(count), codec, config, variants=3)
    write_clips(tmp_path / str(count), clips, silence_codes(codec, config))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_encoding_songs_takes_the_memory_of_one_song(tmp_path):
    few, many = peak_bytes(tmp_path, 2), peak_bytes(tmp_path, 8)
    assert many < 1.1 * few
    assert len(TokenDataset.load(tmp_path / "8", tiny_config()).songs) == 24
