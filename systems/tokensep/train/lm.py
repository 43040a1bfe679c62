"""Training the language model (and its conditioner) on a frozen codec's tokens.

The same function runs on one CPU core, one GPU or many nodes (``accelerate launch``, see
:mod:`tokensep.train.processes`). Crops are functions of (seed, step, index), so a resumed run sees
what the killed one would have seen, and N processes see together what one would.

Outputs in the folder: ``step-N`` (resume), ``best`` and ``final`` (``lm.safetensors`` of the EMA
weights in fp16 + ``config.json``), ``train.csv``, ``valid.jsonl``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchsep._util.atomic import write_atomically
from tokensep.codec.codebooks import codebooks
from tokensep.codec.interface import device_of
from tokensep.errors import CheckpointError, TrainingError
from tokensep.lm import losses
from tokensep.lm.conditioner import SSLEncoder
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.lm.model import TokenLM
from tokensep.lm.weights import load_lm, save_lm
from tokensep.train import cache as prepared
from tokensep.train import checkpoint, pseudo_labels
from tokensep.train.curves import cut_log
from tokensep.train.data import StemStore, validation_songs
from tokensep.train.monitor import Watch
from tokensep.train.processes import Processes
from tokensep.train.token_dataset import Crop, TokenBank, stacked, store_songs

PATIENCE = 50
"""Steps in a row that may lack a finite gradient before a training gives up."""


class Objective(nn.Module):
    """Batch → scalar loss and per-stem, per-layer NLL and accuracy; what DDP wraps."""

    def __init__(self, model: TokenLM, train: LMTrainConfig) -> None:
        super().__init__()
        self.model, self.train_config = model, train
        weights = losses.layer_weights(
            train.loss,
            model.config.semantic_layers,
            model.config.acoustic_layers,
            train.loss_factor,
        )
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self,
        wave: Tensor,
        codes: Tensor,
        latents: Tensor | None,
        *,
        hide: Tensor | None = None,
        keep: Tensor | None = None,
        own: Tensor | None = None,
        parallel: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        cond = self.model.condition(wave, latents)
        if hide is not None:
            cond = torch.where(hide[:, None, None], self.model.null.expand_as(cond), cond)
        own_grid = None
        if own is not None:
            own_grid = self.model.scheduled_sampling_grid(
                codes, cond, own, parallel=parallel, keep=keep
            )
        logits, grid, error = self.model.logits_and_error(
            codes, cond, parallel=parallel, keep=keep, input_grid=own_grid
        )
        smoothing = self.train_config.label_smoothing if self.training else 0.0
        nll, accuracy = losses.token_nll(logits, grid, label_smoothing=smoothing)
        loss = losses.weighted_nll(nll, self.weights)
        if self.training:
            loss = loss + self.train_config.regression * error
        self.error = float(error.detach())
        return loss, nll.detach(), accuracy


def learning_rate(train: LMTrainConfig, step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine over progress down to ``lr_min_ratio``."""
    warm = min(1.0, (step + 1) / max(1, train.warmup))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return train.lr * warm * (train.lr_min_ratio + (1 - train.lr_min_ratio) * fall)


@dataclass
class Clock:
    """Time spent training, over all resumptions."""

    cpu: float = 0.0
    wall: float = 0.0


def progress_of(train: LMTrainConfig, step: int, clock: Clock) -> float:
    """How far the run is, 0 to 1: by steps, CPU time or wall time, whichever is furthest."""
    by_cpu = clock.cpu / (60 * train.cpu_minutes) if train.cpu_minutes else 0.0
    by_wall = clock.wall / (60 * train.wall_minutes) if train.wall_minutes else 0.0
    return max(step / train.max_steps, by_cpu, by_wall)


