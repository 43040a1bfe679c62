"""A metric declares everything about itself, and nothing else knows it by name."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchsep import registry, stats
from benchsep.gate.baseline import write_baseline
from benchsep.gate.check import check
from benchsep.metrics.catalog import default_metrics, get_metric, traits_of, traits_of_columns
from benchsep.metrics.metric import Companion, Tolerance, ValueTraits
from benchsep.report.tables.columns import (
    companion,
    is_detail,
    is_headline,
    is_speech_model,
    metrics_in_order,
)

ROOT = Path(__file__).resolve().parents[2]
FIELDS = [field.name for field in dataclasses.fields(ValueTraits)]
OURS = [name for name in registry.names("metric") if registry.is_ours("metric", name)]

NAMED = {
    "benchsep/report/tables/published.py": "values of a paper, as published",
    "benchsep/runner/score.py": "default suite of `benchsep score`",
    "benchsep/cli/app.py": "default suite of `benchsep score`",
    "benchsep/ablation/grid.py": "default headline of an ablation",
    "benchsep/museval/io.py": "museval's format holds BSSEval's values",
    "benchsep/imported/join.py": "museval's files are compared with BSSEval's values",
    "benchsep/imported/museval.py": "museval's format holds BSSEval's values",
    "benchsep/imported/table.py": "museval's tables hold BSSEval's values",
    "benchsep/listeners/agreement.py": "columns of a published listening test",
}
"""Files that may name metrics of ours in code, and why."""


# ------------------------------------------------------------------ each of ours declares all


def calls_of_traits() -> list[tuple[str, ast.Call]]:
    calls = []
    for path in sorted((ROOT / "benchsep/metrics").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ValueTraits":
                calls.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return calls


def test_each_value_that_we_ship_names_every_trait() -> None:
    calls = calls_of_traits()
    assert len(calls) >= 9
    for where, call in calls:
        missing = set(FIELDS) - {keyword.arg for keyword in call.keywords}
        assert not missing, f"{where} does not declare {', '.join(sorted(missing))}"


@pytest.mark.parametrize("name", OURS)
def test_a_metric_that_we_ship_has_a_place_and_a_tolerance(name: str) -> None:
    metric = get_metric(name)
    assert type(metric.default) in (int, type(None))
    assert sum(bool(value.overview) for value in metric.values) == 1
    for value in metric.values:
        assert value.rank is not None
        assert value.drift is not None and value.drift.reason
        assert 0 < value.drift.mean <= value.drift.cell
        assert value.tie_margin is None or value.tie_margin > value.drift.mean
        # A tie needs a better side; the one exception is published without ties.
        assert (value.tie_margin is None) == (value.direction == 0 or name == "mrstft")
    assert len({value.rank for value in metric.values}) == 1


@pytest.mark.parametrize("name", OURS)
def test_a_metric_that_we_ship_has_a_card(name: str) -> None:
    titles = [p.read_text("utf-8").split("\n")[0] for p in (ROOT / "docs/metrics").glob("*.md")]
    assert sum(f"`{name}`" in title for title in titles) == 1


def test_ranks_are_unique_over_our_metrics() -> None:
    ranks = [get_metric(name).values[0].rank for name in OURS]
    assert len(set(ranks)) == len(ranks)


def test_embedding_distances_come_in_their_declared_order() -> None:
    traits = traits_of(("emb-voice", "emb-mert", "emb-clap", "nisqa", "mrstft"))
    heads = [c for c in metrics_in_order(traits, traits) if is_headline(c, traits)]
    assert heads == ["mrstft", "emb-clap.mse", "emb-mert.mse", "emb-voice.mse", "nisqa.mos"]


def test_the_default_suite_follows_the_traits() -> None:
    assert default_metrics() == (
        *("visqol", "mrstft", "usdr", "sisdr", "bsseval", "dnsmos", "nisqa", "bleedless"),
    )


# ---------------------------------------------------------------------------- a third party's


class Warmth:
    """A metric of another package: all that benchsep knows of it is here."""

    name, version = "warmth", "3"
    values = (
        ValueTraits(
            "score", +1, "", 0.0, 100.0, tie_margin=5.0, failure=20.0, rank=15, overview=True,
            drift=Tolerance(2.0, 1.0, "moved by 0.4 on another machine"), question="quality",
            companion=Companion("interference", "warmth likes bleed"), display="Warmth",
        ),
        ValueTraits("detail", -1, "", 0.0, None),
        ValueTraits("purity", +1, "", 0.0, None, question="interference", companion_rank=0,
                    own_table=True),
    )  # fmt: skip
    default_stems = ("vocals",)
    domain, licence, source = "music", "MIT", "this test"


@pytest.fixture
def warmth():
    registry.register("metric", "warmth", Warmth())
    yield traits_of(("warmth",))
    registry.unregister("metric", "warmth")


def run_of(values: dict[str, list[float]], metric: str = "warmth.score") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "system": system, "family": "discriminative", "track": f"song {song}",
            "stem": "vocals", "metric": metric, "draw": 0, "value": value, "status": "ok",
            "edition": "clip", "frames": None, "reference_sha256": "r", "mixture_sha256": "m",
            "metric_version": "3", "checkpoint_sha256": "c",
        }
        for system, songs in values.items()
        for song, value in enumerate(songs)
    )  # fmt: skip


def test_its_margin_makes_ties_and_its_limit_counts_failures(warmth) -> None:
    songs = np.linspace(10, 90, 12)
    frame = run_of({"a": list(songs), "b": list(songs + 0.5 * (-1.0) ** np.arange(12))})
    assert stats.compare(frame, warmth)["verdict"].tolist() == ["tied"]
    assert stats.compare(frame, warmth)["margin"].tolist() == [5.0]
    tail = stats.tails(frame, warmth).set_index("system").loc["a"]
    assert tail["threshold"] == 20.0 and tail["failures"] == 2


def test_a_given_limit_wins_over_its_own(warmth) -> None:
    tail = stats.tails(run_of({"a": [10.0, 30.0, 50.0]}), warmth, thresholds={"warmth": 40.0})
    assert tail["failures"].tolist() == [2]


def test_the_gate_takes_its_tolerance_from_the_registry(warmth, tmp_path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(run_of({"a": [50.0, 60.0]}), {}, path, warmth)
    passed = check(run_of({"a": [49.5, 59.5]}), {}, path)
    assert not passed.failed and {group.source for group in passed.groups} == {"declared"}
    assert check(run_of({"a": [48.5, 58.5]}), {}, path).failed
    assert check(run_of({"a": [49.5, 59.5]}), {}, path, traits={}).failed


def test_it_takes_its_place_in_tables_between_ours(warmth) -> None:
    traits = traits_of(("mrstft", "visqol", "warmth", "sisdr"))
    columns = metrics_in_order(traits, traits)
    heads = [c for c in columns if is_headline(c, traits)]
    assert heads == ["visqol", "warmth.score", "mrstft", "sisdr"]
    assert [c for c in columns if is_detail(c, traits)] == [
        *("warmth.detail", "sisdr.sir", "sisdr.sar"),
    ]
    assert companion("warmth.score", traits, traits) == "warmth.purity"
    assert not is_speech_model("warmth.score", traits)


def test_a_column_of_no_registered_metric_has_no_traits() -> None:
    assert list(traits_of_columns(["gone.away", "usdr"])) == ["usdr"]


def test_installing_a_package_changes_no_default(warmth) -> None:
    assert "warmth" not in default_metrics()


# ------------------------------------------------------------------- no tables by name elsewhere


def test_no_module_outside_metrics_has_a_table_of_metric_names() -> None:
    for path in sorted((ROOT / "benchsep").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name.startswith("benchsep/metrics/") or name in NAMED:
            continue
        named = {
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if node.value.split(".")[0] in OURS and " " not in node.value
        }
        assert not named, f"{name} names {', '.join(sorted(named))}: declare it in the traits"
