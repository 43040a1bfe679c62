"""How far a value may move: tolerances that are given, declared, or measured on repeated runs.

Conventions
-----------
given     by the caller, kept in the baseline; wins over everything
declared  by the metric (its trait ``drift``)
measured  from repeated runs (:func:`noise`); widens the declared tolerance, never narrows it:
          repeats on one machine cannot see what other processors do
none      a metric with none of them may move by rounding only
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep._util.words import amount
from benchsep.errors import DriftError
from benchsep.gate.cells import CellKey, Group, cells_of_run
from benchsep.gate.facts import FACTS, input_facts
from benchsep.metrics.metric import Tolerance
from benchsep.metrics.names import canonical

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 2e-6
"""Two values rounded to six decimals may differ by one unit each."""

NORMAL_80 = 0.8416
"""The 80 % quantile of the standard normal law."""


@dataclass(frozen=True)
class Limit:
    """The tolerance that holds for one group, and where it comes from.

    ``source``: given, measured, declared or none.
    """

    cell: float
    mean: float
    source: str

    @classmethod
    def of(cls, tolerance: Tolerance, source: str) -> Limit:
        return cls(tolerance.cell, tolerance.mean, source)


EXACT = Limit(ROUNDING, ROUNDING, "none")
"""Where no tolerance is declared, given or measured."""


@dataclass(frozen=True)
class Noise:
    """Spread of one group over repeated runs.

    ``sd`` is the standard deviation of a cell's value between runs, pooled over songs with
    ``df`` degrees of freedom; ``worst`` the largest difference seen between two runs.
    """

    sd: float
    df: int
    runs: int
    worst: float


def parse_tolerance(text: str) -> tuple[str, Tolerance]:
    """``visqol=0.3/0.1`` or ``tokensep@mini visqol=0.3/0.1`` as a key and its tolerance.

    Raises
    ------
    DriftError
        anything else.
    """
    name, equals, limits = text.rpartition("=")
    cell, _, mean = limits.partition("/")
    try:
        tolerance = Tolerance(float(cell), float(mean or cell), "given on the command line")
    except ValueError:
        tolerance = None
    if (
        not name.strip()
        or not equals
        or tolerance is None
        or not 0 <= tolerance.mean <= tolerance.cell < 1e9
    ):
        raise DriftError(
            f"tolerance {text!r}: expected METRIC=CELL/MEAN with 0 <= MEAN <= CELL, e.g. "
            "visqol=0.3/0.1, or with a system's label in front"
        )
    return name.strip(), tolerance


def with_known_names(
    given: Mapping[str, Tolerance], systems: Collection[str], columns: Collection[str]
) -> dict[str, Tolerance]:
    """Tolerances by metric, or system and metric, with the metrics' canonical names.

    Raises
    ------
    UsageError
        neither a metric nor one of ``systems`` and a metric: see
        :func:`benchsep.metrics.names.canonical`.
    """
    found = {}
    for key, tolerance in given.items():
        # Labels and aliases may hold spaces: a label of the run, else the whole text is the metric.
        label = max((f"{s} " for s in systems if key.startswith(f"{s} ")), key=len, default="")
        metric = canonical(key.removeprefix(label).strip(), columns)
        found[label + metric] = tolerance
    return found


def noise(frames: Sequence[pd.DataFrame]) -> dict[Group, Noise]:
    """Spread of every group over repeated runs of the same suite.

    Parameters
    ----------
    frames
        Two or more long tables of runs that should agree: other seeds, thread counts, batch
        sizes, machines. They must hold the same cells.

    Raises
    ------
    DriftError
        fewer than two runs, a cell that one of them lacks, or runs of different inputs: another
        edition, mixture, true stem, checkpoint or metric version is no noise.
    """
    if len(frames) < 2:
        raise DriftError(f"noise needs at least two runs of the same suite, got {len(frames)}")
    runs = [cells_of_run(frame) for frame in frames]
    first = runs[0]
    for number, cells in enumerate(runs[1:], start=2):
        if odd := sorted(first.keys() ^ cells.keys()):
            raise DriftError(
                f"run {number} and run 1 differ in {amount(len(odd), 'cell')}, e.g. {odd[0]}; "
                "noise is measured on runs of the same suite"
            )
    _check_inputs(frames, first)
    groups: dict[Group, list[list[float]]] = {}
    for key in sorted(first):
        readings = [cells[key] for cells in runs]
        if all(reading.status.kind == "ok" for reading in readings):
            values = [float(r.value) for r in readings if r.value is not None]
            groups.setdefault(key.group, []).append(values)
    return {group: _pooled(songs) for group, songs in groups.items()}


def _check_inputs(frames: Sequence[pd.DataFrame], cells: Iterable[CellKey]) -> None:
    """Raises DriftError if runs of the same cells differ in what a repeat has in common."""
    keys = list(cells)
    if not all({*FACTS} <= set(frame.columns) for frame in frames):  # a table made by hand
        return
    first, *others = (input_facts(frame, keys) for frame in frames)
    for number, facts in enumerate(others, start=2):
        for what, before in first.items():
            if odd := _differs(before, facts[what]):
                raise DriftError(
                    f"run {number} and run 1 differ in their {what.replace('_', ' ')} ({odd}): "
                    "that is no noise; it is measured on runs of one suite on the same audio"
                )


def _differs(before: Any, now: Any) -> str:
    """Where facts differ, in words; an empty text says nothing and is passed over."""
    if isinstance(before, dict):
        both = [name for name in before if name in now]
        return next((f"{n}: {odd}" for n in both if (odd := _differs(before[n], now[n]))), "")
    return f"{before}, {now}" if before and now and before != now else ""


def _pooled(songs: list[list[float]]) -> Noise:
    """One spread of the values of each song over runs, ``songs[song][run]``.

    The variance between runs is pooled over songs:
    ``sd^2 = sum over songs and runs (x - mean of the song)^2 / (songs (runs - 1))``.
    """
    runs = len(songs[0])
    squares, worst = 0.0, 0.0
    for values in songs:
        centre = math.fsum(values) / runs
        squares += math.fsum((x - centre) ** 2 for x in values)
        worst = max(worst, max(values) - min(values))
    df = len(songs) * (runs - 1)
    return Noise(math.sqrt(squares / df), df, runs, worst)


@dataclass(frozen=True)
class Limits:
    """Limits resolved for one check: the quantile depends on how many tests are made."""

    given: Mapping[str, Tolerance]
    """By column or metric, with a system's label in front of it or not."""
    declared: Mapping[str, Tolerance]
    """By column."""
    measured: Mapping[Group, Noise]
    directions: Mapping[str, int]
    level: float
    """Two-sided level of each single measured test."""

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        declared: Mapping[str, Tolerance],
        old: Iterable[CellKey],
        new: Iterable[CellKey],
        alpha: float,
    ) -> Limits:
        """Limits for comparing the cells ``old`` and ``new`` at the false-alarm rate ``alpha``."""
        measured = {
            Group(r["system"], r["stem"], r["metric"]): Noise(
                r["sd"], r["df"], r["runs"], r["worst"]
            )
            for r in content["noise"]
        }
        # A group that never moved is held to its declared tolerance: that is no test.
        noisy = {group for group, spread in measured.items() if spread.sd > 0}
        tests = [key.group for key in set(old) & set(new) if key.group in noisy]
        # Bonferroni: one test for each cell, and one for the mean of each group.
        count = len(tests) + len(set(tests))
        given = {k: Tolerance(**v) for k, v in content["tolerances"].items()}
        return cls(given, declared, measured, content["directions"], alpha / max(count, 1))

    def of_group(self, group: Group, songs: int) -> Limit:
        """Limit of a cell of the group, and of its mean over ``songs``."""
        names = (group.metric, group.metric.split(".")[0])
        for key in (*(f"{group.system} {name}" for name in names), *names):
            if key in self.given:
                return Limit.of(self.given[key], "given")
        tolerance = self.declared.get(group.metric)
        floor = Limit.of(tolerance, "declared") if tolerance else EXACT
        if group in self.measured:
            return self._from_noise(self.measured[group], songs, floor)
        return floor

    def _from_noise(self, spread: Noise, songs: int, floor: Limit) -> Limit:
        """The larger of what was measured and of ``floor``.

        Run and baseline are two draws of the same noise, so that their difference has the variance
        ``2 sd^2``. ``sd`` is itself an estimate with ``df`` degrees of freedom, hence Student's t
        and not the normal law. With ``q`` its two-sided quantile at :attr:`level`, a difference
        that is noise stays with probability ``1 - level`` within

        - ``q sqrt(2) sd`` for one cell,
        - ``q sqrt(2) sd / sqrt(songs)`` for the mean over songs, which are independent.
        """
        from scipy.stats import t

        width = float(t.ppf(1 - self.level / 2, spread.df)) * math.sqrt(2) * spread.sd
        # sd is pooled over songs, and one song may be noisier than the others: no cell is held to
        # less than the largest difference that was seen.
        cell, mean = max(width, spread.worst), width / math.sqrt(songs)
        # EXACT is no declared tolerance: what passes was measured, be it next to nothing.
        wider = mean > floor.mean or floor is EXACT
        source = "measured" if wider else floor.source
        return Limit(max(cell, floor.cell), max(mean, floor.mean), source)

    def detectable(self, group: Group, songs: int, limit: Limit) -> float:
        """Shift of the mean found with 80 % power.

        A true shift ``d`` is measured as ``d`` plus noise of standard deviation
        ``sqrt(2 / songs) sd``; it exceeds the limit in 80 % of runs when ``d`` is the limit plus
        the 80 % quantile of that noise. Without measured noise any shift above the limit is found.
        """
        spread = self.measured.get(group)
        deviation = math.sqrt(2 / songs) * spread.sd if spread else 0.0
        return limit.mean + NORMAL_80 * deviation
