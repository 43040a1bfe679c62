"""The codec: its parts against independent ones, its interface, its checkpoints, its bad inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokensep.codec.discriminators import (
    Discriminators,
    discriminator_loss,
    generator_losses,
)
from tokensep.codec.interface import Codes
from tokensep.codec.layers import (
    Conv,
    UpConv,
    frame,
    mel_filters,
    overlap_add,
    same_istft,
    same_stft,
)
from tokensep.codec.losses import SpectralLoss, gammatone_filters
from tokensep.codec.model import HCodec
from tokensep.codec.rvq import ResidualVQ, perplexity
from tokensep.config import PRESETS, CodecConfig, CodecTrainConfig, LossConfig, load
from tokensep.errors import AudioError, CheckpointError, ConfigError

from tests.helpers.codec_dummies import TINY


@pytest.fixture
def codec() -> HCodec:
    torch.manual_seed(0)
    return HCodec(TINY).eval()


def test_frame_and_overlap_add_equal_torch() -> None:
    x = torch.randn(2, 700)
    for size, hop in ((64, 16), (64, 24)):
        assert torch.equal(frame(x, size, hop), x.unfold(-1, size, hop))
        frames = torch.randn(2, 9, size)
        total = 8 * hop + size
        expected = torch.nn.functional.fold(
            frames.transpose(1, 2), (1, total), (1, size), stride=(1, hop)
        )[:, 0, 0]
        torch.testing.assert_close(overlap_add(frames, hop), expected)


def test_stft_pair_reconstructs_and_counts_frames() -> None:
    wave, window = torch.randn(2, 20 * 882), torch.hann_window(1764)
    spec = same_stft(wave, 1764, 882, window)
    assert spec.shape == (2, 20, 883)
    back = same_istft(spec, 1764, 882, window)
    # Half a window at either end has one frame only, whose hann weight falls towards zero.
    torch.testing.assert_close(back[:, 882:-882], wave[:, 882:-882], atol=1e-4, rtol=1e-4)


def test_conv_equals_torch_conv() -> None:
    layer = Conv(6, 5, 4, 2)
    x = torch.randn(2, 10, 6)
    weight = layer.linear.weight.reshape(5, 4, 6).transpose(1, 2)
    expected = torch.nn.functional.conv1d(
        x.transpose(1, 2), weight, layer.linear.bias, stride=2, padding=1
    ).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
    assert UpConv(6, 5, 2)(x).shape == (2, 20, 5)


def test_filters_cover_every_band() -> None:
    for bands, n_fft in ((128, 1764), (24, 256)):
        filters = mel_filters(44100, n_fft, bands)
        torch.testing.assert_close(filters.sum(0), torch.ones(bands))
    gammatone = gammatone_filters(44100, 3528)
    peaks = gammatone.argmax(0) * 44100 / 3528
    assert peaks[0] == pytest.approx(50, abs=7)
    assert (peaks.diff() > 0).all()


@pytest.mark.parity
def test_rvq_gives_the_indices_of_vector_quantize_pytorch() -> None:
    upstream = pytest.importorskip("vector_quantize_pytorch")
    torch.manual_seed(1)
    theirs = upstream.ResidualVQ(dim=12, codebook_size=32, num_quantizers=5, rotation_trick=False)
    ours = ResidualVQ(12, 32, 5, 0.99, 0.0).eval()
    for mine, other in zip(ours.books, theirs.layers, strict=True):
        mine.entries.copy_(torch.randn(32, 12))
        other._codebook.embed.data.copy_(mine.entries[None])
    x = torch.randn(3, 40, 12)
    quantised, codes, _ = ours(x)
    theirs_quantised, theirs_codes, _ = theirs.eval()(x)
    assert torch.equal(codes.transpose(1, 2), theirs_codes)
    torch.testing.assert_close(quantised, theirs_quantised)
    torch.testing.assert_close(ours.decode(codes), quantised)


def test_rvq_learns_revives_and_passes_gradients() -> None:
    torch.manual_seed(0)
    data = torch.randn(4, 100, 6)
    rvq = ResidualVQ(6, 16, 4, 0.9, 0.1).train()
    rvq.start(data.flatten(0, 1), 400)
    errors = []
    for _ in range(30):
        quantised, codes, _ = rvq(data)
        errors.append(float((quantised - data).pow(2).mean()))
    assert errors[-1] < errors[0] < float(data.pow(2).mean())
    assert (perplexity(codes, 16) > 8).all()
    dead = rvq.books[0]
    dead.entries[3] = 1e3
    dead.counts[3] = 0.0
    dead.sums[3] = 0.0
    rvq(data)
    assert dead.entries[3].abs().max() < 10
    x = data.clone().requires_grad_()
    rvq(x)[0].sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_quantizer_dropout_stops_early() -> None:
    rvq = ResidualVQ(6, 16, 4, 0.9, 0.0, dropout=1.0).train()
    seen = {rvq(torch.randn(1, 50, 6))[1].shape[1] for _ in range(30)}
    assert seen == {1, 2, 3, 4}


def test_perplexity_of_known_codes() -> None:
    codes = torch.stack([torch.arange(64) % 8, torch.zeros(64, dtype=torch.long)])[None]
    torch.testing.assert_close(perplexity(codes, 8), torch.tensor([8.0, 1.0]).double())


@pytest.mark.parametrize("samples", [1, 4410, 1764 * 3, 1764 * 3 + 1])
def test_encode_decode_shapes(codec: HCodec, samples: int) -> None:
    wave = torch.randn(2, samples) * 0.1
    codes = codec.encode(wave)
    frames = -(-samples // codec.frame_hop)
    assert codes.acoustic.shape == (2, 3, frames)
    assert codes.semantic.shape == (2, 2, frames)
    assert codes.acoustic.dtype == torch.int64
    out = codec.decode(codes)
    assert out.shape == (2, frames * codec.frame_hop)
    assert torch.isfinite(out).all()
    assert codec.latents(codes).shape == (2, frames, 16)
    again = Codes.unstack(codes.stack(), codec.semantic_layers)
    assert torch.equal(again.acoustic, codes.acoustic)
    assert torch.equal(again.semantic, codes.semantic)


def test_batch_equals_single(codec: HCodec) -> None:
    waves = torch.randn(3, 1764 * 5) * 0.1
    together = codec.encode(waves)
    for i in range(3):
        alone = codec.encode(waves[i : i + 1])
        assert torch.equal(alone.stack()[0], together.stack()[i])


def test_silence_and_clipping_stay_finite(codec: HCodec) -> None:
    for wave in (torch.zeros(1, 9000), torch.ones(1, 9000), torch.randn(1, 9000) * 100):
        assert torch.isfinite(codec.decode(codec.encode(wave))).all()


def test_bad_waves(codec: HCodec) -> None:
    with pytest.raises(AudioError, match="NaN"):
        codec.encode(torch.full((1, 100), float("nan")))
    with pytest.raises(AudioError, match="shape"):
        codec.encode(torch.zeros(100))
    with pytest.raises(AudioError, match="shape"):
        codec.encode(torch.zeros(1, 0))


def test_config_refuses_unknown_and_unfit() -> None:
    with pytest.raises(ConfigError, match="codebok_size"):
        load(CodecConfig, {"codebok_size": 4})
    with pytest.raises(ConfigError, match="heads"):
        load(CodecConfig, {"dim": 30, "heads": 4})
    with pytest.raises(ConfigError, match="stride"):
        HCodec(TINY.model_copy(update={"semantic_strides": (1,)}))
    with pytest.raises(ConfigError, match="teacher"):
        HCodec(TINY.model_copy(update={"hop": 441, "n_fft": 882}))


def test_checkpoint_round_trip_and_faults(codec: HCodec, tmp_path: Path) -> None:
    codec.save_checkpoint(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "codec.safetensors",
        "config.json",
        "hubert.safetensors",
    ]
    again = HCodec.from_checkpoint(tmp_path)
    assert not any(p.requires_grad for p in again.parameters())
    wave = torch.randn(1, 1764 * 6) * 0.1
    codes = again.encode(wave)
    assert (codes.stack() == codec.encode(wave).stack()).float().mean() > 0.8  # fp16 rounding
    assert torch.isfinite(again.decode(codes)).all()

    data = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"codec": {**data["codec"], "dim": 64}}))
    with pytest.raises(CheckpointError, match=r"of another shape: encoder"):
        HCodec.from_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"codec": {**data["codec"], "dims": 64}}))
    with pytest.raises(ConfigError, match="dims"):
        HCodec.from_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a codec configuration"):
        HCodec.from_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(data))
    whole = (tmp_path / "codec.safetensors").read_bytes()
    (tmp_path / "codec.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="corrupt"):
        HCodec.from_checkpoint(tmp_path)
    (tmp_path / "codec.safetensors").unlink()
    with pytest.raises(CheckpointError, match="incomplete"):
        HCodec.from_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        HCodec.from_checkpoint(tmp_path / "nowhere")


def test_losses_are_zero_for_equals_and_blind_to_phase() -> None:
    loss = SpectralLoss(LossConfig(bass=0.1), 44100)
    torch.manual_seed(0)
    wave = torch.randn(1, 22050) * 0.1
    # The convergence term has a floor of 1e-3 under its root.
    assert all(float(v) < 1.1e-3 for v in loss(wave, wave).values())
    terms = loss(-wave, wave)
    assert float(terms["mel"]) < 1e-5
    assert float(terms["bass"]) > 1.0
    louder = loss(wave * 2, wave)
    assert float(louder["convergence"]) == pytest.approx(1.0, abs=0.01)
    assert float(louder["mel"]) == pytest.approx(np.log(2), abs=0.02)
    assert float(louder["erb"]) == pytest.approx(np.log(2), abs=0.02)


def test_discriminators_tell_noise_from_sines() -> None:
    torch.manual_seed(0)
    config = LossConfig(mpd_periods=(3,), mrd_windows=(128,), discriminator_channels=1)
    judges = Discriminators(config)
    real = torch.sin(torch.arange(1024) * 0.05)[None].repeat(2, 1)
    fake = torch.randn(2, 1024).requires_grad_()
    optimizer = torch.optim.Adam(judges.parameters(), lr=1e-2)
    first = float(discriminator_loss(judges(real), judges(fake)).detach())
    for _ in range(12):
        loss = discriminator_loss(judges(real), judges(fake.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7 * first
    adversarial, matching = generator_losses(judges(real), judges(fake))
    (adversarial + matching).backward()
    assert fake.grad is not None
    assert float(fake.grad.abs().sum()) > 0


def test_paper_configuration_is_the_papers_size() -> None:
    import yaml

    path = Path(__file__).parents[4] / "configs" / "tokensep" / "paper-codec.yaml"
    config = load(CodecConfig, yaml.safe_load(path.read_text())["codec"])
    assert (config.rate, config.frame_rate, config.codebook_size) == (48000, 12.5, 1024)
    assert config.acoustic_layers == config.semantic_layers == 16

    class Stub(torch.nn.Module):
        dim = 768

    with torch.device("meta"):
        codec = HCodec(config, Stub())
    count = sum(p.numel() for p in codec.parameters())
    assert 1.0e9 < count < 1.35e9, f"{count / 1e9:.2f} B"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_the_training_files(name: str) -> None:
    import yaml

    file = "hcodec-2.yaml" if name == "hcodec-2" else f"{name}-codec.yaml"
    path = Path(__file__).parents[4] / "configs" / "tokensep" / file
    data = yaml.safe_load(path.read_text())
    assert load(CodecConfig, data["codec"]) == PRESETS[name]
    load(CodecTrainConfig, data["codec_train"])


def test_shipped_weights_load_and_are_small() -> None:
    import tokensep

    folder = Path(tokensep.__file__).parent / "weights" / "mini"
    if not (folder / "codec.safetensors").exists():
        pytest.skip("weights/mini holds no codec yet: make train-mini makes it")
    for name in ("codec.safetensors", "hubert.safetensors"):
        assert (folder / name).stat().st_size <= 12_000_000
    codec = HCodec.from_checkpoint(folder)
    wave = torch.randn(1, 44100) * 0.05
    assert torch.isfinite(codec.decode(codec.encode(wave))).all()
