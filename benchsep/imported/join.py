"""Results that others computed, as further systems of a run, on the same songs of the same edition.

Conventions
-----------
path     a folder of museval's results, one such file, or a table as CSV; ``NAME=PATH`` names the
         system
songs    names are compared as :func:`benchsep.stems.files.folded` has them; songs that the run does
         not have are left out, counted and named
cells    stems that the run does not have, or does not score with a metric, are left out as well
edition  what the file says (ours do), else what the caller declares, else that of the run, where
         the lengths agree: a file's windows of a song and the run's differ by one at most
systems  are called ``NAME (museval)`` or ``NAME (csv)``: a row shows that it was not computed here
manifest gets ``imported``: label to ``source``, ``version`` and ``remark``
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.escape import visible
from benchsep.errors import StoreError, UsageError
from benchsep.imported.museval import SUFFIXES, as_frame, of_set, read_results
from benchsep.imported.table import read_table
from benchsep.runner.manifest import stem_set_of
from benchsep.stems.files import folded
from benchsep.stems.sets import set_name

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("generative", "discriminative", "oracle", "unknown")
MOST_WINDOWS_APART = 1
"""The last window is cut or kept by rounding."""
NAMED = 3
"""Songs that a message names."""
KEYS = ["system", "draw", "track", "stem", "metric"]


@dataclass(frozen=True)
class Imports:
    """What to put beside a run."""

    paths: Sequence[str] = ()
    """``PATH`` or ``NAME=PATH`` each."""
    edition: str | None = None
    """Of files that do not say theirs. Where it is given, lengths are not compared."""
    families: Mapping[str, str] = field(default_factory=dict)
    """Family by system, one of :data:`FAMILIES`; ``unknown`` where absent."""


@dataclass(frozen=True)
class Joined:
    """The cells and the manifest of a run with its imports, and a line for each of these."""

    cells: pd.DataFrame
    manifest: dict[str, Any]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """What a path holds."""

    path: Path
    kind: str
    frame: pd.DataFrame
    remarks: tuple[str, ...]


def with_imports(
    cells: pd.DataFrame, manifest: Mapping[str, Any], imports: Imports | None
) -> Joined:
    """The cells of a run, and those of the imports.

    Parameters
    ----------
    cells
        As :func:`benchsep.runner.frame.load_run` gives them.
    manifest
        That of the run.

    Raises
    ------
    UsageError, StoreError
        a path that holds no results; no song or no metric in common; files of another edition or
        with songs of another length; an unknown family or system; two systems of one name.
    """
    joined = Joined(cells, dict(manifest))
    unused = dict(imports.families) if imports else {}
    for family in unused.values():
        if family not in FAMILIES:
            raise UsageError(f"family {family!r}; expected one of {', '.join(FAMILIES)}")
    for text in imports.paths if imports else ():
        assert imports is not None
        source = _read(text, cells, manifest)
        for name in set(source.frame["system"]):
            unused.pop(name, None)
        joined = _with_source(joined, cells, source, imports)
    if unused:
        known = ", ".join(joined.manifest.get("imported", {})) or "none"
        raise UsageError(f"no imported system {min(unused)!r}; there are: {known}")
    return joined


# -- reading ------------------------------------------------------------------------------------


def _read(text: str, cells: pd.DataFrame, manifest: Mapping[str, Any]) -> _Source:
    """What ``PATH`` or ``NAME=PATH`` holds, under the names that the rows will have."""
    name, path = _named(text)
    if path.is_file() and path.suffix.casefold() == ".csv":
        found = read_table(path, metrics=sorted(set(cells["metric"])))
        source = _Source(path, "csv", found.frame, found.remarks)
    elif path.is_dir() and (path / "manifest.json").is_file():
        raise UsageError(f"{path} is a run folder; put it beside this one with: benchsep merge")
    elif path.is_dir() or path.name.endswith(SUFFIXES):
        source = _read_museval(path, cells, manifest)
    elif path.exists():
        raise UsageError(f"{path}: expected a folder of museval's results, a .json, or a .csv")
    else:
        raise StoreError(f"{path}: no such file or folder")
    if not name:
        return source
    systems = source.frame["system"]
    called = name if systems.nunique() == 1 else [f"{name} {system}" for system in systems]
    return replace(source, frame=source.frame.assign(system=called))


def _named(text: str) -> tuple[str, Path]:
    """The name, empty for none, and the path; a path that exists as it is has no name."""
    name, equals, path = text.partition("=")
    if equals and name and path and os.sep not in name and not Path(text).exists():
        return name.strip(), Path(path).expanduser()
    return "", Path(text).expanduser()


def _read_museval(path: Path, cells: pd.DataFrame, manifest: Mapping[str, Any]) -> _Source:
    """Museval's values, those that mean what they mean in the run's stem set."""
    stems = stem_set_of(manifest)
    splits = set(cells["split"].dropna()) if "split" in cells else set()
    split = str(splits.pop()) if len(splits) == 1 else ""
    pairs = [of_set(result, stems) for result in read_results(path, split=split)]
    frame = as_frame(result for result, _ in pairs)
    left = sorted({stem for _, stems in pairs for stem in stems})
    remarks = [
        f"{', '.join(left)} scored beside other stems than {set_name(stems)}: SIR and SAR left "
        "out, SDR and ISR where the windows are known"
    ]
    return _Source(path, "museval", frame, tuple(remarks if left else ()))


# -- joining ------------------------------------------------------------------------------------


def _with_source(joined: Joined, cells: pd.DataFrame, source: _Source, imports: Imports) -> Joined:
    """``joined`` with the systems of a source; ``cells`` are the run's own."""
    import pandas as pd

    frame = _with_families(source.frame, imports.families)
    own = str(cells["edition"].iloc[0])
    said = frame["edition"].replace("", imports.edition or "")
    frame = _named_as_in_run(frame.assign(edition=said), cells)
    frame, songs = _shared_songs(frame, cells, source)
    _check_edition(frame, own)
    if imports.edition is None:
        _check_lengths(frame, cells)
    frame, stems = _shared_cells(frame, cells, source)
    _check_once(frame, source)
    labels = {name: f"{name} ({source.kind})" for name in sorted(set(frame["system"]))}
    if taken := sorted({*labels.values()} & {*joined.cells["system"]}):
        raise UsageError(
            f"{source.path}: there is a system {taken[0]!r} already; give it a name: "
            f"--import NAME={source.path}"
        )
    unsaid = [f"edition not said, taken as {own}"] if (frame["edition"] == "").any() else []
    undeclared = sorted(set(frame.loc[frame["family"] == "unknown", "system"]))
    asked = [f"family not declared: --import-family {undeclared[0]!r}=…"] if undeclared else []
    remark = "; ".join([*songs, *stems, *source.remarks, *unsaid])
    entries = {
        label: {
            "source": str(source.path),
            "version": str(frame.loc[frame["system"] == name, "metric_version"].iloc[0]),
            "remark": remark,
        }
        for name, label in labels.items()
    }
    added = frame.assign(system=frame["system"].map(labels), edition=own)
    message = f"imported from {source.path}: {', '.join(labels.values())}"
    return Joined(
        pd.concat([joined.cells, added], ignore_index=True),
        joined.manifest | {"imported": {**joined.manifest.get("imported", {}), **entries}},
        (*joined.messages, "; ".join(filter(None, [message, remark, *asked]))),
    )


