"""Train the codec: a time budget in CPU minutes or a number of steps, killed and resumed at will.

Run: ``python -m tokensep.train.codec --config configs/tokensep/mini.yaml --musdb FOLDER --work DIR
--hubert DIR --out WEIGHTS``. Start it again with the same arguments to continue.

Conventions
-----------
Progress (for the learning rate) is the larger of steps and CPU seconds over their budgets; with a
step budget alone a resumed run repeats the undisturbed one exactly. Codebooks start by k-means
after ``continuous_steps`` without quantisation. What is shipped is the running average (EMA) at the
validation with the lowest spectral loss.
"""

from __future__ import annotations

import argparse
import csv
import math
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from tokensep.codec.discriminators import (
    Discriminators,
    Judgement,
    discriminator_loss,
    generator_losses,
)
from tokensep.codec.losses import SpectralLoss
from tokensep.codec.model import HCodec
from tokensep.codec.rvq import perplexity
from tokensep.config import CodecConfig, CodecTrainConfig, load
from tokensep.errors import CheckpointError
from tokensep.train import checkpoint as ck
from tokensep.train.curves import cut_log
from tokensep.train.data import (
    Augment,
    StemStore,
    codec_batch,
    loose_files,
    musdb_files,
    validation_songs,
)
from tokensep.train.processes import Processes, leave_group

TERMS = ("mel", "convergence", "erb", "bass")
"""Names of the spectral terms in a validation row (its other columns are per stem)."""


