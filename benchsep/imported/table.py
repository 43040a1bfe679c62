"""Reads a CSV table of results: one value per row (long) or one metric per column (wide).

Conventions
-----------
columns   by any of their names in :data:`ROLES`, ignoring case; other columns are ignored
long      ``system, track, stem, metric, value``. ``benchsep.load_run(...).to_csv(...)`` is one
wide      ``system, track, stem`` and a column per metric
windows   with a column ``time`` (museval's own tables), rows are windows, and the value is their
          median (:mod:`benchsep.imported.windows`)
metrics   names as for ``--metrics``. An unknown or ambiguous name gets its own column
          ``imported:NAME``. With museval's column ``target`` for the stem, ``SDR``, ``ISR``,
          ``SIR`` and ``SAR`` are BSSEval's
no value  an empty field, ``nan`` or ``inf``
ours      our tables also have the version of a metric and the hashes of the audio
text      UTF-8, separated by commas, semicolons or tabs; decimal points
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep._util.csv_rows import no_more_fields
from benchsep._util.escape import from_csv_cell
from benchsep._util.reason import without_path
from benchsep.errors import UsageError
from benchsep.imported.museval import VALUES
from benchsep.imported.windows import in_windows
from benchsep.metrics.names import column_named
from benchsep.metrics.status import Status
from benchsep.runner.traits import IMPORTED
from benchsep.stems.sets import stem_called
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd

ROLES: dict[str, tuple[str, ...]] = {
    "system": ("system", "method", "model", "model_name"),
    "track": ("track", "song", "track_name"),
    "stem": ("stem", "target", "source"),
    "metric": ("metric",),
    "value": ("value", "score"),
    "family": ("family",),
    "edition": ("edition",),
    "draw": ("draw",),
    "status": ("status",),
    "time": ("time",),
    **{name: (name,) for name in ("metric_version", "mixture_sha256", "reference_sha256")},
}
"""Accepted names of each column; the first one found is used."""
NEEDED = ("track", "stem")
FAMILIES = ("generative", "discriminative", "oracle", "unknown")
"""Families that can be declared; a table of a run also has the mixture."""
AS_IMPORTED = "as imported"
"""Version of a metric with an unknown version."""
FACTS = ("edition", "metric_version", "mixture_sha256", "reference_sha256")
MOST_SECONDS = 100_000
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf|infinity)", re.I | re.A)

Key = tuple[str, str, str, str, int]
"""System, track, stem, metric, draw."""


@dataclass(frozen=True)
class Line:
    """A row of the long form and its source."""

    number: int
    key: Key
    value: float
    """NaN: no value."""
    status: str
    family: str
    time: str
    """Start of the window in seconds, if a value has several rows."""
    facts: Mapping[str, str]
    """``edition``, ``metric_version``, ``mixture_sha256``, ``reference_sha256``; empty: unknown"""


@dataclass(frozen=True)
class Imported:
    """The content of a file: a table with the columns of a run, and notes."""

    frame: pd.DataFrame
    remarks: tuple[str, ...] = ()


def read_table(path: str | Path, *, metrics: Sequence[str] = ()) -> Imported:
    """The values of a CSV.

    Parameters
    ----------
    metrics
        Available metric columns; a name is first searched among them.

    Raises
    ------
    UsageError
        the file cannot be read, columns are missing, or a value is not a number or is given twice;
        the message names file and line.
    """
    file = Path(path)
    names, rows = _rows(file)
    roles = _roles(names, file)
    wide = "metric" not in roles and "value" not in roles
    if wide:
        columns, skipped = _metric_columns(names, rows, roles, file)
        lines = list(_wide(rows, roles, columns, file))
    else:
        if lost := [role for role in ("metric", "value") if role not in roles]:
            raise UsageError(f"{file} {_lacks(lost[0], names)}")
        lines, skipped = list(_long(rows, roles, file)), []
    if not lines:
        raise UsageError(f"{file}: found no value")
    called = {name: _column(name, metrics, "target" in roles.values()) for name in
              dict.fromkeys(line.key[3] for line in lines)}  # fmt: skip
    remarks = [reason for _, reason in called.values() if reason]
    remarks += [f"columns without numbers are ignored: {', '.join(skipped)}"] if skipped else []
    columns_of = {name: column for name, (column, _) in called.items()}
    return Imported(_frame(lines, columns_of, "time" in roles, file), tuple(remarks))


# -- rows ---------------------------------------------------------------------------------------


def _rows(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns, and the rows with their line numbers."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            first = handle.readline()
            handle.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.DictReader(handle, delimiter=delimiter, restval="")
            names = list(reader.fieldnames or ())
            rows = [
                (reader.line_num, {k: from_csv_cell(v).strip() for k, v in row.items() if k})
                for row in map(no_more_fields, reader)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{file}: cannot be read as CSV in UTF-8 ({without_path(error)})"
        ) from error
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise UsageError(
            f"{file} has two columns with the name {min(twice)!r}; remove or rename one"
        )
    return names, rows


def _roles(names: Sequence[str], file: Path) -> dict[str, str]:
    """Role to the name of its column."""
    folded = {name.strip().casefold(): name for name in reversed(names) if name}
    roles = {}
    for role, known in ROLES.items():
        if found := next((folded[name] for name in known if name in folded), None):
            roles[role] = found
    if lost := [role for role in NEEDED if role not in roles]:
        raise UsageError(f"{file} {_lacks(lost[0], names)}")
    return roles


def _lacks(role: str, names: Sequence[str]) -> str:
    why = " (averages over songs cannot be paired with a run's songs)" if role == "track" else ""
    return (
        f"has no column {' or '.join(ROLES[role])}{why}; expected system, track, stem, metric, "
        f"value, or system, track, stem and a column for each metric; found "
        f"{', '.join(filter(None, names)) or 'nothing'}"
    )


def _long(
    rows: Sequence[tuple[int, dict[str, str]]], roles: Mapping[str, str], file: Path
) -> Iterator[Line]:
    for number, row in rows:
        yield _line(number, row, roles, row[roles["metric"]], row[roles["value"]], file)


def _wide(
    rows: Sequence[tuple[int, dict[str, str]]],
    roles: Mapping[str, str],
    columns: Sequence[str],
    file: Path,
) -> Iterator[Line]:
    for number, row in rows:
        for name in columns:
            if row[name]:
                yield _line(number, row, roles, name.strip(), row[name], file)


def _metric_columns(
    names: Sequence[str],
    rows: Sequence[tuple[int, dict[str, str]]],
    roles: Mapping[str, str],
    file: Path,
) -> tuple[list[str], list[str]]:
    """The columns with numbers, and the others."""
    others = [name for name in names if name and name not in roles.values()]
    numbers = [n for n in others if any(map(_is_number, (row[n] for _, row in rows)))]
    if not numbers:
        raise UsageError(f"{file} {_lacks('metric', names)}")
    texts = [n for n in others if n not in numbers and any(row[n] for _, row in rows)]
    return numbers, texts


def _is_number(text: str) -> bool:
    """Stricter than ``float``: ``1_000`` is not a number in a table."""
    return NUMBER.fullmatch(text) is not None


def _line(
    number: int,
    row: Mapping[str, str],
    roles: Mapping[str, str],
    metric: str,
    text: str,
    file: Path,
) -> Line:
    def of(role: str, default: str = "") -> str:
        return (row[roles[role]] if role in roles else "") or default

    where = f"{file}, line {number}"
    for role in ("track", "stem"):
        if not of(role):
            raise UsageError(f"{where}: the field {role} is empty")
    if not metric:
        raise UsageError(f"{where}: the field metric is empty")
    draw = of("draw", "0")
    if not (draw.isascii() and draw.isdigit() and len(draw) < 10):
        raise UsageError(f"{where}: found the draw {draw!r}, expected a whole number from 0")
    value, status = _value(text, of("status"), where)
    stem = stem_called(of("stem")) or of("stem")
    key = of("system", file.stem), of("track"), stem, metric, int(draw)
    family = of("family", "unknown").casefold()
    if family not in {*FAMILIES, *REFERENCE_FAMILIES}:
        raise UsageError(
            f"{where}: unknown family {family!r}, expected one of {', '.join(FAMILIES)}"
        )
    wide = "metric" not in roles  # a version belongs to one metric
    facts = {name: "" if wide and name == "metric_version" else of(name) for name in FACTS}
    return Line(number, key, value, status, family, of("time"), facts)


def _value(text: str, status: str, where: str) -> tuple[float, str]:
    """The number (NaN: none) and its status; the status of the row, if it has one."""
    if text and not _is_number(text):
        raise UsageError(
            f"{where}: {text!r} is not a number; expected a number with a decimal point, or an "
            "empty field"
        )
    value = float(text) if text else math.nan
    if status:
        try:
            kind = Status.parse(status).kind
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
    else:
        status = kind = "ok"
    if math.isfinite(value):
        return value, status
    if kind == "ok":
        status = "not_finite" if math.isinf(value) else "unavailable: no value in the file"
    return math.nan, status


# -- metrics ------------------------------------------------------------------------------------


def _column(name: str, there: Sequence[str], is_museval: bool) -> tuple[str, str]:
    """The column that a name means, and the reason if it gets its own column (else empty)."""
    if name in there:
        return name, ""
    if is_museval and name in VALUES:
        return f"bsseval.{name.lower()}", ""
    try:
        return _known(name, there), ""
    except UsageError as error:
        own = f"{IMPORTED}{name.replace('.', ' ')}"
        why = str(error).partition("; there are")[0]
        return own, f"{name!r} has a column of its own ({why})"


def _known(name: str, there: Sequence[str]) -> str:
    """Raises UsageError for an unknown or ambiguous name."""
    try:
        return column_named(name, there)
    except UsageError:
        return column_named(name)


# -- as a table ---------------------------------------------------------------------------------


def _frame(
    lines: Sequence[Line], columns: Mapping[str, str], windows: bool, file: Path
) -> pd.DataFrame:
    import pandas as pd

    from benchsep.runner.frame import COLUMNS

    groups: dict[Key, list[Line]] = {}
    for line in lines:
        system, track, stem, metric, draw = line.key
        groups.setdefault((system, track, stem, columns[metric], draw), []).append(line)
    _check_families(lines, file)
    windows = windows and any(len(group) > 1 for group in groups.values())
    rows, times = [], []
    for (system, track, stem, metric, draw), group in groups.items():
        what = f"{metric} of {system}, {track!r}, {stem}"
        times.append(_by_time(group, what, file) if windows else {})
        if len(group) > 1 and not windows:
            raise _twice(group[0], group[1], what, file)
        rows.append(
            {
                "system": system,
                "family": group[0].family,
                "track": track,
                "stem": stem,
                "metric": metric,
                "draw": draw,
                **group[0].facts,
                "metric_version": group[0].facts["metric_version"] or AS_IMPORTED,
                "value": group[0].value,
                "status": group[0].status,
                "frames": None,
            }
        )
    frame = pd.DataFrame(in_windows(rows, times) if windows else rows, columns=list(COLUMNS))
    return frame.assign(value=frame["value"].astype(float))


def _check_families(lines: Sequence[Line], file: Path) -> None:
    found: dict[str, Line] = {}
    for line in lines:
        first = found.setdefault(line.key[0], line)
        if first.family != line.family:
            raise UsageError(
                f"{file}: {line.key[0]} has the family {first.family} in line {first.number} and "
                f"{line.family} in line {line.number}; expected one family for each system"
            )


def _by_time(group: Sequence[Line], what: str, file: Path) -> dict[float, float | None]:
    """Start of each window to its value; ``None``: no usable value."""
    found: dict[float, Line] = {}
    for line in group:
        if not _is_number(line.time) or not 0 <= float(line.time) < MOST_SECONDS:
            raise UsageError(
                f"{file}, line {line.number}: found the time {line.time!r}, expected the seconds "
                "at which a window begins"
            )
        first = found.setdefault(float(line.time), line)
        if first is not line:
            raise _twice(first, line, f"{what} at {line.time} s", file)
        if line.facts != group[0].facts:
            raise UsageError(
                f"{file}: line {line.number} has {what} of another edition, version or song than "
                f"line {group[0].number}"
            )
    return {
        time: line.value if line.status == "ok" and not math.isnan(line.value) else None
        for time, line in found.items()
    }


def _twice(first: Line, second: Line, what: str, file: Path) -> UsageError:
    return UsageError(
        f"{file}: line {second.number} has another {what} than line {first.number}; expected one "
        "value for each; if the file has several systems or draws, add a column that names them"
    )
