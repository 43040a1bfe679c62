"""Audio: guards that say what was found, 16-bit rounding, atomic files."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile

from benchsep.audio import Audio, fit_length, read_audio, round_to_16_bit, write_audio
from benchsep.errors import AudioError


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((2, 0)), "no samples"),
        (np.zeros((1000, 2)), "swapped"),
        (np.array([[0.0, np.nan]]), "1 of 2 samples are NaN"),
    ],
)
def test_bad_samples_are_refused(samples, message):
    with pytest.raises(AudioError, match=message):
        Audio(samples.astype(np.float32), 44_100)


def test_files_round_trip_and_leave_nothing_behind(tmp_path):
    audio = Audio(np.random.default_rng(0).uniform(-1, 1, (2, 300)).astype(np.float32), 44_100)
    write_audio(tmp_path / "a.wav", audio)
    assert np.array_equal(read_audio(tmp_path / "a.wav").samples, audio.samples)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_rounding_is_what_a_16_bit_file_gives(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (1, 1000)).astype(np.float32)
    write_audio(tmp_path / "a.wav", Audio(samples, 8000), subtype="PCM_16")
    assert (
        np.abs(read_audio(tmp_path / "a.wav").samples - round_to_16_bit(samples)).max() <= 1 / 32768
    )


def test_a_header_that_claims_gigabytes_is_refused(tmp_path):
    path = tmp_path / "liar.wav"
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 44_100, 176_400, 4, 16)
    data = struct.pack("<4sI", b"data", 0xFFFFFFF0) + b"\0" * 100
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 0xFFFFFFF0, b"WAVE") + fmt + data)
    try:
        audio = read_audio(path)
    except AudioError:
        return
    assert audio.frames <= 100


@pytest.mark.parametrize("content", [b"", b"x", b"RIFF\0\0\0\0WAVE", b"fLaC" + b"\0" * 50])
def test_garbage_is_an_audio_error(tmp_path, content):
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"bad\.wav"):
        read_audio(tmp_path / "bad.wav")


def test_a_one_sample_file_is_audio(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.zeros(1, np.float32), 44_100)
    assert read_audio(tmp_path / "one.wav").frames == 1


def test_resampling_keeps_length_and_a_tone(clip):
    out = clip.mixture.resampled(48_000)
    assert out.frames == round(clip.mixture.frames * 48_000 / 44_100)
    back = out.resampled(44_100)
    inner = slice(2000, -2000)
    error = back.samples[:, inner] - fit_length(clip.mixture.samples, back.frames)[:, inner]
    assert 20 * np.log10(np.sqrt(np.square(error).mean())) < -60


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((1, 9)) * (1 + 1j), "complex128, expected real numbers"),
        (np.full((1, 9), "0.5"), "expected real numbers"),
        (np.array([[0, 20_000, -9]], np.int16), "int16 up to 20000, .*int16 by 32768"),
        (np.array([[0, 2, -1]], np.int64), "int64 up to 2"),
        ([3, -32768, 5], "up to 32768"),
        (np.array([[128, 255]], np.uint8), "uint8 up to 255"),
        (np.ma.masked_greater(np.linspace(0, 1, 9), 0.5), "masked"),
        ((np.zeros((2, 9)), 44_100), "samples are tuple"),
        (None, "expected real numbers"),
    ],
)
def test_arrays_that_float32_would_change_without_a_word_are_refused(array, message):
    for make in (Audio.of, Audio):
        with pytest.raises(AudioError, match=message):
            make(array, 44_100)


@pytest.mark.parametrize("rate", ["44100", 44_100.5, np.nan, np.inf, 0, True, None])
def test_a_rate_is_a_whole_number(rate):
    with pytest.raises(AudioError, match=r"sample rate .*expected a whole number"):
        Audio.of(np.zeros(9), rate)
    assert Audio.of(np.zeros(9), np.float64(44_100)).rate == 44_100


def test_tensors_are_audio_whatever_their_type():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[0.5, -0.25]])
    for given in (tensor.requires_grad_(), tensor.bfloat16(), tensor.double()):
        assert Audio.of(given, 8000).samples.tolist() == [[0.5, -0.25]]
    with pytest.raises(AudioError, match="complex64"):
        Audio.of(tensor.detach() + 1j, 8000)
