"""Trainings on streams: killed and continued, with other workers and processes."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokensep.codec.model import HCodec
from tokensep.config import CodecTrainConfig, load
from tokensep.lm.config import LMTrainConfig
from tokensep.lm.weights import load_lm
from tokensep.train import codec as codec_training
from tokensep.train import codec_command
from tokensep.train.codec_sources import Options, codec_data
from tokensep.train.lm import train_lm
from tokensep.train.token_sources import Tokens

from tests.helpers.codec_dummies import TINY
from tests.helpers.environment import environment
from tests.helpers.labelled import labelled
from tests.helpers.lm_dummies import DummyCodec, tiny_config
from tests.helpers.token_shards import tokenized

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on few cores
TRAIN = LMTrainConfig(
    batch=2, accumulate=2, lr=3e-3, warmup=3, max_steps=8, save_every=3, eval_every=4,
    shuffle_shards=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokens")
    return tokenized(labelled(root, clips=7), root / "tokens")


def run(folder, tokens, workers=0, stop_after=None, **changes):
    train = TRAIN.model_copy(update={"workers": workers, **changes})
    return train_lm(
        folder,
        codec=DummyCodec(),
        config=tiny_config(),
        train=train,
        tokens=Tokens([tokens], [tokens]),
        stop_after=stop_after,
    )


def rows(folder) -> list[dict[str, str]]:
    with (folder / "train.csv").open() as handle:
        return list(csv.DictReader(handle))


def curve(folder) -> list[tuple[str, str]]:
    return [(row["step"], row["loss"]) for row in rows(folder)]


def test_a_killed_training_continues_in_the_middle_of_an_epoch(tokens, tmp_path):
    """7 clips and 4 crops a step: step 5 begins in the third epoch."""
    whole = run(tmp_path / "whole", tokens)
    run(tmp_path / "cut", tokens, workers=1, stop_after=5)
    cut = run(tmp_path / "cut", tokens, workers=3)
    assert (
        curve(tmp_path / "whole") == curve(tmp_path / "cut") and len(curve(tmp_path / "cut")) == 8
    )
    assert cut == {**whole, "cpu_seconds": cut["cpu_seconds"]}
    assert len({loss for _, loss in curve(tmp_path / "whole")}) == 8


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


SCRIPT = """
import sys
from pathlib import Path
from tests.systems.tokensep.train.stream import test_training as here
folder, tokens, workers, stop, batch = sys.argv[1:]
workers = [int(n) for n in workers.split(",")]
import os
mine = workers[int(os.environ.get("RANK", 0)) % len(workers)]
stop = int(stop) or None
here.run(Path(folder), Path(tokens), mine, stop, batch=int(batch))
from benchsep_training.processes import leave_group
leave_group()
"""


def launch(tmp_path, ranks, folder, tokens, workers, stop, batch):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    several = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
    several += [f"--master-port={free_port()}"] if ranks > 1 else []
    command = [sys.executable, *(several if ranks > 1 else [])]
    command += [str(script), str(folder), str(tokens), workers, str(stop), str(batch)]
    done = subprocess.run(command, timeout=300, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_killed_and_continued_with_other_workers(tokens, tmp_path):
    pytest.importorskip("accelerate")
    launch(tmp_path, 2, tmp_path / "whole", tokens, "0", 0, 1)
    launch(tmp_path, 2, tmp_path / "cut", tokens, "1,3", 5, 1)
    launch(tmp_path, 2, tmp_path / "cut", tokens, "0,1", 0, 1)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    exported = [
        (tmp_path / name / "final" / "lm.safetensors").read_bytes() for name in ("whole", "cut")
    ]
    assert exported[0] == exported[1]


@pytest.mark.slow
def test_a_training_of_one_process_is_continued_by_two(tokens, tmp_path):
    """The same global batch in halves: the same crops, and weights that differ by rounding."""
    pytest.importorskip("accelerate")
    launch(tmp_path, 1, tmp_path / "whole", tokens, "0", 0, 2)
    launch(tmp_path, 1, tmp_path / "cut", tokens, "0", 2, 2)
    launch(tmp_path, 2, tmp_path / "cut", tokens, "1,0", 0, 1)
    whole, cut = (weights(tmp_path / name) for name in ("whole", "cut"))
    assert (whole - cut).abs().mean() < 1e-6  # a step of the optimizer is 1e-3


def weights(folder) -> torch.Tensor:
    state = load_lm(folder / "final").state_dict()
    return torch.cat([tensor.float().flatten() for tensor in state.values()])


def settings_file(folder: Path) -> Path:
    train = {"batch": 2, "crop_seconds": 0.2, "max_steps": 4, "continuous_steps": 1}
    train |= {"eval_every": 2, "save_every": 2, "warmup": 1, "shuffle_shards": 2}
    path = folder / "codec.json"
    path.write_text(json.dumps({"codec": TINY.model_dump(), "codec_train": train}))
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("audio"), clips=7, seconds=3.2, rate=22_050)


def test_a_codec_trains_on_shards_alone(audio, tmp_path, monkeypatch):
    """Without MUSDB and without its package; at another rate than that of the recordings."""
    monkeypatch.setattr("tokensep.train.codec_sources.VALIDATION_CLIPS", 1)
    config = settings_file(tmp_path)
    common = {"config": config, "musdb": None, "shards": [audio], "valid_shards": [audio]}
    whole = Options(work=tmp_path / "w", out=tmp_path / "codec", **common)
    scores = codec_command.main(whole)
    assert np.isfinite(scores["mel"]) and scores["step"] == 4
    assert HCodec.from_checkpoint(tmp_path / "codec").rate == 44_100
    assert [p.name for p in tmp_path.glob("w/audio*")] == [], "no song is decoded into a store"


def test_a_killed_codec_training_continues_on_the_same_curve(audio, tmp_path, monkeypatch):
    monkeypatch.setattr("tokensep.train.codec_sources.VALIDATION_CLIPS", 1)
    config = settings_file(tmp_path)
    for name, workers, stop in (("whole", 0, None), ("cut", 1, 3), ("cut", 0, None)):
        options = Options(
            config, None, tmp_path / name, tmp_path / "codec", shards=[audio],
            valid_shards=[audio], workers=workers,
        )  # fmt: skip
        codec, train, batches, valid = parts_of(options)
        trainer = codec_training.CodecTrainer(codec, train, batches, valid, options.work)
        trainer.run(stop_after=stop)
        batches.close()
    assert loss_rows(tmp_path / "whole") == loss_rows(tmp_path / "cut")


def parts_of(options):
    torch.manual_seed(0)
    config = load(codec_training.CodecSettings, options.config)
    train = config.codec_train.model_copy(update=options.changes())
    codec = HCodec(config.codec)
    return (
        codec,
        train,
        *codec_data(options, train, codec.rate, codec_training.crop_length(codec, train)),
    )


def loss_rows(work):
    path = work / "valid.jsonl"
    return [json.loads(line)["mel"] for line in path.read_text().splitlines()]


def test_codec_crops_do_not_depend_on_workers_or_processes(audio):
    options = Options(None, None, Path(), Path(), shards=[audio])
    train = CodecTrainConfig(batch=2, shuffle_shards=2)
    from benchsep_training.batches import Turn

    one, _ = codec_data(options, train, 44_100, 4410)
    two, _ = codec_data(options, train.model_copy(update={"workers": 2}), 44_100, 4410)
    half, _ = codec_data(options, train.model_copy(update={"batch": 1}), 44_100, 4410)
    for step in range(4):
        whole = one.batch(Turn(step, 0))
        assert whole.shape == (2, 4410) and torch.equal(whole, two.batch(Turn(step, 0)))
        halves = [half.batch(Turn(step, 0, rank, 2)) for rank in range(2)]
        assert torch.equal(whole, torch.cat(halves))
    two.close()
