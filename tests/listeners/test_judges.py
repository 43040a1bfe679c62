"""Which metric answers a question: the rule, against badges written by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchsep.listeners import badges
from benchsep.listeners.badges import Badge, Share
from benchsep.listeners.judges import axes, judges, metric_to_add, scope_of
from benchsep.metrics.catalog import traits_of_columns
from benchsep.metrics.metric import ValueTraits

UNKNOWN = Share()


def near(share: float) -> Share:
    return Share(share, share - 0.05, share + 0.05)


def a_badge(
    column: str, question: str, study: str = "one", *, within: float = math.nan,
    across: float = math.nan,
) -> Badge:  # fmt: skip
    shares = [UNKNOWN if math.isnan(x) else near(x) for x in (within, across)]
    return Badge(column, study, question, study, shares[0], UNKNOWN, shares[1], UNKNOWN)


def trait(rank: int, *, matching: bool = False) -> ValueTraits:
    return ValueTraits("", 1, "", 0.0, 1.0, rank=rank, waveform_matching=matching)


TRAITS = {name: trait(i) for i, name in enumerate("abcd")} | {"wave": trait(9, matching=True)}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch):
    def give(*found: Badge) -> None:
        table: dict[str, tuple[Badge, ...]] = {}
        for badge in found:
            table[badge.column] = (*table.get(badge.column, ()), badge)
        monkeypatch.setattr(badges, "all_badges", lambda: table)

    return give


def best(question: str = "quality", scope: str = "across", columns: str = "abcd") -> list[str]:
    return [j.column for j in judges(columns, TRAITS, question, scope)]  # type: ignore[arg-type]


def test_evidence_in_the_scope_counts_before_a_larger_share_elsewhere(given) -> None:
    given(a_badge("a", "quality", within=0.9), a_badge("b", "quality", across=0.6))
    assert best() == ["b", "a"]
    assert best(scope="discriminative") == ["a"]


def test_a_metric_that_matches_waveforms_never_compares_families(given) -> None:
    given(a_badge("wave", "interference", within=0.95), a_badge("a", "interference", within=0.7))
    columns = ["wave", "a"]
    across = judges(columns, TRAITS, "interference", "across")
    assert [j.column for j in across] == ["a"]
    within = judges(columns, TRAITS, "interference", "discriminative")
    assert [j.column for j in within] == ["wave", "a"]


def test_the_mean_over_studies_orders_and_one_study_below_chance_excludes(given) -> None:
    given(
        a_badge("a", "quality", "one", within=0.8), a_badge("a", "quality", "two", within=0.6),
        a_badge("b", "quality", "one", within=0.72),
        a_badge("c", "quality", "one", within=0.99), a_badge("c", "quality", "two", within=0.3),
        a_badge("d", "quality", "one", within=0.54),
    )  # fmt: skip
    assert best(scope="discriminative") == ["b", "a"], "d is not above chance, c is below in one"
    assert str(judges("a", TRAITS, "quality", "discriminative")[0]) == ".70 (.80, .60)"


def test_a_tie_goes_to_the_first_of_the_tables_and_is_said(given) -> None:
    given(a_badge("b", "quality", across=0.7), a_badge("a", "quality", across=0.7))
    (judge,) = axes("ba", TRAITS, "across").values()
    assert (judge.column, judge.ties) == ("a", ("b",))


def test_one_column_never_heads_both_axes(given) -> None:
    given(
        a_badge("a", "quality", within=0.8), a_badge("a", "interference", within=0.7),
        a_badge("b", "interference", within=0.6),
    )  # fmt: skip
    found = axes("ab", TRAITS, "discriminative")
    assert {q: j.column for q, j in found.items()} == {"quality": "a", "interference": "b"}
    assert list(axes("a", TRAITS, "discriminative")) == ["quality"]


def test_what_has_no_better_side_or_was_trained_on_speech_is_no_judge(given) -> None:
    given(a_badge("a", "quality", across=0.9), a_badge("b", "quality", across=0.8))
    traits = {"a": replace(TRAITS["a"], speech_model=True), "b": replace(TRAITS["b"], direction=0)}
    assert judges("ab", traits, "quality", "across") == []


@pytest.mark.parametrize(
    ("families", "scope"),
    [
        ({"generative", "discriminative", "mixture"}, "across"),
        ({"discriminative", "oracle"}, "discriminative"),
        ({"generative"}, "generative"),
        ({"unknown", "mixture"}, "across"),
    ],
)
def test_the_scope_of_a_comparison(families: set[str], scope: str) -> None:
    assert scope_of(families) == scope


def test_the_badges_that_ship_choose_as_their_studies_say() -> None:
    known = badges.all_badges()
    traits = traits_of_columns(known)

    def chosen(scope: str, columns: list[str]) -> dict[str, str]:
        return {str(q): j.column for q, j in axes(columns, traits, scope).items()}

    everything, weights = list(known), ("emb-", "audiobox", "quality2")
    offline = [c for c in everything if not c.startswith(weights)]
    assert chosen("across", offline) == {"quality": "visqol", "interference": "bleedless.bleedless"}
    assert chosen("discriminative", offline) == {
        "quality": "bleedless.fullness", "interference": "sisdr.sir",
    }  # fmt: skip
    for scope in ("across", "discriminative"):
        assert chosen(scope, everything)["quality"] == "quality2"
    # of the default suite, although CLAP and quality2 agree more often
    assert metric_to_add("quality", "across") == "visqol"
    assert metric_to_add("interference", "across") == "bleedless"
    assert metric_to_add("interference", "discriminative") == "sisdr"