def _with_families(frame: pd.DataFrame, families: Mapping[str, str]) -> pd.DataFrame:
    own = zip(frame["system"], frame["family"], strict=True)
    return frame.assign(family=[families.get(system, family) for system, family in own])


def _named_as_in_run(imported: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Songs by the run's spelling, of the run's split."""
    tracks = {folded(name): name for name in map(str, cells["track"].unique())}
    names = [tracks.get(folded(name), name) for name in imported["track"]]
    if "split" not in cells:
        return imported.assign(track=names)
    splits = dict(zip(cells["track"], cells["split"], strict=True))
    return imported.assign(track=names, split=[splits.get(name, "") for name in names])


def _shared_songs(
    frame: pd.DataFrame, cells: pd.DataFrame, source: _Source
) -> tuple[pd.DataFrame, list[str]]:
    """The cells of songs that the run has; what is said of the others."""
    here, there = set(map(str, cells["track"])), set(frame["track"])
    if not here & there:
        raise UsageError(
            f"{source.path}: no song of the run is in it; it has {_some(there)}, the run has "
            f"{_some(here)}"
        )
    said = []
    if left := there - here:
        said.append(f"{len(left)} of its {len(there)} songs are not in the run: {_some(left)}")
    if lost := here - there:
        said.append(f"{len(lost)} of the run's {len(here)} songs are not in it: {_some(lost)}")
    return frame[frame["track"].isin(list(here))], said


def _some(songs: set[str]) -> str:
    names = sorted(songs)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return visible(", ".join(map(repr, names[:NAMED]))) + more


def _shared_cells(
    frame: pd.DataFrame, cells: pd.DataFrame, source: _Source
) -> tuple[pd.DataFrame, list[str]]:
    """The cells of stems that the run scores with the metric; what is said of the others."""
    metrics, stems = set(cells["metric"]), set(cells["stem"])
    pairs = set(zip(cells["stem"], cells["metric"], strict=True))
    keep = [
        (stem, metric) in pairs if metric in metrics else stem in stems
        for stem, metric in zip(frame["stem"], frame["metric"], strict=True)
    ]
    kept, left = frame[keep], sorted(set(frame["stem"]) - stems)
    if not metrics & set(kept["metric"]):
        if source.kind == "museval" and not any(m.startswith("bsseval.") for m in metrics):
            raise UsageError(
                "museval's files hold BSSEval alone, and the run has none; run with --metrics "
                "bsseval"
            )
        raise UsageError(
            f"{source.path} has no metric of a stem that the run has; it has "
            f"{_list(frame['metric'])} of {_list(frame['stem'])}, "
            f"the run has {_list(metrics)} of {_list(stems)}"
        )
    return kept, [f"stems that the run has not: {', '.join(left)}"] if left else []


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


def _check_once(frame: pd.DataFrame, source: _Source) -> None:
    """A value of a song that is there twice would be averaged as two draws."""
    again = frame[frame.duplicated(KEYS)]
    if not again.empty:
        row = again.iloc[0]
        raise UsageError(
            f"{source.path}: {row['metric']} of {row['system']}, {row['track']!r}, {row['stem']} "
            "is there twice: two of its names mean the same; remove one"
        )


def _check_edition(imported: pd.DataFrame, own: str) -> None:
    other = imported[~imported["edition"].isin(["", own])]
    if not other.empty:
        row = other.iloc[0]
        raise UsageError(
            f"{row['track']!r} of {row['system']} was scored on edition {row['edition']}, the run "
            f"on {own}; editions never share a table: compare with a run on {row['edition']}"
        )


def _check_lengths(imported: pd.DataFrame, cells: pd.DataFrame) -> None:
    """Songs of files that do not say their edition are as long as the run's."""
    expected = {track: windows for (_, track), windows in _windows(cells).items()}
    unsaid = imported[imported["edition"] == ""]
    for (system, track), windows in _windows(unsaid).items():
        there = expected.get(track, windows)
        if abs(windows - there) > MOST_WINDOWS_APART:
            raise UsageError(
                f"{track!r} has {windows} windows of 1 s in the results of {system} and {there} in "
                "the run: they are of different editions or cuts; compare with a run on the same "
                "audio, or name the files' edition with --import-edition"
            )


def _windows(cells: pd.DataFrame) -> dict[tuple[str, str], int]:
    """``(system, track)`` to the number of its BSSEval windows; reference systems included."""
    counts: dict[tuple[str, str], int] = {}
    part = cells[cells["metric"].str.startswith("bsseval.")]
    for system, track, frames in zip(part["system"], part["track"], part["frames"], strict=True):
        if isinstance(frames, list | tuple) and frames:
            key = str(system), str(track)
            counts[key] = max(counts.get(key, 0), len(frames))
    return counts
