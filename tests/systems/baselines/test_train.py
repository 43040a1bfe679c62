"""The trainer resumes exactly, mixes what it says, and never sees the validation songs."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from benchsep_baselines.locate import bundled_path
from benchsep_baselines.safe_load import load_safetensors
from benchsep_baselines.train import data, export, losses
from benchsep_baselines.train.__main__ import parser
from benchsep_baselines.train.evaluate import usdr
from benchsep_baselines.train.presets import PRESETS, Course, build
from benchsep_baselines.train.trainer import BaselineTrainer
from benchsep_training import checkpoint
from benchsep_training.budget import Budget, Every
from safetensors.torch import save_file

from benchsep.errors import CheckpointError, DatasetError, TrainingError

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
    material = songs if isinstance(songs, data.Material) else data.Material(songs)
    return Trainer(
        "bs_roformer",
        preset,
        folder,
        material,
        material.songs[:1],
        Budget(steps),
        seed=seed,
        **options,
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
    with pytest.raises(CheckpointError, match=r"step-1 is not a complete .* delete it"):
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


@pytest.fixture
def made(tmp_path):
    """A made song whose stems are constants, but for silent bass and vocals, which none may use."""
    folder = tmp_path / "made" / "song-0"
    folder.mkdir(parents=True)
    for name, value in (("drums", 0.25), ("bass", 0.0), ("other", -0.5), ("vocals", 0.75)):
        audio = np.full((30000, 2), value, np.float32)
        soundfile.write(folder / f"{name}.wav", audio, data.RATE, subtype="PCM_16")
    return folder.parent


def material(songs, made):
    return data.Material(songs, data.load_folders([made]))


def test_a_batch_depends_on_seed_and_step_alone(songs, made):
    mixing = data.Mixing(extra=0.5, speed=0.5)
    make = {"seed": 1, "step": 5, "size": 4, "frames": 1000}
    both = [data.batch(material(songs, made), mixing, **make) for _ in range(2)]
    for a, b in zip(*both, strict=True):
        np.testing.assert_array_equal(a, b)
    other = data.batch(material(songs, made), mixing, **{**make, "step": 6})
    assert not np.array_equal(other[0], both[0][0])


def test_the_mixture_is_the_sum_at_unit_deviation(songs, made):
    mixing = data.Mixing(extra=0.5, speed=0.5)
    make = {"seed": 0, "step": 0, "size": 6, "frames": 2000}
    mixture, targets = data.batch(material(songs, made), mixing, **make)
    np.testing.assert_allclose(targets.sum(1), mixture, atol=1e-5)
    np.testing.assert_allclose(mixture.std(axis=(1, 2)), 1, atol=0.01)


@pytest.mark.parametrize("remix", [0.0, 1.0])
def test_made_songs_give_all_but_vocals(songs, made, remix):
    """Their stems are constants here, stems of other songs are noise."""
    mixing = data.Mixing(remix=remix, extra=1.0)
    _, targets = data.batch(material(songs, made), mixing, seed=0, step=0, size=4, frames=2000)
    constant = np.ptp(targets, axis=-1).max((0, 2)) == 0  # [4]
    assert constant.tolist() == [True, True, True, False]


def test_without_shares_a_batch_is_that_of_the_shipped_weights(songs, made):
    """Their recipe, written down again: song, crop, remix, then each stem's crop, swap and gain."""
    rng = np.random.default_rng((2, 7))
    expected = np.empty((3, 4, 2, 500), np.float32)

    def crop():
        song = int(rng.integers(len(songs)))
        return song, int(rng.integers(songs[song].shape[-1] - 500))

    for item in expected:
        song, start = crop()
        mixed = rng.random() < 0.7
        for source in range(4):
            if mixed:
                song, start = crop()
            stem = songs[song][source, :, start : start + 500].astype(np.float32)
            stem = stem[::-1] if rng.random() < 0.5 else stem
            level = 10 ** (rng.uniform(-6, 6) / 20)
            item[source] = stem * np.float32(level if rng.random() < 0.5 else -level)
    expected /= (expected.sum(1).std(axis=(1, 2)) + 1e-4)[:, None, None, None]
    make = {"seed": 2, "step": 7, "size": 3, "frames": 500}
    for heard in (data.Material(songs), material(songs, made)):
        _, targets = data.batch(heard, data.Mixing(), **make)
        np.testing.assert_allclose(targets, expected, rtol=1e-5, atol=1e-7)


def test_played_faster_a_tone_is_higher():
    """4,400 samples of 441 Hz played in the time of 4,000 are 485.1 Hz."""
    tone = np.sin(2 * np.pi * 441 * np.arange(4400) / data.RATE).astype(np.float32)
    out = data.played(np.stack([tone, tone]), 4000)
    assert out.shape == (2, 4000)
    expected = np.sin(2 * np.pi * 485.1 * np.arange(4000) / data.RATE)
    np.testing.assert_allclose(out[0, 200:-200], expected[200:-200], atol=0.01)


def test_a_folder_that_is_no_song_is_named(tmp_path, made):
    with pytest.raises(DatasetError, match=r"empty: found no song"):
        (tmp_path / "empty").mkdir()
        data.load_folders([tmp_path / "empty"])
    (made / "song-0" / "bass.wav").unlink()
    with pytest.raises(DatasetError, match=r"song-0: bass.wav is missing"):
        data.load_folders([made])
    soundfile.write(made / "song-0" / "bass.wav", np.zeros(100), 22050)
    with pytest.raises(DatasetError, match=r"song-0: expected stereo stems at 44100 Hz"):
        data.load_folders([made])


