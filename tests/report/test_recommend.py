"""Which system to use: the judge, the front, the budget and the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import UsageError
from benchsep.metrics.catalog import traits_of
from benchsep.report.recommend import (
    Contender,
    Recommendation,
    judge_of,
    pareto,
    recommend,
    seconds_of,
    time_text,
)

TRAITS = traits_of(("visqol", "bleedless", "sisdr", "usdr"))
SYSTEMS = {
    "slow": ("discriminative", 4.0, 1.0),
    "fast": ("discriminative", 3.99, 0.05),
    "bad": ("discriminative", 2.0, 0.04),
    "dominated": ("discriminative", 3.0, 0.5),
    "mixture": ("mixture", 1.5, 0.0),
}
"""Family, ViSQOL, real-time factor."""


def cells(
    systems: Mapping[str, tuple[str, float, float]] = SYSTEMS,
    metrics: tuple[str, ...] = ("visqol",),
    edition: str = "folder",
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "system": system, "family": family, "track": f"song {i}", "stem": stem,
            "metric": metric, "draw": 0, "value": value + rng.normal(0, 0.02), "status": "ok",
            "edition": edition, "split": "test",
        }
        for system, (family, value, _) in systems.items()
        for i in range(12) for stem in ("vocals", "drums") for metric in metrics
    )  # fmt: skip


def costs(systems: Mapping[str, tuple[str, float, float]] = SYSTEMS) -> pd.DataFrame:
    return pd.DataFrame(
        {"system": system, "rtf": rtf if rtf else None}
        for system, (_, _, rtf) in systems.items()
        for _ in range(12)
    )


def recommended(manifest: dict[str, Any] | None = None, **options: Any) -> Recommendation:
    return recommend(cells(), costs(), manifest or {}, TRAITS, **options)


def test_the_front_holds_what_no_other_system_is_better_and_cheaper_than() -> None:
    found = recommended(stem="vocals").table.set_index("system")
    assert list(found.index) == ["slow", "fast", "dominated", "bad"], "best first"
    assert found["front"].to_dict() == {
        "slow": True, "fast": True, "dominated": False, "bad": True,
    }  # fmt: skip
    assert found.loc["slow", "seconds_per_song"] == pytest.approx(240.0)
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()


def test_lower_is_better_where_it_is() -> None:
    points = [
        Contender(name, "discriminative", value, None, None, 5, 5, cost)
        for name, value, cost in (
            ("a", 1.0, 9.0),
            ("b", 2.0, 9.0),
            ("c", 3.0, None),
            ("d", 4.0, 1.0),
        )
    ]
    assert pareto(points, -1) == {"a", "d"}
    assert pareto(points, +1) == {"d"}


def test_without_a_budget_the_best_is_recommended_and_its_cheap_equal_named() -> None:
    sentences = recommended(stem="vocals").sentences
    assert sentences[0].startswith("Use slow: ViSQOL 3.99 [3.98, 4.00] on vocals (12 of 12 songs)")
    assert "4 min for a song of 4 min" in sentences[0]
    assert any(s.startswith("fast is not shown to be worse") and "12 s" in s for s in sentences)
    assert not any(s.startswith(("bad is", "dominated is")) for s in sentences)


def test_a_budget_rules_out_what_takes_longer_and_says_what_is_beyond() -> None:
    found = recommended(stem="vocals", budget_s=30.0)
    assert found.sentences[0].startswith("Use fast:") and "within 30 s" in found.sentences[0]
    assert any("above the budget: slow" in s for s in found.sentences)
    within = found.table.set_index("system")["within_budget"].to_dict()
    assert within == {"slow": False, "fast": True, "dominated": False, "bad": True}
    none = recommended(budget_s=1.0).sentences[0]
    assert none.startswith("No system") and "the cheapest, bad, takes 9.6 s" in none


def test_the_average_over_stems_is_a_stem() -> None:
    assert set(recommended().table["stem"]) == {"average"}
    with pytest.raises(UsageError, match=r"no stem 'voice'.*vocals"):
        recommended(stem="voice")


def test_a_run_of_reference_systems_alone_has_nothing_to_recommend() -> None:
    mixture = {"mixture": SYSTEMS["mixture"]}
    with pytest.raises(UsageError, match="no system can be recommended"):
        recommend(cells(mixture), costs(mixture), {}, TRAITS, stem="vocals")


def test_a_system_that_saw_the_songs_takes_no_part() -> None:
    manifest = {"systems": {"slow": {"info": {"trained_on": ["musdb18"]}}}}
    found = recommend(cells(edition="hq"), costs(), manifest, TRAITS, stem="vocals")
    assert "slow" not in set(found.table["system"])
    assert any(
        s == "Left out, because they were trained on songs of this run: slow."
        for s in found.sentences
    )


def test_a_folder_of_estimates_has_no_cost() -> None:
    priced = costs()
    priced.loc[priced["system"] == "slow", "rtf"] = None
    found = recommend(cells(), priced, {}, TRAITS, stem="vocals")
    assert found.sentences[0].startswith("Use fast:")
    assert "Left out, because their cost was not measured: slow." in found.sentences
    assert not found.table.set_index("system").loc["slow", "front"]


# -- the judge ----------------------------------------------------------------------------------

BOTH = {**SYSTEMS, "drawn": ("generative", 3.5, 2.0)}
EVERY = ("visqol", "sisdr", "sisdr.sir", "bleedless.bleedless", "bleedless.fullness", "usdr")


@pytest.mark.parametrize(
    ("systems", "question", "judge"),
    [
        (SYSTEMS, "interference", "sisdr.sir"),
        (BOTH, "interference", "bleedless.bleedless"),
        (SYSTEMS, "quality", "bleedless.fullness"),
        (BOTH, "quality", "visqol"),
    ],
)
def test_the_judge_is_what_agrees_best_with_listeners(systems, question, judge) -> None:
    part = cells(systems, EVERY)
    part = part[part["family"] != "mixture"]
    assert judge_of(part, TRAITS, question).column == judge


def test_a_run_without_a_judge_is_told_which_metric_to_add() -> None:
    part = cells(BOTH, ("usdr",))
    with pytest.raises(UsageError, match=r"interference across families.*--metrics bleedless"):
        judge_of(part, TRAITS, "interference")


# -- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s/song", 30), ("2min/song", 120), ("1.5h", 5400), ("0.5x", 120), ("250ms", 0.25)],
)
def test_budgets(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "soon", "-1s", "0s", "3 days"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected for example"):
        seconds_of(text)


def test_times_are_printed_as_people_say_them() -> None:
    assert [time_text(s) for s in (0.4, 9.6, 30, 240, 5400, 9000)] == [
        "0.4 s", "9.6 s", "30 s", "4 min", "90 min", "2.5 h",
    ]  # fmt: skip
