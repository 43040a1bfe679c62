"""Draws and tails inside the report: the numbers of the statistics, the songs by name."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchsep import stats
from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.build import tables
from benchsep.report.tables.explain import explained
from benchsep.report.tables.latex import latex_document
from benchsep.report.tables.model import Table
from benchsep.report.tables.render import render
from benchsep.report.tables.spread import with_spread_tables
from tests.helpers.sample_run import SYSTEMS, TRAITS, make_rows

Traits = dict[str, ValueTraits]
SONGS = tuple(f"Band {i:02d} - Song" for i in range(25))
BAD = "Band 03 - Song"


@pytest.fixture(scope="module")
def drawn() -> pd.DataFrame:
    """25 songs; tokensep draws three times and fails on one song's bass."""
    frame = pd.DataFrame(make_rows(metrics=("visqol", "usdr", "mrstft"), tracks=SONGS))
    rng = np.random.default_rng(0)
    sampled = frame["system"] == "tokensep@mini"
    others = [frame[sampled].assign(draw=k) for k in (1, 2)]
    frame = pd.concat([frame, *others], ignore_index=True)
    mine = frame["system"] == "tokensep@mini"
    frame.loc[mine, "value"] += rng.normal(0, 0.1, int(mine.sum()))
    failed = mine & (frame["track"] == BAD) & (frame["stem"] == "bass")
    frame.loc[failed & (frame["metric"] == "visqol"), "value"] = 1.2
    frame.loc[failed & (frame["metric"] == "usdr"), "value"] = -30.0
    return frame


@pytest.fixture(scope="module")
def made(drawn: pd.DataFrame) -> list[Table]:
    costs = pd.DataFrame(columns=["system", "rtf", "peak_memory_mb"])
    return with_spread_tables(tables(drawn, costs, {}, TRAITS), drawn, {}, TRAITS)


def titled(made: list[Table], start: str) -> Table:
    return next(t for t in made if t.title.startswith(start))


def test_the_mean_heads_and_the_best_draw_stands_under_its_own_name(
    made: list[Table], drawn: pd.DataFrame
) -> None:
    table = titled(made, "Draws")
    assert [c.head for c in table.columns][:4] == ["k", "mean", "best of k", "worst of k"]
    assert {row.system for row in table.rows} == {"tokensep@mini"}, "the others do not sample"
    expected = stats.draws(stats.with_average(drawn), TRAITS)
    for row in table.rows:
        part = expected[(expected["metric"] == row.metric) & (expected["stem"] == "average")]
        (found,) = part.to_dict("records")
        values = [cell.value for cell in row.cells]
        assert values[:4] == [found[k] for k in ("draws", "mean", "best_of_k", "worst_of_k")]
        shares = [found[f"share_{k}"] * 100 for k in ("song", "seed", "residual")]
        assert values[4:] == pytest.approx(shares) and sum(shares) == pytest.approx(100)
        sign = TRAITS[row.metric].direction
        assert sign * (found["best_of_k"] - found["mean"]) > 0
    # The tables of scores hold the mean over draws and nothing better.
    visqol = next(row for row in table.rows if row.metric == "visqol")
    score = made[0].cell("tokensep@mini", "visqol", "average")
    assert score is not None and score.value == pytest.approx(visqol.cells[1].value)
    assert not any("best of" in c.head for t in made[:4] for c in t.columns)


def test_the_worst_songs_are_named(made: list[Table], drawn: pd.DataFrame) -> None:
    table = titled(made, "ViSQOL: the worst 5 %")
    row = next(r for r in table.rows if r.system == "tokensep@mini")
    expected = stats.tails(drawn[drawn["metric"] == "visqol"], TRAITS)
    bass = expected[(expected["system"] == "tokensep@mini") & (expected["stem"] == "bass")]
    cell = table.cell("tokensep@mini", "visqol", "bass", "tail")
    assert cell is not None and cell.value == pytest.approx(bass["worst"].item())
    assert BAD in row.cells[-1].note and len(row.cells[-1].note.split("; ")) == 2
    assert {r.system for r in table.rows} == set(SYSTEMS), "yardsticks stand in it too"


def test_failures_are_counted_with_an_interval_and_named_by_stem(made: list[Table]) -> None:
    table = titled(made, "ViSQOL: share of songs below 2")
    cell = table.cell("tokensep@mini", "visqol", "bass", "failures")
    assert cell is not None and cell.value == 4.0  # one of 25
    assert cell.low is not None and cell.high is not None and cell.low < 4 < cell.high
    row = next(r for r in table.rows if r.system == "tokensep@mini")
    assert row.cells[-1].note == f"{BAD} (bass)"
    reference = next(r for r in table.rows if r.system == "reference")
    assert reference.cells[-1].note == ""


def test_a_metric_that_misleads_across_families_says_so_in_its_tails(made: list[Table]) -> None:
    table = titled(made, "uSDR [dB]: the worst 5 %")
    assert any("cannot compare generative" in line for line in table.warnings)
    assert not titled(made, "ViSQOL: the worst").warnings


def test_few_songs_have_no_tail_and_one_draw_no_spread(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any], traits: Traits
) -> None:
    first = tables(frame, costs, manifest, traits)
    assert with_spread_tables(first, frame, manifest, traits) == first


@pytest.mark.parametrize("format", ["md", "tex", "csv", "json", "html", "terminal"])
def test_every_format_holds_the_songs(format: str, made: list[Table]) -> None:
    text = render(made, format)
    assert "Band 03" in text.replace("{-}", "-")
    assert render(made, format) == text


def test_ids_are_unique_and_lead_to_the_cells(made: list[Table], drawn: pd.DataFrame) -> None:
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["metric"] for row in rows), "a number without its metric explains nothing"
    for kind in ("tail", "failures", "draws", "text"):
        row = next(r for r in rows if r["kind"] == kind and r["system"] == "tokensep@mini")
        text = explained(made, drawn, TRAITS, row["id"])
        assert BAD in text and "draw 2" in text


def test_the_latex_has_a_column_of_words_that_breaks_lines(made: list[Table]) -> None:
    text = latex_document([titled(made, "ViSQOL: the worst")])
    assert r">{\raggedright\arraybackslash}p{62mm}" in text and "{array,booktabs" in text
