"""A run's BSSEval v4 frames as museval's JSON files; read by :mod:`benchsep.imported.museval`.

Conventions
-----------
layout   ``OUT/<system>/<split>/<track>.json``; museval's own reader takes ``OUT/<system>`` and
         looks in ``test/`` only. Several draws: ``OUT/<system>/draw<k>/<split>/…``
schema   ``targets[].frames[].{time, duration, metrics: {SDR, ISR, SIR, SAR}}`` and
         ``museval_version``, as ``museval/musdb.schema.json`` has it; one-second windows and
         hops; five decimals
no value a frame without a value (a silent window, a perfect estimate) has no key, because the
         schema requires numbers, and museval's literal ``NaN`` is not JSON. If no frame of a track
         has the value, each has ``null`` instead, because museval's reader needs the column
extra    ``benchsep`` beside ``targets``: true names, versions, which values are ill-conditioned

Why not NaN: ``docs/design/statistics.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep.errors import UsageError
from benchsep.imported.museval import SUFFIXES, VALUES, WINDOW

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 5


def export_run(frame: pd.DataFrame, out: str | Path) -> list[Path]:
    """Write the run's ``bsseval`` cells as museval files; returns their paths, sorted.

    Raises
    ------
    UsageError
        the run has no BSSEval frames.
    """
    from benchsep._util.atomic import write_atomically

    columns = [f"bsseval.{name.lower()}" for name in VALUES]
    here = frame[frame["metric"].isin(columns)]
    if here.empty:
        raise UsageError(
            "the run holds no BSSEval: museval's files hold nothing else; run with "
            "--metrics bsseval"
        )
    several = here.groupby("system")["draw"].nunique()
    paths = []
    for key, part in here.groupby(["system", "draw", "split", "track"], sort=True):
        system, draw, split, track = (str(k) for k in key)
        folder = Path(out) / _safe(system)
        if several[system] > 1:
            folder /= f"draw{draw}"
        path = folder / _safe(split) / f"{_safe(track)}.json"
        content = _content(part) | {"benchsep": _extra(part, system, track, int(draw))}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1))
        paths.append(path)
    return sorted(paths)


def left_over(paths: Iterable[Path]) -> list[Path]:
    """Files of other songs beside those that were written: readers take them for the same run."""
    written = set(paths)
    folders = sorted({path.parent for path in written})
    return [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.name.endswith(SUFFIXES) and path not in written
    ]


def _content(part: pd.DataFrame) -> dict[str, Any]:
    """Targets and frames of one track."""
    targets: dict[str, dict[str, list[float | None]]] = {}
    rows = sorted(zip(part["stem"], part["metric"], part["frames"], strict=True), key=_first_two)
    for stem, metric, frames in rows:
        name = str(metric).removeprefix("bsseval.").upper()
        targets.setdefault(str(stem), {})[name] = _rounded(frames)
    return _written(targets, WINDOW, WINDOW)


def track_content(
    scores: Mapping[str, Mapping[str, Any]], *, window: float = WINDOW, hop: float = WINDOW
) -> dict[str, Any]:
    """Museval's JSON of one track, from target -> ``SDR`` … -> a value a window (NaN: none).

    ``window`` and ``hop`` are seconds.
    """
    rounded = {
        target: {name: _rounded(list(values[name])) for name in VALUES}
        for target, values in scores.items()
    }
    return _written(rounded, window, hop)


def _written(
    targets: Mapping[str, Mapping[str, list[float | None]]], window: float, hop: float
) -> dict[str, Any]:
    from benchsep._util.version import __version__

    empty = {
        name
        for name in VALUES
        if all(x is None for values in targets.values() for x in values.get(name, []))
    }
    return {
        "targets": [
            {"name": stem, "frames": _frames(values, empty, window, hop)}
            for stem, values in targets.items()
        ],
        "museval_version": f"0.4.1 (benchsep {__version__})",
    }


def _first_two(row: tuple[Any, ...]) -> tuple[str, str]:
    return str(row[0]), str(row[1])


def _rounded(frames: Any) -> list[float | None]:
    stored = frames if isinstance(frames, list | tuple) else []
    return [
        round(float(x), DECIMALS) if x is not None and math.isfinite(x) else None for x in stored
    ]


def _frames(
    values: Mapping[str, list[float | None]], empty: set[str], window: float, hop: float
) -> list[dict[str, Any]]:
    found = []
    for i in range(max(map(len, values.values()), default=0)):
        at = {name: v[i] for name in VALUES if i < len(v := values.get(name, []))}
        metrics = {k: at.get(k) for k in VALUES if at.get(k) is not None or k in empty}
        found.append({"time": i * hop, "duration": window, "metrics": metrics})
    return found


def _extra(part: pd.DataFrame, system: str, track: str, draw: int) -> dict[str, Any]:
    noisy = part[part["status"] == "ill_conditioned"]
    return {
        "system": system,
        "track": track,
        "draw": draw,
        "edition": str(part["edition"].iloc[0]),
        "metric_version": str(part["metric_version"].iloc[0]),
        "audio_sha256": _hashes(part),
        "ill_conditioned": sorted(noisy["stem"] + " " + noisy["metric"]),
    }


def _hashes(part: pd.DataFrame) -> dict[str, str]:
    """Of the mixture and the true stems, so that values of other audio are never put beside."""
    if not {"mixture_sha256", "reference_sha256"} <= set(part.columns):
        return {}
    stems = zip(part["stem"], part["reference_sha256"], strict=True)
    found = {"mixture": part["mixture_sha256"].iloc[0], **dict(stems)}
    return {str(name): text for name, text in found.items() if isinstance(text, str) and text}


def _safe(name: str) -> str:
    """The name itself if it is a valid file name, because museval reads track names from file
    names.
    """
    from benchsep._util.digest import file_name

    bad = any(c in '/\\:*?"<>|' or not c.isprintable() for c in name)
    if bad or name.startswith(".") or name != name.strip() or not 0 < len(name.encode()) < 200:
        return file_name(name)
    return name