@dataclass
class Run:
    """Everything that changes during training and that a checkpoint holds."""

    codec: HCodec
    config: CodecTrainConfig
    store: StemStore
    valid: StemStore | None
    work: Path
    augment: Augment = field(default_factory=Augment)
    step: int = 0
    cpu_before: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    """Loss terms summed since the last row of the log, and over how many steps."""
    summed: int = 0

    def __post_init__(self) -> None:
        self.processes = Processes(self.config.precision)
        torch.manual_seed(self.config.seed)
        self.rng = np.random.default_rng([self.config.seed, self.processes.rank])
        device = self.processes.device
        self.codec.to(device)
        self.loss = SpectralLoss(self.config.losses, self.codec.rate).to(device)
        self.parameters = [p for p in self.codec.parameters() if p.requires_grad]
        self.model, self.optimizer = self.processes.wrap(self.codec, self._adamw(self.parameters))
        self.judges: Discriminators | None = None
        if self.config.losses.adversarial:
            self.judges = Discriminators(self.config.losses).to(device)
            adamw = self._adamw(list(self.judges.parameters()))
            self.judges_model, self.judges_optimizer = self.processes.wrap(self.judges, adamw)
        self.ema = ck.Ema(self.codec, self.config.ema)
        frames = round(self.config.crop_seconds * self.codec.frame_rate)
        self.length = frames * self.codec.frame_hop
        self.began = time.process_time()

    def _adamw(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        c = self.config
        return torch.optim.AdamW(parameters, lr=c.lr, betas=c.betas, weight_decay=c.weight_decay)

    def cpu_seconds(self) -> float:
        """CPU seconds spent on this run, earlier processes included."""
        return self.cpu_before + time.process_time() - self.began

    def progress(self) -> float:
        """Share of the budget that is spent."""
        done = self.step / self.config.max_steps
        if self.config.cpu_minutes:
            done = max(done, self.cpu_seconds() / (60 * self.config.cpu_minutes))
        # One process decides for all: a step that only some of them take would wait for ever.
        return min(self.processes.gather(done)[0], 1.0)

    def batch(self) -> Tensor:
        """The next training batch ``[B, T]`` of this process."""
        crops = codec_batch(self.store, self.config.batch, self.length, self.rng, self.augment)
        return torch.from_numpy(crops).to(self.processes.device)

    def save(self) -> None:
        """Write a checkpoint into the work folder (process 0; every process must call it)."""
        states = self.processes.gather(ck.rng_state(self.rng))
        if self.processes.rank == 0:
            tensors, meta = ck.optimizer_tensors(self.optimizer)
            state = {"optimizer": meta, "rng": states, "cpu_seconds": self.cpu_seconds()}
            state |= {"sums": self.sums, "summed": self.summed}
            parts = {"model": self.codec.state_dict(), "ema": self.ema.shadow, "optimizer": tensors}
            if self.judges is not None:
                tensors, meta = ck.optimizer_tensors(self.judges_optimizer)
                parts |= {"judges": self.judges.state_dict(), "judges_optimizer": tensors}
                state["judges_optimizer"] = meta
            ck.save(self.work / "checkpoints", self.step, parts, state)
        self.processes.wait()

    def resume(self) -> bool:
        """Continue from the newest checkpoint, if there is one.

        Raises
        ------
        CheckpointError
            It is corrupt, of another configuration, or of another number of processes.
        """
        found = ck.checkpoints(self.work / "checkpoints")
        if not found:
            return False
        parts, state = ck.load(found[-1])
        if len(state["rng"]) != self.processes.count:
            raise CheckpointError(
                f"{found[-1]} was written by {len(state['rng'])} processes, this run has "
                f"{self.processes.count}: launch as many, or use another --work folder"
            )
        try:
            self.codec.load_state_dict(parts["model"])
            if self.judges is not None:
                self.judges.load_state_dict(parts["judges"])
        except (RuntimeError, KeyError) as e:
            raise CheckpointError(
                f"{found[-1]} was made with another configuration ({str(e)[:200]}); "
                "use another --work folder"
            ) from e
        self.ema.restore(parts["ema"])
        ck.load_optimizer(self.optimizer, parts["optimizer"], state["optimizer"])
        if self.judges is not None:
            ck.load_optimizer(
                self.judges_optimizer, parts["judges_optimizer"], state["judges_optimizer"]
            )
        ck.load_rng(state["rng"][self.processes.rank], self.rng)
        self.step, self.cpu_before = state["step"], state["cpu_seconds"]
        self.sums, self.summed = state.get("sums", {}), state.get("summed", 0)
        self.began = time.process_time()
        return True


def prepare(run: Run, batches: int = 8) -> None:
    """Start the output at the training data's mean log spectrum."""
    from tokensep.codec.layers import same_stft

    decoder, c = run.codec.decoder, run.codec.config
    waves = torch.cat([run.batch() for _ in range(batches)])
    spec = same_stft(waves, c.n_fft, c.hop, decoder.window)
    decoder.start_at(torch.log(spec.abs().clamp_min(1e-5)).mean((0, 1)))
    run.ema = ck.Ema(run.codec, run.config.ema)


@torch.no_grad()
def start_codebooks(run: Run, batches: int = 20) -> None:
    """K-means over the latents of ``batches`` batches."""
    codec = run.codec
    acoustic, semantic = [], []
    for _ in range(batches):
        wave = run.batch()
        acoustic.append(codec.encoder(wave).flatten(0, 1))
        semantic.append(codec.semantic_encoder(codec.teacher(wave)).flatten(0, 1))
    per_step = len(acoustic[0]) * run.processes.count
    codec.acoustic_rvq.start(torch.cat(acoustic), per_step)
    codec.semantic_rvq.start(torch.cat(semantic), per_step)


def learning_rate(run: Run) -> float:
    """Linear warm-up, then half a cosine down to ``lr_min`` over the budget."""
    config = run.config
    cosine = 0.5 * (1 + math.cos(math.pi * run.progress()))
    rate = config.lr_min + (config.lr - config.lr_min) * cosine
    return rate * min(1, (run.step + 1) / config.warmup)


def train_judges(run: Run, real: Tensor, fake: Tensor) -> float:
    """One step of the discriminators; returns their loss."""
    assert run.judges is not None
    run.judges.requires_grad_(True)
    # One pass over both: gradient averaging between processes allows only one pass a step.
    judged = run.judges_model(torch.cat([real, fake.detach()]))
    loss = discriminator_loss(*halves(judged))
    run.processes.backward(loss)
    torch.nn.utils.clip_grad_norm_(run.judges.parameters(), run.config.clip)
    run.judges_optimizer.step()
    run.judges_optimizer.zero_grad()
    return float(loss.detach())


def halves(judged: list[Judgement]) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements of a batch (real, fake) as two lists."""
    real = [(x[: len(x) // 2], [f[: len(f) // 2] for f in fs]) for x, fs in judged]
    return real, [(x[len(x) // 2 :], [f[len(f) // 2 :] for f in fs]) for x, fs in judged]


def codec_losses(run: Run, wave: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """Total loss of one batch, and its terms; the discriminators, if any, take their step first."""
    losses = run.config.losses
    out = run.model(wave, quantise=run.step >= run.config.continuous_steps)
    terms: dict[str, Any] = run.loss(out.wave, wave)
    total = run.loss.total(terms)
    total = total + losses.commit * out.commit + losses.semantic * out.semantic
    if run.judges is not None and run.step >= losses.discriminator_start:
        terms["judges"] = train_judges(run, wave, out.wave)
        run.judges.requires_grad_(False)
        real, fake = halves(run.judges(torch.cat([wave, out.wave])))
        adversarial, matching = generator_losses(real, fake)
        total = total + losses.adversarial * adversarial + losses.feature_match * matching
        terms |= {"adversarial": adversarial, "feature_match": matching}
    return total, terms | {"commit": out.commit, "semantic": out.semantic, "total": total}


def train_step(run: Run) -> dict[str, float]:
    """One optimizer step; returns the loss terms."""
    config = run.config
    if run.step == config.continuous_steps:
        start_codebooks(run)
    rate = learning_rate(run)
    run.optimizer.param_groups[0]["lr"] = rate
    if run.judges is not None:
        run.judges_optimizer.param_groups[0]["lr"] = rate
    logs: dict[str, float] = {}
    for _ in range(config.accumulate):
        total, terms = codec_losses(run, run.batch())
        run.processes.backward(total / config.accumulate)
        for name, value in terms.items():
            number = float(value.detach()) if isinstance(value, Tensor) else value
            logs[name] = logs.get(name, 0.0) + number / config.accumulate
    norm = torch.nn.utils.clip_grad_norm_(run.parameters, config.clip)
    if torch.isfinite(norm):
        run.optimizer.step()
    run.optimizer.zero_grad()
    run.step += 1
    run.ema.update(run.codec, run.step)
    return logs | {"grad": float(norm), "lr": rate}


@torch.no_grad()
def validate(run: Run, seconds: float = 3.0) -> dict[str, float]:
    """Loss terms and codebook use of the averaged model over one crop of each validation stem."""
    assert run.valid is not None
    codec = run.codec
    kept = {k: v.detach().clone() for k, v in codec.named_parameters()}
    run.ema.copy_to(codec)
    codec.eval()
    length = round(seconds * codec.frame_rate) * codec.frame_hop
    sums: dict[str, float] = {}
    codes: dict[str, list[Tensor]] = {"acoustic": [], "semantic": []}
    for source in run.valid.sources:
        start = max(0, (source.audio.shape[1] - length) // 2)
        piece = source.audio[:, start : start + length].astype(np.float32).mean(0) / 32768
        wave = torch.from_numpy(piece)[None].to(run.processes.device)
        found = codec.encode(wave)
        for name in codes:
            codes[name].append(getattr(found, name)[0])
        terms = run.loss(codec.decode(found), wave)
        for name, value in terms.items():
            for key in (name, f"{name}_{source.stem}"):
                sums[key] = sums.get(key, 0.0) + float(value)
    count = len(run.valid.sources)
    stems = len({s.stem for s in run.valid.sources})
    result = {k: v / (count / stems if k.count("_") else count) for k, v in sums.items()}
    for name, found_codes in codes.items():
        use = perplexity(torch.cat(found_codes, 1)[None], codec.codebook_size)
        result |= {f"perplexity_{name}_{i}": float(v) for i, v in enumerate(use)}
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            parameter.copy_(kept[name])
    codec.train()
    return result


class Log:
    """Two CSV files in the work folder: ``train.csv`` and ``valid.csv``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def cut(self, step: int) -> None:
        """Forget what was logged after ``step``: a resumed run does it again."""
        for name in ("train", "valid"):
            cut_log(self.folder / f"{name}.csv", step)

    def holds(self, name: str, step: int) -> bool:
        """Whether the newest row is of ``step``."""
        path = self.folder / f"{name}.csv"
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        return bool(rows) and rows[-1].split(",", 1)[0] == str(step)

    def write(self, name: str, row: dict[str, Any]) -> None:
        """Append one row; the first row of a file fixes its columns."""
        path = self.folder / f"{name}.csv"
        new = not path.exists()
        fields = list(row) if new else path.read_text().split("\n", 1)[0].split(",")
        with path.open("a") as handle:
            writer = csv.DictWriter(handle, fields, restval="", extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})


