"""Sounds of the page: the same length and bytes each time, FLAC while it is small enough."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import soundfile

from benchsep.audio import Audio
from benchsep.report.site.audio import (
    MAX_MB,
    choose,
    expected_mb,
    flac,
    opus,
    write_audio_script,
)


def test_opus_keeps_time_and_sound_and_gives_the_same_bytes(clip):
    mixture = clip.mixture
    encoded = opus(mixture)
    assert encoded == opus(mixture)
    decoded, rate = soundfile.read(io.BytesIO(encoded))  # libsndfile, not the encoder's library
    truth = mixture.resampled(rate).samples.T
    assert decoded.shape == truth.shape  # switching between systems stays exact
    error = decoded - truth
    assert 10 * np.log10((truth**2).sum() / (error**2).sum()) > 15
    assert len(encoded) < len(flac(mixture)) / 4


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_number_of_channels_is_encoded(channels):
    samples = np.zeros((channels, 4_800), np.float32)
    decoded, _ = soundfile.read(io.BytesIO(opus(Audio(samples, 48_000))), always_2d=True)
    frames, decoded_channels = decoded.shape
    # The encoder may end with a part of a packet more; all sounds of a stem have the same length.
    assert 4_800 <= frames < 4_800 + 960
    assert decoded_channels == {1: 1, 2: 2, 3: 1}[channels]


def test_the_expected_size_is_near_the_true_one_and_decides(clip):
    seconds, rate = clip.mixture.seconds, clip.mixture.rate
    for codec, encode in (("flac", flac), ("opus", opus)):
        true = len(encode(clip.mixture)) * 4 / 3 / 1e6
        assert expected_mb(seconds, rate, 1, codec) == pytest.approx(true, rel=0.35)
    assert choose(20.0, 44_100, 10) == "flac"
    assert choose(20.0, 44_100, 200) == "opus"
    assert expected_mb(20.0, 44_100, 10, "flac") < MAX_MB < expected_mb(20.0, 44_100, 200, "flac")


def test_equal_sounds_are_encoded_once_under_every_name(tmp_path):
    tone = Audio.of(np.sin(np.arange(4_800) / 9), 48_000)
    signals = {
        "a": tone,
        "b": Audio.of(tone.samples.copy(), 48_000),
        "c": Audio.of(-tone.samples, 48_000),
    }
    names = []

    def spread(do, sounds):
        found = list(map(do, sounds))
        names.append(len(found))
        return found

    text = write_audio_script(tmp_path, "page/s0", "bass", signals, "flac", spread).read_text()
    assert names == [3, 2]  # digests, then sounds
    body = json.loads(json.loads(text[text.index("JSON.parse(") + 11 : text.rindex("))")]))
    assert body["a"] == body["b"] != body["c"] and set(body) == set(signals)
    for name, sound in signals.items():
        decoded, _ = soundfile.read(io.BytesIO(base64.b64decode(body[name])), always_2d=True)
        np.testing.assert_allclose(decoded.T, sound.samples, atol=2**-15)
    # Another codec is another file.
    write_audio_script(tmp_path, "page/s0", "bass", signals, "opus", spread)
    assert names[2:] == [3, 2]
