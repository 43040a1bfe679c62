"""Train the language model and its conditioner on the tokens of a frozen codec.

The same function runs on one CPU core, one GPU or many nodes (``accelerate launch``, see
:mod:`benchsep_training.processes`). Crops are functions of (seed, step, index), so a resumed run
sees the same crops as an undisturbed one, and N processes together see the same crops as one.

Written to the folder, besides what :mod:`benchsep_training.loop` writes: ``best`` and ``final``
(``lm.safetensors`` of the averaged weights in fp16 and ``config.json``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from benchsep_training.batches import BatchSource
from benchsep_training.budget import Budget, Every
from benchsep_training.ema import Ema
from benchsep_training.loop import Loop, LoopSettings
from benchsep_training.processes import Processes, leave_group
from benchsep_training.schedule import WarmupCosine
from benchsep_training.seeds import step_seed
from torch import Tensor

from tokensep.codec.codebooks import codebooks
from tokensep.codec.model import HCodec
from tokensep.errors import CheckpointError, ConfigError
from tokensep.lm.conditioner import SSLEncoder
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.lm.model import TokenLM
from tokensep.lm.weights import load_lm, save_lm
from tokensep.recompute import recompute
from tokensep.train import masks
from tokensep.train.batches import LMBatch
from tokensep.train.data import StemStore, musdb_folders
from tokensep.train.fitting import fit_config
from tokensep.train.objective import Objective, mixture_latents, validate
from tokensep.train.optimizer import make_optimizer
from tokensep.train.pseudo_labels import shards_in
from tokensep.train.token_dataset import Crop
from tokensep.train.token_sources import Tokens, encoded_data, stream_data


def loop_settings(train: LMTrainConfig) -> LoopSettings:
    """The loop's part of the configuration; every step is a row of ``train.csv``."""
    return LoopSettings(
        budget=Budget(train.max_steps, train.cpu_minutes, train.wall_minutes),
        schedule=WarmupCosine(train.lr, train.warmup, train.lr_min_ratio),
        clip=train.clip,
        accumulate=train.accumulate,
        validate=Every(steps=train.eval_every),
        save=Every(steps=train.save_every),
        log_every=1,
    )


