"""Data, augmentation, resuming, processes: each effect measured on a signal."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from benchsep_training import checkpoint as ck
from benchsep_training import guard
from benchsep_training.budget import Budget
from numpy.typing import NDArray
from tokensep.codec.hubert import HubertMini
from tokensep.codec.model import HCodec
from tokensep.codec.teacher import HuggingFaceTeacher, compress, make_teacher, resample
from tokensep.config import CodecTrainConfig, LossConfig
from tokensep.errors import CheckpointError, DataError, Unavailable
from tokensep.train.batches import StemBatches
from tokensep.train.codec import CodecTrainer, crop_length
from tokensep.train.data import (
    Augment,
    Source,
    StemStore,
    codec_batch,
    crop,
    musdb_files,
    parametric_eq,
    speed,
)
from tokensep.train.hubert import HubertTrainer, span_mask

from benchsep.errors import TrainingError
from tests.helpers.codec_dummies import TINY

RATE = 44100
OFF = Augment(gain_db=(0, 0), polarity=0, speed=0, eq=0, sum_two=0, silence=0)


def tone(hz: float, seconds: float = 2.0) -> NDArray[np.float32]:
    return (0.25 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def peak_hz(wave: NDArray[np.float32]) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave))


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("musdb"))


def write_songs(root: Path) -> Path:
    """Two songs in MUSDB-HQ's layout."""
    for song, hz in (("A - One", 440.0), ("B - Two", 1000.0)):
        (root / song).mkdir()
        for i, stem in enumerate(("vocals", "drums", "bass", "other")):
            wave = tone(hz * (1 + i)) + 0.01 * np.random.default_rng(i).standard_normal(2 * RATE)
            soundfile.write(root / song / f"{stem}.wav", np.stack([wave, -0.5 * wave], 1), RATE)
    return root


