from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from benchsep_training import guard
from tokensep.errors import CheckpointError
from tokensep.lm import losses
from tokensep.lm.config import LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.lm.weights import load_lm, save_lm
from tokensep.train import lm as training
from tokensep.train.batches import TokenBatches
from tokensep.train.data import STEMS
from tokensep.train.encoding import silence_codes, song_variants, store_songs
from tokensep.train.token_dataset import TokenDataset

from benchsep.errors import TrainingError
from tests.helpers.launch import launch
from tests.helpers.lm_dummies import HOP, RATE, DummyCodec, SyntheticSongs, tiny_config


@pytest.fixture(scope="module")
def bank() -> TokenDataset:
    return TokenDataset.build(
        store_songs(SyntheticSongs(), {"one", "two"}), DummyCodec(), tiny_config(), variants=2
    )


def new_model() -> TokenLM:
    torch.manual_seed(0)
    return TokenLM(tiny_config())


TRAIN = LMTrainConfig(
    batch=2, lr=3e-3, warmup=3, max_steps=12, save_every=4, eval_every=6, parallel_fraction=0.3
)


def run(folder, bank, train=TRAIN, stop_after=None):
    batches, valid = TokenBatches(bank, train), bank.windows(2)
    trainer = training.LMTrainer(folder, new_model(), DummyCodec(), batches, valid, train)
    return trainer, trainer.run(stop_after=stop_after)


def losses_of(folder) -> dict[int, str]:
    with (folder / "train.csv").open() as handle:
        return {int(row["step"]): row["loss"] for row in csv.DictReader(handle)}


def test_a_killed_run_continues_on_the_same_curve(tmp_path, bank):
    _, whole = run(tmp_path / "whole", bank)
    run(tmp_path / "cut", bank, stop_after=6)  # "killed" after step 6; a checkpoint exists
    resumed, cut = run(tmp_path / "cut", bank)
    assert resumed.step == 12
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "cut")
    assert cut["nll_layer"] == whole["nll_layer"]
    a = load_lm(tmp_path / "whole" / "final").state_dict()
    b = load_lm(tmp_path / "cut" / "final").state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_what_is_exported_can_be_read_by_whoever_may_read_the_folder(tmp_path):
    save_lm(tmp_path / "lm", new_model())
    (tmp_path / "other").touch()
    usual = (tmp_path / "other").stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "lm").iterdir()} == {usual}


def without_gradients(monkeypatch, lost):
    """The losses of the steps ``lost`` become NaN."""
    whole = training.LMTrainer.loss

    def partly(self, piece):
        loss, values = whole(self, piece)
        return (loss * np.nan, {"loss": np.nan}) if self.step in lost else (loss, values)

    monkeypatch.setattr(training.LMTrainer, "loss", partly)


def test_a_step_without_a_finite_gradient_is_left_out(tmp_path, bank, monkeypatch):
    without_gradients(monkeypatch, {5})
    trainer, result = run(tmp_path, bank)
    assert np.isfinite(result["nll"]) and losses_of(tmp_path)[6] == "nan"
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_a_training_that_has_diverged_stops_and_says_so(tmp_path, bank, monkeypatch):
    without_gradients(monkeypatch, range(3, 100))
    monkeypatch.setattr(guard, "PATIENCE", 4)
    with pytest.raises(TrainingError, match="4 steps in a row, up to step 7"):
        run(tmp_path, bank)
    assert not (tmp_path / "final").exists()


def test_a_run_killed_before_its_first_checkpoint_starts_its_curve_anew(tmp_path, bank):
    run(tmp_path / "whole", bank)
    (tmp_path / "cut").mkdir()
    rows = (tmp_path / "whole" / "train.csv").read_text().splitlines(keepends=True)
    (tmp_path / "cut" / "train.csv").write_text("".join(rows[:4]))
    run(tmp_path / "cut", bank)
    with (tmp_path / "cut" / "train.csv").open() as handle:
        assert [row["step"] for row in csv.DictReader(handle)] == [str(n) for n in range(1, 13)]


def test_accumulating_gradients_is_a_bigger_batch(tmp_path, bank):
    big = TRAIN.model_copy(update={"batch": 4, "parallel_fraction": 0.0})
    pieces = TRAIN.model_copy(update={"batch": 2, "accumulate": 2, "parallel_fraction": 0.0})
    one, two = (
        training.LMTrainer(tmp_path / n, new_model(), DummyCodec(), TokenBatches(bank, t), [], t)
        for n, t in (("a", big), ("b", pieces))
    )
    assert one.update()["loss"] == pytest.approx(two.update()["loss"], abs=1e-5)
    for mine, other in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-4, rtol=1e-3)


