"""The drift gate: has any score moved since a baseline was written?

Conventions
-----------
cell      one number: (system, track, stem, draw, metric); ``difference`` = run - baseline
group     the cells of one (system, stem, metric): their mean difference, paired over songs,
          sees a small shift that no single cell shows
gain      the difference times the metric's direction: positive is better
tolerance the largest difference that passes. ``given`` by the caller wins. Otherwise the larger
          of ``measured`` from repeated runs (:func:`noise`) and ``declared`` by the metric
          (trait ``drift``): repeats on one machine cannot see what other processors do. A metric
          with none of them may only move by rounding
values    rounded to six decimals in the baseline; a cell without a value holds its status

The gate never passes for want of measuring: zero comparisons, missing or extra cells, another
edition, changed mixtures or references, metric version or checkpoint are failures, each named.

Functions
---------
noise, parse_tolerance, write_baseline, read_baseline, check. Rendering is in
:mod:`benchsep.gate.render`.
The reasons and the rejected options are in ``docs/drift-gate.md``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.atomic import write_atomically
from benchsep.errors import DriftError
from benchsep.metrics.catalog import traits_of_columns
from benchsep.metrics.metric import Tolerance

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

FORMAT = "benchsep-baseline/1"
DECIMALS = 6
HASH = 16
"""Hexadecimal digits kept of a hash: enough to tell inputs apart, short enough to review."""
ROUNDING = 2e-6
"""Two values rounded to six decimals may differ by one unit each."""

Cell = tuple[str, str, str, int, str]
"""system, track, stem, draw, metric."""
Group = tuple[str, str, str]
"""system, stem, metric."""


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


EXACT = Limit(ROUNDING, ROUNDING, "none")
"""Where no tolerance is declared, given or measured."""


@dataclass(frozen=True)
class Row:
    """One cell's comparison. ``verdict``: ok, drifted, improved, missing, extra, status."""

    system: str
    track: str
    stem: str
    draw: int
    metric: str
    baseline: float | None
    value: float | None
    difference: float | None
    tolerance: float | None
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class GroupRow:
    """The mean paired difference of one group, and the smallest shift this gate can see.

    ``detectable`` is the shift found with 80 % power (with a declared tolerance: any shift
    above it, as no noise is known).
    """

    system: str
    stem: str
    metric: str
    songs: int
    difference: float
    tolerance: float
    detectable: float
    source: str
    verdict: str


@dataclass(frozen=True)
class DriftReport:
    """What :func:`check` found. ``failed`` is the exit code; ``reasons`` say why, in order."""

    rows: tuple[Row, ...]
    groups: tuple[GroupRow, ...]
    reasons: tuple[str, ...]
    improvements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    alpha: float = 0.01
    compared: int = field(default=0)

    @property
    def failed(self) -> bool:
        return bool(self.reasons)

    def render(self, form: str = "terminal") -> str:
        """The report in one of :data:`benchsep.gate.render.FORMS`."""
        from benchsep.gate import render as drift_output

        return drift_output.render(self, form)


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
        found = Tolerance(float(cell), float(mean or cell), "given on the command line")
    except ValueError:
        found = None
    if not name.strip() or not equals or found is None or not 0 <= found.mean <= found.cell < 1e9:
        raise DriftError(
            f"tolerance {text!r}: expected METRIC=CELL/MEAN with 0 <= MEAN <= CELL, e.g. "
            "visqol=0.3/0.1, or with a system's label in front"
        )
    return name.strip(), found


