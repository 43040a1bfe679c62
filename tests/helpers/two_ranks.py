"""What ``test_two_processes`` starts twice: every training of it, one after the other.

Each process writes ``rank-N.json``. The second one's clock runs three times too fast, so that two
processes which read their own clocks disagree.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchsep_training import budget, loop, once
from benchsep_training.batches import Stateless, Turn
from benchsep_training.budget import Spent
from benchsep_training.processes import leave_group
from tokensep.codec.model import HCodec
from tokensep.config import CodecTrainConfig, LossConfig
from tokensep.lm.config import LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.train.batches import TokenBatches
from tokensep.train.codec import CodecTrainer, crop_length
from tokensep.train.data import STEMS, Source
from tokensep.train.encoding import store_songs
from tokensep.train.lm import LMTrainer, train_lm
from tokensep.train.token_dataset import TokenDataset

from tests.helpers.codec_dummies import TINY
from tests.helpers.lm_dummies import DummyCodec, SyntheticSongs, tiny_config

MINUTES = 1.2 / 60
BOUNDS: dict[str, dict[str, float | int]] = {
    "steps": {"max_steps": 7},
    "cpu": {"cpu_minutes": MINUTES, "max_steps": 100_000},
    "wall": {"wall_minutes": MINUTES, "max_steps": 100_000},
}
LOSSES = LossConfig(
    mel_windows=(256,),
    mel_bands=(16,),
    erb=0.0,
    adversarial=1.0,
    feature_match=1.0,
    mpd_periods=(2,),
    mrd_windows=(128,),
    discriminator_channels=1,
)


class Noise(Stateless):
    """White noise ``[2, T]``, other in each process."""

    def __init__(self, length: int) -> None:
        self.length = length

    def batch(self, turn: Turn) -> torch.Tensor:
        rng = np.random.default_rng([turn.step, turn.piece, turn.rank])
        return torch.from_numpy(0.1 * rng.standard_normal((2, self.length)).astype(np.float32))


class FewStems:
    """Three validation stems of noise: two for one process and one for the other."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        noise = [rng.integers(-3000, 3000, (2, 8000), np.int16) for _ in range(3)]
        self.sources = [
            Source("song", stem, audio) for stem, audio in zip(STEMS[:3], noise, strict=True)
        ]


def fast(read: Any) -> Any:
    def faster(self: budget.Stopwatch, step: int) -> Spent:
        spent = read(self, step)
        return Spent(step, 3 * spent.cpu, 3 * spent.wall)

    return faster


def without_objects(update: Any) -> Any:
    """A step that fails if it sends pickled objects."""

    def checked(self: loop.Loop) -> Any:
        names = ("all_gather_object", "broadcast_object_list")
        kept = {name: getattr(torch.distributed, name) for name in names}
        for name in names:
            setattr(torch.distributed, name, None)
        try:
            return update(self)
        finally:
            for name, function in kept.items():
                setattr(torch.distributed, name, function)

    return checked


def digest(model: torch.nn.Module) -> str:
    """Of all parameters and buffers."""
    data = [v.detach().numpy().tobytes() for _, v in sorted(model.state_dict().items())]
    return hashlib.sha256(b"".join(data)).hexdigest()[:16]


def lm(folder: Path, bounds: dict[str, Any]) -> LMTrainer:
    """A training of the LM with accumulated batches."""
    codec, config = DummyCodec(), tiny_config()
    bank = TokenDataset.build(
        store_songs(SyntheticSongs(), {"one", "two"}), codec, config, variants=1
    )
    train = LMTrainConfig(batch=1, accumulate=2, warmup=3, eval_every=1000, **bounds)
    torch.manual_seed(0)
    batches = TokenBatches(bank, train)
    return LMTrainer(folder, TokenLM(config), codec, batches, bank.windows(2)[:3], train)


def codec(folder: Path, bounds: dict[str, Any]) -> CodecTrainer:
    """A training of the codec with discriminators, dropped layers and accumulated batches."""
    train = CodecTrainConfig(
        batch=2,
        accumulate=2,
        crop_seconds=0.12,
        warmup=2,
        continuous_steps=2,
        losses=LOSSES,
        eval_every=1000,
        **bounds,
    )
    torch.manual_seed(0)
    model = HCodec(TINY.model_copy(update={"quantizer_dropout": 0.5}))
    batches = Noise(crop_length(model, train))
    valid: Any = FewStems()
    return CodecTrainer(model, train, batches, valid, folder)


def encodings(folder: Path) -> int:
    """How many stems this process encodes for a training on data that nobody has prepared."""
    encoded = []

    class Counting(DummyCodec):
        def encode(self, wave: torch.Tensor) -> Any:
            if wave.shape[-1] > 16 * self.frame_hop:  # a stem, no silence and no crop
                encoded.append(len(wave))
                time.sleep(0.05)  # so that the other process would be at it too
            return super().encode(wave)

    store: Any = SyntheticSongs()
    store.facts = {"made": "here"}
    train = LMTrainConfig(batch=1, max_steps=1, variants=2)
    train_lm(folder, codec=Counting(), store=store, config=tiny_config(), train=train)
    return len(encoded)


def main() -> None:
    """``two_ranks.py FOLDER``."""
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), once.launched()[0]
    loop.Loop.update = without_objects(loop.Loop.update)  # type: ignore[method-assign]
    if rank:
        budget.Stopwatch.read = fast(budget.Stopwatch.read)  # type: ignore[method-assign]
    found: dict[str, Any] = {"encodings": encodings(folder / "prepared")}
    for name, make in (("lm", lm), ("codec", codec)):
        for bound, settings in BOUNDS.items():
            trainer: Any = make(folder / f"{name}-{bound}", settings)
            row = trainer.run()
            row.pop("cpu_seconds")
            found[f"{name}-{bound}"] = [trainer.step, digest(trainer.model), row]
            if name == "codec":
                found[f"discriminators-{bound}"] = [digest(trainer.adversary.model)]
    del trainer  # what holds the group must be gone before it is left
    leave_group()
    names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    found["threads"] = sum("gloo" in name for name in names)
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
