"""Systems that saw songs of a table are marked, never bold, and can be left out."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pandas as pd
import pytest

from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.build import tables
from benchsep.report.tables.model import Table
from benchsep.report.tables.render import render

LEAKY = "bs_roformer@mini"


@pytest.fixture
def declared(manifest: dict[str, Any]) -> dict[str, Any]:
    entries = {
        LEAKY: ["musdb18:train", "musdb18:test"],
        "htdemucs@mini": ["musdb18:train"],
        "tokensep@mini": ["musdb18:train-less-validation"],
    }
    systems = {label: {"info": {"trained_on": data}} for label, data in entries.items()}
    return {**manifest, "systems": systems}


@pytest.fixture
def made(
    frame: pd.DataFrame, costs: pd.DataFrame, declared: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> list[Table]:  # fmt: skip
    return tables(frame, costs, declared, traits)


def test_the_best_system_is_not_bold_where_it_saw_the_songs(
    made: list[Table], frame: pd.DataFrame, costs: pd.DataFrame, declared: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> None:  # fmt: skip
    visqol = next(t for t in made if t.title.startswith("ViSQOL"))
    assert {r.system for r in visqol.rows for c in r.cells if c.best} == {"htdemucs@mini"}
    clean = declared["systems"] | {LEAKY: {"info": {"trained_on": ["musdb18:train"]}}}
    before = tables(frame, costs, {**declared, "systems": clean}, traits)
    visqol = next(t for t in before if t.title.startswith("ViSQOL"))
    assert LEAKY in {r.system for r in visqol.rows for c in r.cells if c.best}


def test_the_mark_is_in_every_format_and_explained(made: list[Table]) -> None:
    for format in ("md", "html", "terminal"):
        text = render(made, format)
        assert f"{LEAKY} ‡" in text and "htdemucs@mini ‡" not in text, format
        assert "3 of 3 songs" in " ".join(text.split())
    assert r"bs\_roformer@mini $^\ddagger$" in render(made, "tex")
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert {r["system"] for r in rows if r["seen"]} == {LEAKY}
    cells = [c for t in json.loads(render(made, "json"))["tables"] for c in t["cells"]]
    assert {c["system"] for c in cells if c.get("seen") == "‡"} == {LEAKY}


def test_without_contamination_nothing_is_marked(
    frame: pd.DataFrame, costs: pd.DataFrame, declared: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> None:  # fmt: skip
    declared["systems"][LEAKY]["info"]["trained_on"] = ["musdb18:train"]
    found = tables(frame, costs, declared, traits)
    text = "".join(render(found, f) for f in ("md", "csv", "json", "html", "terminal"))
    assert "‡" not in text and "§" not in text and "Training data unknown" not in text
    assert "seen" not in render(found, "csv").splitlines()[0].split(",")


def test_unknown_is_said_as_unknown(
    frame: pd.DataFrame, costs: pd.DataFrame, declared: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> None:  # fmt: skip
    del declared["systems"]["htdemucs@mini"]
    notes = [n for t in tables(frame, costs, declared, traits) for n in t.notes]
    assert any(n.startswith("Training data unknown: htdemucs@mini.") for n in notes)


def test_no_bold_above_the_true_stem_nor_across_families_without_listeners() -> None:
    from types import SimpleNamespace

    from benchsep.metrics.catalog import get_metric
    from benchsep.report.tables.fill import _best
    from benchsep.report.tables.model import Column
    from benchsep.stats import Summary

    families = {"reference": "oracle", "a": "generative", "b": "generative", "d": "discriminative"}

    def best(metric: str, direction: int, **values: float) -> frozenset[str]:
        traits = {metric: get_metric("visqol").values[0]}
        edition = SimpleNamespace(
            seen=SimpleNamespace(songs=frozenset()), traits=traits, families=families
        )
        summaries = {
            name: Summary(
                name, families[name], "vocals", metric, value, frozenset({"s"}), 1, 1,
                rank=None if name == "reference" else 1,
            )
            for name, value in values.items()
        }  # fmt: skip
        column = Column(metric, "vocals", metric, "", 2, direction)
        return _best(edition, column, summaries)  # type: ignore[arg-type]

    assert best("visqol", 1, reference=4.7, a=3.0, b=2.0, d=2.5) == {"a"}
    assert best("visqol", 1, reference=2.9, a=3.0, b=2.0, d=2.5) == set()
    assert best("visqol", -1, reference=0.0, a=3.0, b=2.0, d=2.5) == {"b"}
    assert best("visqol", -1, reference=2.1, a=3.0, b=2.0, d=2.5) == set()
    assert best("theirs", 1, reference=4.7, a=3.0, b=2.0, d=2.5) == {"a"}  # the generative alone
    assert best("theirs", 1, reference=4.7, a=3.0, d=4.5) == set()