# --------------------------------------------------------------------------- noise


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
        fewer than two runs, or a cell that one of them lacks.
    """
    if len(frames) < 2:
        raise DriftError(f"noise needs at least two runs of the same suite, got {len(frames)}")
    tables = [_values(frame) for frame in frames]
    first = tables[0]
    for number, table in enumerate(tables[1:], start=2):
        if odd := sorted(first.keys() ^ table.keys()):
            raise DriftError(
                f"run {number} and run 1 differ in {len(odd)} cells, e.g. {_name(odd[0])}; "
                "noise is measured on runs of the same suite"
            )
    groups: dict[Group, list[list[float]]] = {}
    for cell in sorted(first):
        column = [table[cell][0] for table in tables]
        if all(table[cell][1] == "ok" for table in tables):
            groups.setdefault(_group(cell), []).append([float(x) for x in column if x is not None])
    return {group: _pooled(rows) for group, rows in groups.items()}


def _pooled(rows: list[list[float]]) -> Noise:
    runs = len(rows[0])
    squares, worst = 0.0, 0.0
    for row in rows:
        centre = math.fsum(row) / runs
        squares += math.fsum((x - centre) ** 2 for x in row)
        worst = max(worst, max(row) - min(row))
    df = len(rows) * (runs - 1)
    return Noise(math.sqrt(squares / df), df, runs, worst)


# ------------------------------------------------------------------------ baseline


def write_baseline(
    frame: pd.DataFrame,
    manifest: Mapping[str, Any],
    path: str | Path,
    traits: Mapping[str, ValueTraits],
    *,
    tolerances: Mapping[str, Tolerance] | None = None,
    measured: Mapping[Group, Noise] | None = None,
) -> dict[str, Any]:
    """Write a baseline: strict JSON, one line per estimate, written atomically.

    Parameters
    ----------
    frame
        The long table of the run to hold on to.
    manifest
        The run's manifest; its code revision and seed are recorded.
    traits
        Traits by metric column (direction decides what an improvement is).
    tolerances
        Overrides by metric column (``"bsseval.sdr"``) or metric (``"bsseval"``), for one
        system with its label in front (``"tokensep@mini bsseval"``).
    measured
        Noise by group, from :func:`noise`; widens the declared tolerances.

    Returns
    -------
    dict
        What was written, as :func:`read_baseline` returns it.

    Raises
    ------
    DriftError
        an empty run, a failed cell, mixed editions, or a metric without traits.
    """
    cells = _values(frame)
    kept = {cell: found for cell, found in cells.items() if _head(found[1]) != "unavailable"}
    if broken := [c for c in sorted(kept) if _head(kept[c][1]) == "failed"]:
        raise DriftError(
            f"{len(broken)} failed cells cannot be a baseline, e.g. {_name(broken[0])}: "
            f"{kept[broken[0]][1]}; mend them and run again"
        )
    if not any(status == "ok" for _, status in kept.values()):
        raise DriftError("the run holds no value at all: a baseline of it would never fail")
    if unknown := sorted({cell[4] for cell in kept} - set(traits)):
        raise DriftError(f"no traits for metric {', '.join(unknown)}: its direction is unknown")
    content = _facts(frame, kept)
    content = {
        "format": FORMAT,
        "run": _run_facts(manifest),
        **content,
        "directions": {name: traits[name].direction for name in sorted({c[4] for c in kept})},
        "tolerances": {k: plain(t) for k, t in sorted((tolerances or {}).items())},
        "noise": [
            {"system": g[0], "stem": g[1], "metric": g[2], **vars(measured[g])}
            for g in sorted(measured or {})
            if measured
        ],
        "cells": _rows_of(kept),
    }
    write_content(Path(path), content)
    return read_baseline(path)


def read_baseline(path: str | Path) -> dict[str, Any]:
    """A baseline as written by :func:`write_baseline`.

    Raises
    ------
    DriftError
        a file that is absent, not strict JSON, or of another format.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise DriftError(
            f"no baseline at {path} ({error.strerror}); write one: benchsep baseline RUN -o {path}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DriftError(f"{path} is not strict JSON: {error}; write it again") from error
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != FORMAT:
        raise DriftError(f"{path} has format {found!r}, expected {FORMAT!r}; write it again")
    if problem := _problem(content):
        raise DriftError(f"{path}: {problem}; write it again: benchsep baseline RUN -o {path}")
    return dict(content)


SECTIONS: dict[str, type] = {
    "run": dict, "edition": str, "metric_versions": dict, "checkpoints": dict, "mixtures": dict,
    "references": dict, "directions": dict, "tolerances": dict, "noise": list, "cells": list,
}  # fmt: skip


def _problem(content: Mapping[str, Any]) -> str:
    """What of a baseline's shape is not as :func:`write_baseline` leaves it, or an empty text."""
    for name, kind in SECTIONS.items():
        if not isinstance(content.get(name), kind):
            return f"{name} is {type(content.get(name)).__name__}, expected {kind.__name__}"
    texts = [(n, content[n]) for n in ("metric_versions", "checkpoints", "mixtures")]
    texts += [(f"references.{k}", v) for k, v in content["references"].items()]
    for name, part in texts:
        if not isinstance(part, dict) or not all(isinstance(v, str) for v in part.values()):
            return f"{name} is not an object of texts"
    for name, direction in content["directions"].items():
        if type(direction) is not int or direction not in (-1, 0, 1):
            return f"directions.{name} is {direction!r}, expected -1, 0 or 1"
    for name, entry in content["tolerances"].items():
        if not _numbers(entry, {"cell", "mean"}, {"reason"}):
            return f"tolerances.{name} lacks numbers cell and mean, and a reason"
    for number, entry in enumerate(content["noise"]):
        counts = entry if isinstance(entry, dict) else {}
        if not _numbers(entry, {"sd", "df", "runs", "worst"}, {"system", "stem", "metric"}) or any(
            type(counts[k]) is not int or counts[k] < 1 for k in ("df", "runs")
        ):
            return f"noise[{number}] is not a measured spread"
    for number, row in enumerate(content["cells"]):
        if not _row_is_whole(row):
            return f"cells[{number}] is not a row of values"
        if unknown := sorted(set(row["values"]) - set(content["directions"])):
            return f"directions lacks {unknown[0]}"
    return ""


def _finite(value: Any) -> bool:
    # JSON's whole numbers have no limit; those beyond any float cannot be compared.
    return type(value) in (int, float) and abs(value) < 1e300


def _numbers(entry: Any, numbers: set[str], texts: set[str]) -> bool:
    """Whether an object has exactly these finite numbers, not negative, and these texts."""
    if not isinstance(entry, dict) or set(entry) != numbers | texts:
        return False
    return all(isinstance(entry[key], str) for key in texts) and all(
        _finite(entry[key]) and entry[key] >= 0 for key in numbers
    )


def _row_is_whole(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("values"), dict):
        return False
    if type(row.get("draw")) is not int:
        return False
    if not all(isinstance(row.get(key), str) for key in ("system", "track", "stem")):
        return False
    return all(
        isinstance(entry, str)
        or _finite(entry)
        or (
            isinstance(entry, list)
            and len(entry) == 2
            and (entry[0] is None or _finite(entry[0]))
            and isinstance(entry[1], str)
        )
        for entry in row["values"].values()
    )


def _facts(frame: pd.DataFrame, kept: Mapping[Cell, Any]) -> dict[str, Any]:
    """What identifies the inputs: edition, references, metric versions, checkpoints."""
    editions = sorted(set(frame["edition"].astype(str)))
    if len(editions) != 1:
        raise DriftError(f"a baseline holds one edition of the data, found {', '.join(editions)}")
    metrics = {cell[4] for cell in kept}
    frame = frame[frame["metric"].isin(metrics)]
    references: dict[str, dict[str, str]] = {}
    for (track, stem), sha in _unique(frame, ["track", "stem"], "reference_sha256").items():
        references.setdefault(track, {})[stem] = sha
    return {
        "edition": editions[0],
        "metric_versions": _unique(frame, ["metric"], "metric_version"),
        "checkpoints": _unique(frame, ["system"], "checkpoint_sha256"),
        "mixtures": _unique(frame, ["track"], "mixture_sha256"),
        "references": references,
    }


def _run_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the baseline wants to know; none of it fails a check."""
    suite = manifest.get("suite", {})
    facts = {"code": manifest.get("code"), "seed": suite.get("seed"), "draws": suite.get("draws")}
    return {key: value for key, value in facts.items() if value is not None}


def _unique(frame: pd.DataFrame, by: list[str], column: str) -> dict[Any, str]:
    """The one value of ``column`` for each key; two values in one run are an error.

    A failed cell may lack it: an empty value says nothing and is passed over.
    """
    found: dict[Any, str] = {}
    short = HASH if column.endswith("sha256") else None
    # dict.fromkeys keeps one of each combination: a run repeats them thousands of times.
    for *key, value in dict.fromkeys(zip(*(frame[c] for c in (*by, column)), strict=True)):
        text = "" if value is None or value != value else str(value)[:short]
        name = key[0] if len(by) == 1 else tuple(key)
        if text and found.get(name) and found[name] != text:
            raise DriftError(f"{name} has two values of {column} in one run: {found[name]}, {text}")
        found[name] = text or found.get(name, "")
    return dict(sorted(found.items()))


def _rows_of(kept: Mapping[Cell, tuple[float | None, str]]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for system, track, stem, draw, metric in sorted(kept):
        value, status = kept[system, track, stem, draw, metric]
        entry: Any = status if value is None else [value, status] if status != "ok" else value
        rows.setdefault((system, track, stem, draw), {})[metric] = entry
    return [
        {"system": s, "track": t, "stem": m, "draw": d, "values": values}
        for (s, t, m, d), values in rows.items()
    ]


def write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Write what :func:`read_baseline` returns: a line per row, so that a diff shows what moved."""
    parts = []
    for key, value in content.items():
        if key in ("noise", "cells") and value:
            lines = ",\n    ".join(_dump(row) for row in value)
            parts.append(f"  {_dump(key)}: [\n    {lines}\n  ]")
        elif key in ("mixtures", "references", "tolerances") and value:
            lines = ",\n    ".join(f"{_dump(k)}: {_dump(v)}" for k, v in value.items())
            parts.append(f"  {_dump(key)}: {{\n    {lines}\n  }}")
        else:
            parts.append(f"  {_dump(key)}: {_dump(value)}")
    write_atomically(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def plain(tolerance: Tolerance) -> dict[str, Any]:
    """A tolerance as it stands in a baseline."""
    return {"cell": tolerance.cell, "mean": tolerance.mean, "reason": tolerance.reason}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"literal {name}")


# --------------------------------------------------------------------------- check


def check(
    frame: pd.DataFrame,
    manifest: Mapping[str, Any],
    baseline: Mapping[str, Any] | str | Path,
    *,
    strict: bool = False,
    alpha: float = 0.01,
    metrics: Iterable[str] | None = None,
    traits: Mapping[str, ValueTraits] | None = None,
) -> DriftReport:
    """Compare a run with a baseline, cell by cell and by group mean.

    Parameters
    ----------
    frame, manifest
        The run's long table and manifest.
    baseline
        The content of :func:`read_baseline`, or its path.
    strict
        Fail on improvements too.
    alpha
        False-alarm rate of the whole check where the noise was measured (Bonferroni over all
        measured cells and groups).
    metrics
        Compare only these columns; ``None`` compares all.
    traits
        Traits by column, for the declared tolerances; ``None`` takes those of the registered
        metrics. A metric that is in neither has no declared tolerance.

    Raises
    ------
    DriftError
        a baseline that cannot be read, or a run with two rows for one cell.
    """
    content = read_baseline(baseline) if isinstance(baseline, str | Path) else dict(baseline)
    wanted = set(metrics) if metrics is not None else None
    if wanted is not None:
        frame = frame[frame["metric"].isin(wanted)]
    old = {c: v for c, v in _cells_of(content).items() if wanted is None or c[4] in wanted}
    new = _values(frame)
    reasons, notes = _changed_facts(frame, new, content, manifest, wanted)
    columns = content["directions"]
    declared = traits_of_columns(columns) if traits is None else traits
    tolerances = {c: t.drift for c, t in declared.items() if t.drift is not None}
    limits = _Limits.of(content, tolerances, old, new, alpha)
    rows = [_compare(cell, old.get(cell), new.get(cell), limits) for cell in sorted({*old, *new})]
    rows = [row for row in rows if row.verdict != "unmeasured"]
    if skipped := len({*old, *new}) - len(rows):
        notes.append(f"{skipped} cells are unavailable here and absent from the baseline: left out")
    groups = _groups(rows, limits)
    compared = sum(row.difference is not None for row in rows)
    reasons += _not_measured(rows)
    bad, better = _verdicts(rows, groups)
    improvements = tuple(better)
    reasons += bad + (better if strict else [])
    return DriftReport(
        tuple(rows), tuple(groups), tuple(reasons), improvements, tuple(notes), alpha, compared
    )


def _changed_facts(
    frame: pd.DataFrame,
    new: Mapping[Cell, Any],
    content: Mapping[str, Any],
    manifest: Mapping[str, Any],
    wanted: set[str] | None,
) -> tuple[list[str], list[str]]:
    """Reasons to fail that lie in the inputs, and notes that do not fail."""
    if frame.empty:
        return [], []
    reasons = []
    try:
        facts = _facts(frame, new)
    except DriftError as error:
        return [str(error)], []
    if facts["edition"] != content["edition"]:
        reasons.append(f"edition changed: {content['edition']} -> {facts['edition']}")
    for what, key in (("metric version", "metric_versions"), ("checkpoint", "checkpoints")):
        for name, before in content[key].items():
            now = facts[key].get(name, before)
            if now != before and (key != "metric_versions" or wanted is None or name in wanted):
                reasons.append(f"{what} of {name} changed: {_short(before)} -> {_short(now)}")
    for track, sha in content["mixtures"].items():
        if facts["mixtures"].get(track, sha) != sha:
            reasons.append(f"mixture of {track!r} changed")
    for track, stems in content["references"].items():
        now = facts["references"].get(track, {})
        if odd := [stem for stem, sha in stems.items() if now.get(stem, sha) != sha]:
            reasons.append(f"reference audio of {track!r} changed: {', '.join(odd)}")
    before, after = content["run"], _run_facts(manifest)
    notes = [
        f"{key} {before.get(key)} -> {after.get(key)}"
        for key in ("seed", "draws")
        if before.get(key) != after.get(key)
    ]
    return reasons, notes


@dataclass(frozen=True)
class _Limits:
    """Tolerances resolved for one check: the quantile depends on how many tests are made."""

    given: Mapping[str, Tolerance]
    declared: Mapping[str, Tolerance]
    measured: Mapping[Group, Noise]
    directions: Mapping[str, int]
    level: float
    """Two-sided level of each single measured test."""

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        declared: Mapping[str, Tolerance],
        old: Iterable[Cell],
        new: Iterable[Cell],
        alpha: float,
    ) -> _Limits:
        measured = {
            (r["system"], r["stem"], r["metric"]): Noise(r["sd"], r["df"], r["runs"], r["worst"])
            for r in content["noise"]
        }
        # A group that never moved is held to its declared tolerance: that is no test.
        noisy = {group for group, found in measured.items() if found.sd > 0}
        tests = [_group(c) for c in set(old) & set(new) if _group(c) in noisy]
        count = len(tests) + len(set(tests))
        given = {k: Tolerance(**v) for k, v in content["tolerances"].items()}
        return cls(given, declared, measured, content["directions"], alpha / max(count, 1))

    def of_group(self, group: Group, songs: int) -> Limit:
        """Limit of a cell of the group, and of its mean over ``songs``."""
        metric = group[2]
        names = (metric, metric.split(".")[0])
        for key in (*(f"{group[0]} {name}" for name in names), *names):
            if key in self.given:
                return Limit.of(self.given[key], "given")
        found = self.declared.get(metric)
        declared = Limit.of(found, "declared") if found else EXACT
        if group in self.measured:
            return self._from_noise(self.measured[group], songs, declared)
        return declared

    def _from_noise(self, found: Noise, songs: int, floor: Limit) -> Limit:
        # A difference of two runs has variance 2 sd^2; sd itself is an estimate, hence t.
        from scipy.stats import t

        width = float(t.ppf(1 - self.level / 2, found.df)) * math.sqrt(2) * found.sd
        # Songs are not equally noisy, so the normal law has no last word on a single cell.
        cell, mean = max(width, found.worst), width / math.sqrt(songs)
        # EXACT is no declared tolerance: what passes was measured, be it next to nothing.
        wider = mean > floor.mean or floor is EXACT
        source = "measured" if wider else floor.source
        return Limit(max(cell, floor.cell), max(mean, floor.mean), source)

    def detectable(self, group: Group, songs: int, tolerance: Limit) -> float:
        """Shift of the mean found with 80 % power."""
        found = self.measured.get(group)
        spread = math.sqrt(2 / songs) * found.sd if found else 0.0
        return tolerance.mean + 0.8416 * spread  # 0.8416: the 80 % quantile of the normal


