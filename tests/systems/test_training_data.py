"""What checkpoints declare of their training data."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchsep_baselines.htdemucs import TRAINED_ON, TRAINING_DATA

from benchsep.errors import UsageError
from benchsep.runner.info import info_from_json, info_to_json
from benchsep.systems.spec import load_system
from benchsep.systems.training import parse_training, saw
from tests.helpers.noise import noise_songs


@pytest.mark.parametrize(
    ("declared", "split", "seen"),
    [
        ("musdb18:train", "train", True),
        ("musdb18:train", "valid", True),
        ("musdb18:train", "test", False),
        ("musdb18:train-less-validation", "valid", False),
        ("musdb18:train-less-validation", "train", True),
        ("musdb18:validation", "valid", True),
        ("moisesdb+musdb18:test", "test", True),
        ("musdb18", "test", True),
        ("moisesdb", "test", False),
        ("unknown", "test", False),
    ],
)
def test_a_declared_split_holds_the_songs_of_its_tracks(
    declared: str, split: str, seen: bool
) -> None:
    assert saw(parse_training(declared), "musdb18", split) is seen


@pytest.mark.parametrize("text", ["MUSDB train", "", "a+", "a:b:c"])
def test_what_is_no_data_set_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected e\.g\. musdb18:train"):
        parse_training(text)


def test_every_demucs_model_declares_data_and_the_extra_bag_the_test_songs() -> None:
    assert TRAINED_ON.keys() == TRAINING_DATA.keys()
    tested = {name for name, entries in TRAINED_ON.items() if saw(entries, "musdb18", "test")}
    assert tested == {"mdx_extra"}
    assert all(saw(entries, "musdb18", "train") for entries in TRAINED_ON.values())


def test_minis_saw_the_training_songs_without_the_validation_songs() -> None:
    for spec in ("htdemucs:checkpoint=mini", "bs_roformer:checkpoint=mini"):
        info = load_system(spec).info
        assert saw(info.trained_on, "musdb18", "train")
        assert not saw(info.trained_on, "musdb18", "valid")


def test_reference_systems_were_trained_on_nothing() -> None:
    for name in ("mixture", "reference", "wrong-song", "oracle-irm", "oracle-mwf"):
        assert load_system(name).info.trained_on == ()


def test_a_folder_declares_its_training_data_after_its_family(tmp_path: Path) -> None:
    path = noise_songs(tmp_path / "est", ("song",))
    assert load_system(f"dir:{path}").info.trained_on == ("unknown",)
    assert load_system(f"dir:{path}::generative").info.trained_on == ("unknown",)
    info = load_system(f"dir:{path}::discriminative::musdb18:train+moisesdb").info
    assert info.trained_on == ("musdb18:train", "moisesdb")
    assert info.family == "discriminative"
    assert info_from_json(info_to_json(info)) == info
    assert load_system(f"dir:{path}::oracle::none").info.trained_on == ()
