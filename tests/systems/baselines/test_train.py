"""The trainer resumes exactly, mixes what it says, and never sees the validation songs."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchsep_baselines.train import data, loop
from benchsep_baselines.train.minis import MINIS, build

from benchsep.errors import CheckpointError, StoreError

TINY = replace(
    MINIS["bs_roformer"],
    arguments=MINIS["bs_roformer"].arguments
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


def trained(folder, songs, *, stops):
    """Train to 6 steps in as many processes' worth of objects as there are stops."""
    for steps in stops:
        training = loop.Training("bs_roformer", TINY, folder, seed=3)
        for _ in range(steps):
            training._advance(songs, training.step / 6)
        training.save()
    return training


def test_a_stopped_training_continues_to_the_same_weights(tmp_path, songs):
    through = trained(tmp_path / "a", songs, stops=[6])
    stopped = trained(tmp_path / "b", songs, stops=[2, 1, 3])
    assert through.step == stopped.step == 6
    for ours, theirs in (
        (through.model.state_dict(), stopped.model.state_dict()),
        (through.average, stopped.average),
    ):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_killed_run_continues_to_the_same_curve(tmp_path, songs, monkeypatch):
    """Killed without saving after step 4, the run goes on from its last save and ends equal."""
    limits = loop.Limits(1e9, steps=6, save_every=0.0)
    undisturbed = loop.Training("bs_roformer", TINY, tmp_path / "a", seed=1)
    undisturbed.run(songs, songs[:1], limits)

    victim = loop.Training("bs_roformer", TINY, tmp_path / "b", seed=1)
    advance = victim._advance

    def dies(*arguments):
        if victim.step == 4:
            raise KeyboardInterrupt
        return advance(*arguments)

    monkeypatch.setattr(victim, "_advance", dies)
    with pytest.raises(KeyboardInterrupt):
        victim.run(songs, songs[:1], limits)
    survivor = loop.Training("bs_roformer", TINY, tmp_path / "b", seed=1)
    assert survivor.step == 4
    survivor.run(songs, songs[:1], limits)
    assert survivor.curve[-1]["usdr"] == undisturbed.curve[-1]["usdr"]
    written = json.loads((tmp_path / "b" / "curve.json").read_text())
    assert written[-1]["step"] == 6


def test_a_damaged_or_foreign_state_is_named(tmp_path, songs):
    trained(tmp_path, songs, stops=[1])
    state = tmp_path / "state.pt"
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"state\.pt .* delete the file to begin again"):
        loop.Training("bs_roformer", TINY, tmp_path)
    state.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"state\.pt .* another --out"):
        loop.Training("htdemucs", MINIS["htdemucs"], tmp_path)


def test_a_state_without_room_leaves_the_one_before(tmp_path, songs, monkeypatch):
    training = trained(tmp_path, songs, stops=[1])
    before = (tmp_path / "state.pt").read_bytes()

    def full(*arguments):
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(loop.torch, "save", full)
    with pytest.raises(StoreError, match=r"state\.pt: cannot be written"):
        training.save()
    assert (tmp_path / "state.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*partial*"))


def test_training_learns(tmp_path, songs):
    training = loop.Training("bs_roformer", replace(TINY, rate=1e-2), tmp_path, seed=0)
    losses = [training._advance(songs, 0.0) for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


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


def test_usdr_is_the_ladders_definition():
    song = np.ones((4, 2, 100), np.float16)
    assert loop._usdr(song, song.astype(np.float32)) == pytest.approx([10 * np.log10(2e9 + 1)] * 4)
    assert loop._usdr(song, np.zeros_like(song)) == pytest.approx([0] * 4, abs=1e-6)


@pytest.mark.parametrize("name", list(MINIS))
def test_the_minis_build_and_stay_small(name):
    model = build(name, MINIS[name].arguments)
    assert 2 * sum(p.numel() for p in model.parameters()) < 12e6
    json.dumps(MINIS[name].arguments)


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