def masks(
    train: LMTrainConfig, step: int, indices: range, stems: int, steps: int
) -> tuple[Tensor, Tensor, bool]:
    """Hidden mixtures ``[b]``, visible token steps ``[b, S, N]``, whether stems stand alone."""
    hide, keep = [], []
    for i in indices:
        rng = np.random.default_rng([train.seed, step, i, 1])
        hide.append(rng.random() < train.condition_dropout)
        # a crop's own rate, so that the model meets full context and none
        rate = train.token_dropout * 2 * rng.random()
        keep.append(rng.random((stems, steps)) >= rate)
    apart = np.random.default_rng([train.seed, step, 2]).random() < train.parallel_fraction
    return torch.tensor(hide), torch.from_numpy(np.stack(keep)), bool(apart)


def self_fed(
    train: LMTrainConfig, step: int, indices: range, stems: int, steps: int
) -> Tensor | None:
    """Steps ``[b, S, N]`` whose input tokens are the model's own; None if that is off."""
    if not train.self_feeding:
        return None
    rngs = [np.random.default_rng([train.seed, step, i, 3]) for i in indices]
    shares = [train.self_feeding * rng.random() for rng in rngs]
    own = [rng.random((stems, steps)) < share for rng, share in zip(rngs, shares, strict=True)]
    return torch.from_numpy(np.stack(own))


@torch.no_grad()
def mixture_latents(codec: Any, wave: Tensor, config: TokenSepConfig) -> Tensor | None:
    """The codec's view of the mixture, if the encoder wants it."""
    if config.encoder.kind != "conformer" or not config.encoder.codec_latents:
        return None
    return codec.latents(codec.encode(wave)).clone()


@torch.no_grad()
def validate(objective: Objective, crops: list[Crop], codec: Any, batch: int = 6) -> dict[str, Any]:
    """Teacher-forced NLL and accuracy over fixed crops: weighted, per layer, per stem."""
    objective.eval()
    config, total, error = objective.model.config, 0, 0.0
    nll = torch.zeros(len(config.stems), config.layers)
    accuracy = torch.zeros_like(nll)
    device = objective.weights.device
    for at in range(0, len(crops), batch):
        wave, codes = (t.to(device) for t in stacked(crops[at : at + batch]))
        _, part, hits = objective(wave, codes, mixture_latents(codec, wave, config))
        nll += part.cpu() * len(wave)
        accuracy += hits.cpu() * len(wave)
        error += objective.error * len(wave)
        total += len(wave)
    objective.train()
    nll, accuracy = nll / total, accuracy / total
    return {
        "latent_error": round(error / total, 4),
        "loss": float(losses.weighted_nll(nll, objective.weights.cpu())),
        "nll": round(float(nll.mean()), 4),
        "accuracy": round(float(accuracy.mean()), 4),
        "nll_layer": [round(x, 4) for x in nll.mean(0).tolist()],
        "accuracy_layer": [round(x, 4) for x in accuracy.mean(0).tolist()],
        "nll_stem": dict(
            zip(config.stems, [round(x, 4) for x in nll.mean(1).tolist()], strict=True)
        ),
        "accuracy_stem": dict(
            zip(config.stems, [round(x, 4) for x in accuracy.mean(1).tolist()], strict=True)
        ),
    }


