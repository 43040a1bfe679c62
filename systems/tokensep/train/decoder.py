"""Tune the codec's decoder on what the language model gives it.

The decoder was trained on true tokens; at inference it gets what the LM drew, or the latents that
the LM expects, which lie elsewhere. Vocoders of text-to-speech are tuned on predicted spectra
for the same reason. The encoder, the codebooks and so every token stay as they are: the LM need
not be trained again.

Conventions
-----------
window     a mixture of :attr:`TokenSepConfig.window_frames`, separated once by the LM with its own
           inference settings: latents ``[S, F, D]`` beside the true stems
batch      a share of crops with the LM's latents, the rest with the true tokens'; every choice is a
           function of (seed, step), so a resumed run needs no random state
output     the codec folder with another decoder: the average (EMA) with the lowest spectral loss on
           the validation songs' generated latents
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokensep.codec.interface import Codes
from tokensep.codec.losses import SpectralLoss
from tokensep.codec.model import HCodec
from tokensep.config import DecoderTrainConfig
from tokensep.errors import CheckpointError
from tokensep.files import cut_log, write_text
from tokensep.generate import generate
from tokensep.lm import TokenLM
from tokensep.train import checkpoint as ck
from tokensep.train.lm_data import Crop, TokenBank, stacked


class Pairs:
    """Latents and the stems they should become, in three mapped files.

    ``drawn`` and ``true`` are float16 ``[N, F, D]``, ``waves`` float16 ``[N, F x hop]``; N counts
    the stems of all windows.
    """

    def __init__(self, folder: Path) -> None:
        self.drawn, self.true, self.waves = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("drawn", "true", "waves")
        )
        self.hop = self.waves.shape[1] // self.drawn.shape[1]

    @classmethod
    def build(
        cls, folder: Path, crops: list[Crop], lm: TokenLM, codec: HCodec, seed: int, batch: int = 8
    ) -> Pairs:
        """Separate every crop; kept if the folder is complete."""
        if (folder / "DONE").exists():
            return cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        parts: dict[str, list[NDArray[np.float16]]] = {"drawn": [], "true": [], "waves": []}
        for at in range(0, len(crops), batch):
            some = crops[at : at + batch]
            drawn, true = _latents(
                some, lm, codec, [seed + (at + i) * 64 for i in range(len(some))]
            )
            parts["drawn"].append(drawn.flatten(0, 1).numpy().astype(np.float16))
            parts["true"].append(true.flatten(0, 1).numpy().astype(np.float16))
            parts["waves"] += [crop.stems.astype(np.float16) for crop in some]
        for name, arrays in parts.items():
            np.save(folder / f"{name}.npy", np.concatenate(arrays))
        write_text(folder / "DONE", f"{len(crops)}\n")
        return cls(folder)

    def batch(self, config: DecoderTrainConfig, step: int) -> tuple[Tensor, Tensor]:
        """Crops of one step: latents ``[B, f, D]`` and waves ``[B, f x hop]``."""
        rng = np.random.default_rng([config.seed, step])
        latents, waves = [], []
        for _ in range(config.batch):
            row = int(rng.integers(len(self.drawn)))
            start = int(rng.integers(self.drawn.shape[1] - config.crop_frames + 1))
            end = start + config.crop_frames
            source = self.drawn if rng.random() < config.generated else self.true
            latents.append(source[row, start:end])
            waves.append(self.waves[row, start * self.hop : end * self.hop])
        stack = [torch.from_numpy(np.stack(x).astype(np.float32)) for x in (latents, waves)]
        return stack[0], stack[1]


@torch.no_grad()
def _latents(
    crops: list[Crop], lm: TokenLM, codec: HCodec, seeds: list[int]
) -> tuple[Tensor, Tensor]:
    """What the LM draws and what the true tokens say, ``[B, S, F, D]`` each."""
    from tokensep.codebooks import codebooks
    from tokensep.train.lm import mixture_latents

    wave, codes = stacked(crops)
    inference = lm.config.inference
    cond = lm.condition(wave, mixture_latents(codec, wave, lm.config))
    result = generate(
        lm,
        cond,
        sampling=inference.sampling,
        decoding=inference.decoding,
        seeds=seeds,
        books=codebooks(codec) if inference.render == "mean" else None,
    )

    def of(tokens: Tensor) -> Tensor:
        flat = Codes.unstack(tokens.flatten(0, 1), lm.config.semantic_layers)
        return codec.latents(flat).unflatten(0, tokens.shape[:2])

    drawn = result.latents if result.latents is not None else of(result.codes)
    return drawn.clone(), of(codes)


class DecoderTrainer:
    """One run in one folder: start, step, validate, save, resume."""

    def __init__(
        self, folder: Path, codec: HCodec, pairs: Pairs, valid: Pairs | None, c: DecoderTrainConfig
    ) -> None:
        self.folder, self.codec, self.pairs, self.valid, self.config = (
            folder,
            codec,
            pairs,
            valid,
            c,
        )
        self.decoder = codec.decoder.requires_grad_(True).train()
        self.loss = SpectralLoss(c.losses, codec.rate)
        self.optimizer = torch.optim.AdamW(
            self.decoder.parameters(), lr=c.lr, betas=(0.8, 0.98), weight_decay=1e-3
        )
        self.ema = ck.Ema(self.decoder, c.ema)
        self.step, self.cpu, self.best = 0, 0.0, math.inf
        self._resume()

    def _resume(self) -> None:
        found = ck.checkpoints(self.folder) if self.folder.exists() else []
        if not found:
            return
        parts, state = ck.load(found[-1])
        try:
            self.decoder.load_state_dict(parts["decoder"])
        except RuntimeError as error:
            raise CheckpointError(
                f"{found[-1]} holds another decoder; use another folder"
            ) from error
        ck.load_optimizer(self.optimizer, parts["optimizer"], state["optimizer"])
        self.ema.shadow = parts["ema"]
        self.step, self.cpu, self.best = state["step"], state["cpu"], state["best"]
        cut_log(self.folder / "valid.csv", self.step)

    def save(self) -> None:
        """Write ``step-N``."""
        tensors, meta = ck.optimizer_tensors(self.optimizer)
        parts = {
            "decoder": self.decoder.state_dict(),
            "optimizer": tensors,
            "ema": self.ema.shadow,
        }
        state = {"optimizer": meta, "cpu": self.cpu, "best": self.best}
        ck.save(self.folder, self.step, parts, state)

    def update(self) -> float:
        """One optimiser step; returns the loss."""
        c = self.config
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / c.max_steps)))
        rate = (c.lr_min + (c.lr - c.lr_min) * cosine) * min(1, (self.step + 1) / c.warmup)
        self.optimizer.param_groups[0]["lr"] = rate
        torch.manual_seed((c.seed << 20) + self.step)
        latents, waves = self.pairs.batch(c, self.step)
        loss = self.loss.total(self.loss(self.decoder(latents), waves))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), c.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.ema.update(self.decoder, self.step)
        return float(loss.detach())

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Spectral loss on generated and on true latents of the validation windows (EMA)."""
        assert self.valid is not None
        kept = {k: v.detach().clone() for k, v in self.decoder.named_parameters()}
        self.ema.copy_to(self.decoder)
        self.decoder.eval()
        result = {}
        for name in ("drawn", "true"):
            latents, total = getattr(self.valid, name), 0.0
            for row in range(len(latents)):
                found = self.decoder(torch.from_numpy(latents[row : row + 1].astype(np.float32)))
                wave = torch.from_numpy(self.valid.waves[row : row + 1].astype(np.float32))
                total += float(self.loss.total(self.loss(found, wave)))
            result[name] = total / len(latents)
        self.decoder.train()
        for name, parameter in self.decoder.named_parameters():
            parameter.copy_(kept[name])
        return result

    def run(
        self, out: Path, about: dict[str, Any], *, stop_after: int | None = None
    ) -> dict[str, Any]:
        """Train to the end (or ``stop_after`` more steps); write the tuned codec to ``out``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        c, begun, mark, started = self.config, self.step, self.cpu, time.process_time()
        if self.step == 0:
            self._evaluate()
        while self.step < c.max_steps:
            if stop_after is not None and self.step - begun >= stop_after:
                self.save()
                return {"step": self.step}
            loss = self.update()
            self.cpu = mark + time.process_time() - started
            if self.step % 20 == 0:
                print(f"step {self.step} cpu {self.cpu:.0f}s loss {loss:.4f}", flush=True)
            if self.step % c.eval_every == 0 or self.step == c.max_steps:
                self._evaluate()
            if self.step % c.save_every == 0 or self.step == c.max_steps:
                self.save()
        return self._finish(out, about)

    def _evaluate(self) -> None:
        if self.valid is None:
            return
        found = self.validate()
        path = self.folder / "valid.csv"
        line = f"{self.step},{self.cpu:.1f},{found['drawn']:.5f},{found['true']:.5f}\n"
        head = "" if path.exists() else "step,cpu_seconds,loss_drawn,loss_true\n"
        with path.open("a") as handle:
            handle.write(head + line)
        print("VALID", line.strip(), flush=True)
        if found["drawn"] < self.best:
            self.best = found["drawn"]
            ck.save(self.folder / "best", self.step, {"ema": self.ema.shadow}, {})

    def _finish(self, out: Path, about: dict[str, Any]) -> dict[str, Any]:
        step, found = self.step, ck.checkpoints(self.folder / "best")
        shadow = self.ema.shadow
        if found:
            parts, state = ck.load(found[-1])
            shadow, step = parts["ema"], state["step"]
        with torch.no_grad():
            for name, parameter in self.decoder.named_parameters():
                parameter.copy_(shadow[name])
        note = {**about, "decoder_tuning": {"steps": step, "cpu_seconds": round(self.cpu)}}
        self.codec.eval().save_checkpoint(out, note)
        return {"step": self.step, "best_step": step, "loss": self.best}


def tune_decoder(
    folder: Path,
    out: Path,
    *,
    codec: HCodec,
    lm: TokenLM,
    bank: TokenBank,
    valid: TokenBank | None,
    train: DecoderTrainConfig,
    about: dict[str, Any] | None = None,
    stop_after: int | None = None,
) -> dict[str, Any]:
    """Tune (or go on tuning) the decoder of ``codec`` in ``folder``; the codec goes to ``out``.

    Parameters
    ----------
    lm : the LM whose output the decoder is to render, with its own inference settings.
    bank, valid : encoded songs for training and validation.
    about : what the codec's config.json says beside its configuration; it is kept.
    stop_after : steps of this call; the run can be continued.

    Raises
    ------
    CheckpointError
        ``folder`` holds a run of another decoder.
    """
    rng = [[train.seed, 7, i] for i in range(train.windows)]
    crops = [bank.crop(np.random.default_rng(r), remix=train.remix) for r in rng]
    pairs = Pairs.build(folder / "pairs", crops, lm, codec, train.seed)
    held_out = None
    if valid is not None:
        held_out = Pairs.build(folder / "pairs-valid", valid.windows(2), lm, codec, train.seed)
    trainer = DecoderTrainer(folder, codec, pairs, held_out, train)
    return trainer.run(out, about or {}, stop_after=stop_after)
