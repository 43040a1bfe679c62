"""An overview is headed by the two questions of listeners."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from benchsep import stats
from benchsep.metrics.catalog import traits_of
from benchsep.report.tables.build import tables
from benchsep.report.tables.model import Table
from benchsep.report.tables.render import render
from tests.helpers.sample_run import SYSTEMS, TRACKS, make_rows

ONE_FAMILY = {k: v for k, v in SYSTEMS.items() if v != "generative"}


def overview(metrics: tuple[str, ...], systems: dict[str, str] | None = None) -> Table:
    traits = traits_of(metrics)
    rows = pd.DataFrame(make_rows(systems, tuple(traits)))
    costs = pd.DataFrame(columns=["system", "rtf", "peak_memory_mb", "session"])
    return tables(rows, costs, {}, traits)[0]


def test_a_run_of_both_families_is_headed_by_the_metrics_that_hold_across() -> None:
    table = overview(("usdr", "sisdr", "bleedless", "mrstft", "visqol"))
    heads = [(c.axis, c.metric, c.head) for c in table.columns[:2]]
    assert heads == [
        ("quality", "visqol", "Quality: ViSQOL (.71)"),
        ("interference", "bleedless.bleedless", "Interference: Bleedless (.89*)"),
    ]
    assert [c.metric for c in table.columns].count("visqol") == 1
    notes = " ".join(table.notes)
    assert "quality .71 [.67, .75] across families (gensvs2025)" in notes
    assert "*: no study of this metric has pairs across families" in notes
    assert "docs/listeners.md#two-axes" in notes


def test_within_a_family_waveforms_may_be_matched() -> None:
    table = overview(("visqol", "bleedless", "sisdr"), ONE_FAMILY)
    heads = [c.head for c in table.columns[:2]]
    assert heads == ["Quality: Fullness (.84)", "Interference: SI-SIR (.95)"]
    assert {c.metric for c in table.columns[2:]} >= {"visqol", "sisdr", "bleedless.bleedless"}
    assert not any("no study" in line for line in table.notes)


@pytest.mark.parametrize(
    ("metrics", "systems", "asked", "add"),
    [
        (("visqol", "usdr"), SYSTEMS, "interference across families", "bleedless"),
        (("visqol",), ONE_FAMILY, "interference within discriminative systems", "sisdr"),
        (("usdr",), SYSTEMS, "quality across families", "visqol"),
    ],
)
def test_a_missing_axis_is_said_with_the_metric_to_add(
    metrics: tuple[str, ...], systems: dict[str, str], asked: str, add: str
) -> None:
    warnings = overview(metrics, systems).warnings
    said = (
        f"No metric of this run is known to agree with listeners on {asked}. Add the metric {add}."
    )
    assert said in warnings


def test_a_run_with_both_parts_of_a_combined_metric_is_headed_by_it() -> None:
    traits = traits_of(("visqol", "emb-clap", "bleedless"))
    rows = pd.DataFrame(make_rows(None, tuple(traits), TRACKS))
    frame, known = stats.with_combined(rows, traits)
    costs = pd.DataFrame(columns=["system", "rtf", "peak_memory_mb", "session"])
    made = tables(frame, costs, {}, known)
    assert made[0].columns[0].head == "Quality: ViSQOL + CLAP (.77)"
    heads = [c.head for c in made[0].columns]
    assert any(head.startswith("ViSQOL") for head in heads[1:]), "its parts stand there too"
    own = next(t for t in made if t.title.startswith("ViSQOL + CLAP (higher"))
    ranked = [row for row in own.rows if row.ranked]
    values = [row.cells[-1].value for row in ranked]
    assert len(values) == 3 and sum(filter(None, values)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("format", ["md", "tex", "html", "terminal"])
def test_both_axes_stand_in_each_format(format: str) -> None:
    text = render([overview(("visqol", "bleedless"))], format)
    assert "Quality: ViSQOL (.71)" in text
    assert "Interference: Bleedless (.89" in text


def test_the_same_values_as_in_the_tables_of_the_metrics(
    costs: pd.DataFrame, manifest: dict[str, Any]
) -> None:
    traits = traits_of(("visqol", "bleedless", "mrstft"))
    made = tables(pd.DataFrame(make_rows(None, tuple(traits))), costs, manifest, traits)
    for system in SYSTEMS:
        for metric in ("visqol", "bleedless.bleedless", "mrstft"):
            own = next(t for t in made[1:] if t.columns[0].metric == metric)
            one, other = (
                made[0].cell(system, metric, "average"),
                own.cell(system, metric, "average"),
            )
            assert one is not None and other is not None and one.value == other.value
