"""A run as one long table: a row for each cell, for statistics, tables and figures alike."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep.metrics.catalog import get_metric, stems_scored
from benchsep.metrics.status import Status
from benchsep.runner.done import is_draw_shown
from benchsep.runner.manifest import lacking_stems
from benchsep.runner.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from benchsep.runner.record import Cell, Draw, Record

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
)


def load_run(path: str | Path) -> pd.DataFrame:
    """The cells of a run's last request, sorted by system, track, metric, stem, draw.

    Cells of earlier requests (another split, seed, data set, ...) stay in the folder and are left
    out: see :func:`benchsep.runner.done.is_draw_shown`.

    ``value`` is float (NaN where there is none), ``frames`` a list or ``None``; the columns are
    :data:`COLUMNS`.

    Raises
    ------
    StoreError
        if the folder is no run folder.
    """
    return load_cells_and_costs(path, costs=False)[0]


def load_cells_and_costs(
    path: str | Path, *, costs: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What :func:`load_run` and :func:`load_costs` return, with each record read once.

    Without ``costs`` the second table is empty. Raises as :func:`load_run` does.
    """
    import pandas as pd

    store = Store(Path(path))
    manifest = store.manifest()
    lost = lacking_stems(manifest)
    files = _from_files(manifest)
    rows: list[tuple[Any, ...]] = []
    cost_rows: list[tuple[Any, ...]] = []
    with _collector_paused():
        records = store.records()
    for record in records:
        shown = {n for n in _draw_numbers(record) if is_draw_shown(record, n, manifest)}
        stems = lost.get(record.system.label, ())
        absent = _lost_cells(record, stems, manifest) if stems else ()
        rows += _rows(record, _family(record, manifest), (*record.cells, *absent), shown)
        computes = record.system.label not in files
        for number in sorted(shown & record.draws.keys()) if costs else ():
            cost_rows.append(
                _cost(record, number, record.draws[number], manifest, computes=computes)
            )
    cells = pd.DataFrame(rows, columns=list(COLUMNS))
    cells["value"] = cells["value"].astype(float)
    order = ["system", "track", "metric", "stem", "draw"]
    # Records come in this order already, each with its cells in order: sorting costs little.
    cells = cells.sort_values(order, kind="stable").reset_index(drop=True)
    return cells, pd.DataFrame(cost_rows, columns=list(COST_COLUMNS))


def _lost_cells(record: Record, stems: tuple[str, ...], manifest: Mapping[str, Any]) -> list[Cell]:
    """Cells without a value for the stems that the system cannot give; nothing stores them."""
    all_stems = bool((manifest.get("suite") or {}).get("all_stems"))
    samples = {(cell.metric, cell.draw): cell for cell in record.cells}
    known = record.track.reference_sha256 or dict.fromkeys(stems, "")
    found = []
    for cell in samples.values():
        metric = get_metric(cell.metric.partition(".")[0])
        for stem in stems_scored(metric, stems, all_stems=all_stems):
            status = Status("unavailable", f"the system gives no {stem}")
            found.append(
                cell._replace(
                    stem=stem, value=None, status=status, frames=None, seconds=None, key=""
                )
            )
    return [cell for cell in found if cell.stem in known]


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of objects are made and none is garbage: the collector would look at all of them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _draw_numbers(record: Record) -> set[int]:
    return {cell.draw for cell in record.cells} | record.draws.keys()


def _rows(
    record: Record, family: str, cells: Iterable[Cell], shown: set[int]
) -> list[tuple[Any, ...]]:
    """Cells of a record in the draws ``shown`` as rows, in the order of :data:`COLUMNS`."""
    system, track = record.system, record.track
    estimates = {number: draw.estimate_id for number, draw in record.draws.items()}
    return [
        (
            system.label,
            track.name,
            cell.stem,
            cell.metric,
            cell.value,
            str(cell.status),
            cell.draw,
            family,
            track.edition,
            None if cell.frames is None else list(cell.frames),
            cell.seconds,
            cell.key,
            cell.metric_version,
            cell.metric_id,
            estimates.get(cell.draw, ""),
            system.checkpoint_sha256,
            track.reference_sha256.get(cell.stem, ""),
            track.mixture_sha256,
            track.mixture_source,
            track.split,
        )
        for cell in cells
        if cell.draw in shown
    ]


def load_costs(path: str | Path) -> pd.DataFrame:
    """What each separation took: seconds, real-time factor, peak memory; and its lag in samples."""
    return load_cells_and_costs(path)[1]


def _from_files(manifest: Mapping[str, Any]) -> set[str]:
    """Labels of the systems whose estimates are files: reading them has no real-time factor."""
    systems = manifest.get("systems")
    return {
        str(label)
        for label, entry in (systems.items() if isinstance(systems, dict) else ())
        if isinstance(entry, dict) and (entry.get("info") or {}).get("from_files")
    }


def _family(record: Record, manifest: Mapping[str, Any]) -> str:
    """The family that the last run declares; it may have been unknown when the record was made."""
    info = manifest.get("systems", {}).get(record.system.label, {}).get("info")
    declared = info.get("family") if isinstance(info, dict) else None
    return declared if isinstance(declared, str) and declared else record.system.family


def _cost(
    record: Record, number: int, draw: Draw, manifest: Mapping[str, Any], *, computes: bool
) -> tuple[Any, ...]:
    """A draw as a row, in the order of :data:`COST_COLUMNS`."""
    audio = record.track.audio_seconds
    rtf = draw.seconds / audio if draw.seconds is not None and audio and computes else None
    return (
        record.system.label,
        _family(record, manifest),
        record.track.name,
        number,
        draw.seconds,
        audio,
        rtf,
        draw.peak_memory_mb,
        max(draw.lags.values(), key=abs, default=0),
        draw.session,
    )
