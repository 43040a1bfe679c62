"""Joins the records of one system on one track from several runs.

Conventions
-----------
cells      cells of the same metric, stem and draw agree if their statuses are of one kind and their
           values differ at most by rounding (:data:`ROUNDING`), or by the metric's
           ``device_tolerance`` for different devices. The choice among them does not depend on the
           order of the runs; CPU cells come first
absent     an ``unavailable`` cell means missing software on a machine, so any other cell replaces
           it. An ``undefined`` cell is a result, so a value in another run is a conflict
times      times always differ and are not a conflict. Those of the session with the first name are
           kept, so that all draws of a system are timed in one session, if one run has them all
estimates  a draw with two ids counts as one draw only if it has common cells with values
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.device import device_tolerance
from benchsep.metrics.names import metric_of
from benchsep.runner.merge.conflict import Conflict, disagreement
from benchsep.runner.record import Cell, Draw, Record, TrackFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDING = 1e-6
"""Largest difference between equal values, relative for values above 1, because processors round
differently."""

Place = tuple[str, str, int]
Said = TypeVar("Said")
Named = tuple[str, Record]
"""A record, and the name of its run."""


def join(records: Sequence[Named]) -> tuple[Record, list[Conflict]]:
    """One record from records of the same label and track, and the conflicts between them.

    The data of the track and the system are compared elsewhere
    (:mod:`benchsep.runner.merge.checks`).
    """
    first = records[0][1]
    if len(records) == 1:
        return replace(first, cells=tuple(sorted(first.cells, key=lambda c: c.place))), []
    cells, conflicts = _join_cells(records)
    draws, more = _join_draws(records)
    joined = Record(
        min((r.system for _, r in records), key=repr),
        _join_track([r.track for _, r in records]),
        min(r.input_stamp for _, r in records),
        draws,
        tuple(cells),
    )
    return joined, [*conflicts, *more]


# -- cells --------------------------------------------------------------------------------------


def _join_cells(records: Sequence[Named]) -> tuple[list[Cell], list[Conflict]]:
    found: dict[Place, list[tuple[str, Cell]]] = {}
    for run, record in records:
        for cell in record.cells:
            found.setdefault(cell.place, []).append((run, cell))
    cells, conflicts = [], []
    for place, same in sorted(found.items()):
        known = _known(same)
        cells.append(min((cell for _, cell in known), key=lambda c: (c.key, c.device, repr(c))))
        if not all_agree([cell for _, cell in known]):
            subject = cell_name(records[0][1], place)
            conflicts += disagreement("value", subject, ((run, _said(c)) for run, c in known))
    return cells, conflicts


def _known(cells: Sequence[tuple[str, Cell]]) -> Sequence[tuple[str, Cell]]:
    return [pair for pair in cells if pair[1].status.kind != "unavailable"] or cells


def all_agree(cells: Sequence[Cell]) -> bool:
    """Whether cells of the same metric, stem and draw agree."""
    allowed = _between_devices(cells)
    return (
        len({cell.status.kind for cell in cells}) == 1
        and _close([cell.value for cell in cells], allowed)
        and _all_close([cell.frames for cell in cells], allowed)
    )


def _between_devices(cells: Sequence[Cell]) -> float:
    """Allowed difference for values of different devices; zero for one device."""
    if len({cell.device for cell in cells}) < 2:
        return 0.0
    try:
        return device_tolerance(get_metric(metric_of(cells[0].metric))) or 0.0
    except UsageError:  # a metric that is not installed here
        return 0.0


def _close(values: Sequence[float | None], allowed: float) -> bool:
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values):
        return not numbers
    rounding = ROUNDING * max(1.0, *map(abs, numbers))
    return max(numbers) - min(numbers) <= max(rounding, allowed)


def _all_close(frames: Sequence[tuple[float | None, ...] | None], allowed: float) -> bool:
    rows = [row for row in frames if row is not None]
    if not rows or len(rows) < len(frames) or len(set(map(len, rows))) > 1:
        return not rows
    return all(_close(values, allowed) for values in zip(*rows, strict=True))


def _said(cell: Cell) -> str:
    """A cell as text, with all digits, so that different values look different."""
    value = "" if cell.value is None else f"{cell.value!r}"
    status = "" if str(cell.status) == "ok" else str(cell.status)
    return " ".join(filter(None, (value, status))) + _frames_said(cell)


def _frames_said(cell: Cell) -> str:
    return "" if cell.frames is None else f" ({len(cell.frames)} frames, sum {_sum(cell.frames)!r})"


def _sum(frames: Iterable[float | None]) -> float:
    return sum(value for value in frames if value is not None)


def cell_name(record: Record, place: Place) -> str:
    """``label / track / stem / metric``, and the draw if it is not the first."""
    metric, stem, draw = place
    words = [record.system.label, record.track.name, stem, metric]
    return " / ".join(words + ([f"draw {draw}"] if draw else []))


# -- draws and the track ------------------------------------------------------------------------


def _join_draws(records: Sequence[Named]) -> tuple[dict[int, Draw], list[Conflict]]:
    found: dict[int, list[tuple[str, Record]]] = {}
    for run, record in records:
        for number in record.draws:
            found.setdefault(number, []).append((run, record))
    draws, conflicts = {}, []
    for number, same in sorted(found.items()):
        made = [record.draws[number] for _, record in same]
        draws[number] = replace(
            min(made, key=lambda d: (d.session, repr(d))),
            # Records of early versions, and of other stems, do not have them all.
            changes=_all_said(d.changes for d in made),
            mistakes=_all_said(d.mistakes for d in made),
        )
        conflicts += _draw_conflicts(number, same)
    return draws, conflicts


def _all_said(notes: Iterable[Mapping[str, Said]]) -> dict[str, Said]:
    """What the runs say of each stem; of two notes the first, whatever the order of the runs."""
    found: dict[str, Said] = {}
    for note in notes:
        for stem, said in note.items():
            found[stem] = min((said, found.get(stem, said)), key=repr)
    return dict(sorted(found.items()))


def _draw_conflicts(number: int, same: Sequence[Named]) -> list[Conflict]:
    label, track = same[0][1].system.label, same[0][1].track.name
    subject = f"{label} / {track} / draw {number}"
    outcomes = [(run, _outcome(record.draws[number])) for run, record in same]
    conflicts = disagreement("estimates", subject, outcomes)
    linked = same_estimates(same, number)
    if not conflicts and not linked:
        ids = ((run, f"estimate {record.draws[number].estimate_id[:12]}") for run, record in same)
        conflicts = disagreement("estimates", subject, ids)
    return conflicts


def _outcome(draw: Draw) -> str:
    """The outcome of a draw, without the text of an error, which may contain a path."""
    if draw.error:
        return "no estimates"
    late = [f"{stem} late by {lag}" for stem, lag in sorted(draw.lags.items()) if lag]
    return ", ".join([*(f"{stem} unusable" for stem in sorted(draw.faults)), *late]) or "usable"


def same_estimates(records: Sequence[Named], number: int) -> bool:
    """Whether a draw of several runs may be the same: one id, or common cells with values.

    Whether these values agree is checked per cell.
    """
    groups: list[tuple[set[str], set[Place]]] = []
    for _, record in records:
        ids = {record.draws[number].estimate_id}
        places = valued(record, number)
        near = [group for group in groups if group[0] & ids or group[1] & places]
        groups = [group for group in groups if group not in near]
        ids, places = ids.union(*(g[0] for g in near)), places.union(*(g[1] for g in near))
        groups.append((ids, places))
    return len(groups) == 1


def valued(record: Record, number: int | None = None) -> set[Place]:
    """(Metric, stem, draw) of the cells with a value, for one draw or all."""
    return {
        cell.place
        for cell in record.cells
        if cell.value is not None and number in (None, cell.draw)
    }


def _join_track(tracks: Sequence[TrackFacts]) -> TrackFacts:
    """The joined facts on the track; a run that could not decode it has no hashes."""
    best = min(tracks, key=lambda t: (not t.mixture_sha256, t.audio_seconds is None, repr(t)))
    residues = sorted(t.residue_db for t in tracks if t.residue_db is not None)
    return replace(
        best,
        reference_sha256=_union(t.reference_sha256 for t in tracks),
        residue_db=residues[0] if residues else None,
    )


def _union(mappings: Iterable[Mapping[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for mapping in mappings:
        for key, text in mapping.items():
            found[key] = min(filter(None, (text, found.get(key))), default="")
    return dict(sorted(found.items()))