def keep_best(run: Run, result: dict[str, float]) -> None:
    """Keep the averaged model if its spectral loss on the validation stems is the lowest so far."""
    score = float(run.loss.total({k: torch.tensor(v) for k, v in result.items() if k in TERMS}))
    folder = run.work / "best"
    found = ck.checkpoints(folder)
    if found and ck.load(found[-1])[1]["score"] <= score:
        return
    parts = {"model": run.codec.state_dict(), "ema": run.ema.shadow}
    kept = ck.save(folder, run.step, parts, {"score": score})
    for old in ck.checkpoints(folder):
        if old != kept:
            shutil.rmtree(old)


def finish(run: Run, out: Path) -> None:
    """Write the checkpoint that is shipped: the best average by validation, else the last one."""
    step, found = run.step, ck.checkpoints(run.work / "best")
    if found:
        parts, state = ck.load(found[-1])
        run.codec.load_state_dict(parts["model"] | parts["ema"])
        step = state["step"]
    else:
        run.ema.copy_to(run.codec)
    note = {"steps": step, "cpu_seconds": round(run.cpu_seconds())}
    run.codec.eval().save_checkpoint(out, {"training": note})


def evaluate(run: Run, log: Log) -> None:
    """Validate, keep the best, log (process 0 computes, all wait); once for each step.

    Logged last: a row says that all of it was done, so a run killed before does it again.
    """
    first = run.processes.rank == 0
    if run.valid is not None and first and not log.holds("valid", run.step):
        result = validate(run)
        keep_best(run, result)
        row = {"step": run.step, "cpu_seconds": run.cpu_seconds(), **result}
        log.write("valid", row)
        print("VALID", *(f"{k}={v:.4g}" for k, v in row.items()), flush=True)
    run.processes.wait()