def _compare(
    cell: Cell,
    old: tuple[float | None, str] | None,
    new: tuple[float | None, str] | None,
    limits: _Limits,
) -> Row:
    row = Row(*cell, None, None, None, None, "ok")
    if old is None:
        assert new is not None  # the cell came from one of the two
        verdict = "unmeasured" if _head(new[1]) == "unavailable" else "extra"
        return replace(row, value=new[0], verdict=verdict, why="not in the baseline")
    row = replace(row, baseline=old[0])
    if new is None:
        return replace(row, verdict="missing", why="not in the run")
    row = replace(row, value=new[0])
    if new[1] != old[1]:
        gone = new[0] is None and old[0] is not None
        return replace(row, verdict="missing" if gone else "status", why=f"{old[1]} -> {new[1]}")
    if old[1] != "ok" or old[0] is None or new[0] is None:
        return replace(row, why=old[1])  # ill_conditioned values are noise: only the status counts
    difference = new[0] - old[0]
    tolerance = limits.of_group(_group(cell), 1).cell
    verdict = _verdict(difference, tolerance, limits.directions[cell[4]])
    return replace(row, difference=difference, tolerance=tolerance, verdict=verdict)


def _verdict(difference: float, tolerance: float, direction: int) -> str:
    if abs(difference) <= tolerance:
        return "ok"
    return "improved" if direction and difference * direction > 0 else "drifted"


