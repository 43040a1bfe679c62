"""Reads museval's result files.

Conventions
-----------
files    ``TRACK.json`` or ``TRACK.json.gz``
layout   ``METHOD/{train,test}/TRACK.json`` (museval's, SiSEC's), ``METHOD/TRACK.json``, one
         method's folder or one file. Files that benchsep wrote name system, draw and track
reading  literal ``NaN``, ``null`` and absent keys are the same: no value in this frame.
         The track's value is the median over its frames with one (museval's rule, and ours)
targets  the targets that museval scored together; interference is measured between them. If a file
         has vocals and accompaniment, these two are one set, and vocals and the other targets
         another one. A window in which any signal of a set is silent has no value for all targets
         of the set
windows  of 1 s; values of other window lengths are not comparable and get their own column
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchsep._util.numbers import float_or_none
from benchsep.errors import StoreError
from benchsep.stems.files import is_junk
from benchsep.stems.sets import FOUR, STEM_SETS, stem_called, whole_set

if TYPE_CHECKING:
    import pandas as pd

VALUES = ("SDR", "ISR", "SIR", "SAR")
COLUMNS = {f"bsseval.{name.lower()}": name for name in VALUES}
"""Our columns of these values."""
FREE = ("SDR", "ISR")
"""The values that do not depend on the other targets (except for which windows have a value)."""
WINDOW = 1.0
"""Length of window and hop in seconds, in museval v4 and in ours."""
SPLITS = ("train", "test", "valid", "validation")
SUFFIXES = (".json", ".json.gz")
MUSEVAL = "museval"
"""Prefix of the version of values that are not ours."""
PAIR = STEM_SETS["vi"].stems

Frames = Sequence[float | None]


@dataclass(frozen=True)
class Result:
    """One file: the values of a track by stem, name (``SDR`` …) and window."""

    method: str
    draw: int
    split: str
    """Empty if the layout has no splits."""
    track: str
    edition: str
    """Empty if the file does not have it (museval's files)."""
    version: str
    window: float
    """Length of a window in seconds; 0 if hop and window differ."""
    ours: bool
    """Whether benchsep wrote it."""
    targets: Mapping[str, Mapping[str, Frames]]
    """By the names in the file; accompaniment as ``instrumental``."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the song's mixture (``mixture``) and true stems, if the file has them (ours do)."""
    metric_version: str = ""
    """Version of our BSSEval; empty for museval's files."""

    def scored_with(self, stem: str) -> frozenset[str]:
        """The stems that were scored together with a target, including itself."""
        names = frozenset(self.targets)
        if self.ours:  # always the complete set
            return frozenset(whole_set(tuple(sorted(names))))
        pair = frozenset(PAIR)
        return pair if pair <= names and stem in pair else names - {"instrumental"}


# -- a folder -----------------------------------------------------------------------------------


def import_runs(
    path: str | Path,
    *,
    families: Mapping[str, str] | None = None,
    edition: str = "hq",
    split: str = "test",
) -> pd.DataFrame:
    """Museval files as a long table in the format of ``benchsep.load_run``.

    Parameters
    ----------
    path
        As for :func:`read_results`.
    families
        Family by method; the default is ``unknown``.
    edition
        Edition of the data, for files without it (museval's; ours have ``benchsep.edition``).
        SiSEC18 used ``aac``.
    split
        The split whose folders are read, if there are such folders.

    Raises
    ------
    StoreError
        a file does not exist or is not museval's JSON; the message names it.
    """
    frame = as_frame(read_results(path, split=split))
    family = [(families or {}).get(method, "unknown") for method in frame["system"]]
    return frame.assign(edition=frame["edition"].replace("", edition), family=family)


def read_results(path: str | Path, *, split: str = "") -> list[Result]:
    """The files in and below a folder, or one file.

    Parameters
    ----------
    split
        Only the files of this split, if any file is in a folder of this name.

    Raises
    ------
    StoreError
        a file does not exist, is not museval's JSON, or is the second one of a track; the message
        names it.
    """
    root = Path(path)
    files = [root] if root.is_file() else _files(root)
    places = {file: _place(root, file) for file in files}
    if split and any(split == where for _, _, where in places.values()):
        places = {file: place for file, place in places.items() if place[2] == split}
    if not places:
        raise StoreError(
            f"{root}: found no museval file, expected METHOD/{split or 'test'}/TRACK.json, "
            "METHOD/TRACK.json or TRACK.json (or .json.gz)"
        )
    results = [_read(file, *place) for file, place in places.items()]
    seen: dict[tuple[str, int, str], Path] = {}
    for file, result in zip(places, results, strict=True):
        key = result.method, result.draw, result.track
        if key in seen:
            raise StoreError(
                f"{file} and {seen[key]} are both results of {result.track!r}; remove one"
            )
        seen[key] = file
    return results


def _files(folder: Path) -> list[Path]:
    """The files in and below a folder, without files that a NAS or macOS left there."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(SUFFIXES)
        and path.is_file()
        and not any(is_junk(part) for part in path.relative_to(folder).parts)
    ]


def _place(root: Path, file: Path) -> tuple[str, int, str]:
    """Method, draw and split by the folders that a file is in."""
    whole = (root if root.is_dir() else root.parent).absolute()
    inside = list(file.absolute().relative_to(whole).parts[:-1])
    found = next((i for i, part in enumerate(inside) if part in SPLITS), None)
    if found is not None:
        inside, split = inside[:found], inside[found]
    elif whole.name in SPLITS:
        whole, split = whole.parent, whole.name
    else:
        split = ""
    draw = 0
    if inside and (match := re.fullmatch(r"draw(\d{1,9})", inside[-1])):
        draw = int(match[1])
        inside.pop()
    return "/".join(inside) or whole.name, draw, split


# -- a file -------------------------------------------------------------------------------------


def _read(file: Path, method: str, draw: int, split: str) -> Result:
    try:
        content = json.loads(_text_of(file))
        targets = {_stem(_text(t["name"])): _windows(list(t["frames"])) for t in content["targets"]}
        if len(targets) < len(content["targets"]):
            raise ValueError("a target twice")
        _check_counts(targets)
        own = content.get("benchsep")
        own = own if isinstance(own, dict) else {}
        name = file.name.removesuffix(".gz").removesuffix(".json")
        return Result(
            method=_text(own.get("system", method)),
            draw=int(own.get("draw", draw)),
            split=split,
            track=_text(own.get("track", name)),
            edition=_text(own.get("edition", "")),
            version=_text(f"{MUSEVAL} {content.get('museval_version', 'unknown')}"),
            window=_window([frame for t in content["targets"] for frame in t["frames"]]),
            ours=bool(own),
            targets=targets,
            hashes={_text(k): _text(v) for k, v in dict(own.get("audio_sha256", {})).items()},
            metric_version=_text(own.get("metric_version", "")),
        )
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError,
            OverflowError, RecursionError) as error:  # fmt: skip
        raise StoreError(
            f"{file} is not museval's JSON ({type(error).__name__}: {error}); expected "
            "targets[].frames[].metrics"
        ) from error


MAX_MB = 256
"""Largest decompressed file in MB; the longest song of MUSDB18 takes 1 MB."""


def _text_of(file: Path) -> str:
    if not file.name.endswith(".gz"):
        return file.read_text("utf-8")
    with gzip.open(file) as handle:
        data = handle.read(MAX_MB * 2**20 + 1)
    if len(data) > MAX_MB * 2**20:
        raise ValueError(f"more than {MAX_MB} MB")
    return data.decode("utf-8")


def _text(value: Any) -> str:
    """Text without lone surrogates, which JSON may contain."""
    text = str(value)
    text.encode()
    return text


def _stem(name: str) -> str:
    return stem_called(name) or name


def _windows(frames: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    times = [float(f["time"]) for f in frames if f.get("time") is not None]
    if any(b <= a for a, b in itertools.pairwise(times)):
        raise ValueError("windows that are there twice, or not in order")
    return {name: [_number(frame["metrics"].get(name)) for frame in frames] for name in VALUES}


def _check_counts(targets: Mapping[str, Mapping[str, Frames]]) -> None:
    """All targets of a song have as many windows; a target that failed has none."""
    counts = {name: len(values["SDR"]) for name, values in targets.items() if values["SDR"]}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
        raise ValueError(f"targets with different numbers of windows ({found})")


def _number(value: Any) -> float | None:
    if isinstance(value, str | bool):
        raise TypeError(f"{value!r} is no number")
    return None if value is None else float_or_none(float(value))


def _window(frames: list[dict[str, Any]]) -> float:
    """Length of the windows in seconds; museval's default for files without it."""
    lengths = {float(f["duration"]) for f in frames if f.get("duration") is not None}
    times = [float(f["time"]) for f in frames if f.get("time") is not None]
    hops = {round(b - a, 6) for a, b in itertools.pairwise(times) if b > a}
    found = {round(length, 6) for length in lengths} | hops
    if not found:
        return WINDOW
    return found.pop() if len(found) == 1 else 0.0


# -- the set of the run -------------------------------------------------------------------------


def of_set(result: Result, stems: Iterable[str]) -> tuple[Result, list[str]]:
    """The values that have the same meaning in a run with this stem set, and what was left out.

    For a target that was scored with other stems, SIR and SAR have another meaning. SDR and ISR are
    equal in each window, but other windows have a value. They are kept if the windows of the run's
    set are known: from a target of the file that was scored with this set, or if the file's stems
    are finer than the run's and no window lacks a value.
    """
    wanted = frozenset(stems)
    same = [s for s in result.targets if s in wanted and result.scored_with(s) == wanted]
    kept: dict[str, Mapping[str, Frames]] = {}
    left = []
    for stem, values in result.targets.items():
        if stem not in wanted or stem in same:
            kept[stem] = values
            continue
        left.append(stem)
        free = {name: values[name] for name in FREE}
        if same:
            kept[stem] = {
                name: _masked(v, result.targets[same[0]]["SDR"]) for name, v in free.items()
            }
        elif wanted == {*PAIR} and result.scored_with(stem) == {*FOUR} and None not in free["SDR"]:
            kept[stem] = free
    return replace(result, targets=kept), left


def _masked(values: Frames, there: Frames) -> list[float | None]:
    """The values of the windows that also have a value in ``there``."""
    padded = [*there, *[None] * (len(values) - len(there))]
    return [v if t is not None else None for v, t in zip(values, padded, strict=False)]


# -- as a table ---------------------------------------------------------------------------------


def as_frame(results: Iterable[Result]) -> pd.DataFrame:
    """Results as a table with the columns of a run; the family is unknown."""
    import pandas as pd

    from benchsep.runner.frame import COLUMNS

    rows = [
        {
            "system": result.method,
            "family": "unknown",
            "draw": result.draw,
            "split": result.split,
            "track": result.track,
            "edition": result.edition,
            "metric_version": result.metric_version or result.version,
            "mixture_sha256": result.hashes.get("mixture", ""),
            "reference_sha256": result.hashes.get(stem, ""),
            **_cell(stem, column_of_windows(name, result.window), list(frames)),
        }
        for result in results
        for stem, values in result.targets.items()
        for name, frames in values.items()
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["value"] = frame["value"].astype(float)
    order = ["system", "track", "metric", "stem", "draw"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def column_of_windows(name: str, window: float) -> str:
    """The column for museval's value ``name`` with windows of ``window`` seconds; 0: unknown."""
    from benchsep.runner.traits import IMPORTED

    if window == WINDOW:
        return f"bsseval.{name.lower()}"
    return f"{IMPORTED}{name} of {f'{1000 * window:.0f}-ms' if window else 'other'} windows"


def over_windows(values: Sequence[float | None]) -> tuple[float, str]:
    """The value of a song, the median over its windows with a value, and its status."""
    kept = [x for x in values if x is not None]
    # A file does not distinguish the reasons of missing values (silence, a perfect score).
    status = "ok" if kept else "not_finite" if values else "failed: no frames"
    return (median(kept) if kept else math.nan), status


def _cell(stem: str, column: str, values: list[float | None]) -> dict[str, Any]:
    value, status = over_windows(values)
    return {"stem": stem, "metric": column, "value": value, "status": status, "frames": values}