def test_a_training_begins_with_given_weights(tmp_path, songs):
    first = trainer(tmp_path / "a", songs, 3)
    first.run()
    held = tmp_path / "held.safetensors"
    save_file({k: v.contiguous() for k, v in first.average.items()}, held)
    second = trainer(tmp_path / "b", songs, 3, course=Course(init=held))
    assert equal(second.model.state_dict(), first.average)
    assert equal(second.average, first.average)
    wide = replace(TINY, arguments=TINY.arguments | {"dim": 16})
    with pytest.raises(CheckpointError, match=r"held.safetensors"):
        trainer(tmp_path / "c", songs, 3, preset=wide, course=Course(init=held))


def test_the_spectral_distance_hears_a_floor_that_squared_error_does_not():
    """Noise 40 dB below a tone changes uSDR's loss by nothing, and the distance by much."""
    time = torch.arange(22050) / data.RATE
    tone = (2**0.5 * torch.sin(2 * torch.pi * 1000 * time)).expand(1, 4, 2, -1)
    noise = torch.randn(1, 4, 2, 22050, generator=torch.Generator().manual_seed(0))
    half = 0.5 * tone
    floor = half + 0.01 * noise
    error = [float(losses.log_error_ratio(e, tone)) for e in (half, floor)]
    distance = [float(losses.spectral_distance(e, tone)) for e in (half, floor)]
    assert error[1] - error[0] == pytest.approx(0, abs=1e-3)
    assert distance[1] > 5 * distance[0]
    assert float(losses.spectral_distance(tone, tone)) == 0


@pytest.mark.parametrize("excess", [0.5, 0.7, 0.9])
def test_the_best_level_under_the_spectral_distance_is_a_quantile(excess):
    """Of the levels that a bin may have, ``1 - excess`` lie below what minimises the mean."""
    noise = torch.randn(1, 1, 1, 22050, generator=torch.Generator().manual_seed(0))
    levels = torch.linspace(0.1, 1.0, 10)[:, None, None, None]
    tried = torch.linspace(0.05, 1.05, 21)
    cost = [
        float(losses.spectral_distance((gain * noise).expand(10, 1, 1, -1), levels * noise, excess))
        for gain in tried
    ]
    best = float(tried[int(np.argmin(cost))])
    assert best == pytest.approx(1.05 - excess, abs=0.06)


def test_a_training_with_the_spectral_distance_learns_and_logs_it(tmp_path, songs):
    preset = replace(TINY, rate=1e-2, seconds=0.1)
    training = trainer(tmp_path, songs, 1000, seed=0, preset=preset, course=Course(spectral=1.0))
    rows = [training.update() for _ in range(20)]
    assert rows[0]["loss"] == pytest.approx(rows[0]["error"] + rows[0]["spectral"], rel=1e-5)
    losses = [row["loss"] for row in rows]
    assert np.mean(losses[-5:]) < np.mean(losses[:3])


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


def test_the_command_of_a_card_repeats_the_training(tmp_path):
    """It had left out seed, batch and length of the crops, and the rate of a first training."""
    init = tmp_path / "first.safetensors"
    save_file({"weight": torch.zeros(1)}, str(init))
    changes = {"rate": 1.2e-3, "warmup": 30, "seconds": 2.5, "batch": 3}
    trained = export.Trained(
        name="htdemucs",
        preset=replace(PRESETS["htdemucs"], **changes),
        state={},
        parameters=1,
        material=data.Material([]),
        course=Course(init, data.Mixing(speed=0.25), spectral=0.5, excess=0.6),
        minutes=36.0,
        bound="--cpu-minutes 36",
        steps=7,
        seed=6,
        curve=[],
    )
    scores = dict.fromkeys(("vocals", "drums", "bass", "other", "mean"), 1.0)
    card = export.render_card(trained, init, scores)
    command = re.search(r"python -m benchsep_baselines.train (.+)", card)
    assert command is not None
    given = parser().parse_args(shlex.split(command[1]))
    asked = {"seed": 6, "speed_share": 0.25, "spectral": 0.5, "excess": 0.6, "cpu_minutes": 36.0}
    for option, value in {**changes, **asked}.items():
        assert getattr(given, option) == value, option
    assert given.init is not None


def test_a_song_that_was_replaced_is_decoded_again(tmp_path, monkeypatch):
    """The cache had it by its name: a training went on with the audio before."""
    calls = []

    def decode_stems(path):
        calls.append(path.name)
        return np.full((4, 2, 3), int(path.read_text()), np.float16)

    monkeypatch.setattr(data, "decode_stems", decode_stems)
    monkeypatch.setattr(data, "validation_songs", lambda: ["b"])
    (tmp_path / "train").mkdir()
    files = [tmp_path / "train" / f"{name}.stem.mp4" for name in "ab"]
    for file in files:
        file.write_text("1")
    for _ in range(2):
        (training,), (valid,) = data.load_songs(tmp_path, tmp_path / "out" / "stems.npz")
        assert training.max() == valid.max() == 1
    assert calls == ["a.stem.mp4", "b.stem.mp4"]
    files[0].write_text("2")
    for _ in range(2):
        (training,), (valid,) = data.load_songs(tmp_path, tmp_path / "out" / "stems.npz")
        assert training.max() == 2 and valid.max() == 1
    assert calls == ["a.stem.mp4", "b.stem.mp4", "a.stem.mp4"]
