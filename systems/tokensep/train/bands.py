"""Train a codec of the design ``bands``: a closed-form fit, then the decoder alone.

The semantic branch (teacher, encoder, codebooks) is copied from a trained codec and stays fixed.
Codes do not change while the decoder learns, so the tokens for a language model can be made right
after the fit.

Conventions
-----------
As :mod:`tokensep.train.codec`, but ``continuous_steps`` has no meaning: every step is quantised.
"""

from __future__ import annotations

from pathlib import Path

import torch
from benchsep_training.batches import BatchSource
from benchsep_training.ema import Ema
from torch import Tensor

from tokensep.codec.bands import BandEncoder
from tokensep.codec.fit import fit
from tokensep.codec.harmonic import HarmonicDecoder
from tokensep.codec.model import HCodec
from tokensep.codec.spectrogram_loss import SpectrogramLoss, pitch_loss
from tokensep.config import CodecTrainConfig
from tokensep.errors import ConfigError
from tokensep.train.codec import CodecTrainer
from tokensep.train.data import StemStore
from tokensep.train.stream.audio_crops import HeldOut

FIT_BATCHES = 300
"""Batches from which the linear code and its codebooks are fitted."""
SEMANTIC = ("teacher.", "semantic_encoder.", "semantic_decoder.", "semantic_rvq.")


def take_semantic(codec: HCodec, folder: Path) -> None:
    """Copy the semantic branch of the codec in ``folder``; it may have more layers.

    Raises
    ------
    ConfigError
        Its sizes differ.
    """
    theirs = HCodec.from_checkpoint(folder).state_dict()
    own = codec.state_dict()
    names = [k for k in own if k.startswith(SEMANTIC)]
    wrong = [k for k in names if k not in theirs or theirs[k].shape != own[k].shape]
    if wrong:
        raise ConfigError(
            f"the semantic branch of {folder} does not fit: {wrong[0]} (and {len(wrong) - 1} more) "
            "differs; give semantic_dim, latent_dim, codebook_size and teacher of that codec"
        )
    codec.load_state_dict(own | {k: theirs[k] for k in names})


class BandsTrainer(CodecTrainer):
    """One training of a codec of the design ``bands``; its semantic branch is already trained."""

    def __init__(
        self,
        codec: HCodec,
        config: CodecTrainConfig,
        batches: BatchSource[Tensor],
        valid: StemStore | HeldOut | None,
        work: Path,
        out: Path | None = None,
    ) -> None:
        for part in (codec.semantic_encoder, codec.semantic_decoder):
            part.requires_grad_(False)
        super().__init__(codec, config, batches, valid, work, out)
        c = codec.config
        loss = SpectrogramLoss(config.spectrogram, c.rate, c.bands.n_fft)
        self.spectrogram = loss.to(self.processes.device)

    @torch.no_grad()
    def start(self) -> None:
        """Fit the linear code on :data:`FIT_BATCHES` batches.

        Raises
        ------
        ConfigError
            More than one process: each would fit its own.
        """
        if self.processes.count > 1:
            raise ConfigError(
                f"found {self.processes.count} processes, expected one: a codec of the design "
                "'bands' is trained in one process"
            )
        fit(self.model, self.more_batches(FIT_BATCHES))
        self.ema = Ema(self.model, self.config.ema)

    def start_codebooks(self) -> None:
        """Do nothing: the fit has already set the codebooks."""

    def loss_of(self, wave: Tensor, piece: int = 0) -> tuple[Tensor, dict[str, float | Tensor]]:
        """``L = L_spectrogram + pitch * L_pitch``, of magnitudes."""
        encoder, decoder = self.model.encoder, self.model.decoder
        assert isinstance(encoder, BandEncoder) and isinstance(decoder, HarmonicDecoder)
        out = self.objective(wave)
        terms = self.spectrogram(out.output, decoder.target(wave))
        pitch = pitch_loss(out.pitch, *encoder.pitch(wave))
        total = self.spectrogram.total(terms) + self.config.pitch * pitch
        return total, {**terms, "pitch": pitch, "total": total}