def _groups(rows: Iterable[Row], limits: _Limits) -> list[GroupRow]:
    """Mean paired difference by group. Draws of a song are averaged first: the song is the unit."""
    songs: dict[Group, dict[str, list[float]]] = {}
    for row in rows:
        if row.difference is not None:
            group = (row.system, row.stem, row.metric)
            songs.setdefault(group, {}).setdefault(row.track, []).append(row.difference)
    found = []
    for group, tracks in sorted(songs.items()):
        mean = math.fsum(math.fsum(d) / len(d) for d in tracks.values()) / len(tracks)
        tolerance = limits.of_group(group, len(tracks))
        found.append(
            GroupRow(
                *group,
                len(tracks),
                mean,
                tolerance.mean,
                limits.detectable(group, len(tracks), tolerance),
                tolerance.source,
                _verdict(mean, tolerance.mean, limits.directions[group[2]]),
            )
        )
    return found


def _not_measured(rows: Sequence[Row]) -> list[str]:
    """A metric of the baseline that was compared nowhere is a failure, not a pass."""
    metrics = {row.metric for row in rows if row.verdict != "extra"}
    measured = {row.metric for row in rows if row.difference is not None}
    if not measured:
        return ["nothing was compared: no cell has a value in both the run and the baseline"]
    return [f"nothing was compared for {metric}" for metric in sorted(metrics - measured)]


