"""The results of one system on one track, as types and as JSON.

Conventions
-----------
record   what one system scored on one track: facts about both, its draws and its cells
draw     one separation with one seed, and what it cost
cell     one value: a metric of a stem in a draw; ``value`` is finite or ``None``, and ``status``
         gives the reason for ``None``
JSON     :meth:`Record.to_json` and :meth:`Record.from_json` are the only writer and reader. Keys,
         types and the order of cells on disk are part of the format version
         (:mod:`benchsep.runner.formats`). The reader is written by hand, because it checks types
         without converting them: a record that is read and written again has the same bytes. Long
         reasons are stored once: :mod:`benchsep.runner.texts`
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from benchsep.metrics.status import Status
from benchsep.runner.texts import texts_back, texts_once
from benchsep.systems.fit import Change


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The facts on the system in a record."""

    label: str
    family: str
    system_id: str
    """See :func:`benchsep.runner.done.system_id`."""
    checkpoint_sha256: str


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """The facts on the track in a record; the hashes are empty if it could not be decoded."""

    name: str
    split: str
    edition: str
    mixture_source: str
    mixture_sha256: str
    reference_sha256: dict[str, str]
    """Stem to the hash of its true signal."""
    audio_seconds: float | None
    residue_db: float | None = None
    """Level of the mixture minus its stems in dB (:mod:`benchsep.datasets.sums`), if it is above
    the limit; else ``None`` and not stored."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One separation: its seed, its result and its cost."""

    seed: int
    estimate_id: str
    seconds: float | None
    """Wall-clock time of the separation."""
    peak_memory_mb: float | None
    """Peak of the memory in MB that the separation added to its process. ``None``: not measured; a
    worker measures a system again only for a longer mixture."""
    error: str = ""
    """Why there are no estimates; empty: there are estimates."""
    faults: dict[str, str] = field(default_factory=dict)
    """Stem to the reason why its estimate cannot be used; stored only if not empty."""
    lags: dict[str, int] = field(default_factory=dict)
    """Stem to its delay in samples (:mod:`benchsep.runner.notes.lag`); stored only if not empty."""
    session: str = ""
    """Id of the call of ``run`` that timed it; stored only if not empty."""
    changes: dict[str, Change] = field(default_factory=dict)
    """Stem to the conversions that fit its estimate to the mixture; stored only if not empty."""
    mistakes: dict[str, str] = field(default_factory=dict)
    """Stem to a suspected fault (:mod:`benchsep.runner.notes.mistakes`); stored only if not
    empty."""
    aligned: bool | None = None
    """Whether the lags were removed before scoring; stored only if there is a lag, and not by early
    versions."""


class Cell(NamedTuple):
    """One value and its identity. A tuple, because a large run has hundreds of thousands."""

    metric: str
    """Name of the value's column: ``bsseval.sdr``, ``visqol``."""
    metric_version: str
    metric_id: str
    """See :func:`benchsep.runner.done.metric_id`."""
    stem: str
    draw: int
    value: float | None
    status: Status
    frames: tuple[float | None, ...] | None
    """The values per window, if the metric has windows."""
    seconds: float | None
    """Wall-clock time of scoring this stem, all values of the metric together."""
    key: str
    """See :func:`benchsep.runner.done.cell_key`."""
    device: str = ""
    """The device that computed the value (:func:`benchsep.metrics.device.described`); empty and not
    stored for the CPU engine. It is not part of the key, because values of two devices are equal
    within the metric's ``device_tolerance``."""

    @property
    def place(self) -> tuple[str, str, int]:
        """Metric, stem and draw: unique in a record, and the order of its cells."""
        return self.metric, self.stem, self.draw


