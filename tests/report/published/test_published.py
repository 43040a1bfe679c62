"""Published values: rows where all agrees, and whether a run reproduces them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from benchsep.audio import STEMS
from benchsep.metrics.catalog import traits_of
from benchsep.report.published.entries import agreeing, sources
from benchsep.report.published.reproduced import reproduced
from benchsep.report.tables.build import tables
from benchsep.report.tables.explain import explained
from benchsep.report.tables.render import render

TRAITS = traits_of(("mireval", "usdr"))
THERE = {"vocals": 8.86, "drums": 10.52, "bass": 9.56, "other": 4.56}
MANIFEST: dict[str, Any] = {"suite": {"split": "test"}, "dataset": {"name": "musdb18-7s"}}


def run(
    system: str = "htdemucs@official",
    songs: int = 50,
    edition: str = "aac-7s",
    split: str = "test",
    **moved: float,
) -> pd.DataFrame:
    """A fake system that scores the published medians, moved by so much."""
    return pd.DataFrame(
        {
            "system": system, "family": "discriminative", "track": f"song {i:02}", "stem": stem,
            "metric": "mireval.sdr", "draw": 0, "status": "ok", "edition": edition, "split": split,
            "value": THERE[stem] + moved.get(stem, 0.0) + (i - (songs - 1) / 2) / 50,
            "frames": None, "seconds": 0.1, "key": f"{i}/{stem}",
        }
        for i in range(songs) for stem in STEMS
    )  # fmt: skip


def shown(cells: pd.DataFrame, traits: dict[str, Any] | None = None) -> str:
    return render(tables(cells, _costs(), MANIFEST, traits or TRAITS), "md")


def _costs() -> pd.DataFrame:
    return pd.DataFrame(columns=["system", "rtf", "peak_memory_mb", "lag", "session"])


def test_rows_stand_where_edition_split_songs_and_definition_agree() -> None:
    text = shown(run())
    assert "htdemucs (stemsplitter.github.io)" in text and "hdemucs_mmi" in text
    assert "median over 50 songs" in text and "Published elsewhere (not ranked)" in text


@pytest.mark.parametrize(
    "other", [{"edition": "aac"}, {"split": "train"}, {"songs": 49}], ids=["edition", "split", "n"]
)
def test_no_row_where_one_of_them_differs(other: dict[str, Any]) -> None:
    assert "stemsplitter" not in shown(run(**other))
    assert reproduced(run(**other), MANIFEST, TRAITS) == []


def test_no_row_under_another_aggregation() -> None:
    mean = {c: replace(t, aggregate="mean") for c, t in TRAITS.items()}
    assert "stemsplitter" not in shown(run(), mean)
    assert not agreeing(run(), mean, "test")


def test_a_published_row_is_explained_and_never_bold() -> None:
    cells = pd.concat([run(), run("mine@x", vocals=-1.0)], ignore_index=True)
    made = tables(cells, _costs(), MANIFEST, TRAITS)
    rows = [r for t in made for r in t.rows if r.group == "published"]
    assert rows and not any(c.best for r in rows for c in r.cells)
    text = explained(made, cells, TRAITS, rows[0].cells[0].id)
    assert "published in stemsplitter.github.io" in text


def test_a_leaderboard_row_that_saw_the_test_songs_is_marked() -> None:
    cells = run(edition="hq").assign(metric="bsseval.sdr")
    traits = traits_of(("bsseval",))
    rows = [r for t in tables(cells, _costs(), MANIFEST, traits) for r in t.rows]
    marks = {r.system: r.mark for r in rows if r.group == "published"}
    assert marks == {
        "htdemucs (StemSplit 2026)": "", "htdemucs_ft (StemSplit 2026)": "",
        "mdx_extra_q (StemSplit 2026)": "‡",
    }  # fmt: skip


def test_official_weights_are_told_whether_they_reproduce() -> None:
    (same,) = reproduced(run(vocals=0.04), MANIFEST, TRAITS)
    assert same.startswith("htdemucs@official reproduces the published mireval.sdr")
    assert "within 0.04 dB" in same
    (other,) = reproduced(run(bass=-1.0), MANIFEST, TRAITS)
    assert "does not reproduce" in other and "bass 8.56 here and 9.56 there" in other
    assert "vocals" not in other
    assert reproduced(run("htdemucs@mini"), MANIFEST, TRAITS) == []


def test_a_missing_song_is_no_reproduction() -> None:
    cells = run()
    cells.loc[cells["track"] == "song 00", ["value", "status"]] = [float("nan"), "failed: x"]
    assert reproduced(cells, MANIFEST, TRAITS) == []


def test_every_source_names_columns_that_exist_and_the_paper_agrees_with_nothing() -> None:
    for source in sources().values():
        for values in source.values:
            assert values.metric in traits_of((values.metric.split(".")[0],)), source.source
            assert values.tolerance is not None or not values.same_definition
    assert not any(v.same_definition for v in sources()["arxiv-2604.09371"].values)