def train(run: Run, out: Path) -> None:
    """Train until the budget is spent, resuming if the work folder holds a checkpoint.

    A step is validated before it is saved: what is resumed has no validation behind it to catch up.
    """
    log = Log(run.work)
    first = run.processes.rank == 0
    if not run.resume():
        prepare(run)
    if first:
        log.cut(run.step)
    run.codec.train()
    bar = tqdm(total=100, unit="%", disable=not (first and sys.stderr.isatty()))
    while (done := run.progress()) < 1:
        bar.update(round(100 * done) - bar.n)
        for name, value in train_step(run).items():
            run.sums[name] = run.sums.get(name, 0.0) + value
        run.summed += 1
        if run.step % 20 == 0:
            _log_means(run, log)
        if run.step % run.config.eval_every == 0:
            evaluate(run, log)
        if run.step % run.config.save_every == 0:
            run.save()
    bar.close()
    evaluate(run, log)
    run.save()
    if first:
        finish(run, out)


def _log_means(run: Run, log: Log) -> None:
    """A row of the loss terms' means since the last one."""
    row = {"step": run.step, "cpu_seconds": run.cpu_seconds()}
    row |= {name: value / run.summed for name, value in run.sums.items()}
    run.sums, run.summed = {}, 0
    if run.processes.rank == 0:
        log.write("train", row)
        print(" ".join(f"{k}={v:.4g}" for k, v in row.items()), flush=True)


def load_hubert(codec: HCodec, folder: Path) -> None:
    """Give the codec's mini teacher its trained weights."""
    path = folder / "hubert.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: train it first (tokensep.train.hubert)")
    tensors = {k: v.float() for k, v in load_file(path).items()}
    codec.teacher.model.load_state_dict(tensors)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--musdb", type=Path, required=True, help="MUSDB train folder")
    parser.add_argument("--extra", type=Path, help="folder of other recordings (free licences)")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, logs, audio cache")
    parser.add_argument("--hubert", type=Path, help="folder with hubert.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shipped weights")
    parser.add_argument("--cpu-minutes", type=float)
    parser.add_argument("--max-steps", type=int)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    data = yaml.safe_load(args.config.read_text())
    settings = load(CodecTrainConfig, data.get("codec_train", {}))
    changes = {"cpu_minutes": args.cpu_minutes, "max_steps": args.max_steps}
    settings = settings.model_copy(update={k: v for k, v in changes.items() if v is not None})
    codec = HCodec(load(CodecConfig, data["codec"]))
    if args.hubert:
        load_hubert(codec, args.hubert)
    held_out = set(validation_songs())
    rate = codec.rate
    files = list(musdb_files(args.musdb, None, held_out))
    name = "audio-train"
    if args.extra:
        files += list(loose_files(args.extra))
        name = "audio-train-extra"
    store = StemStore.build(args.work / name, files, rate)
    valid = StemStore.build(
        args.work / "audio-valid", musdb_files(args.musdb, held_out, set()), rate
    )
    train(Run(codec, settings, store, valid, args.work), args.out)
    leave_group()


if __name__ == "__main__":
    main()