@dataclass(frozen=True, slots=True)
class Record:
    """All results of one system on one track: one file of a run folder."""

    system: SystemFacts
    track: TrackFacts
    input_stamp: str
    """See :func:`benchsep.runner.stamps.input_stamp`; ``stamp`` on disk."""
    draws: dict[int, Draw]
    cells: tuple[Cell, ...]

    @property
    def failed(self) -> tuple[Cell, ...]:
        """The cells whose status is ``failed``."""
        return tuple(cell for cell in self.cells if cell.status.kind == "failed")

    def to_json(self) -> dict[str, Any]:
        """The content of its file, without format and checksum."""
        system, track = self.system, self.track
        content = {
            "system": system.label,
            "family": system.family,
            "system_id": system.system_id,
            "checkpoint_sha256": system.checkpoint_sha256,
            "track": track.name,
            "split": track.split,
            "edition": track.edition,
            "mixture_source": track.mixture_source,
            "mixture_sha256": track.mixture_sha256,
            "reference_sha256": track.reference_sha256,
            "audio_seconds": track.audio_seconds,
            **({} if track.residue_db is None else {"residue_db": track.residue_db}),
            "stamp": self.input_stamp,
            "draws": {str(number): _draw_to_json(draw) for number, draw in self.draws.items()},
            "cells": [_cell_to_json(cell) for cell in self.cells],
        }
        return texts_once(content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Record:
        """The record that :meth:`to_json` wrote.

        A checksum only proves that the file has not changed since it was written, so all types that
        readers rely on are checked.

        Raises
        ------
        ValueError
            a key is missing or has a wrong type, or two cells have the same metric, stem and draw.
        """
        content = texts_back(content)
        columns = columns_from_json(content)
        columns["status"] = tuple(map(parsed_status, columns["status"]))
        columns["frames"] = tuple(None if f is None else tuple(f) for f in columns["frames"])
        cells = tuple(map(Cell._make, zip(*columns.values(), strict=True)))
        return cls(*facts_from_json(content), cells)


# -- JSON ---------------------------------------------------------------------------------------


def facts_from_json(
    content: Mapping[str, Any],
) -> tuple[SystemFacts, TrackFacts, str, dict[int, Draw]]:
    """System, track, stamp and draws of a record, with long texts already inserted.

    Raises
    ------
    ValueError
        as :meth:`Record.from_json`.
    """
    texts: list[Any] = list(map(content.get, _TEXTS_OF_FACTS))
    if set(map(type, texts)) != {str}:
        texts = [_typed(content, key, str) for key in _TEXTS_OF_FACTS]  # names the one
    label, family, system_id, checkpoint, name, split, edition, source, mixture, stamp = texts
    track = TrackFacts(
        *(name, split, edition, source, mixture),
        _texts(content, "reference_sha256"),
        _number(content, "audio_seconds"),
        _number(content, "residue_db") if "residue_db" in content else None,
    )
    draws = dict(map(_draw_from_json, *_items(_typed(content, "draws", dict))))
    return SystemFacts(label, family, system_id, checkpoint), track, stamp, draws


_TEXTS_OF_FACTS = (
    *("system", "family", "system_id", "checkpoint_sha256"),
    *("track", "split", "edition", "mixture_source", "mixture_sha256", "stamp"),
)


def _typed(content: Mapping[str, Any], key: str, kind: Any) -> Any:
    try:
        value = content[key]
    except KeyError:
        raise ValueError(f"{key} is missing") from None
    if not isinstance(value, kind):
        raise ValueError(f"{key} is {type(value).__name__}")
    return value


def _number(content: Mapping[str, Any], key: str) -> float | None:
    value: float | None = _typed(content, key, (int, float, type(None)))
    if not _is_finite_or_none(value):
        raise ValueError(f"{key} is {value}")
    return value


def _is_finite_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and math.isfinite(value))


def _items(content: dict[str, Any]) -> tuple[list[str], list[Any]]:
    return list(content), list(content.values())


def _texts(content: Mapping[str, Any], key: str) -> dict[str, str]:
    texts: dict[str, str] = _typed(content, key, dict)
    if not all(isinstance(value, str) for value in texts.values()):
        raise ValueError(f"{key} holds something that is no text")
    return texts


def _draw_to_json(draw: Draw) -> dict[str, Any]:
    return {
        "seed": draw.seed,
        "estimate_id": draw.estimate_id,
        "seconds": draw.seconds,
        "peak_memory_mb": draw.peak_memory_mb,
        "error": draw.error,
        **({"faults": draw.faults} if draw.faults else {}),
        **({"lags": draw.lags} if draw.lags else {}),
        **({"session": draw.session} if draw.session else {}),
        **({"changes": _changes_to_json(draw.changes)} if draw.changes else {}),
        **({"mistakes": draw.mistakes} if draw.mistakes else {}),
        **({} if draw.aligned is None else {"aligned": draw.aligned}),
    }


def _draw_from_json(number: str, content: Any) -> tuple[int, Draw]:
    if not re.fullmatch(r"\d{1,9}", number) or not isinstance(content, dict):
        raise ValueError(f"draw {number!r} is {type(content).__name__}")
    usual = {"seed": 0, "estimate_id": "", "error": "", "session": ""}
    content = {**usual, "faults": {}, "lags": {}, "changes": {}, "mistakes": {}, **content}
    return int(number), Draw(
        _typed(content, "seed", int),
        _typed(content, "estimate_id", str),
        _number(content, "seconds"),
        _number(content, "peak_memory_mb"),
        _typed(content, "error", str),
        _texts(content, "faults"),
        _whole_numbers(content, "lags"),
        _typed(content, "session", str),
        _changes_from_json(content),
        _texts(content, "mistakes"),
        _typed(content, "aligned", bool) if "aligned" in content else None,
    )


def _changes_to_json(changes: Mapping[str, Change]) -> dict[str, dict[str, int]]:
    """The conversions of each stem, without those that are 0."""
    return {stem: {k: n for k, n in c._asdict().items() if n} for stem, c in changes.items()}


