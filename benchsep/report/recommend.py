"""Recommends a system: quality against cost, the Pareto front, and a text.

Conventions
-----------
question   the question to listeners: ``quality`` or ``interference``
metric     the run's metric that agrees best with listeners on the question, by the rule of
           :mod:`benchsep.listeners.judges`
cost       seconds of computation per song: the median real-time factor of the run's separations
           times the length of a song
front      a system is on the front unless another one is at least as good and as cheap, and better
           in one of the two
contenders systems of the run, without reference systems and systems that were trained on its songs
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep import stats
from benchsep.errors import UsageError
from benchsep.listeners.judges import Judge, judges, metric_to_add, scope_of
from benchsep.listeners.scopes import Question, short_share
from benchsep.runner.notes.seen import seen_songs
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

SONG_S = 240.0
"""Default length of a song in seconds."""

COLUMNS = (
    *("system", "family", "metric", "stem", "value", "low", "high", "n", "total"),
    *("seconds_per_song", "within_budget", "front"),
)

_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Recommendation:
    """A row for each contender, best first (:data:`COLUMNS`), and the recommendation in
    sentences.
    """

    table: pd.DataFrame
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Contender:
    """A system's value with its interval, and its cost in seconds per song."""

    system: str
    family: str
    value: float
    low: float | None
    high: float | None
    n: int
    total: int
    cost: float | None
    """``None``: not measured, as for folders of estimates."""


