"""Train the guided decoder (:mod:`tokensep.decode.guide`) for one LM and its codec.

    L = sdr * L_sdr + bands * L_bands + bins * L_bins

``L_sdr`` is ``log10(|Y - T|^2 / |T|^2)`` of complex spectra (Y estimate, T true stem); it measures
the distance to the true stem and leakage. ``L_bands`` and ``L_bins`` are distances of
log-magnitudes (mel bands: powers; bins: amplitudes) in nats; they measure content that a listener
would miss. All are means over stems.

Written to the run's folder, besides what :mod:`benchsep_training.loop` writes: ``data`` (the stems
and examples), ``best`` and ``final`` (``guided.safetensors`` and ``guided.json``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from benchsep_training.batches import BatchSource
from benchsep_training.bf16 import keep_in_float32
from benchsep_training.budget import Budget, Every
from benchsep_training.ema import Ema
from benchsep_training.loop import Loop, LoopSettings
from benchsep_training.processes import Processes, leave_group
from benchsep_training.schedule import WarmupCosine
from pydantic import Field
from torch import Tensor, nn

from benchsep._util.tensors import combined_sha256
from tokensep.codec.files import codec_files
from tokensep.codec.model import HCodec
from tokensep.config import SEED, Minutes, Share, Strict
from tokensep.decode.guide import FLOOR, Guide, GuideConfig, load_guide, save_guide
from tokensep.errors import ConfigError
from tokensep.lm.config import TokenSepConfig, check_stems
from tokensep.lm.weights import lm_files, load_lm
from tokensep.train.data import StemStore, musdb_folders, validation_songs
from tokensep.train.guided_data import (
    Example,
    GuidedBatches,
    Maker,
    Worse,
    chunks,
    prepared,
    random_crops,
    read_example,
)
from tokensep.train.stereo_songs import StereoSongs

VALID_PER_SONG = 2
"""Fixed crops of each validation song."""


class GuidedTrainConfig(Strict):
    """Settings of the training; it ends at the first of ``max_steps`` and ``cpu_minutes``."""

    seed: int = SEED
    examples: int = Field(default=3200, ge=1)
    """Number of examples, made once by the LM, 2.56 s each (the mini's window)."""
    remix: Share = 0.6
    """Probability that an example's stems come from different songs."""
    drawn: Share = 0.0
    """Share of the examples whose latents come from drawn tokens; the others: from one pass."""
    nothing: Share = 0.3
    """Probability that an example has no generated stems: the decoder then has only the mixture."""
    leaks: Share = 0.4
    """Probability that an example's generated stems contain parts of each other."""
    batch: int = Field(default=4, ge=1)
    lr: float = Field(default=3e-3, gt=0)
    lr_min_ratio: Share = 0.02
    warmup: int = Field(default=40, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: Share = 0.15
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    cpu_minutes: Minutes = 40.0
    wall_minutes: Minutes = None
    max_steps: int = Field(default=1_000_000, ge=1)
    eval_every: int = Field(default=100, ge=1)
    save_every: int = Field(default=200, ge=1)
    sdr: float = Field(default=1.0, ge=0)
    bands: float = Field(default=0.15, ge=0)
    bins: float = Field(default=0.0, ge=0)
    renders: str = ""
    """Stems that a checkpoint renders with this decoder by default, e.g. ``vocals+drums``."""


def config_for(lm: TokenSepConfig, latent_dim: int, dropout: float = 0.0) -> GuideConfig:
    """The default sizes, for this LM and codec."""
    facts = {"stems": len(lm.stems), "rate": lm.rate, "frame_hop": lm.frame_hop}
    return GuideConfig(**facts, latent_dim=latent_dim, dropout=dropout)


class GuidedObjective(nn.Module):
    """Losses of a batch; this is the module that DDP wraps."""

    def __init__(self, guide: Guide, train: GuidedTrainConfig) -> None:
        super().__init__()
        self.guide, self.weights = guide, {k: getattr(train, k) for k in ("sdr", "bands", "bins")}

    def forward(
        self, stems: Tensor, generated: Tensor, latents: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss, and its terms; see :data:`tokensep.train.guided_data.Example`."""
        guide = self.guide
        with torch.no_grad():
            true = guide.spectrum(stems)  # [B, S, 2, N, bins]
            made = guide.spectrum(generated).abs()  # [B, S, N, bins]
            mixture = true.sum(1)  # [B, 2, N, bins]
        found = guide(guide.views(mixture), made, latents) * mixture[:, None]
        terms = {"sdr": error_ratio(found, true, mixture).mean()}
        if self.weights["bands"]:
            terms["bands"] = self._band_distance(found, true)
        if self.weights["bins"]:
            terms["bins"] = (_log(found) - _log(true)).abs().mean()
        return sum((self.weights[k] * v for k, v in terms.items()), torch.zeros(())), terms

    def _band_distance(self, found: Tensor, true: Tensor) -> Tensor:
        """Mean distance of the levels of mel bands, in nats of amplitude."""
        levels = [0.5 * torch.log(_power(x) @ self.guide.filters + FLOOR**2) for x in (found, true)]
        return (levels[0] - levels[1]).abs().mean()


def error_ratio(found: Tensor, true: Tensor, mixture: Tensor) -> Tensor:
    """``log10`` of the error's energy over the stem's, ``[B, S]``: -0.1 for each dB of SDR.

    Spectra are ``[B, S, C, N, bins]``, the mixture's ``[B, C, N, bins]``; energies are summed over
    channels. The mixture's energy less 30 dB is added to the stem's, since silence has no ratio.
    """
    error, energy = (_power(x).sum((2, 3, 4)) for x in (found - true, true))
    floor = 1e-3 * _power(mixture).sum((1, 2, 3))[:, None] + 1e-8
    return torch.log10((error + 1e-2 * floor) / (energy + floor))


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _log(spectrum: Tensor) -> Tensor:
    """Log-amplitudes with a floor of -80 dB: below it the bins are many and random."""
    return 0.5 * torch.log(_power(spectrum) + 1e-8)


class GuidedTrainer(Loop):
    """One training of the guided decoder in one folder."""

    model: Guide
    batches: BatchSource[Example]

    def __init__(
        self,
        folder: Path,
        guide: Guide,
        batches: BatchSource[Example],
        valid: list[Example],
        train: GuidedTrainConfig,
    ) -> None:
        processes = Processes("no")
        guide = guide.to(processes.device)
        if processes.device.type == "cpu":
            keep_in_float32(guide)  # it trains its U-Net in bf16
        self.valid, self.train = valid, train
        super().__init__(
            folder,
            guide,
            torch.optim.AdamW(guide.parameters(), train.lr, weight_decay=train.weight_decay),
            loop_settings(train),
            processes=processes,
            objective=GuidedObjective(guide, train).to(processes.device),
            ema=Ema(guide, train.ema),
            batches=batches,
        )

    def loss(self, piece: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the next batch."""
        batch = (part.to(self.processes.device) for part in self.next_batch(piece))
        total, terms = self.objective(*batch)
        return total, {"loss": total, **terms}

    @torch.no_grad()
    def validate(self) -> dict[str, Any] | None:
        """Loss and its terms over fixed examples of the validation songs."""
        if not self.valid:
            return None
        objective = GuidedObjective(self.model, self.train).to(self.processes.device)
        sums: dict[str, float] = {}
        for example in self.valid[self.processes.rank :: self.processes.count]:
            total, terms = objective(*(x[None].to(self.processes.device) for x in example))
            for name, value in {"loss": total, **terms}.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        sums, count = self.processes.totals(sums), len(self.valid)
        return {name: round(value / count, 5) for name, value in sums.items()}

    def save_best(self) -> None:
        """Write the averaged weights to ``best``."""
        self._save("best")

    def export(self) -> None:
        """Write the averaged weights to ``final``."""
        assert self.ema is not None
        with self.ema.applied(self.model):
            self._save("final")

    def _save(self, name: str) -> None:
        renders = stems_of(self.train.renders)
        save_guide(self.folder / name, self.model, self._note(), renders)

    def _note(self) -> dict[str, Any]:
        return {"steps": self.step, "cpu_seconds": round(self.spent.cpu)}


def stems_of(text: str) -> tuple[str, ...]:
    """``vocals+drums`` as names."""
    return tuple(filter(None, text.split("+")))


def loop_settings(train: GuidedTrainConfig) -> LoopSettings:
    """The loop's part of the configuration."""
    return LoopSettings(
        budget=Budget(train.max_steps, train.cpu_minutes, train.wall_minutes),
        schedule=WarmupCosine(train.lr, train.warmup, train.lr_min_ratio),
        clip=train.clip,
        validate=Every(steps=train.eval_every),
        save=Every(steps=train.save_every),
    )


def train_guided(
    folder: Path,
    *,
    maker: Maker,
    store: StemStore,
    train: GuidedTrainConfig,
    source: dict[str, Any] | None = None,
    init: Path | None = None,
    stop_after: int | None = None,
) -> dict[str, Any]:
    """Train (or continue) in ``folder``; returns the last scores.

    Parameters
    ----------
    maker : the LM and codec that the decoder is for.
    store : songs with stems; the songs of the validation set are excluded by name.
    source : description of the LM; examples of another LM are refused.
    init : folder of an exported guided decoder whose weights a new run begins with.
    stop_after : steps of this call; the run can be continued.

    Raises
    ------
    ConfigError
        ``init`` has other sizes, or ``renders`` names a stem that the LM does not have.
    """
    check_stems("renders", stems_of(train.renders), maker.lm.config.stems)
    source = {**(source or {}), "songs": store.facts, "seed": train.seed}
    data = Data(folder / "data", maker, store, source)
    examples, valid = data.train_examples(train), data.valid_examples(train.drawn > 0)
    torch.manual_seed(train.seed)
    latent_dim = read_example(examples, 0)[2].shape[-1]
    guide = Guide(config_for(maker.lm.config, latent_dim, train.dropout))
    if init is not None:
        start_from(guide, load_guide(init))
    worse = Worse(train.nothing, train.leaks)
    batches = GuidedBatches(examples, train.examples, train.batch, train.seed, worse)
    return GuidedTrainer(folder, guide, batches, valid, train).run(stop_after=stop_after)


def start_from(guide: Guide, given: Guide) -> None:
    """Copy the weights of ``given``; only the dropout may differ.

    Raises
    ------
    ConfigError
        The networks are of different sizes.
    """
    own, other = (g.config.model_dump(exclude={"dropout"}) for g in (guide, given))
    if own != other:
        differing = ", ".join(
            f"{k} {other[k]} (expected {own[k]})" for k in own if own[k] != other[k]
        )
        raise ConfigError(f"--init: a guided decoder with {differing}")
    guide.load_state_dict(given.state_dict())


@dataclass(frozen=True)
class Data:
    """Examples of a store's songs in ``folder``; ``source`` is what they are made from."""

    folder: Path
    maker: Maker
    store: StemStore
    source: dict[str, Any]

    def _songs(self, names: set[str]) -> StereoSongs:
        return StereoSongs(self.store, names, self.maker.lm.config)

    def train_examples(self, train: GuidedTrainConfig) -> Path:
        """Folder of the examples to train on."""
        songs = self._songs(set(self.store.songs()) - set(validation_songs()))
        facts = {name: getattr(train, name) for name in ("examples", "remix", "drawn")}
        crops = random_crops(songs, train.examples, train.remix, train.seed)
        place = self.folder / "train"
        source = {**self.source, **facts}
        return prepared(place, self.maker, crops, train.examples, source, train.drawn)

    def valid_examples(self, drawn: bool) -> list[Example]:
        """:data:`VALID_PER_SONG` examples of each validation song, with ``drawn`` twice as many.

        The latents of the second half come from drawn tokens.
        """
        names = set(self.store.songs()) & set(validation_songs())
        if not names:
            return []
        crops = self._songs(names).windows(VALID_PER_SONG)
        found = []
        for name, share in (("valid", 0.0), ("valid-drawn", 1.0))[: 1 + drawn]:
            place = self.folder / name
            prepared(place, self.maker, chunks(crops), len(crops), self.source, share)
            found += [read_example(place, i) for i in range(len(crops))]
        return found


@dataclass(frozen=True)
class Options:
    """What ``tokensep train guided`` is called with."""

    checkpoint: Path
    out: Path
    train: GuidedTrainConfig
    musdb: list[Path] = field(default_factory=list)
    init: Path | None = None


def main(options: Options) -> dict[str, Any]:
    """Read LM, codec and data, train, and return the last scores.

    Raises
    ------
    ConfigError
        There is nothing to train on.
    """
    if not options.musdb:
        raise ConfigError("no training data was given; pass --musdb FOLDER")
    codec, lm = HCodec.from_checkpoint(options.checkpoint), load_lm(options.checkpoint)
    files = musdb_folders(options.musdb)
    audio = options.out / "data" / "audio"
    store = StemStore.build(audio, files, codec.rate, together=True)
    device = Processes("no").device
    result = train_guided(
        options.out,
        maker=Maker(lm.to(device), codec.to(device)),
        store=store,
        train=options.train,
        source={
            "lm": combined_sha256(lm_files(options.checkpoint)),
            "codec": combined_sha256(codec_files(options.checkpoint)),
        },
        init=options.init,
    )
    leave_group()
    return result