@pytest.fixture(scope="module")
def store(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> StemStore:
    """They, read back through the reader."""
    folder = tmp_path_factory.mktemp("store")
    return StemStore.build(folder, musdb_files(songs, None, set()), RATE)


def test_reader_finds_songs_and_stems(store: StemStore, songs: Path, tmp_path: Path) -> None:
    assert store.songs() == ["A - One", "B - Two"]
    assert [s.song for s in store.of("bass")] == ["A - One", "B - Two"]
    left, right = store.of("vocals")[0].audio.astype(float)
    assert np.corrcoef(left, right)[0, 1] == pytest.approx(-1, abs=1e-3)
    again = StemStore.build(store.folder, musdb_files(songs, None, set()), RATE)
    assert len(again.sources) == 8
    with pytest.raises(DataError, match=r"made from other data or settings \(files differs"):
        StemStore.build(store.folder, musdb_files(songs, {"A - One"}, set()), RATE)
    with pytest.raises(DataError, match="no recordings"):
        StemStore.build(tmp_path / "empty", iter(()), RATE)


def test_reader_of_stem_mp4(clip: object, tmp_path: Path) -> None:
    from importlib import util

    spec = util.find_spec("stempeg")
    assert spec is not None and spec.origin is not None
    source = next((Path(spec.origin).parent / "data").glob("*.stem.mp4"))
    (tmp_path / source.name).symlink_to(source)
    store = StemStore.build(tmp_path / "s", musdb_files(tmp_path, None, set()), RATE)
    ours = store.of("bass")[0].audio.astype(np.float32) / 32768
    theirs = clip.stems["bass"].samples  # type: ignore[attr-defined]
    assert np.abs(ours - theirs[:, : ours.shape[1]]).max() < 1e-3


def test_speed_moves_pitch() -> None:
    assert peak_hz(speed(tone(440), 1.1, RATE)) == pytest.approx(484, abs=2)
    assert len(speed(tone(440), 0.9, 5000)) == 5000


def test_eq_lifts_its_frequency_only() -> None:
    for hz, expected in ((1000, 6.0), (60, 0.0), (15000, 0.0)):
        lifted = parametric_eq(tone(hz), RATE, 1000, 6.0, 1.0)[RATE // 2 :]
        gain = 20 * np.log10(lifted.std() / tone(hz)[RATE // 2 :].std())
        assert gain == pytest.approx(expected, abs=0.4)


def test_crop_gain_polarity_and_peak() -> None:
    audio = np.repeat((tone(440) * 32768).astype(np.int16)[None], 2, 0)
    source = Source("s", "other", audio)
    plain = crop(source, 4410, np.random.default_rng(0), OFF, RATE)
    flipped = Augment(gain_db=(-6, -6), polarity=1, speed=0, eq=0)
    changed = crop(source, 4410, np.random.default_rng(0), flipped, RATE)
    np.testing.assert_allclose(changed, -plain * 10 ** (-6 / 20), atol=1e-6)
    loud = crop(source, 4410, np.random.default_rng(0), Augment(gain_db=(40, 40)), RATE)
    assert np.abs(loud).max() <= 0.991


def test_batches_are_seeded_remixed_and_sometimes_silent(store: StemStore) -> None:
    first = codec_batch(store, 4, 4410, np.random.default_rng(3), Augment())
    again = codec_batch(store, 4, 4410, np.random.default_rng(3), Augment())
    np.testing.assert_array_equal(first, again)
    assert not codec_batch(store, 2, 4410, np.random.default_rng(0), Augment(silence=1)).any()
    alone = codec_batch(store, 8, 4410, np.random.default_rng(0), OFF)
    both = codec_batch(
        store, 8, 4410, np.random.default_rng(0), Augment(**{**vars(OFF), "sum_two": 1.0})
    )
    assert np.abs(both).max() <= 0.991
    assert not np.allclose(alone, both)


def test_resample_keeps_a_tone() -> None:
    wave = torch.from_numpy(tone(440, 1.0))[None]
    low = resample(wave, 44100, 16000)
    assert low.shape == (1, 16000)
    expected = 0.25 * torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
    torch.testing.assert_close(low[0, 2000:-2000], expected[2000:-2000], atol=2e-3, rtol=0)
    high = resample(torch.from_numpy(tone(12000, 1.0))[None], 44100, 16000)
    assert high[0, 2000:-2000].abs().max() < 1e-2  # above Nyquist: gone, not folded


@pytest.mark.parity
def test_hubert_encoder_equals_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    ours = HubertMini(TINY.teacher).eval()
    t = TINY.teacher
    config = transformers.HubertConfig(
        hidden_size=t.dim,
        num_hidden_layers=t.layers,
        num_attention_heads=t.heads,
        intermediate_size=t.ffn,
        num_conv_pos_embeddings=t.conv_pos,
        num_conv_pos_embedding_groups=t.conv_pos_groups,
    )
    theirs = transformers.HubertModel(config).eval().encoder
    theirs.load_state_dict(ours.encoder.state_dict())
    x = torch.randn(2, 30, t.dim)
    expected = []
    for layer in theirs.layers:
        layer.register_forward_hook(
            lambda _, __, out: expected.append(out[0] if isinstance(out, tuple) else out)
        )
    theirs(x)
    found = ours.encoder(x)[1:]
    assert len(expected) == t.layers
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parity
def test_hf_teacher_frames_and_compression() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.HubertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    model = transformers.HubertModel(config)
    teacher_config = TINY.teacher.model_copy(update={"kind": "hf"})
    teacher = HuggingFaceTeacher(teacher_config, model)
    wave = torch.from_numpy(tone(440, 0.4))[None]
    out = teacher(wave)
    assert out.shape == (1, 20, 32)
    codec = HCodec(TINY.model_copy(update={"teacher": teacher_config}), teacher).eval()
    assert codec.encode(wave).semantic.shape == (1, 2, 10)
    states = [torch.full((1, 1, 1), -4.0), torch.full((1, 1, 1), -12.0)]
    assert float(compress(states, 0.5)) == pytest.approx(-np.sqrt(8))


def test_teacher_is_frozen(store: StemStore) -> None:
    teacher = make_teacher(TINY.teacher, TINY.rate, TINY.hop)
    assert not any(p.requires_grad for p in teacher.parameters())
    codec = HCodec(TINY).train()
    assert not codec.teacher.training


def test_span_mask_share_and_length() -> None:
    mask = span_mask(200, 100, np.random.default_rng(0))
    assert mask.shape == (200, 100)
    assert float(mask[:, 20:].float().mean()) == pytest.approx(1 - 0.92**10, abs=0.03)


def test_hubert_trainer_writes_weights_that_load(store: StemStore, tmp_path: Path) -> None:
    trainer = HubertTrainer(store, TINY.teacher, tmp_path, Budget(3), batch=2, seconds=0.5)
    trainer.run()
    codec = HCodec(TINY)
    from tokensep.train.codec import load_hubert

    load_hubert(codec, tmp_path)
    torch.testing.assert_close(
        codec.teacher.model.head.weight, trainer.model.head.weight, atol=1e-3, rtol=1e-3
    )
    with pytest.raises(CheckpointError, match="train it first"):
        load_hubert(codec, tmp_path / "nowhere")


def test_a_killed_hubert_training_continues_to_the_same_weights_and_curve(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"batch": 4, "seconds": 1.0, "save_every": 4}

    def go(name: str) -> None:
        HubertTrainer(store, TINY.teacher, tmp_path / name, Budget(45), **options).run()

    go("whole")
    update = HubertTrainer.update

    def dies(self: HubertTrainer) -> dict[str, float]:
        if self.step == 43:  # its last checkpoint is of step 40
            raise KeyboardInterrupt
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(HubertTrainer, "update", dies)
        with pytest.raises(KeyboardInterrupt):
            go("killed")
    torch.manual_seed(99)  # another process's history must not matter
    go("killed")
    whole, killed = (tmp_path / n / "hubert.safetensors" for n in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    rows = [
        [
            (r["step"], r["loss"], r["masked_accuracy"])
            for r in csv.DictReader(p.read_text().splitlines())
        ]
        for p in (whole.with_name("train.csv"), killed.with_name("train.csv"))
    ]
    assert rows[0] == rows[1] and [row[0] for row in rows[0]] == ["20", "40"]
    assert float(rows[0][1][1]) < 10


def make_trainer(
    store: StemStore,
    work: Path,
    out: Path | None = None,
    valid: StemStore | None = None,
    **changes: object,
) -> CodecTrainer:
    settings = CodecTrainConfig(
        batch=2,
        crop_seconds=0.12,
        warmup=2,
        continuous_steps=2,
        save_every=3,
        eval_every=1000,
        max_steps=5,
        losses=LossConfig(mel_windows=(256,), mel_bands=(16,), bass=0.1),
    ).model_copy(update=changes)
    torch.manual_seed(0)
    codec = HCodec(TINY)
    batches = StemBatches(store, settings, crop_length(codec, settings))
    return CodecTrainer(codec, settings, batches, valid, work, out)


ADVERSARIAL = LossConfig(
    mel_windows=(256,),
    mel_bands=(16,),
    adversarial=1.0,
    feature_match=1.0,
    erb=0.0,
    mpd_periods=(2,),
    mrd_windows=(128,),
    discriminator_channels=1,
)


def test_killed_and_resumed_equals_undisturbed(store: StemStore, tmp_path: Path) -> None:
    whole = make_trainer(store, tmp_path / "a", tmp_path / "out-a", losses=ADVERSARIAL)
    whole.run()
    first = make_trainer(store, tmp_path / "b", losses=ADVERSARIAL)
    steps = first.config.save_every
    assert not first.resume()
    first.start()
    first.model.train()
    for _ in range(steps):
        first.update()
    first.save()
    first.update()  # lost: the kill comes before the next save
    second = make_trainer(store, tmp_path / "b", tmp_path / "out-b", losses=ADVERSARIAL)
    torch.randn(7)  # another process's history must not matter
    second.run()
    assert whole.adversary is not None and second.adversary is not None
    for mine, other in ((whole, second), (whole.adversary, second.adversary)):
        for (name, a), b in zip(
            mine.model.state_dict().items(), other.model.state_dict().values(), strict=True
        ):
            assert torch.equal(a, b), name
    assert second.spent.cpu > 0
    exported = [tmp_path / f"out-{n}" / "codec.safetensors" for n in "ab"]
    assert exported[0].read_bytes() == exported[1].read_bytes()


def test_resume_refuses_another_model_and_a_broken_file(store: StemStore, tmp_path: Path) -> None:
    make_trainer(store, tmp_path).save()
    other = make_trainer(store, tmp_path)
    other.model = HCodec(TINY.model_copy(update={"dim": 64}))
    with pytest.raises(CheckpointError, match="another configuration"):
        other.resume()
    newest = ck.checkpoints(tmp_path / "checkpoints")[-1]
    (newest / "tensors.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a complete"):
        make_trainer(store, tmp_path).resume()


def test_overfits_one_crop(store: StemStore, tmp_path: Path) -> None:
    trainer = make_trainer(store, tmp_path, continuous_steps=10, lr=5e-3, max_steps=100, batch=1)
    trainer.model.train()
    crop_once = trainer.batch(0)
    trainer.batch = lambda piece: crop_once  # type: ignore[method-assign]
    losses = [trainer.update()["mel"] for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def lose(trainer: CodecTrainer, monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """The losses of ``steps`` become NaN."""
    whole = trainer.loss

    def partly(piece: int) -> tuple[torch.Tensor, dict[str, object]]:
        loss, terms = whole(piece)
        return (loss * torch.nan if trainer.step in steps else loss), dict(terms)

    monkeypatch.setattr(trainer, "loss", partly)


def test_a_codec_step_without_a_finite_gradient_is_skipped(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(store, tmp_path, tmp_path / "out")
    lose(trainer, monkeypatch, {3})
    trainer.run()
    assert trainer.step == 5 and trainer.guard.skipped_in_a_row == 0
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    assert (tmp_path / "out" / "codec.safetensors").exists()


def test_a_codec_training_whose_loss_is_nan_at_every_step_exports_nothing(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(store, tmp_path, tmp_path / "out", max_steps=120)
    lose(trainer, monkeypatch, set(range(120)))
    with pytest.raises(TrainingError, match="50 steps in a row, up to step 50"):
        trainer.run()
    assert not (tmp_path / "out").exists()


def spoil_discriminators(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """The discriminators' losses of ``steps``, counted from 0, become NaN."""
    from tokensep.train import adversary

    whole, calls = adversary.discriminator_loss, iter(range(1000))

    def partly(real: object, fake: object) -> torch.Tensor:
        loss: torch.Tensor = whole(real, fake)
        return loss * torch.nan if next(calls) in steps else loss

    monkeypatch.setattr(adversary, "discriminator_loss", partly)


def test_a_discriminator_step_without_a_finite_gradient_is_skipped(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_discriminators(monkeypatch, {2})
    trainer = make_trainer(store, tmp_path, losses=ADVERSARIAL)
    trainer.run()
    assert trainer.adversary is not None
    for model in (trainer.model, trainer.adversary.model):
        assert all(p.isfinite().all() for p in model.parameters())


def test_discriminators_whose_loss_is_nan_at_every_step_end_the_training(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_discriminators(monkeypatch, set(range(1000)))
    monkeypatch.setattr(guard, "PATIENCE", 4)
    trainer = make_trainer(store, tmp_path, tmp_path / "out", losses=ADVERSARIAL, max_steps=20)
    with pytest.raises(TrainingError, match="discriminators: the gradients of 4 steps in a row"):
        trainer.run()
    assert not (tmp_path / "out").exists()


def test_discriminators_move_once_a_step_by_the_gradients_of_all_its_batches(
    store: StemStore, tmp_path: Path
) -> None:
    big = make_trainer(store, tmp_path / "a", losses=ADVERSARIAL, batch=4)
    two = make_trainer(store, tmp_path / "b", losses=ADVERSARIAL, batch=2, accumulate=2)
    crops = big.batch(0)
    two.batch = lambda piece: crops[2 * piece :][:2]  # type: ignore[method-assign]
    moved = []
    for trainer in (big, two):
        assert trainer.adversary is not None
        trainer.model.train()
        trainer.update()
        moved.append(dict(trainer.adversary.model.named_parameters()))
    for name, weights in moved[0].items():
        # Adam's first step is lr x sign of the gradient: two steps would be twice as far
        torch.testing.assert_close(weights, moved[1][name], atol=2e-6, rtol=1e-4, msg=name)


def lose_hubert(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    whole = HubertTrainer.loss

    def partly(self: HubertTrainer, piece: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, terms = whole(self, piece)
        return (loss * torch.nan if self.step in steps else loss), terms

    monkeypatch.setattr(HubertTrainer, "loss", partly)


def test_hubert_skips_a_nan_step_and_stops_when_every_step_is_nan(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str) -> HubertTrainer:
        trainer = HubertTrainer(
            store, TINY.teacher, tmp_path / name, Budget(60), batch=4, seconds=0.5
        )
        trainer.run()
        return trainer

    with monkeypatch.context() as patch:
        lose_hubert(patch, {3})
        assert all(p.isfinite().all() for p in trained("one").model.parameters())
    lose_hubert(monkeypatch, set(range(60)))
    with pytest.raises(TrainingError, match="50 steps in a row, up to step 50"):
        trained("all")
    assert not (tmp_path / "all" / "hubert.safetensors").exists()


SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from tokensep.codec.model import HCodec
from tokensep.config import CodecConfig, CodecTrainConfig, LossConfig, load
from tokensep.train.codec import CodecTrainer, crop_length
from benchsep_training.batches import Stateless
config = load(CodecConfig, json.loads(sys.argv[1]))
torch.manual_seed(0)
codec = HCodec(config.model_copy(update={"dead_threshold": 0.0})).train()
settings = CodecTrainConfig(batch=2, crop_seconds=0.2, continuous_steps=0,
                            losses=LossConfig(mel_windows=(256,), mel_bands=(16,)))
length = crop_length(codec, settings)
noise = np.random.default_rng(0).standard_normal((4, length)).astype("f4")
waves = torch.from_numpy(noise) * 0.1


class Noise(Stateless):
    def batch(self, turn):
        return waves if turn.ranks == 1 else waves[turn.rank * 2:][:2]


run = CodecTrainer(codec, settings, Noise(), None, Path(sys.argv[2] + ".run"))
for rvq in (codec.acoustic_rvq, codec.semantic_rvq):
    for book in rvq.books:
        book.ready.fill_(True)
        book.sums.copy_(book.entries)
total, _ = run.loss_of(run.batch(0))
run.processes.backward(total)
if run.processes.rank == 0:
    torch.save({"grad": [p.grad for p in codec.parameters() if p.requires_grad],
                "books": [b.entries for b in codec.acoustic_rvq.books]}, sys.argv[2])
from benchsep_training.processes import leave_group
del run
leave_group()
"""


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    config = json.dumps(TINY.model_dump(mode="json"))
    alone = [sys.executable, str(script), config, str(tmp_path / "one.pt")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    launch.append(f"--master-port={port}")
    subprocess.run(alone, check=True, timeout=300)
    subprocess.run(
        [*launch, str(script), config, str(tmp_path / "two.pt")], check=True, timeout=600
    )
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("one", "two"))
    for a, b in zip(one["grad"], two["grad"], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
    for a, b in zip(one["books"], two["books"], strict=True):
        torch.testing.assert_close(a, b)


def test_best_average_by_validation_is_shipped(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.2, 0.9])

    def fake(*_: object) -> dict[str, float]:
        return {"mel": next(scores), "mel_vocals": 9.0}

    monkeypatch.setattr("tokensep.train.codec.validate", fake)
    options = {"eval_every": 2, "max_steps": 5}
    make_trainer(store, tmp_path / "work", tmp_path / "out", store, **options).run()
    note = json.loads((tmp_path / "out" / "config.json").read_text())["training"]
    assert note["steps"] == 4  # the second of three validations
    assert len(ck.checkpoints(tmp_path / "work" / "best")) == 1


def test_the_last_step_is_validated_once(
    store: StemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokensep.train.codec.validate", lambda *_: {"mel": 1.0})
    trainer = make_trainer(store, tmp_path, tmp_path / "out", store, eval_every=2, max_steps=4)
    trainer.run()
    assert [row["step"] for row in trainer.valid_log.rows()] == [2, 4]


def test_a_codec_training_killed_anywhere_has_the_same_curves_and_best(
    store: StemStore, tmp_path: Path
) -> None:
    """Between validation and checkpoint, between checkpoint and the end, within a row's steps."""
    options = {"eval_every": 10, "save_every": 5, "max_steps": 23}

    def curve(name: str) -> list[list[str]]:
        rows = list(csv.reader((tmp_path / name / "train.csv").read_text().splitlines()))
        clocks = [rows[0].index(name) for name in ("cpu_seconds", "data_wait")]
        return [[x for n, x in enumerate(row) if n not in clocks] for row in rows]

    def validations(name: str) -> list[dict[str, float]]:
        lines = (tmp_path / name / "valid.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(x).items() if k != "cpu_seconds"} for x in lines]

    def go(name: str, dies_at: str = "", step: int = 0) -> None:
        trainer = make_trainer(store, tmp_path / name, tmp_path / f"out-{name}", store, **options)
        if dies_at:
            setattr(trainer, dies_at, killer(trainer, dies_at, step))
        trainer.run()

    def killer(trainer: CodecTrainer, name: str, step: int) -> object:
        alive = getattr(trainer, name)

        def deadly(*arguments: object) -> object:
            if trainer.step == step:
                raise KeyboardInterrupt
            return alive(*arguments)

        return deadly

    go("whole")
    moments = [("save_best", 10), ("update", 17), ("evaluate", 23), ("export", 23)]
    for dies_at, step in moments:
        with pytest.raises(KeyboardInterrupt):
            go("killed", dies_at, step)
    go("killed")
    assert curve("whole") == curve("killed")
    assert validations("whole") == validations("killed")
    assert [row["step"] for row in validations("killed")] == [10, 20, 23]
    one, two = (tmp_path / f"out-{n}" / "codec.safetensors" for n in ("whole", "killed"))
    assert one.read_bytes() == two.read_bytes()


def test_validate_leaves_the_run_untouched(store: StemStore, tmp_path: Path) -> None:
    trainer = make_trainer(store, tmp_path, valid=store)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    with torch.no_grad():  # an average that differs from the weights, so that a mix-up is seen
        for average in trainer.ema.shadow.values():
            average.mul_(0.5)
    result = trainer.evaluate()
    assert {"mel", "mel_drums", "erb", "perplexity_acoustic_0"} <= set(result)
    means = [result[f"mel_{s}"] for s in ("vocals", "drums", "bass", "other")]
    assert result["mel"] == pytest.approx(np.mean(means))
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parity
def test_absent_hubert_folder_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config = TINY.teacher.model_copy(update={"kind": "hf", "name": str(tmp_path)})
    with pytest.raises(Unavailable, match="local folder"):
        make_teacher(config, TINY.rate, TINY.hop)