def seconds_of(text: str, song_s: float = SONG_S) -> float:
    """``30s``, ``30s/song``, ``2min`` as seconds for a song; ``0.5x`` as a real-time factor.

    Raises
    ------
    UsageError
        another format, or a value that is not positive.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(ms|s|min|h|x)(/song)?", text.strip())
    if not found or float(found[1]) <= 0:
        raise UsageError(
            f"{text!r} is not a computing time; expected for example 30s/song, 2min/song or 0.5x"
        )
    return float(found[1]) * (song_s if found[2] == "x" else _UNITS[found[2]])


def recommend(
    cells: pd.DataFrame,
    costs: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
    *,
    stem: str = stats.AVERAGE,
    question: Question = "quality",
    budget_s: float | None = None,
    song_s: float = SONG_S,
    seed: int = 0,
) -> Recommendation:
    """The contenders of a run for a stem, the front, and the recommended system.

    Parameters
    ----------
    cells, costs, manifest
        From :func:`benchsep.runner.frame.load_run`, ``load_costs`` and the store.
    budget_s
        Limit in seconds of computation for a song of ``song_s`` seconds.

    Raises
    ------
    UsageError
        there is no contender, the stem does not exist, or no metric answers the question.
    """
    averaged = stats.with_average(cells)
    part = averaged[~averaged["family"].isin(REFERENCE_FAMILIES)]
    if part.empty:
        raise UsageError(
            "the run has only the mixture and oracles, so no system can be recommended; run a "
            "system into this folder"
        )
    if stem not in set(part["stem"]):
        there = ", ".join(sorted(set(map(str, part["stem"].unique()))))
        raise UsageError(f"the run has no stem {stem!r}; there are: {there}")
    seen = seen_songs(cells, manifest).songs
    part = part[(part["stem"] == stem) & ~part["system"].isin(list(seen))]
    judge = judge_of(part, traits, question)
    part = part[part["metric"] == judge.column]
    found = _contenders(part, costs, traits, song_s, seed)
    within = [c for c in found if c.cost is not None and (budget_s is None or c.cost <= budget_s)]
    front = pareto(found, traits[judge.column].direction)
    differences = stats.compare(part, traits, seed=seed)
    sentences = [
        *_choice(found, within, differences, traits[judge.column], budget_s, song_s, stem),
        _grounds(judge, question, traits),
        *_left_out(seen, found),
    ]
    return Recommendation(_table(found, within, front, judge, stem), tuple(sentences))


def judge_of(cells: pd.DataFrame, traits: Mapping[str, ValueTraits], question: Question) -> Judge:
    """The metric in these cells that agrees best with listeners on the question.

    Raises
    ------
    UsageError
        no metric agrees better than chance; the message names a metric to run.
    """
    scope = scope_of(cells["family"])
    usable = cells[cells["status"] == "ok"]
    found = judges(sorted(set(usable["metric"])), traits, question, scope)
    if found:
        return found[0]
    other = metric_to_add(question, scope)
    advice = f"; run with --metrics {other}" if other else ""
    compared = "across families" if scope == "across" else f"within {scope} systems"
    raise UsageError(
        f"no metric of this run is known to order systems by {question} {compared} as listeners "
        f"do{advice}"
    )


def _contenders(
    part: pd.DataFrame,
    costs: pd.DataFrame,
    traits: Mapping[str, ValueTraits],
    song_s: float,
    seed: int,
) -> list[Contender]:
    """Best first."""
    summaries = stats.aggregate(part, traits, intervals=True, seed=seed)
    measured = costs.dropna(subset=["rtf"]).groupby("system")["rtf"].median()
    found = [
        Contender(
            s.system,
            s.family,
            s.value,
            s.low,
            s.high,
            s.n,
            s.total,
            float(measured[s.system]) * song_s if s.system in measured.index else None,
        )
        for s in summaries
        if s.ranked and s.value is not None
    ]
    if not found:
        raise UsageError(
            "the systems of the run have no song in common, so they cannot be compared; run all "
            "systems on the same songs"
        )
    direction = traits[summaries[0].metric].direction
    return sorted(found, key=lambda c: (-direction * c.value, c.cost or math.inf, c.system))


def pareto(found: Sequence[Contender], direction: int) -> frozenset[str]:
    """The Pareto front: systems with a cost for which no other system is at least as good and as
    cheap.
    """
    points = [(direction * c.value, -c.cost, c.system) for c in found if c.cost is not None]
    return frozenset(
        system
        for value, cheap, system in points
        if not any(v >= value and c >= cheap and (v, c) != (value, cheap) for v, c, _ in points)
    )


def _table(
    found: Sequence[Contender],
    within: Sequence[Contender],
    front: frozenset[str],
    judge: Judge,
    stem: str,
) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (
            *(c.system, c.family, judge.column, stem, c.value, c.low, c.high, c.n, c.total),
            *(c.cost, c in within, c.system in front),
        )
        for c in found
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({name: float for name in ("low", "high", "seconds_per_song")})


# -- sentences ----------------------------------------------------------------------------------


def _choice(
    found: Sequence[Contender],
    within: Sequence[Contender],
    differences: pd.DataFrame,
    traits: ValueTraits,
    budget_s: float | None,
    song_s: float,
    stem: str,
) -> list[str]:
    """The recommended system, cheaper ones that are not shown to be worse, and better ones beyond
    the budget.
    """
    limit = "" if budget_s is None else f" within {time_text(budget_s)}"
    song = f"a song of {time_text(song_s)}"
    priced = [c for c in found if c.cost is not None]
    if not within:
        cheapest = min(priced, key=lambda c: c.cost or 0.0, default=None)
        more = f"; the cheapest, {cheapest.system}, takes {_cost(cheapest)}" if cheapest else ""
        return [f"No system with a measured cost separates {song}{limit}{more}."]
    best = within[0]
    sentences = [
        f"Use {best.system}: {_value(best, traits)} on {stem} ({best.n} of {best.total} songs), "
        f"{_cost(best)} for {song}. Best of {len(within)} "
        f"{'system' if len(within) == 1 else 'systems'}{limit}."
    ]
    worse = _shown_worse(differences, best.system)
    for other in within[1:]:
        if other.system not in worse and (other.cost or 0.0) < (best.cost or 0.0):
            sentences.append(
                f"{other.system} is not shown to be worse ({_value(other, traits)}) and takes "
                f"{_cost(other)}."
            )
    beyond = next((c for c in priced if c not in within), None)
    if beyond and found.index(beyond) < found.index(best):
        sentences.append(
            f"Better, but above the budget: {beyond.system}, {_value(beyond, traits)}, "
            f"{_cost(beyond)}."
        )
    return sentences


def _shown_worse(differences: pd.DataFrame, best: str) -> set[str]:
    """The systems that are significantly worse than ``best``."""
    worse = set()
    for row in differences.to_dict("records"):
        pair = {"a": str(row["a"]), "b": str(row["b"])}
        verdict = str(row["verdict"])
        if verdict in pair and pair[verdict] == best:
            worse |= set(pair.values()) - {best}
    return worse


def _grounds(judge: Judge, question: Question, traits: Mapping[str, ValueTraits]) -> str:
    name = traits[judge.column].display or judge.column
    within = judge.scope if judge.scope == "across" else f"within {judge.scope}"
    families = " families" if judge.scope == "across" else " systems"
    return (
        f"{question.title()} is judged by {name}, which orders {short_share(judge.share)} of pairs "
        f"as listeners do {within}{families} ({', '.join(judge.studies)}; .50 is chance)."
    )


def _left_out(seen: Iterable[str], found: Sequence[Contender]) -> list[str]:
    sentences = []
    if seen := sorted(seen):
        sentences.append(
            f"Left out, because they were trained on songs of this run: {', '.join(seen)}."
        )
    if unpriced := [c.system for c in found if c.cost is None]:
        sentences.append(f"Left out, because their cost was not measured: {', '.join(unpriced)}.")
    return sentences


def _value(contender: Contender, traits: ValueTraits) -> str:
    name, digits = traits.display or traits.name, traits.digits
    unit = f" {traits.unit}" if traits.unit not in ("", "MOS") else ""
    interval = ""
    if contender.low is not None and contender.high is not None:
        interval = f" [{contender.low:.{digits}f}, {contender.high:.{digits}f}]"
    return f"{name} {contender.value:.{digits}f}{interval}{unit}"


def _cost(contender: Contender) -> str:
    return time_text(contender.cost or 0.0)


def time_text(seconds: float) -> str:
    """``0.4 s``, ``30 s``, ``4 min``, ``1.5 h``."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