def test_crops_are_functions_of_seed_step_and_index(bank):
    a = bank.batch(1, 5, range(2, 4), remix=0.5)
    b = bank.batch(1, 5, range(4), remix=0.5)
    assert torch.equal(a[0], b[0][2:]) and torch.equal(a[1], b[1][2:])
    assert not torch.equal(b[0], bank.batch(1, 6, range(4), remix=0.5)[0])


def test_a_crops_wave_is_the_sum_of_what_its_codes_say(bank):
    """Slicing codes at frame boundaries equals encoding the sliced stem (for a local codec)."""
    codec, rng = DummyCodec(), np.random.default_rng(3)
    crop = bank.crop(rng, remix=1.0, silent=0.0)
    rng = np.random.default_rng(3)
    alone = [bank.pools[s] for s in STEMS]
    assert crop.wave.shape == (12 * HOP,) and crop.codes.shape == (4, 5, 12)
    total = np.zeros_like(crop.wave)
    for s, pool in enumerate(alone):
        fits = [
            clip.wave[f * HOP : (f + 12) * HOP].astype(np.float32)
            for clip in pool
            for f in range(clip.frames - 11)
            if np.array_equal(clip.codes[:, f : f + 12], crop.codes[s])
        ]
        assert len(fits) == 1
        again = codec.encode(torch.from_numpy(fits[0])[None]).stack()[0]
        # float16 storage may move a value over a level's edge
        assert (again.numpy() == crop.codes[s]).mean() > 0.98
        total += fits[0]
    np.testing.assert_allclose(crop.wave, total, atol=1e-6)


def test_silent_stems_are_silent_in_wave_and_codes(bank):
    crop = bank.crop(np.random.default_rng(0), remix=0.5, silent=1.0)
    assert not crop.wave.any()
    assert (crop.codes == silence_codes(DummyCodec(), tiny_config())[:, None]).all()


def test_a_bank_survives_the_disk(tmp_path, bank):
    bank.save(tmp_path)
    again = TokenDataset.load(tmp_path, tiny_config())
    a, b = bank.batch(0, 0, range(3), remix=0.5), again.batch(0, 0, range(3), remix=0.5)
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_the_first_variant_is_the_song_at_the_set_loudness():
    rng = np.random.default_rng(0)
    stems = {s: rng.normal(0, 0.01, 8000).astype(np.float32) for s in STEMS}
    plain, varied = song_variants(stems, 2, tiny_config(), [0])
    mixture = np.sum(list(plain.values()), axis=0)
    assert 20 * np.log10(np.sqrt(np.mean(mixture**2))) == pytest.approx(-20.0, abs=0.01)
    assert np.allclose(plain["bass"] / stems["bass"], plain["drums"] / stems["drums"], rtol=1e-4)
    assert not np.allclose(varied["bass"][:1000], plain["bass"][:1000])


def test_loss_weights():
    uniform = losses.layer_weights("uniform", 2, 3, 9.0)
    assert torch.allclose(uniform, torch.full((5,), 0.2))
    heavy = losses.layer_weights("first_heavy", 2, 3, 5.0)
    assert torch.allclose(heavy * 13, torch.tensor([5.0, 1, 5, 1, 1]))
    falling = losses.layer_weights("geometric", 2, 3, 0.5)
    assert torch.allclose(falling / falling[0], torch.tensor([1, 0.5, 1, 0.5, 0.25]))


def test_pad_cells_do_not_count():
    logits = torch.zeros(1, 1, 2, 1, 4)
    logits[0, 0, 0, 0, 1] = 50.0
    grid = torch.tensor([1, 4]).view(1, 1, 2, 1)
    nll, accuracy = losses.token_nll(logits, grid)
    assert float(nll) == pytest.approx(0.0, abs=1e-6) and float(accuracy) == 1.0


def test_the_lm_memorises_two_excerpts(tmp_path):
    """The pipeline learns: token accuracy above 99 % on what it saw (teacher forcing)."""
    songs = store_songs(SyntheticSongs(12 * HOP / RATE + 0.001), {"one", "two"})
    bank = TokenDataset.build(songs, DummyCodec(), tiny_config(), variants=1)
    train = LMTrainConfig(
        batch=2,
        lr=4e-3,
        warmup=10,
        max_steps=400,
        eval_every=1000,
        save_every=1000,
        condition_dropout=0.0,
        token_dropout=0.0,
        remix=0.0,
        weight_decay=0.0,
        loss="uniform",
        ema=0.9,
    )
    config = tiny_config()
    wide = config.lm.model_copy(update={"dim": 64, "ffn": 128, "code_dim": 16})
    torch.manual_seed(0)
    model = TokenLM(config.model_copy(update={"lm": wide}))
    batches, valid = TokenBatches(bank, train), bank.windows(1)
    trainer = training.LMTrainer(tmp_path, model, DummyCodec(), batches, valid, train)
    result = trainer.run()
    assert result["accuracy"] > 0.99


