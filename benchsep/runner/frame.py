"""A run as one long table with a row per cell, for statistics, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchsep._util.memory import collector_paused
from benchsep._util.paths import as_path
from benchsep.metrics.catalog import get_metric, stems_scored
from benchsep.metrics.status import Status
from benchsep.runner.done import is_draw_shown, is_spec_of_folder, with_track_set
from benchsep.runner.manifest import lacking_stems
from benchsep.runner.reading import Reader, Sheets, read_sheet
from benchsep.runner.record import parsed_status
from benchsep.runner.sheet import Columns, Sheet
from benchsep.runner.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.runner.record import Draw

COLUMNS = (
    "system",
    "track",
    "stem",
    "metric",
    "value",
    "status",
    "draw",
    "family",
    "edition",
    "frames",
    "seconds",
    "key",
    "metric_version",
    "metric_id",
    "estimate_id",
    "checkpoint_sha256",
    "reference_sha256",
    "mixture_sha256",
    "mixture_source",
    "split",
    "metric_device",
)
COST_COLUMNS = (
    "system",
    "family",
    "track",
    "draw",
    "seconds",
    "audio_seconds",
    "rtf",
    "peak_memory_mb",
    "lag",
    "session",
    "changes",
    "mistakes",
    "residue_db",
    "aligned",
    "system_id",
)


TABLE_COLUMNS = (
    *("system", "track", "stem", "metric", "value", "status", "draw", "family", "edition", "split"),
    *("metric_version", "metric_id"),
)
"""The columns that tables over songs need; they take half of the memory of all columns."""


def load_run(path: str | Path) -> pd.DataFrame:
    """The cells of a run's last request as a DataFrame, sorted by system, track, metric, stem,
    draw.

    Cells of earlier requests (another split, seed, data set, ...) stay in the folder, but are not
    returned: see :func:`benchsep.runner.done.is_draw_shown`.

    The columns are :data:`COLUMNS`. ``value`` is in the metric's unit; ``value`` and ``seconds``
    are float (NaN: no value), ``frames`` is a list of values per window or ``None``.

    Raises
    ------
    StoreError
        the folder is not a run folder, or cannot be read.
    UsageError
        ``path`` is not a path.
    """
    return load_cells_and_costs(path, costs=False)[0]


@collector_paused()
def load_cells_and_costs(
    path: str | Path,
    *,
    costs: bool = True,
    columns: Sequence[str] = COLUMNS,
    read: Reader[Sheet] = read_sheet,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The results of :func:`load_run` and :func:`load_costs`; each record is read once.

    Without ``costs`` the second table is empty. ``columns``: columns of the first table. ``read``:
    function that reads a record. Raises as :func:`load_run` does.
    """
    import pandas as pd

    store = Store(as_path(path, "the run folder"))
    manifest = with_track_set(store.manifest())
    lost = lacking_stems(manifest)
    files, align = _from_files(manifest), bool((manifest.get("suite") or {}).get("align"))
    sheets: list[Sheet] = []
    cost_rows: list[tuple[Any, ...]] = []
    for sheet in store.sheets(read):
        label = sheet.system.label
        shown = {n for n in sheet.draw_numbers if is_draw_shown(sheet, n, manifest)}
        cells = _shown_cells(sheet, shown, lost.get(label, ()), manifest)
        family = _family(sheet, manifest)
        if family != sheet.system.family:
            sheet = replace(sheet, system=replace(sheet.system, family=family))
        sheets.append(sheet if cells is sheet.cells else replace(sheet, cells=cells))
        for number in sorted(shown & sheet.draws.keys()) if costs else ():
            draw = sheet.draws[number]
            cost_rows.append(_cost(sheets[-1], number, draw, label not in files, align))
    return cells_frame(sheets, columns), pd.DataFrame(cost_rows, columns=list(COST_COLUMNS))


