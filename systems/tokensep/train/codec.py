"""Train the codec (``tokensep train codec``); started again with the same arguments, it continues.

Conventions
-----------
The cosine of the learning rate follows the largest of steps, CPU and wall time over their budgets;
with a step budget alone a resumed run repeats the undisturbed one exactly. Codebooks start by
k-means after ``continuous_steps`` steps without quantisation. The moving average (EMA) of the
validation with the lowest spectral loss is exported.

Written to the work folder, besides what :mod:`benchsep_training.loop` writes: ``best``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchsep_training import checkpoint
from benchsep_training.batches import BatchSource
from benchsep_training.budget import Budget, Every
from benchsep_training.ema import Ema
from benchsep_training.loop import Loop, LoopSettings, Parts
from benchsep_training.processes import Processes
from benchsep_training.schedule import WarmupCosine
from safetensors.torch import load_file
from torch import Tensor

from tokensep.codec.layers import same_stft
from tokensep.codec.losses import SpectralLoss
from tokensep.codec.model import AcousticEncoder, Decoder, HCodec
from tokensep.codec.rvq import perplexity_of_counts, use_counts
from tokensep.config import CodecConfig, CodecTrainConfig, Strict
from tokensep.errors import CheckpointError
from tokensep.recompute import recompute
from tokensep.train.adversary import Adversary
from tokensep.train.data import StemStore
from tokensep.train.stream.audio_crops import HeldOut

SPECTRAL_TERMS = ("mel", "convergence", "erb", "bass")
"""Names of the spectral terms in a validation row (its other columns are per stem)."""
START_BATCHES = 8
"""Batches whose mean log spectrum initialises the decoder's output."""
CODEBOOK_BATCHES = 20
"""Batches whose latents initialise the codebooks."""


