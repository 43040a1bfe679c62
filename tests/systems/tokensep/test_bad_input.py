"""Folders, files and options that no training can use: an error that says what is expected."""

from __future__ import annotations

import math
import os
import shutil
import typing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchsep_training.budget import Budget
from pydantic import ValidationError
from tokensep import cli
from tokensep.cli.configs import override
from tokensep.cli.folders import check_output
from tokensep.config import PRESETS, BandsConfig, CodecConfig, CodecTrainConfig, LossConfig
from tokensep.errors import ConfigError, DataError, UsageError
from tokensep.lm.config import EncoderConfig, LMConfig, LMTrainConfig, TokenSepConfig
from tokensep.train import pseudo_labels
from tokensep.train.data import (
    STEMS,
    StemStore,
    decode,
    loose_files,
    musdb_files,
    musdb_folders,
    validation_songs,
)
from tokensep.train.encoding import store_songs
from tokensep.train.guided import GuidedTrainConfig
from tokensep.train.token_dataset import TokenDataset
from tokensep.train.tokenizing import run as tokenizing
from tokensep.train.tokenizing.inputs import find_inputs
from typer.testing import CliRunner

from tests.helpers.lm_dummies import RATE, DummyCodec, tiny_config


def song(folder: Path, lengths=(RATE, RATE, RATE, RATE), level: float = 0.1, **how) -> Path:
    """A song of noise as MUSDB18-HQ has it."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem, length in zip(STEMS, lengths, strict=True):
        soundfile.write(
            str(folder / f"{stem}.wav"), level * rng.normal(size=(length, 2)), RATE, **how
        )
    return folder


def numbers(model: type) -> list[str]:
    """Fields that hold a number, or None."""
    kinds = typing.get_type_hints(model)
    plain = {name: set(typing.get_args(kind)) or {kind} for name, kind in kinds.items()}
    return [name for name in model.model_fields if plain[name] & {int, float}]


TRAININGS = (LMTrainConfig, GuidedTrainConfig, CodecTrainConfig)


@pytest.mark.parametrize("model", TRAININGS)
def test_no_number_of_a_training_takes_what_is_out_of_range(model):
    assert len(numbers(model)) > 15
    for option in numbers(model):
        for value in ("-1", "nan", "inf", "1e400", "much"):
            with pytest.raises(ConfigError, match=rf"^{option}: found .*, expected"):
                override(model(), [f"{option}={value}"])


@pytest.mark.parametrize("model", TRAININGS)
def test_nothing_of_what_a_training_needs_may_be_zero(model):
    for option in ("batch", "max_steps", "save_every", "eval_every", "lr", "clip"):
        with pytest.raises(ConfigError, match=option):
            override(model(), [f"{option}=0"])


def test_an_option_that_there_is_not_gets_the_one_that_was_meant():
    with pytest.raises(ConfigError, match=r"bacth: no such setting; did you mean 'batch'\?"):
        override(LMTrainConfig(), ["bacth=2"])


@pytest.mark.parametrize(
    "budget", [(0,), (-3,), (None, 0.0), (None, -1.0), (None, math.nan), (5, None, math.inf)]
)
def test_a_budget_is_above_nothing(budget):
    with pytest.raises(UsageError, match="expected"):
        Budget(*budget)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (CodecConfig, {"dim": -4}),
        (CodecConfig, {"heads": 0}),
        (CodecConfig, {"kernel": 0}),
        (CodecConfig, {"acoustic_layers": 0}),
        (CodecConfig, {"codebook_size": 0}),
        (CodecConfig, {"semantic_strides": (0,)}),
        (CodecConfig, {"dim": 10**9}),
        (CodecConfig, {"teacher": {"layers": 0}}),
        (BandsConfig, {"upsample": 0}),
        (LossConfig, {"mel_windows": (256,)}),
        (LMConfig, {"layers": -1}),
        (LMConfig, {"ffn": 0}),
        (LMConfig, {"dropout": 5}),
        (LMConfig, {"prefix_pool": 0}),
        (EncoderConfig, {"kernel": 0}),
        (EncoderConfig, {"frames_per_token": 0}),
        (TokenSepConfig, {"stems": ()}),
        (TokenSepConfig, {"stems": ("vocals", "vocals")}),
        (TokenSepConfig, {"loudness": math.nan}),
        (TokenSepConfig, {"layout": {"delays": (-1, *range(15))}}),
    ],
)
def test_sizes_that_describe_no_network_are_refused(model, values):
    with pytest.raises(ValidationError, match=r"expected|equal|finite|twice"):
        model(**values)


def test_presets_of_both_configurations_are_valid():
    for preset in PRESETS.values():
        assert CodecConfig.model_validate(preset.model_dump()) == preset


def test_a_folder_without_songs_is_named_with_what_it_holds_and_what_was_expected(tmp_path):
    missing, file, empty = tmp_path / "missing", tmp_path / "file", tmp_path / "empty"
    file.write_text("x")
    empty.mkdir()
    for root, found in ((missing, "no such folder"), (file, "is a file"), (empty, "found nothing")):
        with pytest.raises(DataError, match=rf"{root.name}: .*{found}.*SONG\.stem\.mp4"):
            list(musdb_files(root, None, set()))
    song(tmp_path / "musdb" / "train" / "A - One")
    with pytest.raises(DataError, match=r"found train; expected .*; give .*musdb/train"):
        list(musdb_folders([tmp_path / "musdb"]))
    with pytest.raises(DataError, match=r"no recordings below it; expected \.flac"):
        list(loose_files(empty))
    with pytest.raises(DataError, match="no such folder"):
        list(loose_files(missing))


def test_a_folder_without_the_songs_that_are_wanted_says_so(tmp_path):
    held_out = set(validation_songs())
    song(tmp_path / "valid" / min(held_out))
    song(tmp_path / "train" / "A - One")
    with pytest.raises(DataError, match="1 songs with stems, but only songs that are kept for val"):
        list(musdb_files(tmp_path / "valid", None, held_out))
    with pytest.raises(DataError, match=rf"but none of the songs {min(held_out)}"):
        list(musdb_files(tmp_path / "train", held_out, set()))


def test_stems_of_different_lengths_are_refused_where_they_are_used_together(tmp_path):
    """They were cut to the shortest, read at different places, or ended in a ValueError."""
    song(tmp_path / "songs" / "A", (RATE, RATE, RATE // 2, RATE))
    said = rf"different lengths \(vocals {RATE}, drums {RATE}, bass {RATE // 2}"
    files = list(musdb_files(tmp_path / "songs", None, set()))
    with pytest.raises(DataError, match=said):
        StemStore.build(tmp_path / "store", files, RATE, together=True)
    inputs = find_inputs([], [tmp_path / "songs"], "all")
    with pytest.raises(DataError, match="different lengths"):
        list(inputs[0].samples(RATE))
    assert len(StemStore.build(tmp_path / "alone", files, RATE).sources) == 4


def test_a_wav_that_was_cut_and_samples_that_are_no_numbers_are_refused(tmp_path):
    """FFmpeg reads both: the one to where it ends, the other as silence."""
    path = song(tmp_path / "A") / "drums.wav"
    path.write_bytes(path.read_bytes()[: RATE * 2])
    with pytest.raises(DataError, match=r"drums\.wav: not readable as audio \(cut short"):
        decode(path, 0, RATE)
    path = song(tmp_path / "B", level=math.nan, subtype="FLOAT") / "drums.wav"
    with pytest.raises(DataError, match="NaN or infinite"):
        decode(path, 0, RATE)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_text(path: Path) -> None:
    path.write_text("this is no array")


def of_floats(path: Path) -> None:
    np.save(path, np.zeros(8))


def shorter(path: Path) -> None:
    np.save(path, np.load(path)[:-2])


def prepared(root: Path):
    """What a training of one song writes first: its store, the song's files, the folder of tokens
    and their configuration.
    """
    song(root / "songs" / "A")
    files = list(musdb_files(root / "songs", None, set()))
    store = StemStore.build(root / "store", files, RATE)
    folder, config = root / "bank", tiny_config()
    TokenDataset.build(store_songs(store, {"A"}), DummyCodec(), config).save(folder)
    return store, files, folder, config


@pytest.mark.parametrize("damage", [cut, as_text, of_floats, shorter, Path.unlink])
def test_prepared_data_that_is_damaged_is_named(tmp_path, damage):
    """A training that is continued maps what an earlier call has written."""
    store, files, folder, config = prepared(tmp_path)
    for name in ("waves.npy", "codes.npy", "silence.npy"):
        copy = Path(shutil.copytree(folder, tmp_path / name))
        damage(copy / name)
        with pytest.raises(DataError, match=r"is damaged .*; delete its folder and make it again"):
            TokenDataset.load(copy, config)
    damage(store.folder / "audio.npy")
    with pytest.raises(DataError, match=r"is damaged .*; delete its folder and make it again"):
        StemStore.build(tmp_path / "store", files, RATE)


@pytest.mark.parametrize("index", ["{}", "[1]", '[["A", "vocals", 0, 3]]', '{"rate": 1}'])
def test_an_index_that_does_not_fit_its_arrays_is_named(tmp_path, index):
    store, _, folder, config = prepared(tmp_path)
    for path in (folder / "index.json", store.folder / "index.json"):
        path.write_text(index)
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        TokenDataset.load(folder, config)
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        StemStore(store.folder)


WRITERS = {
    "train codec": "--config c.yaml --musdb m --work {} -o out",
    "train hubert": "--musdb m --work w -o {}",
    "train lm": "--codec c --musdb m -o {}",
    "train guided": "--musdb m -o {}",
    "tokenize": "--codec c --musdb m -o {}",
    "pseudo-label": "m -o {} --teacher mixture",
    "synth": "{}",
    "import-hcodec": "w.pt c.yaml {}",
}


@pytest.mark.parametrize("command", WRITERS)
def test_an_output_that_is_no_folder_is_found_before_the_work_begins(tmp_path, command):
    """`train codec` found it after the training."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        words = [*command.split(), *WRITERS[command].replace("{}", str(out)).split()]
        done = CliRunner().invoke(cli.app, words)
        assert isinstance(done.exception, UsageError), done.exception
        assert f"{out}: {tmp_path / 'file'} is a file; give an existing or a new folder" in str(
            done.exception
        )
    words = ["train", "codec", "--config", "c.yaml", "--musdb", "m", "--work", str(tmp_path)]
    done = CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "file")])
    assert "-o" in str(done.exception) and "is a file" in str(done.exception)


def test_an_output_where_nothing_can_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match=rf"-o .*new: {tmp_path} is not writable; fix"):
        check_output(tmp_path / "new", "-o")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("shard_seconds", 0.0), ("shard_seconds", -60.0), ("shard_seconds", math.nan),
     ("shard_seconds", math.inf), ("piece_seconds", 0.0), ("min_residual_db", math.nan)],
)  # fmt: skip
def test_settings_of_pseudo_labels_are_numbers_that_mean_something(name, value):
    """`--shard-minutes 0` made a shard of each piece; `--min-residual-db nan` kept everything."""
    with pytest.raises(DataError, match=rf"{name.replace('_', ' ')} \S+; expected"):
        pseudo_labels.Settings(**{name: value})


def test_tokens_are_made_by_a_worker_at_least(tmp_path):
    options = tokenizing.Options([], tmp_path, tmp_path, tiny_config(), {}, workers=0)
    with pytest.raises(DataError, match="found 0 workers, expected at least one"):
        tokenizing.run(options)
