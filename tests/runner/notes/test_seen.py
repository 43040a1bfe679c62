"""Which songs of a run its systems saw in training."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from benchsep.runner.notes.seen import seen_songs, without_seen

SPLITS = {"A": "train", "B": "valid", "C": "test"}
DECLARED = {
    "mine": ["musdb18:train-less-validation"],
    "all": ["musdb18"],
    "leaky": ["musdb18:test", "unknown"],
    "who": ["unknown"],
    "other": ["moisesdb"],
}


def cells(edition: str = "hq") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"system": s, "family": "discriminative", "track": t, "split": p, "edition": edition,
             "value": 1.0}
            for s in (*DECLARED, "imported") for t, p in SPLITS.items()
        ]
        + [
            {"system": "mixture", "family": "mixture", "track": t, "split": p, "edition": edition,
             "value": 0.0}
            for t, p in SPLITS.items()
        ]
    )  # fmt: skip


def manifest(dataset: str = "musdb18hq") -> dict[str, Any]:
    systems = {label: {"info": {"trained_on": entries}} for label, entries in DECLARED.items()}
    return {"dataset": {"name": dataset}, "systems": systems}


def test_a_system_saw_the_songs_of_the_splits_that_it_declares() -> None:
    seen = seen_songs(cells(), manifest())
    assert seen.songs == {"mine": {"A": "train"}, "all": SPLITS, "leaky": {"C": "test"}}
    assert [seen.mark(s) for s in ("mine", "all", "leaky", "who")] == ["§", "‡§", "‡", ""]


def test_what_is_not_declared_is_unknown_and_reference_systems_are_not() -> None:
    assert seen_songs(cells(), manifest()).unknown == ("imported", "who")


@pytest.mark.parametrize(
    ("edition", "dataset", "who"),
    [("clip", "clip", {"mine", "all", "leaky"}), ("folder", "folder:x", set())],
)
def test_editions_of_musdb18_share_songs_and_a_folder_has_none(
    edition: str, dataset: str, who: set[str]
) -> None:
    assert set(seen_songs(cells(edition), manifest(dataset)).songs) == who


def test_a_data_set_of_a_plugin_is_known_by_its_name() -> None:
    assert set(seen_songs(cells("folder"), manifest("moisesdb")).songs) == {"other"}


def test_leaving_out_what_was_seen_keeps_every_other_cell() -> None:
    left = without_seen(cells(), manifest())
    kept = {s: set(part["track"]) for s, part in left.groupby("system")}
    assert kept["mine"] == {"B", "C"} and kept["leaky"] == {"A", "B"} and "all" not in kept
    assert all(kept[s] == set(SPLITS) for s in ("who", "other", "imported", "mixture"))
