"""The drift gate: detects changes of scores since a baseline was written.

Conventions
-----------
difference  of a cell: run - baseline; of a group: the mean of its cells' differences, paired over
            songs, which can detect smaller shifts than single cells
gain        the difference times the metric's direction: positive is better
tolerance   the largest difference that passes (:mod:`benchsep.gate.tolerance`)

The gate fails, with a reason, if nothing was compared, if cells are missing or additional, or if
the edition, mixtures, references, metric versions or checkpoints have changed. Output formats are
in :mod:`benchsep.gate.render`; ``docs/drift-gate.md`` has the reasons for the rules.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.words import amount, amount_is
from benchsep.errors import DriftError
from benchsep.gate.baseline import read_baseline, run_facts
from benchsep.gate.cells import UNMEASURED, CellKey, Group, Reading, cells_of_baseline, cells_of_run
from benchsep.gate.facts import input_facts
from benchsep.gate.tolerance import Limits
from benchsep.metrics.catalog import traits_of_columns
from benchsep.metrics.device import CPU

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits


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
    """The mean paired difference of one group, and the smallest detectable shift.

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
    """The result of :func:`check`. ``failed`` is the exit code; ``reasons`` lists the reasons."""

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
        The content of :func:`~benchsep.gate.baseline.read_baseline`, or its path.
    strict
        Fail on improvements too.
    alpha
        False-alarm rate of the whole check for measured noise (Bonferroni correction over all
        measured cells and groups).
    metrics
        Compare only these columns; ``None`` compares all.
    traits
        Traits by column, for the declared tolerances; ``None``: traits of the registered metrics.
        Other metrics have no declared tolerance.

    Raises
    ------
    DriftError
        the baseline cannot be read, or the run has two rows for one cell.
    """
    content = read_baseline(baseline) if isinstance(baseline, str | Path) else dict(baseline)
    only = set(metrics) if metrics is not None else None
    if only is not None:
        frame = frame[frame["metric"].isin(only)]
    old = {k: r for k, r in cells_of_baseline(content).items() if only is None or k.metric in only}
    new = cells_of_run(frame)
    reasons, notes = _changed_facts(frame, new, content, manifest)
    declared = traits_of_columns(content["directions"]) if traits is None else traits
    tolerances = {c: t.drift for c, t in declared.items() if t.drift is not None}
    limits = Limits.of(content, tolerances, old, new, alpha)
    rows = [_compare(key, old.get(key), new.get(key), limits) for key in sorted({*old, *new})]
    unmeasured = [row for row in rows if row.verdict == "unmeasured"]
    rows = [row for row in rows if row.verdict != "unmeasured"]
    notes += _not_compared(rows, unmeasured)
    groups = _groups(rows, limits)
    compared = sum(row.difference is not None for row in rows)
    reasons += _not_measured(rows)
    worse, better = _verdicts(rows, groups)
    reasons += worse + (better if strict else [])
    return DriftReport(
        tuple(rows), tuple(groups), tuple(reasons), tuple(better), tuple(notes), alpha, compared
    )


def _changed_facts(
    frame: pd.DataFrame,
    new: Mapping[CellKey, Reading],
    content: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> tuple[list[str], list[str]]:
    """Reasons to fail because of changed inputs, and notes that do not fail."""
    if frame.empty:
        return [], []
    reasons = []
    try:
        facts = input_facts(frame, new)
    except DriftError as error:
        return [str(error)], []
    if facts["edition"] != content["edition"]:
        reasons.append(f"edition changed: {content['edition']} -> {facts['edition']}")
    for what, key in (("metric version", "metric_versions"), ("checkpoint", "checkpoints")):
        for name, before in content[key].items():
            now = facts[key].get(name, before)
            if now != before:
                reasons.append(f"{what} of {name} changed: {_short(before)} -> {_short(now)}")
    for track, sha in content["mixtures"].items():
        if facts["mixtures"].get(track, sha) != sha:
            reasons.append(f"mixture of {track!r} changed")
    for track, stems in content["references"].items():
        now = facts["references"].get(track, {})
        if odd := [stem for stem, sha in stems.items() if now.get(stem, sha) != sha]:
            reasons.append(f"reference audio of {track!r} changed: {', '.join(odd)}")
    before, after = content["run"], run_facts(manifest)
    notes = [
        f"{key} {before.get(key, usual)} -> {after.get(key, usual)}"
        for key, usual in (("seed", None), ("draws", None), ("metric_device", CPU))
        if before.get(key) != after.get(key)
    ]
    return reasons, notes


def _short(text: str) -> str:
    return (text[:12] if len(text) > 20 else text) or "none"


# --------------------------------------------------------------------------- one cell, one group


def _compare(key: CellKey, old: Reading | None, new: Reading | None, limits: Limits) -> Row:
    row = Row(*key, None, None, None, None, "ok")
    if old is None:
        assert new is not None  # the cell came from one of the two
        if new.status.kind in UNMEASURED:
            return replace(row, verdict="unmeasured", why=new.status.kind)
        return replace(row, value=new.value, verdict="extra", why="not in the baseline")
    row = replace(row, baseline=old.value)
    if new is None:
        return replace(row, verdict="missing", why="not in the run")
    row = replace(row, value=new.value)
    if new.status != old.status:
        gone = new.value is None and old.value is not None
        why = f"{old.status} -> {new.status}"
        return replace(row, verdict="missing" if gone else "status", why=why)
    if old.status.kind != "ok" or old.value is None or new.value is None:
        # ill_conditioned values are noise: only the status counts
        return replace(row, why=str(old.status))
    difference = new.value - old.value
    tolerance = limits.of_group(key.group, 1).cell
    verdict = _verdict(difference, tolerance, limits.directions[key.metric])
    return replace(row, difference=difference, tolerance=tolerance, verdict=verdict)


def _verdict(difference: float, tolerance: float, direction: int) -> str:
    if abs(difference) <= tolerance:
        return "ok"
    return "improved" if direction and difference * direction > 0 else "drifted"


def _groups(rows: Iterable[Row], limits: Limits) -> list[GroupRow]:
    """Mean paired difference by group. Draws of a song are averaged first: the song is the unit."""
    songs: dict[Group, dict[str, list[float]]] = {}
    for row in rows:
        if row.difference is not None:
            group = Group(row.system, row.stem, row.metric)
            songs.setdefault(group, {}).setdefault(row.track, []).append(row.difference)
    compared = []
    for group, tracks in sorted(songs.items()):
        mean = math.fsum(math.fsum(d) / len(d) for d in tracks.values()) / len(tracks)
        limit = limits.of_group(group, len(tracks))
        compared.append(
            GroupRow(
                *group,
                len(tracks),
                mean,
                limit.mean,
                limits.detectable(group, len(tracks), limit),
                limit.source,
                _verdict(mean, limit.mean, limits.directions[group.metric]),
            )
        )
    return compared


# --------------------------------------------------------------------------- the whole run


def _not_measured(rows: Sequence[Row]) -> list[str]:
    """Reasons to fail for metrics of the baseline without any comparison."""
    metrics = {row.metric for row in rows if row.verdict != "extra"}
    measured = {row.metric for row in rows if row.difference is not None}
    if not measured:
        return ["nothing was compared: no cell has a value in both the run and the baseline"]
    absent = sorted(metrics - measured)
    return [f"nothing was compared for {', '.join(absent)}"] if absent else []


def _not_compared(rows: Sequence[Row], unmeasured: Sequence[Row]) -> list[str]:
    """Notes on cells whose values were not compared, but which are not failures."""
    notes = []
    for kind in UNMEASURED:
        if cells := [row for row in unmeasured if row.why == kind]:
            notes.append(
                f"{amount_is(len(cells), 'cell')} {kind} here and absent from the baseline: "
                f"left out: {_counted(row.metric for row in cells)}"
            )
    for status, why in (
        ("ill_conditioned", "ill-conditioned in both: such values are noise"),
        ("", "without a value in both"),
    ):
        cells = [r for r in rows if r.verdict == "ok" and r.difference is None]
        cells = [r for r in cells if (r.why == "ill_conditioned") == bool(status)]
        if cells:
            listed = _counted(r.metric if status else f"{r.why} of {r.metric}" for r in cells)
            number = amount(len(cells), "cell")
            notes.append(f"{number} compared by status alone, {why}: {listed}")
    return notes


def _counted(names: Iterable[str], most: int = 5) -> str:
    """``a (3), b (1)``: the ``most`` frequent items with their counts."""
    counts = Counter(names).most_common()
    more = f" and {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{name} ({count})" for name, count in counts[:most]) + more


def _verdicts(rows: Sequence[Row], groups: Sequence[GroupRow]) -> tuple[list[str], list[str]]:
    """Sentences on values that became worse, and on values that became better."""
    reasons = []
    for verdict, what in (
        ("missing", "missing"),
        ("extra", "not in the baseline (write a new one)"),
        ("status", "with another status"),
        ("drifted", "beyond tolerance"),
    ):
        hits = [row for row in rows if row.verdict == verdict]
        if hits:
            listed = _counted((f"{row.system} {row.metric}" for row in hits), 3)
            reasons.append(f"{amount(len(hits), 'cell')} {what}: {listed}")
            gone = Counter(row.why for row in hits if row.why.startswith("ok -> "))
            reasons += [f"{count} of these: {why}" for why, count in gone.most_common(3)]
    better: list[str] = []
    for group in groups:
        if group.verdict in ("drifted", "improved"):
            text = (
                f"{group.system} {group.stem} {group.metric}: "
                f"mean of {amount(group.songs, 'song')} moved {group.difference:+.4g}, "
                f"tolerance {group.tolerance:.3g} ({group.source})"
            )
            (reasons if group.verdict == "drifted" else better).append(text)
    if count := sum(row.verdict == "improved" for row in rows):
        better.append(
            f"{amount_is(count, 'cell')} better than the baseline by more than the tolerance"
        )
    return reasons, better