def _changes_from_json(content: Mapping[str, Any]) -> dict[str, Change]:
    found: dict[str, Any] = _typed(content, "changes", dict)
    changes = {}
    for stem in found:
        numbers = _whole_numbers({stem: _typed(found, stem, dict)}, stem)
        changes[stem] = Change(**{k: n for k, n in numbers.items() if k in Change._fields})
    return changes


def _whole_numbers(content: Mapping[str, Any], key: str) -> dict[str, int]:
    numbers: dict[str, int] = _typed(content, key, dict)
    for name, number in numbers.items():
        if not isinstance(number, int):
            raise ValueError(f"{key}.{name} is {type(number).__name__}")
    return numbers


def _cell_to_json(cell: Cell) -> dict[str, Any]:
    return {
        "metric": cell.metric,
        "metric_version": cell.metric_version,
        "metric_id": cell.metric_id,
        "stem": cell.stem,
        "draw": cell.draw,
        "value": cell.value,
        "status": str(cell.status),
        "frames": None if cell.frames is None else list(cell.frames),
        "seconds": cell.seconds,
        "key": cell.key,
        **({"device": cell.device} if cell.device else {}),
    }


parsed_status = cache(Status.parse)
"""Cached, because there are few statuses and many cells."""


_fields = itemgetter(*Cell._fields[:-1])
"""All fields except the device, which most cells do not have."""


def columns_from_json(content: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The cells of a record, with long texts already inserted, as columns in the order of the
    fields of :class:`Cell`. Types are checked per column, because a large run has many cells.

    Raises
    ------
    ValueError
        as :meth:`Record.from_json`.
    """
    try:
        cells = _typed(content, "cells", list)
        rows = list(map(_fields, cells))
        # A cell with exactly the usual number of fields has no device.
        is_usual = sum(map(len, cells)) == len(rows) * (len(Cell._fields) - 1)
        devices = ("",) * len(rows) if is_usual else tuple([c.get("device", "") for c in cells])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a cell: {type(error).__name__}: {error}") from error
    if not rows:
        return dict.fromkeys(Cell._fields, ())
    columns = dict(zip(Cell._fields, (*zip(*rows, strict=True), devices), strict=True))
    for name, kinds in _KINDS.items():
        _check_kinds(name, columns[name], kinds)
    for name in REPEATED:
        columns[name] = _checked_texts(name, columns[name])
    if not _are_places_unique(columns["metric"], columns["stem"], columns["draw"]):
        raise ValueError("two cells have the same metric, stem and draw")
    windows = [*chain.from_iterable([f for f in columns["frames"] if f is not None])]
    _check_kinds("frames", windows, _NUMBER)
    if not _are_finite([*columns["value"], *columns["seconds"], *windows]):
        raise ValueError("a cell holds a number that is not finite")
    return columns


REPEATED = ("metric", "metric_version", "metric_id", "stem", "status", "device")
"""Columns of texts that are equal in most records of a run."""

_NUMBER: frozenset[type] = frozenset((int, float, type(None)))
_TEXT: frozenset[type] = frozenset((str,))
_KINDS: dict[str, frozenset[type]] = {
    "draw": frozenset[type]((int,)),
    "value": _NUMBER,
    "frames": frozenset[type]((list, type(None))),
    "seconds": _NUMBER,
    "key": _TEXT,
}
"""Allowed types of the other columns."""


def _checked_texts(name: str, column: tuple[Any, ...]) -> tuple[str, ...]:
    """A column of :data:`REPEATED`; equal columns share one object."""
    try:
        return _checked_once(name, column)
    except TypeError:  # a list, which has no hash
        raise ValueError(f"{name} of a cell is no text") from None


@lru_cache(maxsize=4096)  # safe: an equal column was checked before
def _checked_once(name: str, column: tuple[Any, ...]) -> tuple[str, ...]:
    _check_kinds(name, column, _TEXT)
    if name == "status":
        for status in set(column):
            parsed_status(status)
    return column


@lru_cache(maxsize=4096)
def _are_places_unique(*columns: tuple[Any, ...]) -> bool:
    return len(set(zip(*columns, strict=True))) == len(columns[0])


def _are_finite(numbers: list[float | None]) -> bool:
    """Whether all numbers are finite, ``None`` left out."""
    kinds = set(map(type, numbers))
    found = [number for number in numbers if number is not None] if _NONE in kinds else numbers
    # A sum of floats is finite only if all are. If it overflows, or if there are integers (which
    # may cancel), numbers are checked one by one.
    if int not in kinds and math.isfinite(sum(found)):  # type: ignore[arg-type]
        return True
    return all(map(math.isfinite, found))  # type: ignore[arg-type]


_NONE = type(None)


def _check_kinds(name: str, values: Iterable[Any], kinds: frozenset[type]) -> None:
    if wrong := set(map(type, values)) - kinds:
        raise ValueError(f"{name} of a cell is {wrong.pop().__name__}")
