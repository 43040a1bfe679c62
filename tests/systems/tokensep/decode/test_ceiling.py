"""Stems through a codec: lengths, rates, channels, level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokensep.codec.interface import Codes
from tokensep.decode import ceiling, render
from tokensep.decode.ceiling import Ceiling
from tokensep.errors import AudioError
from torch import Tensor

RATE, HOP = 8000, 160


class Lossless:
    """The wave itself as "codes", padded to frames; it notes the shapes that it was given."""

    rate, frame_hop, frame_rate = RATE, HOP, RATE / HOP

    def __init__(self, channels: int = 1, chunked: bool = False) -> None:
        self.channels, self.chunked = channels, chunked
        self.shapes: list[tuple[int, ...]] = []

    def encode(self, wave: Tensor) -> Codes:
        self.shapes.append(tuple(wave.shape))
        padded = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % HOP))
        return Codes(padded, padded)

    def decode(self, codes: Codes) -> Tensor:
        return codes.acoustic


def song(channels: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (channels, samples)).astype(np.float32)


@pytest.mark.parametrize("codec_channels", [1, 2])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_lossless_codec_gives_the_stem_back(codec_channels: int, channels: int) -> None:
    codec, stem = Lossless(codec_channels), song(channels, 5001)
    np.testing.assert_allclose(Ceiling(codec)(stem, RATE), stem, atol=1e-6)
    one = (1, 5001) if codec_channels == 1 else (1, 2, 5001)
    assert codec.shapes == [one] * (channels if codec_channels == 1 else 1)


@pytest.mark.parametrize("rate", [6000, 8000, 44_100])
@pytest.mark.parametrize("samples", [1, 999, 12_345])
def test_lengths_are_exact_at_any_rate(rate: int, samples: int) -> None:
    out = Ceiling(Lossless())(song(2, samples), rate)
    assert out.shape == (2, samples) and np.isfinite(out).all()


def test_long_stems_go_in_pieces_unless_the_codec_cuts_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(render, "PIECE_SECONDS", 1.0)
    stem, pieces, chunked = song(1, 3 * RATE + 7), Lossless(), Lossless(chunked=True)
    np.testing.assert_allclose(Ceiling(pieces)(stem, RATE), stem, atol=1e-6)
    assert {shape[1] for shape in pieces.shapes} == {RATE} and len(pieces.shapes) > 3
    np.testing.assert_allclose(Ceiling(chunked)(stem, RATE), stem, atol=1e-6)
    assert chunked.shapes == [(1, 3 * RATE + 7)]


def test_only_a_codec_with_an_lm_gets_its_level() -> None:
    heard: list[float] = []

    class Listening(Lossless):
        def encode(self, wave: Tensor) -> Codes:
            heard.append(float(wave.pow(2).mean().sqrt()))
            return super().encode(wave)

    stem = song(1, 8000)
    own = float(np.sqrt((stem**2).mean()))
    Ceiling(Listening())(stem, RATE, level=1.0)
    Ceiling(Listening(), loudness=-20.0)(stem, RATE, level=2 * own)
    assert heard == pytest.approx([own, 0.05], rel=1e-3)


def test_silence_stays_silence_and_surround_is_refused() -> None:
    codec = Lossless(2)
    assert not Ceiling(codec)(np.zeros((2, 100), np.float32), RATE).any() and not codec.shapes
    with pytest.raises(AudioError, match="found 3 channels, and this codec takes 2"):
        Ceiling(codec)(song(3, 1000), RATE)
    assert ceiling.SILENT == 1e-6
