"""Training of a codec's decoder alone (``tokensep train codec --init``): tokens stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchsep_training.batches import Stateless, Turn
from tokensep.codec.model import HCodec
from tokensep.config import CodecConfig, CodecTrainConfig
from tokensep.errors import ConfigError
from tokensep.train.codec_command import codec_of
from tokensep.train.codec_sources import Options
from tokensep.train.decoder import BandsDecoderTrainer, DecoderTrainer

from tests.helpers.codec_dummies import TINY, TINY_BANDS
from tests.helpers.hcodec2 import publish
from tests.helpers.public_codecs import saved
from tests.systems.tokensep.train.test_bands import Tones

SETTINGS = CodecTrainConfig(max_steps=12, warmup=1, lr=3e-3, save_every=6, ema=0.5)
CASES = [(TINY, DecoderTrainer), (TINY_BANDS, BandsDecoderTrainer)]


def trained(folder: Path, config: CodecConfig) -> Path:
    """A codec folder with codebooks that are in use."""
    torch.manual_seed(3)
    codec = HCodec(config)
    for rvq in (codec.acoustic_rvq, codec.semantic_rvq):
        for book in rvq.modules():
            if hasattr(book, "ready"):
                book.ready.fill_(True)
    codec.save_checkpoint(folder)
    return folder


def options(folder: Path, **given: Path) -> Options:
    work = folder.parent / "work"
    return Options(Path("unused.yaml"), None, work, folder.parent / "out", init=folder, **given)


@pytest.mark.parametrize(("config", "expected"), CASES)
def test_the_decoder_learns_and_tokens_stay(tmp_path: Path, config, expected) -> None:
    given = options(trained(tmp_path / "given", config))
    codec, kind = codec_of(given, TINY)
    assert kind is expected and codec.config == config  # the shape is that of the folder
    before = {k: v.clone() for k, v in codec.state_dict().items()}
    wave = Tones().batch(Turn(99, 0))
    codes = codec.encode(wave).stack()
    trainer = kind(codec, SETTINGS, Tones(), None, given.work, given.out)
    first = trainer.loss_of(wave)[0].item()
    trainer.run()
    changed = {k for k, v in codec.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("decoder.") for k in changed)
    assert trainer.loss_of(wave)[0].item() < first
    exported = HCodec.from_checkpoint(given.out)
    assert torch.equal(exported.encode(wave).stack(), codes)


def test_a_resumed_training_repeats_the_undisturbed_one(tmp_path: Path) -> None:
    given = options(trained(tmp_path / "given", TINY))

    def run(work: str) -> dict[str, torch.Tensor]:
        codec, kind = codec_of(given, TINY)
        kind(codec, SETTINGS, Tones(), None, tmp_path / work, tmp_path / f"{work}-out").run()
        return dict(codec.state_dict())

    whole = run("whole")
    with pytest.MonkeyPatch.context() as patch:
        # the process ends after the checkpoint of step 6
        patch.setattr(DecoderTrainer, "loss", _ends_after(6))
        with pytest.raises(KeyboardInterrupt):
            run("cut")
    again = run("cut")
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def _ends_after(steps: int):
    plain = DecoderTrainer.loss

    def loss(self, piece):
        if self.step == steps:
            raise KeyboardInterrupt
        return plain(self, piece)

    return loss


def test_the_decoder_of_an_imported_codec_learns(tmp_path: Path) -> None:
    """A published H-Codec-2.0, whose HuBERT is in a folder of its own."""
    pytest.importorskip("transformers")
    from tokensep.codec.hcodec2.weights import import_hcodec

    weights, config = publish(tmp_path)
    import_hcodec(weights, config, tmp_path / "given", str(saved("hubert", tmp_path)))
    given = options(tmp_path / "given")
    codec, kind = codec_of(given, TINY)
    length = 12 * codec.frame_hop
    noise = torch.randn(2, length, generator=torch.Generator().manual_seed(0)) * 0.05
    codes = codec.encode(noise).stack()

    class Noise(Stateless):
        def batch(self, turn: Turn) -> torch.Tensor:
            return noise

    losses = SETTINGS.losses.model_copy(update={"mel_windows": (64,), "mel_bands": (8,), "erb": 0})
    trainer = kind(
        codec, SETTINGS.model_copy(update={"losses": losses}), Noise(), None, given.work, given.out
    )
    first = trainer.loss_of(noise)[0].item()
    trainer.run()
    assert trainer.loss_of(noise)[0].item() < first
    assert torch.equal(HCodec.from_checkpoint(given.out).encode(noise).stack(), codes)
    trainer.out = tmp_path / "given"  # in place of the codec that was given
    trainer.export()
    assert torch.equal(HCodec.from_checkpoint(trainer.out).encode(noise).stack(), codes)


@pytest.mark.parametrize("name", ["hubert", "semantic"])
def test_parts_of_another_codec_are_refused(tmp_path: Path, name: str) -> None:
    folder = trained(tmp_path / "given", TINY)
    with pytest.raises(ConfigError, match=f"--{name} cannot be used"):
        codec_of(options(folder, **{name: folder}), TINY)