SCRIPT = """
import sys
from pathlib import Path
import torch
from tests.systems.tokensep.train.test_lm import gradients
found = gradients(Path(sys.argv[1]), share=2)
if found:
    torch.save(found, sys.argv[2])
from benchsep_training.processes import leave_group
leave_group()
"""


def gradients(folder, share):
    """Of a step over four crops, ``share`` of them in this process; the first rank has them."""
    songs = store_songs(SyntheticSongs(), {"one", "two"})
    bank = TokenDataset.build(songs, DummyCodec(), tiny_config(), variants=2)
    train = TRAIN.model_copy(update={"batch": share, "parallel_fraction": 0.0, "clip": 1e9})
    batches = TokenBatches(bank, train)
    trainer = training.LMTrainer(folder, new_model(), DummyCodec(), batches, [], train)
    loss, _ = trainer.loss(0)
    trainer.processes.backward(loss)
    if trainer.processes.rank:
        return {}
    return {k: p.grad for k, p in trainer.model.named_parameters() if p.grad is not None}


def test_two_processes_give_the_gradients_of_one(tmp_path):
    pytest.importorskip("accelerate")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch(script, str(tmp_path / "run"), str(tmp_path / "two"), count=2)
    one, two = gradients(tmp_path / "alone", 4), torch.load(tmp_path / "two", weights_only=True)
    assert one.keys() == two.keys() and one
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, two[name], atol=1e-6, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", ["grouped-delay", "interleaved-delay", "anchored", "depth"])
def test_its_own_past_replaces_the_steps_that_were_chosen_and_no_gap(kind):
    from tokensep.codec.codebooks import codebooks

    torch.manual_seed(0)
    model = TokenLM(tiny_config(kind))
    if model.latent_head is not None:
        model.fit_latent_head(codebooks(DummyCodec()), torch.randint(0, 16, (200, 5)))
    codec = DummyCodec()
    wave = torch.randn(2, 12 * HOP) * 0.2
    cond = model.condition(wave, codec.latents(codec.encode(wave)))
    codes = torch.randint(0, 16, (2, 4, 5, 12))
    grid = model.layout.to_grid(codes)
    own = torch.zeros(grid.shape[:3], dtype=torch.bool)
    own[:, :, 3:7] = True
    shown = model.scheduled_sampling_grid(codes, cond, own, parallel=False, keep=None)
    gaps = grid == model.layout.pad
    assert torch.equal(shown == model.layout.pad, gaps)
    assert torch.equal(shown[:, :, :3], grid[:, :, :3]) and torch.equal(
        shown[:, :, 7:], grid[:, :, 7:]
    )
    changed = (shown != grid)[:, :, 3:7][~gaps[:, :, 3:7]]
    assert changed.float().mean() > 0.7, "an untrained model hits one in sixteen"
    # what is shown is the past alone: the targets stay the true tokens
    given, own_past = (
        model.token_logits(codes, cond, parallel=False, keep=None, input_grid=past)[0]
        for past in (grid, shown)
    )
    known = model.token_logits(codes, cond, parallel=False, keep=None)[0]
    for a, b, c in zip(given, known, own_past, strict=True):
        assert torch.equal(a.logits, b.logits) and torch.equal(a.grid, c.grid)
        assert not torch.equal(a.logits, c.logits)


def test_a_killed_run_that_feeds_itself_continues_on_the_same_curve(tmp_path, bank):
    train = TRAIN.model_copy(update={"self_feeding": 1.0})
    run(tmp_path / "whole", bank, train)
    run(tmp_path / "cut", bank, train, stop_after=6)
    run(tmp_path / "cut", bank, train)
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "cut")
    run(tmp_path / "off", bank)
    assert losses_of(tmp_path / "off") != losses_of(tmp_path / "whole")


def test_an_lm_goes_on_with_another_dropout_and_with_no_other_shape(tmp_path):
    save_lm(tmp_path / "lm", new_model())
    given = load_lm(tmp_path / "lm")
    model = TokenLM(training.with_dropout(tiny_config(), 0.5))
    training.start_from(model, tmp_path / "lm")
    pairs = zip(given.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    wave = torch.randn(1, tiny_config().window_frames * HOP)
    latents = DummyCodec().latents(DummyCodec().encode(wave))
    estimates = [m.train().condition(wave, latents) for m in (given, given, model, model)]
    assert torch.equal(*estimates[:2])
    assert not torch.equal(*estimates[2:])
    lm = tiny_config().lm
    wider = tiny_config().model_copy(update={"lm": lm.model_copy(update={"ffn": 2 * lm.ffn})})
    with pytest.raises(CheckpointError, match="another shape"):
        training.start_from(TokenLM(wider), tmp_path / "lm")