def make_optimizer(model: TokenLM, train: LMTrainConfig) -> torch.optim.AdamW:
    """AdamW; vectors (norms, biases, symbols) are not decayed."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": train.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, fused=True)


class Trainer:
    """One run in one folder: start, step, validate, save, resume."""

    def __init__(
        self,
        folder: Path,
        model: TokenLM,
        codec: Any,
        bank: TokenBank,
        valid: list[Crop],
        train: LMTrainConfig,
    ) -> None:
        self.processes = Processes(train.precision)
        self.folder, self.bank, self.valid, self.train = folder, bank, valid, train
        # before there are averages and moments, which have to lie beside the weights
        self.codec = codec.to(self.processes.device)
        self.model = model.to(self.processes.device)
        self.optimizer = make_optimizer(model, train)
        self.step, self.clock, self.best, self.lost = 0, Clock(), math.inf, 0
        self.ema = checkpoint.Ema(model, train.ema)
        self.resume()
        self.objective, self.optimizer = self.processes.wrap(
            Objective(model, train), self.optimizer
        )

    def resume(self) -> None:
        """Continue from the newest whole checkpoint, if there is one; else from the start."""
        found = checkpoint.checkpoints(self.folder) if self.folder.exists() else []
        if found:
            parts, state = checkpoint.load(found[-1])
            self.model.load_state_dict(parts["model"])
            checkpoint.load_optimizer(self.optimizer, parts["optimizer"], state["optimizer"])
            self.ema.restore(parts["ema"])
            self.step, self.clock = state["step"], Clock(**state["clock"])
            self.best = state["best"]
        if not self.processes.rank:
            self._cut_logs()  # also of a run that was killed before its first checkpoint

    def _cut_logs(self) -> None:
        """Forget what was logged after the checkpoint: those steps are done again."""
        cut_log(self.folder / "train.csv", self.step)
        path = self.folder / "valid.jsonl"
        if path.exists():
            lines = [
                line for line in path.read_text().splitlines(keepends=True) if line[-1] == "\n"
            ]
            write_atomically(path, "".join(x for x in lines if json.loads(x)["step"] <= self.step))

    def save(self) -> None:
        """Write ``step-N``; only the main process does."""
        if self.processes.rank:
            return
        inner = getattr(self.optimizer, "optimizer", self.optimizer)
        tensors, meta = checkpoint.optimizer_tensors(inner)
        parts = {"model": self.model.state_dict(), "optimizer": tensors, "ema": self.ema.shadow}
        state = {"optimizer": meta, "clock": asdict(self.clock), "best": self.best}
        checkpoint.save(self.folder, self.step, parts, state)

    def micro_batches(self) -> list[range]:
        """Indices of this process into the global batch, one range per accumulation step."""
        share = self.train.batch
        world, rank = self.processes.count, self.processes.rank
        starts = [(a * world + rank) * share for a in range(self.train.accumulate)]
        return [range(s, s + share) for s in starts]

    def update(self) -> tuple[float, float]:
        """One optimiser step: loss and gradient norm."""
        train, total = self.train, 0.0
        rate = learning_rate(train, self.step, progress_of(train, self.step, self.clock))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed((train.seed << 20) + self.step * 64 + self.processes.rank)
        pieces = self.micro_batches()
        for number, indices in enumerate(pieces):
            # gradients are averaged over processes once, with the last piece
            last = number + 1 == len(pieces)
            quiet = nullcontext() if last else getattr(self.objective, "no_sync", nullcontext)()
            with quiet:
                loss = self._loss(indices) / len(pieces)
                self.processes.backward(loss)
            total += float(loss.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip))
        if self._usable(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.ema.update(self.model, self.step)
        return total, norm

    def _usable(self, norm: float) -> bool:
        """Whether a step's gradient is finite: a few that are not are left out, many end the run.

        Raises
        ------
        TrainingError
            after :data:`PATIENCE` of them in a row.
        """
        self.lost = 0 if math.isfinite(norm) else self.lost + 1
        if self.lost >= PATIENCE:
            raise TrainingError(
                f"{self.folder}: the gradients of {PATIENCE} steps in a row, up to step "
                f"{self.step + 1}, hold NaN or infinity; start in another folder with a lower "
                "learning rate or precision: no"
            )
        return not self.lost

    def _loss(self, indices: range) -> Tensor:
        config, device = self.model.config, self.processes.device
        steps = self.model.layout.steps(config.window_frames)
        wave, codes = self.bank.batch(self.train.seed, self.step, indices, remix=self.train.remix)
        hide, keep, apart = masks(self.train, self.step, indices, len(config.stems), steps)
        own = self_fed(self.train, self.step, indices, len(config.stems), steps)
        wave = wave.to(device)
        latents = mixture_latents(self.codec, wave, config)
        return self.objective(
            wave,
            codes.to(device),
            latents,
            hide=hide.to(device),
            keep=keep.to(device),
            own=None if own is None else own.to(device),
            parallel=apart,
        )[0]

    def run(self, *, stop_after: int | None = None) -> dict[str, Any]:
        """Train to the end of the budget (or ``stop_after`` more steps) and export ``final``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.watch = Watch(self.folder, self.step, active=not self.processes.rank)
        try:
            return self._run(stop_after)
        finally:
            self.watch.close()

    def _run(self, stop_after: int | None) -> dict[str, Any]:
        started, result = self.step, {}
        last = time.process_time(), time.monotonic()
        while progress_of(self.train, self.step, self.clock) < 1:
            if stop_after is not None and self.step - started >= stop_after:
                self.save()
                return result
            loss, norm = self.update()
            self._log(loss, norm)
            if self.step % self.train.eval_every == 0:
                result = self.evaluate()
            now = time.process_time(), time.monotonic()
            self.clock.cpu += now[0] - last[0]
            self.clock.wall += now[1] - last[1]
            last = now
            if self.step % self.train.save_every == 0:
                self.save()
        result = self.evaluate()
        self.save()
        if not self.processes.rank:
            self.export("final")
        return result

    def _log(self, loss: float, norm: float) -> None:
        if self.processes.rank:
            return
        path = self.folder / "train.csv"
        new = not path.exists()
        rate = self.optimizer.param_groups[0]["lr"]
        with path.open("a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["step", "cpu_seconds", "loss", "grad_norm", "lr"])
            row = [f"{self.clock.cpu:.1f}", f"{loss:.5f}", f"{norm:.3f}", f"{rate:.2e}"]
            writer.writerow([self.step, *row])
        self.watch.step(
            self.step,
            progress_of(self.train, self.step, self.clock),
            {"loss": loss, "lr": rate, "grad_norm": norm, "cpu_seconds": self.clock.cpu},
        )

    def evaluate(self) -> dict[str, Any]:
        """Validate the EMA weights; keep them as ``best`` when they are."""
        if not self.valid:
            return {"step": self.step}
        kept = {k: v.detach().clone() for k, v in self.model.named_parameters()}
        self.ema.copy_to(self.model)
        bare = Objective(self.model, self.train).to(self.processes.device)
        result = {"step": self.step, **validate(bare, self.valid, self.codec)}
        if not self.processes.rank:
            with (self.folder / "valid.jsonl").open("a") as handle:
                handle.write(json.dumps({"cpu_seconds": round(self.clock.cpu, 1), **result}) + "\n")
            self.watch.valid(self.step, result)
            if result["loss"] < self.best:
                self.best = result["loss"]
                save_lm(self.folder / "best", self.model)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(kept[name])
        return result

    def export(self, name: str) -> None:
        """Write the EMA weights to ``folder/name``."""
        kept = {k: v.detach().clone() for k, v in self.model.named_parameters()}
        self.ema.copy_to(self.model)
        save_lm(self.folder / name, self.model)
        with torch.no_grad():
            for key, parameter in self.model.named_parameters():
                parameter.copy_(kept[key])


def fit_config(config: TokenSepConfig, codec: Any) -> TokenSepConfig:
    """The configuration with the codec's facts; the delays must have been made for its layers."""
    silence = torch.zeros(1, codec.frame_hop, device=device_of(codec))
    width = codec.latents(codec.encode(silence)).shape[-1]
    return TokenSepConfig.model_validate(
        {
            **config.model_dump(),
            "rate": codec.rate,
            "frame_hop": codec.frame_hop,
            "codebook_size": codec.codebook_size,
            "semantic_layers": codec.semantic_layers,
            "acoustic_layers": codec.acoustic_layers,
            "encoder": {**config.encoder.model_dump(), "latent_dim": width},
        }
    )


def banks(
    store: StemStore | None,
    shards: list[Path],
    codec: Any,
    config: TokenSepConfig,
    train: LMTrainConfig,
    folder: Path,
) -> tuple[TokenBank, TokenBank | None]:
    """Training and validation banks, encoded once into ``folder``.

    The validation songs are told by their names and only ever come from ``store``. The codec is
    moved to where the LM will be trained, and encodes there.

    Raises
    ------
    DataError
        the folder holds banks of other songs, shards, codec or settings.
    """
    held_out = set(validation_songs()) if store is not None else set()
    names = set(store.songs()) if store is not None else set()

    def songs(wanted: set[str]) -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
        if store is not None:
            yield from store_songs(store, wanted)

    def training() -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
        yield from songs(names - held_out)
        yield from pseudo_labels.songs(shards, config.rate)

    facts = {
        "songs": store.facts if store is not None else None,
        "codec": hashlib.sha256(codebooks(codec).numpy().tobytes()).hexdigest()[:16],
        "rate": config.rate,
        "frame_hop": config.frame_hop,
        "loudness": config.loudness,
    }

    codec.to(Processes(train.precision).device)

    def made(name: str, source: Any, more: dict[str, Any]) -> TokenBank:
        known = {**facts, **more}
        if not prepared.is_ready(folder / name, known):
            prepared.declare(folder / name, known)
            variants = more["variants"]
            bank = TokenBank.build(source, codec, config, variants=variants, seed=train.seed)
            bank.save(folder / name)
        return TokenBank.load(folder / name, config)

    valid = None
    if names & held_out:
        valid = made("bank-valid", songs(names & held_out), {"variants": 1})
    more = {"variants": train.variants, "seed": train.seed}
    more["shards"] = prepared.mark_of([(path,) for path in shards])
    return made("bank-train", training(), more), valid


def start_from(model: TokenLM, folder: Path) -> None:
    """Copy the weights of the LM exported to ``folder``."""
    given = load_lm(folder)
    if any(
        getattr(given.config, part) != getattr(model.config, part)
        for part in ("lm", "encoder", "layout", "codebook_size", "stems")
    ):
        raise CheckpointError(
            f"{folder}: an LM of another shape (encoder, layout or lm differ); start from one that "
            "was trained with this configuration, or from nothing"
        )
    model.load_state_dict(given.state_dict())


def train_lm(
    folder: Path,
    *,
    codec: Any,
    store: StemStore | None,
    config: TokenSepConfig,
    train: LMTrainConfig,
    shards: list[Path] | None = None,
    stop_after: int | None = None,
    init: Path | None = None,
    bank_folder: Path | None = None,
) -> dict[str, Any]:
    """Train (or continue) the LM in ``folder``; returns the last scores.

    Parameters
    ----------
    store : songs with stems, training and validation ones (told apart by name); None: shards only.
    shards : pseudo-labels (:mod:`tokensep.train.pseudo_labels`).
    stop_after : steps of this call; the run can be continued.
    init : folder of an exported LM of the same shape to start a new run from (new optimiser and
        schedule); a run that is continued ignores it.
    bank_folder : where the encoded songs are kept (default: ``folder``); several runs on the same
        data, codec, seed and variants may share it.

    Raises
    ------
    CheckpointError
        ``init`` holds an LM of another shape.
    """
    config = fit_config(config, codec)
    bank, held_out = banks(store, shards or [], codec, config, train, bank_folder or folder)
    torch.manual_seed(train.seed)
    model = TokenLM(config)
    if config.lm.anchored:
        sample = [torch.from_numpy(c.codes.astype(np.int64)).T for c in bank.clips[::7]]
        model.fit_latent_head(codebooks(codec), torch.cat(sample))
    else:
        model.start_from_codebooks(codebooks(codec))
    if init is not None:
        start_from(model, init)
    if isinstance(model.encoder, SSLEncoder):
        model.encoder.attach(codec.teacher)
    valid = held_out.windows(3) if held_out is not None else []
    return Trainer(folder, model, codec, bank, valid, train).run(stop_after=stop_after)
