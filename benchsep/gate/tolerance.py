"""Tolerances: given by the user, declared by metrics, or measured on repeated runs.

Conventions
-----------
given     by the caller, stored in the baseline; overrides all others
declared  by the metric (its trait ``drift``)
measured  from repeated runs (:func:`noise`); can increase the declared tolerance but not reduce it,
          because repeats on one machine do not show the effect of other processors
none      a metric with none of them may only change by rounding
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep._util.words import amount
from benchsep.errors import DriftError
from benchsep.gate.cells import CellKey, Group, cells_of_run
from benchsep.gate.facts import FACTS, input_facts, metric_settings
from benchsep.metrics.metric import Tolerance
from benchsep.metrics.names import canonical

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 2e-6
"""Two values rounded to six decimals may differ by one unit each."""

NORMAL_80 = 0.8416
"""The 80 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Limit:
    """The tolerance for one group, and its source.

    ``source``: given, measured, declared or none.
    """

    cell: float
    mean: float
    source: str

    @classmethod
    def of(cls, tolerance: Tolerance, source: str) -> Limit:
        return cls(tolerance.cell, tolerance.mean, source)


EXACT = Limit(ROUNDING, ROUNDING, "none")
"""The limit without a declared, given or measured tolerance."""


@dataclass(frozen=True)
class Noise:
    """The noise of one group over repeated runs.

    ``sd`` is the standard deviation of a cell's value between runs, pooled over songs with
    ``df`` degrees of freedom; ``worst`` the largest difference between two runs.
    """

    sd: float
    df: int
    runs: int
    worst: float


def parse_tolerance(text: str) -> tuple[str, Tolerance]:
    """Parse ``visqol=0.3/0.1`` or ``tokensep@mini visqol=0.3/0.1`` into a key and its tolerance.

    Raises
    ------
    DriftError
        the text has another format.
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
        a key is neither a metric nor one of ``systems`` and a metric: see
        :func:`benchsep.metrics.names.canonical`.
    """
    found = {}
    for key, tolerance in given.items():
        # Labels and aliases may contain spaces: if no label of the run matches, the whole text is
        # the metric.
        label = max((f"{s} " for s in systems if key.startswith(f"{s} ")), key=len, default="")
        metric = canonical(key.removeprefix(label).strip(), columns)
        found[label + metric] = tolerance
    return found


def noise(frames: Sequence[pd.DataFrame]) -> dict[Group, Noise]:
    """The noise of every group over repeated runs of the same suite.

    Parameters
    ----------
    frames
        Two or more long tables of runs that should agree: other seeds, thread counts, batch
        sizes, machines. They must hold the same cells.

    Raises
    ------
    DriftError
        there are fewer than two runs, a run lacks a cell, or the inputs differ (edition, mixture,
        true stem, checkpoint, version or weights of a metric): such differences are not noise.
    """
    if len(frames) < 2:
        raise DriftError(f"noise needs at least two runs of the same suite, found {len(frames)}")
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
    """Raise DriftError if the inputs of the runs differ."""
    keys = list(cells)
    if not all({*FACTS} <= set(frame.columns) for frame in frames):  # a table made by hand
        return
    first, *others = (
        input_facts(frame, keys) | {"metric_settings": metric_settings(frame, keys)}
        for frame in frames
    )
    for number, facts in enumerate(others, start=2):
        for what, before in first.items():
            if odd := _differs(before, facts[what]):
                raise DriftError(
                    f"run {number} and run 1 differ in their {what.replace('_', ' ')} ({odd}): "
                    "such a difference is not noise; measure noise on runs of one suite on the "
                    "same audio"
                )


def _differs(before: Any, now: Any) -> str:
    """The first difference of facts in words; empty values are ignored."""
    if isinstance(before, dict):
        both = [name for name in before if name in now]
        return next((f"{n}: {odd}" for n in both if (odd := _differs(before[n], now[n]))), "")
    return f"{before}, {now}" if before and now and before != now else ""


def _pooled(songs: list[list[float]]) -> Noise:
    """The pooled spread of values over runs, ``songs[song][run]``.

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
    """The limits of one check; the quantile depends on the number of tests."""

    given: Mapping[str, Tolerance]
    """By column or metric, with or without a system's label as prefix."""
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
        # For a group without any noise, the declared tolerance is used; this is not a test.
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
        """The larger one of the measured limit and ``floor``.

        Run and baseline are two draws of the same noise, so the variance of their difference is
        ``2 sd^2``. ``sd`` is an estimate with ``df`` degrees of freedom, so Student's t
        distribution is used instead of the normal distribution. With ``q`` its two-sided quantile
        at :attr:`level`, noise stays with probability ``1 - level`` within

        - ``q sqrt(2) sd`` for one cell,
        - ``q sqrt(2) sd / sqrt(songs)`` for the mean over songs, which are independent.
        """
        from scipy.stats import t

        width = float(t.ppf(1 - self.level / 2, spread.df)) * math.sqrt(2) * spread.sd
        # sd is pooled over songs, and one song may be noisier than the others, so the limit of a
        # cell is at least the largest measured difference.
        cell, mean = max(width, spread.worst), width / math.sqrt(songs)
        # EXACT is not a declared tolerance, so the measured limit is used, even if it is tiny.
        wider = mean > floor.mean or floor is EXACT
        source = "measured" if wider else floor.source
        return Limit(max(cell, floor.cell), max(mean, floor.mean), source)

    def detectable(self, group: Group, songs: int, limit: Limit) -> float:
        """Shift of the mean that is detected with 80 % power.

        A true shift ``d`` is measured as ``d`` plus noise of standard deviation
        ``sqrt(2 / songs) sd``; it exceeds the limit in 80 % of runs when ``d`` is the limit plus
        the 80 % quantile of that noise. Without measured noise, any shift above the limit is
        detected.
        """
        spread = self.measured.get(group)
        deviation = math.sqrt(2 / songs) * spread.sd if spread else 0.0
        return limit.mean + NORMAL_80 * deviation
