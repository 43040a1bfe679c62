"""The design ``bands``: combs, salience, phase, fit, decoder, each against signals or numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokensep.codec.bands import BandEncoder, neighbours
from tokensep.codec.fit import BAND_SCALE, fit
from tokensep.codec.harmonic import HarmonicDecoder, interpolation
from tokensep.codec.layers import same_stft
from tokensep.codec.model import HCodec
from tokensep.codec.phase import griffin_lim, spsi
from tokensep.codec.pitch import Grid, Salience, combs, hann_lobe
from tokensep.codec.rvq import ResidualVQ
from tokensep.codec.spectrogram_loss import SpectrogramLoss, pitch_loss
from tokensep.config import BandsConfig, CodecConfig, SpectrogramLossConfig, load
from tokensep.errors import ConfigError

from tests.helpers.codec_dummies import TINY_BANDS

RATE = 44100
GRID = Grid(low=80, octaves=3, per_octave=48)


@pytest.fixture
def codec() -> HCodec:
    torch.manual_seed(0)
    return HCodec(TINY_BANDS).eval()


def harmonic(f0: float, seconds: float = 0.4, top: float = 4500) -> NDArray[np.float32]:
    """Equally loud partials of ``f0`` up to ``top`` Hz."""
    t = np.arange(round(seconds * 25) * 1764) / RATE
    partials = [np.sin(2 * np.pi * k * f0 * t + k) for k in range(1, int(top / f0) + 1)]
    return np.asarray(0.03 * np.sum(partials, 0), np.float32)


def waves(count: int) -> list[torch.Tensor]:
    """Batches of two: a tone of random pitch in noise that fades."""
    rng = np.random.default_rng(1)
    out = []
    for _ in range(count):
        tones = [harmonic(float(rng.uniform(90, 500))) for _ in range(2)]
        noise = rng.standard_normal((2, len(tones[0]))) * 10.0 ** rng.uniform(-4, -1, (2, 1))
        out.append(torch.from_numpy((np.stack(tones) + noise).astype(np.float32)))
    return out


def test_lobe_is_that_of_a_hann_window() -> None:
    size, fine = 256, 32
    spectrum = np.abs(np.fft.rfft(np.hanning(size + 1)[:-1], size * fine))
    at = np.arange(2 * fine)
    np.testing.assert_allclose(hann_lobe(at / fine), spectrum[at] / spectrum[0], atol=2e-4)
    assert hann_lobe(np.array([2.5])) == 0


def test_a_comb_is_the_spectrum_of_its_harmonics() -> None:
    table = combs(GRID, 2048, RATE)
    assert table.shape == (144, 1025)
    index = 60
    wave = torch.from_numpy(harmonic(float(GRID.hz()[index])))[None]
    power = same_stft(wave, 2048, 441, torch.hann_window(2048)).abs()[0, 20] ** 2
    low = slice(3, 90)  # to 1.9 kHz: above, a comb is broader than one tone's
    shape = (power / power.max())[low].sqrt(), table[index, low].sqrt()
    assert np.corrcoef(shape[0], shape[1])[0, 1] > 0.95
    other = np.corrcoef(shape[0], table[index + 12, low].sqrt())[0, 1]
    assert other < 0.7


@pytest.mark.parametrize("f0", [97.0, 180.0, 333.0])
def test_salience_finds_the_pitch(f0: float) -> None:
    salience, sure = Salience(GRID, RATE, 4096, 882)(torch.from_numpy(harmonic(f0))[None])
    middle = salience[0, 5:-5]
    found = GRID.hz()[middle.argmax(-1).numpy()]
    np.testing.assert_allclose(12 * np.log2(found / f0), 0, atol=0.3)  # semitones
    assert sure[0, 5:-5].min() > 0.9
    torch.testing.assert_close(middle.sum(-1), torch.ones(len(middle)), atol=1e-4, rtol=0)


def test_salience_is_unsure_of_noise_and_silence() -> None:
    torch.manual_seed(0)
    measure = Salience(GRID, RATE, 4096, 882)
    tone = measure(torch.from_numpy(harmonic(180.0))[None])[1].mean()
    noise = measure(0.1 * torch.randn(1, 20 * 882))[1].mean()
    assert noise < 0.5 * tone
    assert not measure(torch.zeros(1, 20 * 882))[1].any()


def test_phase_from_magnitudes_gives_the_tone_back() -> None:
    wave = torch.from_numpy(harmonic(331.0))[None]
    window = torch.hann_window(2048)
    spec = same_stft(wave, 2048, 441, window)
    known = griffin_lim(spec.abs(), spec.angle(), 2048, 441, window, 0)
    inner = slice(2048, -2048)
    torch.testing.assert_close(known[:, inner], wave[:, inner], atol=1e-3, rtol=0)
    ruled = spsi(spec.abs(), 2048, 441)
    distances = []
    for phase, steps in ((ruled, 0), (ruled, 4), (torch.zeros_like(ruled), 4)):
        out = griffin_lim(spec.abs(), phase, 2048, 441, window, steps)
        back = same_stft(out, 2048, 441, window).abs()
        distances.append(float((back - spec.abs()).norm() / spec.abs().norm()))
    assert distances[0] < 0.3 and distances[1] < distances[0]
    assert distances[2] > 2 * distances[1]


def test_interpolation_keeps_a_constant() -> None:
    for bands in (16, 128):
        table = interpolation(bands, 2048, RATE)
        torch.testing.assert_close(table.sum(0), torch.ones(1025))
        assert (table >= 0).all()


def test_neighbours_are_the_frames_around() -> None:
    x = torch.arange(12.0).reshape(1, 4, 3)
    near = neighbours(x, 1)
    assert near.shape == (1, 4, 9)
    torch.testing.assert_close(near[0, 2], x[0, 1:4].flatten())
    assert not near[0, 0, :3].any() and not near[0, 3, 6:].any()


def test_fit_is_least_squares_then_principal_components(codec: HCodec) -> None:
    data = waves(8)
    codec.requires_grad_(False)
    errors = fit(codec, data)
    encoder, decoder = codec.encoder, codec.decoder
    assert isinstance(encoder, BandEncoder) and isinstance(decoder, HarmonicDecoder)
    assert errors["mean"] > errors["hint"] > errors["projection"]
    assert errors["projection"] < errors["quantised"]
    levels, near, rest, back = [], [], [], []
    for wave in data:
        semantic = codec.quantised_semantic(wave)
        latents = torch.cat([encoder(wave, semantic), semantic], -1)
        levels.append(encoder.band_levels(wave).flatten(0, 1))
        near.append(neighbours(semantic, 1).flatten(0, 1))
        rest.append(encoder.rest(wave, semantic).flatten(0, 1))
        back.append(decoder.base(latents).flatten(0, 1).reshape(len(levels[-1]), -1))
    x, y = torch.cat(near).double().numpy(), torch.cat(levels).double().numpy()
    design = np.c_[x, np.ones(len(x))]
    best = np.square(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]).mean()
    left = torch.cat(rest).double().numpy()
    assert best <= np.square(left).mean() < 1.1 * best
    values = np.linalg.svd(left - left.mean(0), compute_uv=False)
    tail = np.square(values[encoder.project.out_features :]).sum() / left.size
    after = np.square(y - torch.cat(back).double().numpy()).mean()
    assert after == pytest.approx(tail, rel=0.02)
    gram = encoder.project.weight @ encoder.project.weight.T / BAND_SCALE**2
    torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-4, rtol=0)


def test_search_finds_the_nearest_sum() -> None:
    torch.manual_seed(0)
    rvq = ResidualVQ(4, 8, 3, 0.9, 0.0).eval()
    x = torch.randn(2, 30, 4)
    greedy = rvq(x)
    for mine, theirs in zip(rvq.search(x, 1), greedy, strict=False):
        torch.testing.assert_close(mine, theirs)
    a, b, c = (book.entries for book in rvq.codebooks())
    sums = (a[:, None, None] + b[:, None] + c).reshape(-1, 4)
    best = torch.cdist(x.reshape(-1, 4), sums).min(1)
    quantised, codes = rvq.search(x, 64)  # 64 follows every sum of two entries
    torch.testing.assert_close((x - quantised).norm(dim=-1).flatten(), best.values)
    index = (codes[:, 0] * 8 + codes[:, 1]) * 8 + codes[:, 2]
    assert torch.equal(index.flatten(), best.indices)
    torch.testing.assert_close(rvq.decode(codes), quantised)
    errors = [float((x - q).pow(2).mean()) for q in (greedy[0], rvq.search(x, 4)[0], quantised)]
    assert errors[0] > errors[1] >= errors[2]


def test_fit_refuses_the_other_design() -> None:
    with pytest.raises(ConfigError, match="expected 'bands'"):
        fit(HCodec(TINY_BANDS.model_copy(update={"design": "spectrum"})), [])


def test_decoder_plays_the_pitch_it_is_given(codec: HCodec) -> None:
    decoder = codec.decoder
    assert isinstance(decoder, HarmonicDecoder)
    b, frames, index = TINY_BANDS.bands, 80, 20
    grid = Grid(b.pitch_low, b.pitch_octaves, b.pitch_per_octave)
    noise = torch.full((1, frames, b.bands), -11.0)
    envelope = torch.full((1, frames, b.sources, b.envelope_bands), 7.0)
    envelope[:, :, 1:] = -9.0
    weights = torch.zeros(1, frames, b.sources, grid.count)
    weights[..., index] = 1
    log = decoder.spectrum((noise, envelope, weights))
    assert float(log.max()) == pytest.approx(-4.0, abs=0.05)
    wave = decoder.wave(log)[0, 8192:-8192].numpy()
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    f0 = grid.hz()[index]
    around = slice(*(round(x * f0 * len(wave) / RATE) for x in (0.7, 1.4)))
    found = (spectrum[around].argmax() + around.start) * RATE / len(wave)
    assert found == pytest.approx(f0, rel=0.03)
    # a full-scale sine is 0: level -4 nats, and the noise floor 7 nats below it
    amplitude = spectrum[around].max() * 4 / len(wave)
    assert np.log(amplitude) == pytest.approx(-4.0, abs=0.7)


def test_pass_encode_and_checkpoint_agree(codec: HCodec, tmp_path: Path) -> None:
    fit(codec, waves(3))
    wave = waves(1)[0]
    codes = codec.encode(wave)
    assert codes.acoustic.shape == (2, 3, 10) and codes.semantic.shape == (2, 2, 10)
    out = codec.train()(wave)
    assert torch.equal(out.codes.stack(), codes.stack())  # training does not move codebooks
    assert out.output.shape == (2, 40, 1025) and out.pitch.shape == (2, 40, 24)
    assert out.output.requires_grad and not out.commit.requires_grad
    assert {k.split(".")[0] for k, p in codec.named_parameters() if p.requires_grad} == {
        "decoder",
        "semantic_encoder",
        "semantic_decoder",
    }
    codec.eval().save_checkpoint(tmp_path / "1")
    first = HCodec.from_checkpoint(tmp_path / "1")  # its numbers are those of float16
    first.save_checkpoint(tmp_path / "2")
    again = HCodec.from_checkpoint(tmp_path / "2")
    codes = first.encode(wave)
    assert torch.equal(again.encode(wave).stack(), codes.stack())
    assert torch.equal(again.decode(codes), first.decode(codes))
    assert again.decode(codes).shape == wave.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pitch_dims": 8}, "pitch_dims 8, expected 0 to"),
        ({"upsample": 5}, "into 5 equal hops"),
        ({"heads": 3}, "not divisible by bands.heads 3"),
    ],
)
def test_bad_sizes_are_refused(change: dict[str, int], message: str) -> None:
    data = TINY_BANDS.model_dump()
    data["bands"] |= change
    with pytest.raises(ConfigError, match=message):
        load(CodecConfig, data)
    assert load(CodecConfig, data | {"design": "spectrum"}).bands != BandsConfig()


def test_spectrogram_loss_hears_level_place_and_texture() -> None:
    torch.manual_seed(0)
    loss = SpectrogramLoss(SpectrogramLossConfig(), RATE, 2048)
    wave = torch.from_numpy(harmonic(300.0))[None] + 1e-3 * torch.randn(1, 10 * 1764)
    spec = same_stft(wave, 2048, 441, torch.hann_window(2048)).abs() * (2 / 1024)
    reference = torch.log(spec + 1e-6)
    same = loss(reference, reference)
    assert max(float(v) for v in same.values()) < 5e-3, same
    # one nat too low costs 2 * 0.58 in nats, too high 2 * 0.42
    low, high = loss(reference - 1, reference), loss(reference + 1, reference)
    assert float(low["bins"] / high["bins"]) == pytest.approx(0.58 / 0.42, rel=1e-3)
    assert float(low["mel"]) == pytest.approx(1, abs=0.05)
    assert float(low["patches"]) < 0.02 and float(low["fine"]) < 0.02
    flat = torch.nn.functional.avg_pool1d(reference, 31, 1, 15, count_include_pad=False)
    moved = reference.roll(7, -1)  # partials of 14 bins' distance fall between their places
    for wrong in (flat, moved):
        assert float(loss(wrong, reference)["fine"]) > 0.3
    total = loss.total(low)
    assert float(total) > float(loss.total(same))


def test_pitch_loss_counts_voiced_frames_only() -> None:
    salience = torch.eye(6)[torch.tensor([1, 4])][None]  # [1, 2, 6]
    right = torch.eye(6)[torch.tensor([1, 1, 4, 4])][None]
    half = torch.eye(6)[torch.tensor([1, 1, 0, 0])][None]
    both, first = torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
    assert float(pitch_loss(right, salience, both)) == pytest.approx(0, abs=1e-5)
    assert float(pitch_loss(half, salience, both)) == pytest.approx(-np.log(1e-6) / 2, rel=1e-4)
    assert float(pitch_loss(half, salience, first)) == pytest.approx(0, abs=1e-5)
