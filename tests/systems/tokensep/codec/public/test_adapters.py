"""DAC, EnCodec and Mimi behind the protocol, against the models' own forward pass."""

from __future__ import annotations

import pytest
import torch
from tokensep.codec.codebooks import codebooks
from tokensep.codec.interface import ChunkedCodes
from tokensep.codec.public.adapters import DacCodec, EncodecCodec, MimiCodec, PublicCodec
from tokensep.errors import AudioError, UsageError

from tests.helpers.public_codecs import tiny

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

RATES = {"dac": 44_100, "encodec": 48_000, "mimi": 24_000}
HOPS = {"dac": 512, "encodec": 320, "mimi": 1920}


@pytest.fixture(scope="module")
def codecs() -> dict[str, PublicCodec]:
    return {
        "dac": DacCodec(tiny("dac")),
        "encodec": EncodecCodec(tiny("encodec")),
        "mimi": MimiCodec(tiny("mimi")),
    }


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_facts_are_those_of_the_published_models(codecs: dict[str, PublicCodec]) -> None:
    for name, codec in codecs.items():
        assert codec.rate == RATES[name] and codec.frame_hop == HOPS[name]
    assert [codecs[n].channels for n in ("dac", "encodec", "mimi")] == [1, 2, 1]
    assert codecs["mimi"].frame_rate == 12.5 and codecs["mimi"].semantic_layers == 1
    assert codecs["encodec"].bits_per_second == 6000  # 150 frames, 4 layers of 10 bits
    assert DacCodec(tiny("dac"), 2).bits_per_second == pytest.approx(44_100 / 512 * 2 * 4)


@pytest.mark.parametrize("samples", [1, 1920 * 3, 1920 * 3 + 1])
@pytest.mark.parametrize("name", ["dac", "mimi"])
def test_mono_codecs_keep_the_protocol(
    codecs: dict[str, PublicCodec], name: str, samples: int
) -> None:
    codec, wave = codecs[name], noise(2, samples)
    codes = codec.encode(wave)
    frames = -(-samples // codec.frame_hop)
    assert codes.acoustic.shape == (2, codec.acoustic_layers, frames)
    assert codes.semantic.shape == (2, codec.semantic_layers, frames)
    out = codec.decode(codes)
    assert out.shape == (2, frames * codec.frame_hop)
    padded = torch.nn.functional.pad(wave, (0, out.shape[1] - samples))[:, None]
    with torch.no_grad():
        theirs = codec.model(padded).audio_values.reshape(2, -1)
    torch.testing.assert_close(out, theirs)


def test_encodec_is_the_models_own_pass_and_forgets_nothing(codecs: dict[str, PublicCodec]) -> None:
    codec = codecs["encodec"]
    for samples in (47_521, 110_000):
        wave = noise(1, 2, samples)
        out = codec.decode(codec.encode(wave))
        assert out.shape[2] >= samples
        with torch.no_grad():
            theirs = codec.model(wave, bandwidth=6.0).audio_values
        torch.testing.assert_close(out[..., :samples], theirs[..., :samples])


def test_encodec_codes_chunks_of_a_second_every_990_ms_at_their_own_level(
    codecs: dict[str, PublicCodec],
) -> None:
    codec, wave = codecs["encodec"], noise(1, 2, 110_000)
    wave[..., 60_000:] *= 0.1
    codes = codec.encode(wave)
    assert isinstance(codes, ChunkedCodes) and codes.chunks == 3 and codes.scales is not None
    for k in range(3):
        part = wave[..., 47_520 * k : 47_520 * k + 48_000]
        alone = codec.encode(part)
        own = -(-part.shape[-1] // 320)
        torch.testing.assert_close(
            codes.acoustic[..., 150 * k : 150 * k + own], alone.acoustic[..., :own]
        )
        level = part.mean(1).pow(2).mean().sqrt()
        assert float(codes.scales[0, k]) == pytest.approx(float(level), rel=1e-4)
    louder = codec.encode(4 * wave)
    assert torch.equal(louder.acoustic, codes.acoustic)
    torch.testing.assert_close(codec.decode(louder), 4 * codec.decode(codes))


def test_fewer_codebooks_are_the_first_ones(codecs: dict[str, PublicCodec]) -> None:
    wave = noise(1, 1920 * 4)
    few = DacCodec(codecs["dac"].model, 2).encode(wave)
    assert torch.equal(few.acoustic, codecs["dac"].encode(wave).acoustic[:, :2])
    few = MimiCodec(codecs["mimi"].model, 2).encode(wave)
    assert torch.equal(few.stack(), codecs["mimi"].encode(wave).stack()[:, :2])
    stereo = noise(1, 2, 30_000)
    few = EncodecCodec(codecs["encodec"].model, 3.0).encode(stereo)
    assert torch.equal(few.acoustic, codecs["encodec"].encode(stereo).acoustic[:, :2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DacCodec(tiny("dac"), 4), r"codebooks=4, expected 1 to 3"),
        (lambda: MimiCodec(tiny("mimi"), 0), r"codebooks=0, expected 1 to 4"),
        (lambda: EncodecCodec(tiny("encodec"), 5.0), r"bandwidth=5, expected 3, 6"),
    ],
)
def test_what_a_codec_does_not_offer_is_refused(make, message) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_waves_of_another_shape_are_refused(codecs: dict[str, PublicCodec]) -> None:
    with pytest.raises(AudioError, match=r"\[batch, 2, samples\]"):
        codecs["encodec"].encode(noise(1, 5000))
    with pytest.raises(AudioError, match=r"\[batch, samples\]"):
        codecs["dac"].encode(noise(1, 2, 5000))
    with pytest.raises(AudioError, match="NaN"):
        codecs["mimi"].encode(torch.full((1, 5000), float("nan")))


@pytest.mark.parametrize("name", ["dac", "mimi"])
def test_latents_are_sums_of_entries(codecs: dict[str, PublicCodec], name: str) -> None:
    codec = codecs[name]
    codes = codec.encode(noise(1, 1920 * 4))
    books = codebooks(codec)  # [K, V, D]
    stacked = codes.stack()[0]
    summed = sum(books[k][stacked[k]] for k in range(len(stacked)))
    torch.testing.assert_close(codec.latents(codes)[0], summed, atol=1e-4, rtol=1e-4)