def adamw(config: CodecTrainConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.AdamW:
    """The optimizer of the codec, and of the discriminators."""
    return torch.optim.AdamW(
        parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )


def loop_settings(config: CodecTrainConfig) -> LoopSettings:
    """The loop's part of the configuration."""
    return LoopSettings(
        budget=Budget(config.max_steps, config.cpu_minutes, config.wall_minutes),
        schedule=WarmupCosine(config.lr, config.warmup, config.lr_min / config.lr),
        clip=config.clip,
        accumulate=config.accumulate,
        validate=Every(steps=config.eval_every),
        save=Every(steps=config.save_every),
    )


def crop_length(codec: HCodec, config: CodecTrainConfig) -> int:
    """Samples of a training crop: whole token frames."""
    return round(config.crop_seconds * codec.frame_rate) * codec.frame_hop


class CodecTrainer(Loop):
    """One training of the codec.

    Parameters
    ----------
    batches : waves ``[B, T]`` to train on, T as :func:`crop_length` gives it.
    valid : stems to validate on (None: the last average is exported).
    work : checkpoints, logs and the best average.
    out : where the trained codec is exported to.
    """

    model: HCodec
    ema: Ema
    batches: BatchSource[Tensor]

    def __init__(
        self,
        codec: HCodec,
        config: CodecTrainConfig,
        batches: BatchSource[Tensor],
        valid: StemStore | HeldOut | None,
        work: Path,
        out: Path | None = None,
    ) -> None:
        processes = Processes(config.precision)
        torch.manual_seed(config.seed)
        self.config, self.valid, self.out = config, valid, out or work / "export"
        codec.to(processes.device)
        recompute(codec, config.recompute)
        self.spectral = SpectralLoss(config.losses, codec.rate).to(processes.device)
        parameters = [p for p in codec.parameters() if p.requires_grad]
        super().__init__(
            work,
            codec,
            adamw(config, parameters),
            loop_settings(config),
            processes=processes,
            ema=Ema(codec, config.ema),
            batches=batches,
        )
        self.adversary = Adversary(config, work, processes) if config.losses.adversarial else None

    def batch(self, piece: int) -> Tensor:
        """Batch ``piece`` ``[B, T]`` of this step and process."""
        wave: Tensor = self.next_batch(piece)
        return wave.to(self.processes.device)

    def more_batches(self, count: int) -> Iterator[Tensor]:
        """``count`` batches besides those of the step, one at a time."""
        return (self.batch(self.config.accumulate + i) for i in range(count))

    @torch.no_grad()
    def start(self) -> None:
        """Start the decoder's output at the training data's mean log spectrum."""
        decoder, c = self.model.decoder, self.model.config
        assert isinstance(decoder, Decoder)
        waves = torch.cat(list(self.more_batches(START_BATCHES)))
        spectrum = same_stft(waves, c.n_fft, c.hop, decoder.window)  # [B, frames, bins]
        mean = torch.log(spectrum.abs().clamp_min(1e-5)).mean((0, 1))  # [bins]
        # the same start on every process: their weights stay equal only if they begin equal
        decoder.start_at(self.processes.total(mean) / self.processes.count)
        self.ema = Ema(self.model, self.config.ema)

    @torch.no_grad()
    def start_codebooks(self) -> None:
        """K-means over the latents of :data:`CODEBOOK_BATCHES` batches."""
        codec = self.model
        assert isinstance(codec.encoder, AcousticEncoder)
        acoustic, semantic = [], []
        for wave in self.more_batches(CODEBOOK_BATCHES):
            acoustic.append(codec.encoder(wave).flatten(0, 1))  # [B * F, W]
            semantic.append(codec.semantic_encoder(codec.teacher(wave)).flatten(0, 1))
        per_step = len(acoustic[0]) * self.processes.count
        codec.acoustic_rvq.start(torch.cat(acoustic), per_step)
        codec.semantic_rvq.start(torch.cat(semantic), per_step)

    def loss(self, piece: int) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Loss of the next batch; the discriminators, if any, take their step first."""
        if piece == 0 and self.step == self.config.continuous_steps:
            self.start_codebooks()
        return self.loss_of(self.batch(piece), piece)

    def quantises(self) -> bool:
        """Whether the codebooks are in use at this step."""
        return self.step >= self.config.continuous_steps

    def loss_of(self, wave: Tensor, piece: int = 0) -> tuple[Tensor, dict[str, float | Tensor]]:
        """``L = L_spectral + commit * L_commit + semantic * L_semantic + adversarial terms``."""
        weights = self.config.losses
        out = self.objective(wave, quantise=self.quantises())
        terms: dict[str, Any] = self.spectral(out.output, wave)
        total = self.spectral.total(terms)
        total = total + weights.commit * out.commit + weights.semantic * out.semantic
        if self.adversary is not None and self.step >= weights.discriminator_start:
            terms["discriminators"] = self.adversary.step(
                wave, out.output, self.turn(piece), self.rate
            )
            adversarial, matching = self.adversary.generator_losses(wave, out.output)
            total = total + weights.adversarial * adversarial + weights.feature_match * matching
            terms |= {"adversarial": adversarial, "feature_match": matching}
        return total, terms | {"commit": out.commit, "semantic": out.semantic, "total": total}

    def validate(self) -> dict[str, Any] | None:
        """Loss terms and codebook use over one crop of each validation stem."""
        if self.valid is None:
            return None
        return validate(self.model, self.spectral, self.valid, self.processes)

    def score(self, result: dict[str, Any]) -> float:
        """The weighted spectral loss."""
        terms = {k: torch.tensor(v) for k, v in result.items() if k in SPECTRAL_TERMS}
        return float(self.spectral.total(terms))

    def save_best(self) -> None:
        """Keep the averaged model in ``best``, in place of the one before."""
        folder = self.folder / "best"
        kept = checkpoint.save(folder, self.step, {"model": self.model.state_dict()}, {})
        for old in checkpoint.checkpoints(folder):
            if old != kept:
                shutil.rmtree(old)

    def export(self) -> None:
        """Write the best average by validation, else the last one, to ``out``."""
        step, best = self.step, checkpoint.checkpoints(self.folder / "best")
        state = self.ema.state_dict(self.model)
        if best:
            parts, saved = checkpoint.load(best[-1])
            state, step = parts["model"], saved["step"]
        own = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(state)
        note = {"steps": step, "cpu_seconds": round(self.spent.cpu)}
        self.model.eval().save_checkpoint(self.out, {"training": note})
        self.model.load_state_dict(own)

    def more_state(self) -> tuple[Parts, dict[str, Any]]:
        """Discriminators and their optimizer."""
        return self.adversary.state() if self.adversary is not None else ({}, {})

    def load_more_state(self, parts: Parts, state: dict[str, Any]) -> None:
        """Inverse of :meth:`more_state`."""
        if self.adversary is not None:
            self.adversary.load_state(parts, state)


@torch.no_grad()
def validate(
    codec: HCodec,
    spectral: SpectralLoss,
    valid: StemStore | HeldOut,
    processes: Processes,
    seconds: float = 3.0,
) -> dict[str, float]:
    """Loss terms and codebook use over the middle of each validation stem.

    Each term is a mean over all stems under its name, and over one stem under ``term_stem``. Each
    process takes its share of the stems; all return the result of all stems.
    """
    device = next(codec.parameters()).device
    length = round(seconds * codec.frame_rate) * codec.frame_hop
    sums: dict[str, float] = {}
    layers = {"acoustic": codec.acoustic_layers, "semantic": codec.semantic_layers}
    used = {n: torch.zeros(k, codec.codebook_size).double() for n, k in layers.items()}
    for source in valid.sources[processes.rank :: processes.count]:
        start = max(0, (source.audio.shape[1] - length) // 2)
        piece = source.audio[:, start : start + length].astype(np.float32).mean(0) / 32768
        wave = torch.from_numpy(piece)[None].to(device)
        encoded = codec.encode(wave)
        for name, counts in used.items():
            counts += use_counts(getattr(encoded, name), codec.codebook_size).cpu()
        decoded = codec.decode(encoded)[:, : wave.shape[-1]]  # a short stem is padded to frames
        terms = spectral(decoded, wave)
        for name, value in terms.items():
            for key in (name, f"{name}_{source.stem}"):
                sums[key] = sums.get(key, 0.0) + float(value)
    sums, count = processes.totals(sums), len(valid.sources)
    stems = len({s.stem for s in valid.sources})
    result = {k: v / (count / stems if k.count("_") else count) for k, v in sums.items()}
    for name, counts in used.items():
        use = perplexity_of_counts(processes.total(counts))
        result |= {f"perplexity_{name}_{i}": float(v) for i, v in enumerate(use)}
    return result


def load_hubert(codec: HCodec, folder: Path) -> None:
    """Give the codec's mini teacher its trained weights.

    Raises
    ------
    CheckpointError
        There are none in ``folder``.
    """
    path = folder / "hubert.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; train it first: tokensep train hubert")
    tensors = {k: v.float() for k, v in load_file(path).items()}
    teacher = codec.teacher.model
    assert isinstance(teacher, torch.nn.Module)
    teacher.load_state_dict(tensors)


class CodecSettings(Strict):
    """A file such as ``configs/tokensep/mini-codec.yaml``."""

    codec: CodecConfig
    codec_train: CodecTrainConfig = CodecTrainConfig()
