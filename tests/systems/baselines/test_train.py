"""The trainer resumes exactly, mixes what it says, and never sees the validation songs."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchsep_baselines.locate import bundled_path
from benchsep_baselines.safe_load import load_safetensors
from benchsep_baselines.train import data
from benchsep_baselines.train.evaluate import usdr
from benchsep_baselines.train.presets import PRESETS, build
from benchsep_baselines.train.trainer import BaselineTrainer
from benchsep_training import checkpoint
from benchsep_training.budget import Budget, Every

from benchsep.errors import CheckpointError, TrainingError

TINY = replace(
    PRESETS["bs_roformer"],
    arguments=PRESETS["bs_roformer"].arguments
    | {"dim": 8, "depth": 1, "heads": 1, "dim_head": 8, "freqs_per_bands": [64, 65]}
    | {"stft_n_fft": 256, "stft_win_length": 256, "stft_hop_length": 128},
    seconds=0.05,
    batch=2,
    warmup=2,
)


@pytest.fixture(scope="module")
def songs():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(4, 2, 20000)).astype(np.float16) * 0.1 for _ in range(3)]


class Trainer(BaselineTrainer):
    """Exports the bare weights: a model this small writes no card."""

    def export(self):
        torch.save(self.average, self.folder / "exported.pt")


def trainer(folder, songs, steps, seed=3, preset=TINY, **options):
    return Trainer(
        "bs_roformer", preset, folder, songs, songs[:1], Budget(steps), seed=seed, **options
    )


def equal(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_stopped_training_continues_to_the_same_weights(tmp_path, songs):
    whole = trainer(tmp_path / "a", songs, 6)
    whole.run()
    trainer(tmp_path / "b", songs, 6).run(stop_after=2)
    trainer(tmp_path / "b", songs, 6).run(stop_after=1)
    last = trainer(tmp_path / "b", songs, 6)
    last.run()
    assert whole.step == last.step == 6
    assert equal(whole.model.state_dict(), last.model.state_dict())
    assert equal(whole.average, last.average)


def test_a_killed_run_continues_to_the_same_curve(tmp_path, songs, monkeypatch):
    """Killed without saving after step 4, the run goes on from its last save and ends equal."""
    every_step = {"save": Every(steps=1), "validate": Every(steps=3)}
    undisturbed = trainer(tmp_path / "a", songs, 6, **every_step)
    undisturbed.run()

    victim = trainer(tmp_path / "b", songs, 6, **every_step)
    update = victim.update

    def dies():
        if victim.step == 4:
            raise KeyboardInterrupt
        return update()

    monkeypatch.setattr(victim, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        victim.run()
    survivor = trainer(tmp_path / "b", songs, 6, **every_step)
    assert survivor.resume() and survivor.step == 4
    survivor.run()
    assert equal(undisturbed.model.state_dict(), survivor.model.state_dict())
    curves = [[(row["step"], row["usdr"]) for row in t.valid_log.rows()]
              for t in (undisturbed, survivor)]  # fmt: skip
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [3, 6]


def test_a_damaged_or_foreign_state_is_named(tmp_path, songs):
    trainer(tmp_path, songs, 1).run()
    tensors = tmp_path / "checkpoints" / "step-1" / "tensors.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"step-1 is not a whole .* delete it"):
        trainer(tmp_path, songs, 1).run()
    tensors.write_bytes(whole)
    wide = replace(TINY, arguments=TINY.arguments | {"dim": 16})
    with pytest.raises(CheckpointError, match=r"step-1 .*another configuration.*another folder"):
        trainer(tmp_path, songs, 1, preset=wide).run()


def test_a_checkpoint_without_room_leaves_the_one_before(tmp_path, songs, monkeypatch):
    training = trainer(tmp_path, songs, 2)
    training.save()
    before = (tmp_path / "checkpoints" / "step-0" / "tensors.safetensors").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    training.update()
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match=r"step-1: cannot be written .*No space left"):
        training.save()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-0"]
    assert (tmp_path / "checkpoints" / "step-0" / "tensors.safetensors").read_bytes() == before


def test_training_learns(tmp_path, songs):
    training = trainer(tmp_path, songs, 1000, seed=0, preset=replace(TINY, rate=1e-2))
    losses = [training.update()["loss"] for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


def lose(training, monkeypatch, steps):
    """The losses of ``steps`` become NaN."""
    whole = training.loss

    def partly(piece):
        loss, values = whole(piece)
        return (loss * np.nan if training.step in steps else loss), values

    monkeypatch.setattr(training, "loss", partly)


def test_a_step_without_a_finite_gradient_is_skipped(tmp_path, songs, monkeypatch):
    training = trainer(tmp_path, songs, 6)
    lose(training, monkeypatch, {3})
    training.run()
    assert training.step == 6 and (tmp_path / "exported.pt").exists()
    assert all(p.isfinite().all() for p in training.model.parameters())


def test_a_training_whose_loss_is_nan_at_every_step_exports_nothing(tmp_path, songs, monkeypatch):
    training = trainer(tmp_path, songs, 60)
    lose(training, monkeypatch, range(60))
    with pytest.raises(TrainingError, match="50 steps in a row, up to step 50"):
        training.run()
    assert not (tmp_path / "exported.pt").exists()


def test_a_batch_depends_on_seed_and_step_alone(songs):
    make = {"seed": 1, "step": 5, "size": 2, "frames": 1000}
    for a, b in zip(data.batch(songs, **make), data.batch(songs, **make), strict=True):
        np.testing.assert_array_equal(a, b)
    other = data.batch(songs, **{**make, "step": 6})
    assert not np.array_equal(other[0], data.batch(songs, **make)[0])


def test_the_mixture_is_the_sum_at_unit_deviation(songs):
    mixture, targets = data.batch(songs, seed=0, step=0, size=3, frames=2000)
    np.testing.assert_allclose(targets.sum(1), mixture, atol=1e-5)
    np.testing.assert_allclose(mixture.std(axis=(1, 2)), 1, atol=0.01)


def test_usdr_is_the_definition_of_the_cards():
    song = np.ones((4, 2, 100), np.float16)
    assert usdr(song, song.astype(np.float32)) == pytest.approx([10 * np.log10(2e9 + 1)] * 4)
    assert usdr(song, np.zeros_like(song)) == pytest.approx([0] * 4, abs=1e-6)


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_minis_build_and_stay_small(name):
    model = build(name, PRESETS[name].arguments)
    assert 2 * sum(p.numel() for p in model.parameters()) < 12e6
    shipped, _ = load_safetensors(bundled_path(name))
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in shipped.items()
    }
    json.dumps(PRESETS[name].arguments)


@pytest.mark.shared
@pytest.mark.skipif(
    importlib.util.find_spec("musdb") is None, reason="the split is the musdb package's"
)
def test_the_validation_songs_are_kept_out(shared):
    names = data.validation_songs()
    files = {p.name.removesuffix(".stem.mp4") for p in (shared / "data/musdb18-7s/train").iterdir()}
    assert len(names) == 14 and set(names) <= files
    stems = data.decode_stems(shared / "data/musdb18-7s/train" / f"{names[0]}.stem.mp4")
    assert stems.shape == (4, 2, 300_032) and np.abs(stems).max() > 0.05