class LMTrainer(Loop):
    """One training of the LM in one folder.

    Parameters
    ----------
    folder : checkpoints, logs, ``best`` and ``final``.
    batches, valid : crops to train on, and fixed crops to validate on (may be empty).
    """

    model: TokenLM
    batches: BatchSource[LMBatch]

    def __init__(
        self,
        folder: Path,
        model: TokenLM,
        codec: Any,
        batches: BatchSource[LMBatch],
        valid: list[Crop],
        train: LMTrainConfig,
    ) -> None:
        processes = Processes(train.precision)
        self.valid, self.train = valid, train
        # before the optimizer's moments and the average exist: they are made on the same device
        self.codec = codec.to(processes.device)
        model = model.to(processes.device)
        recompute(model, train.recompute)
        super().__init__(
            folder,
            model,
            make_optimizer(model, train),
            loop_settings(train),
            processes=processes,
            objective=Objective(model, train).to(processes.device),
            ema=Ema(model, train.ema),
            batches=batches,
        )

    def loss(self, piece: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted NLL of one batch."""
        if piece == 0:  # dropout and scheduled sampling draw from torch's generator
            torch.manual_seed(step_seed(self.train.seed, self.step, self.processes.rank))
        train, config, device = self.train, self.model.config, self.processes.device
        turn, stems = self.turn(piece), len(config.stems)
        indices = turn.indices(train.batch)
        steps = self.model.layout.steps(config.window_frames)
        wave, codes = self.next_batch(piece)
        hide, keep = masks.hidden_mixtures_and_visible_tokens(
            train, self.step, indices, stems, steps
        )
        sampled = masks.scheduled_sampling_steps(train, self.step, indices, stems, steps)
        wave = wave.to(device)
        loss: Tensor = self.objective(
            wave,
            codes.to(device),
            mixture_latents(self.codec, wave, config),
            hide=hide.to(device),
            keep=keep.to(device),
            sampled=None if sampled is None else sampled.to(device),
            parallel=masks.independent_stems(train, self.step),
        )[0]
        return loss, {"loss": loss}

    def validate(self) -> dict[str, Any] | None:
        """NLL and accuracy over the fixed crops."""
        if not self.valid:
            return None
        objective = Objective(self.model, self.train).to(self.processes.device)
        return validate(objective, self.valid, self.codec, self.processes)

    def save_best(self) -> None:
        """Write the averaged weights to ``best``."""
        save_lm(self.folder / "best", self.model)

    def export(self) -> None:
        """Write the averaged weights to ``final``."""
        assert self.ema is not None
        with self.ema.applied(self.model):
            save_lm(self.folder / "final", self.model)


def with_dropout(config: TokenSepConfig, dropout: float | None) -> TokenSepConfig:
    """The configuration with another dropout of LM and encoder; ``None``: as it is."""
    if dropout is None:
        return config
    parts = {
        name: getattr(config, name).model_copy(update={"dropout": dropout})
        for name in ("lm", "encoder")
    }
    return config.model_copy(update=parts)


def start_from(model: TokenLM, folder: Path) -> None:
    """Copy the weights of the LM exported to ``folder``; its dropout may differ.

    Raises
    ------
    CheckpointError
        That LM has another shape.
    """
    given = load_lm(folder)
    ours, theirs = (with_dropout(each.config, 0.0) for each in (model, given))
    if any(
        getattr(theirs, part) != getattr(ours, part)
        for part in ("lm", "encoder", "layout", "codebook_size", "stems")
    ):
        raise CheckpointError(
            f"{folder}: the LM has another shape (encoder, layout or lm differ); use an LM that "
            "was trained with this configuration, or leave out --init"
        )
    model.load_state_dict(given.state_dict())


def new_model(
    config: TokenSepConfig, codec: Any, code_sample: Tensor, seed: int, init: Path | None
) -> TokenLM:
    """An untrained LM whose token tables start from the codec, or one with the weights of ``init``.

    The latent-regression head is fitted to ``code_sample [N, K]``, frames of the data.
    """
    torch.manual_seed(seed)
    model = TokenLM(config)
    if config.lm.anchored:
        model.fit_latent_head(codebooks(codec), code_sample)
    else:
        model.start_from_codebooks(codebooks(codec))
    if init is not None:
        start_from(model, init)
    if isinstance(model.encoder, SSLEncoder):
        model.encoder.attach(codec.teacher)
    return model


def train_lm(
    folder: Path,
    *,
    codec: Any,
    store: StemStore | None = None,
    config: TokenSepConfig,
    train: LMTrainConfig,
    shards: list[Path] | None = None,
    tokens: Tokens | None = None,
    stop_after: int | None = None,
    init: Path | None = None,
    data_folder: Path | None = None,
) -> dict[str, Any]:
    """Train (or continue) the LM in ``folder``; returns the last scores.

    Parameters
    ----------
    store : songs with stems, training and validation ones (split by name); None: shards only.
    shards : pseudo-labels (:mod:`tokensep.train.pseudo_labels`), encoded into ``data_folder``.
    tokens : folders of token shards, which are streamed, instead of ``store`` and ``shards``.
    stop_after : steps of this call; the run can be continued.
    init : folder of an exported LM of the same shape to start a new run from (new optimizer and
        schedule); a run that is continued ignores it.
    data_folder : where the encoded songs are kept (default: ``folder``); several runs on the same
        data, codec, seed and variants may share it.

    Raises
    ------
    CheckpointError
        ``init`` holds an LM of another shape.
    """
    config = with_dropout(fit_config(config, codec), train.dropout)
    if tokens is not None:
        data = stream_data(tokens, codec, config, train)
    else:
        data = encoded_data(store, shards or [], codec, config, train, data_folder or folder)
    model = new_model(config, codec, data.code_sample, train.seed, init)
    trainer = LMTrainer(folder, model, codec, data.batches, data.valid, train)
    return trainer.run(stop_after=stop_after)


@dataclass(frozen=True)
class Options:
    """What ``tokensep train lm`` is called with."""

    codec: Path
    out: Path
    config: TokenSepConfig
    train: LMTrainConfig
    musdb: list[Path] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)
    init: Path | None = None
    tokens: list[Path | str] = field(default_factory=list)
    valid_tokens: list[Path | str] = field(default_factory=list)


def main(options: Options) -> dict[str, Any]:
    """Read codec and data, train, and return the last scores.

    Raises
    ------
    ConfigError
        There is nothing to train on, or token shards and other data at once.
    """
    _check_data(options)
    codec = HCodec.from_checkpoint(options.codec)
    store = None
    if options.musdb:
        files = musdb_folders(options.musdb)
        store = StemStore.build(options.out / "audio", files, codec.rate, together=True)
    result = train_lm(
        options.out,
        codec=codec,
        store=store,
        config=options.config,
        train=options.train,
        shards=[path for folder in options.shards for path in shards_in(folder)],
        tokens=Tokens(options.tokens, options.valid_tokens) if options.tokens else None,
        init=options.init,
    )
    leave_group()
    return result


def _check_data(options: Options) -> None:
    audio = bool(options.musdb or options.shards)
    if not audio and not options.tokens:
        raise ConfigError(
            "no training data was given; pass --musdb FOLDER, --shards FOLDER or --tokens FOLDER"
        )
    if audio and options.tokens:
        raise ConfigError(
            "--tokens cannot be combined with --musdb or --shards; tokenize those too, and give "
            "all folders of tokens"
        )