def _verdicts(rows: Sequence[Row], groups: Sequence[GroupRow]) -> tuple[list[str], list[str]]:
    reasons = []
    for verdict, what in (
        ("missing", "missing"),
        ("extra", "not in the baseline (write a new one)"),
        ("status", "with another status"),
        ("drifted", "beyond tolerance"),
    ):
        hits = [row for row in rows if row.verdict == verdict]
        if hits:
            by = Counter(f"{row.system} {row.metric}" for row in hits).most_common(3)
            listed = ", ".join(f"{name} ({count})" for name, count in by)
            reasons.append(f"{len(hits)} cells {what}: {listed}{' ...' if len(by) == 3 else ''}")
    better: list[str] = []
    for group in groups:
        if group.verdict in ("drifted", "improved"):
            text = (
                f"{group.system} {group.stem} {group.metric}: mean of {group.songs} songs moved "
                f"{group.difference:+.4g}, tolerance {group.tolerance:.3g} ({group.source})"
            )
            (reasons if group.verdict == "drifted" else better).append(text)
    if count := sum(row.verdict == "improved" for row in rows):
        better.append(f"{count} cells are better than the baseline by more than the tolerance")
    return reasons, better


# --------------------------------------------------------------------------- cells


def _values(frame: pd.DataFrame) -> dict[Cell, tuple[float | None, str]]:
    """``{cell: (value or None, status)}``; two rows for one cell are an error."""
    found: dict[Cell, tuple[float | None, str]] = {}
    columns = ["system", "track", "stem", "draw", "metric", "value", "status"]
    for system, track, stem, draw, metric, value, status in zip(
        *(frame[c].tolist() for c in columns), strict=True
    ):
        cell = (str(system), str(track), str(stem), int(draw), str(metric))
        if cell in found:
            raise DriftError(f"two rows for {_name(cell)}; a run has one per cell")
        number = None if value is None or not math.isfinite(value) else round(value, DECIMALS)
        if number is None and status == "ok":
            raise DriftError(f"{_name(cell)} has status ok and no finite value; run it again")
        found[cell] = (number, str(status))
    return found


def _cells_of(content: Mapping[str, Any]) -> dict[Cell, tuple[float | None, str]]:
    found: dict[Cell, tuple[float | None, str]] = {}
    for row in content["cells"]:
        for metric, entry in row["values"].items():
            if isinstance(entry, str):
                value = (None, entry)
            else:
                value = (entry[0], entry[1]) if isinstance(entry, list) else (entry, "ok")
            found[row["system"], row["track"], row["stem"], row["draw"], metric] = value
    return found


def _group(cell: Cell) -> Group:
    return cell[0], cell[2], cell[4]


def _name(cell: Cell) -> str:
    return f"{cell[0]} / {cell[1]} / {cell[2]} / {cell[4]} (draw {cell[3]})"


def _head(status: str) -> str:
    return status.split(":")[0]


def _short(text: str) -> str:
    return (text[:12] if len(text) > 20 else text) or "none"