def load_for_tables(
    path: str | Path, *, read: Reader[Sheet] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The result of :func:`load_cells_and_costs` with :data:`TABLE_COLUMNS` only.

    ``read``: a :class:`benchsep.runner.reading.Sheets`, which may have cached the records. Raises
    as :func:`load_run` does.
    """
    return load_cells_and_costs(path, columns=TABLE_COLUMNS, read=read or Sheets())


def cells_frame(sheets: Sequence[Sheet], columns: Sequence[str]) -> pd.DataFrame:
    """A row per cell, in the order of the sheets and their cells.

    Built column by column: texts of a record are repeated, columns of its cells are concatenated.
    """
    import pandas as pd

    counts = [len(sheet.cells.stem) for sheet in sheets]
    if not sum(counts):
        return pd.DataFrame([], columns=list(columns)).astype({"value": float})
    made: dict[str, Any] = {}
    for name in columns:
        if name in _OF_RECORD:
            entries = pd.Series([_OF_RECORD[name](sheet) for sheet in sheets])
            made[name] = entries.array.repeat(counts)
        elif name in _REPEATED:
            made[name] = _joined([_REPEATED[name](sheet.cells) for sheet in sheets])
        elif name in _OF_CELL:
            rows = chain.from_iterable(map(_OF_CELL[name], sheets))
            made[name] = pd.Series(np.fromiter(rows, dtype=object, count=sum(counts)))
        else:
            made[name] = pd.Series(np.concatenate([getattr(s.cells, name) for s in sheets]))
    return pd.DataFrame(made, copy=False)


def _joined(columns: Sequence[tuple[str, ...]]) -> Any:
    """Concatenated columns of texts, as a pandas array. Few columns are distinct, and pandas
    processes only the texts of these.
    """
    import pandas as pd

    starts: dict[int, int] = {}  # equal columns are one object: benchsep.runner.record
    different: list[str] = []
    for column in columns:
        if id(column) not in starts:
            starts[id(column)] = len(different)
            different += column
    begins = np.repeat([starts[id(column)] for column in columns], list(map(len, columns)))
    within = np.concatenate([_counted(len(column)) for column in columns])
    return pd.Series(different).array.take(begins + within)


@lru_cache(maxsize=4096)
def _counted(length: int) -> NDArray[np.int64]:
    return np.arange(length)


@lru_cache(maxsize=4096)
def _as_shown(statuses: tuple[str, ...]) -> tuple[str, ...]:
    """Statuses in their usual form; cached, because most records have the same statuses."""
    return tuple(str(parsed_status(status)) for status in statuses)


_OF_RECORD: Mapping[str, Callable[[Sheet], str]] = {
    "system": lambda sheet: sheet.system.label,
    "track": lambda sheet: sheet.track.name,
    "family": lambda sheet: sheet.system.family,
    "edition": lambda sheet: sheet.track.edition,
    "checkpoint_sha256": lambda sheet: sheet.system.checkpoint_sha256,
    "mixture_sha256": lambda sheet: sheet.track.mixture_sha256,
    "mixture_source": lambda sheet: sheet.track.mixture_source,
    "split": lambda sheet: sheet.track.split,
}
"""Column to a function that gives its entry in all rows of a record."""

_REPEATED: Mapping[str, Callable[[Columns], tuple[str, ...]]] = {
    "stem": lambda cells: cells.stem,
    "metric": lambda cells: cells.metric,
    "status": lambda cells: _as_shown(cells.status),
    "metric_device": lambda cells: cells.device,
    "metric_version": lambda cells: cells.metric_version,
    "metric_id": lambda cells: cells.metric_id,
}
"""Column to a function that gives its entries in the rows of a record; most records share one
object."""

_OF_CELL: Mapping[str, Callable[[Sheet], Iterable[Any]]] = {
    "frames": lambda sheet: sheet.cells.frames,
    "key": lambda sheet: sheet.cells.key,
    "estimate_id": lambda sheet: _looked_up(
        {number: draw.estimate_id for number, draw in sheet.draws.items()}, sheet.cells.draw
    ),
    "reference_sha256": lambda sheet: _looked_up(sheet.track.reference_sha256, sheet.cells.stem),
}
"""The same for other columns; ``value``, ``seconds`` and ``draw`` are arrays."""


def _looked_up(texts: Mapping[Any, str], keys: Iterable[Any]) -> Iterable[str]:
    return map(texts.get, keys, repeat(""))


def _shown_cells(
    sheet: Sheet, shown: set[int], lost: Sequence[str], manifest: Mapping[str, Any]
) -> Columns:
    """The cells of the draws ``shown``, sorted, with an additional one for each stem in
    ``lost``.
    """
    cells = sheet.cells
    if lost:
        cells = _with_lost(sheet, lost, manifest)
    if not shown.issuperset(cells.draw):
        cells = cells.take([row for row, draw in enumerate(cells.draw) if draw in shown])
    return cells.sorted()


def _with_lost(sheet: Sheet, lost: Sequence[str], manifest: Mapping[str, Any]) -> Columns:
    """Add cells without a value for stems that the system cannot provide; these are never
    stored.
    """
    cells = sheet.cells
    all_stems = bool((manifest.get("suite") or {}).get("all_stems"))
    samples = {(cells.metric[row], cells.draw[row]): row for row in range(len(cells.metric))}
    known = sheet.track.reference_sha256 or dict.fromkeys(lost, "")
    for row in samples.values():
        metric = get_metric(cells.metric[row].partition(".")[0])
        stems = [s for s in stems_scored(metric, tuple(lost), all_stems=all_stems) if s in known]
        for stem in stems:
            status = str(Status("undefined", f"the system gives no {stem}"))
            cells = cells.with_absent(row, stem, status)
    return cells


def load_costs(path: str | Path) -> pd.DataFrame:
    """The costs of a run's separations: a DataFrame with a row per draw and the columns
    :data:`COST_COLUMNS`. ``seconds`` is wall-clock time, ``rtf`` the real-time factor,
    ``peak_memory_mb`` the memory in MB that the separation added, ``lag`` the delay of the
    estimates in samples. ``changes``: stem to its conversions
    (:class:`benchsep.systems.fit.Change`). ``mistakes``: stem to a suspected fault of its file
    (:mod:`benchsep.runner.notes.mistakes`). ``residue_db``: level of the mixture minus its stems,
    if it is above :data:`benchsep.datasets.sums.LIMIT_DB`. ``aligned``: whether the lag was removed
    before scoring. ``system_id``: identity of the system (:func:`benchsep.runner.done.system_id`).
    Raises as :func:`load_run` does.
    """
    return load_cells_and_costs(path)[1]


def _from_files(manifest: Mapping[str, Any]) -> set[str]:
    """Labels of the systems whose estimates are files; reading these has no cost."""
    systems, specs = manifest.get("systems"), manifest.get("labels")
    declared = {
        str(label)
        for label, entry in (systems.items() if isinstance(systems, dict) else ())
        if isinstance(entry, dict) and (entry.get("info") or {}).get("from_files")
    }
    # For systems of earlier runs in this folder, the manifest has only the spec.
    earlier = specs.items() if isinstance(specs, dict) else ()
    return declared | {str(label) for label, spec in earlier if is_spec_of_folder(str(spec))}


def _family(sheet: Sheet, manifest: Mapping[str, Any]) -> str:
    """The family according to the last run; it may have been unknown when the record was
    written.
    """
    info = manifest.get("systems", {}).get(sheet.system.label, {}).get("info")
    declared = info.get("family") if isinstance(info, dict) else None
    return declared if isinstance(declared, str) and declared else sheet.system.family


def _cost(sheet: Sheet, number: int, draw: Draw, computes: bool, align: bool) -> tuple[Any, ...]:
    """A draw as a row, in the order of :data:`COST_COLUMNS`; files have no cost.

    ``align``: the run's option, used if the record does not say whether lags were removed.
    """
    audio = sheet.track.audio_seconds
    rtf = draw.seconds / audio if draw.seconds is not None and audio and computes else None
    return (
        sheet.system.label,
        sheet.system.family,
        sheet.track.name,
        number,
        draw.seconds,
        audio,
        rtf,
        draw.peak_memory_mb if computes else None,
        max(draw.lags.values(), key=abs, default=0),
        draw.session,
        draw.changes,
        draw.mistakes,
        sheet.track.residue_db,
        align if draw.aligned is None else draw.aligned,
        sheet.system.system_id,
    )
