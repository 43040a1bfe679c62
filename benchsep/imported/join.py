"""Adds results of others as further systems of a run, for the same songs of the same edition.

Conventions
-----------
path     a folder of museval's results, one such file, or a CSV table; ``NAME=PATH`` names the
         system
songs    names are compared in the form of :func:`benchsep.stems.files.folded`; songs that are not
         in the run are left out and reported
cells    stems that the run does not have, or does not score with the metric, are left out too
edition  the edition in the file (our files have it), else the one that the caller declares, else
         that of the run if the lengths agree: the numbers of windows per song differ by at most one
audio    if the file has hashes of mixtures or true stems (ours do), they must equal those of the
         run
version  if the file has the version of a metric (ours do), values of another version than the run's
         get their own column
systems  are named ``NAME (museval)`` or ``NAME (csv)``, to show that they were not computed here
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
from benchsep.imported.ranges import check_ranges
from benchsep.imported.same_data import check_audio, check_edition, check_lengths, other_splits
from benchsep.imported.stem_set import of_stem_set
from benchsep.imported.table import AS_IMPORTED, FAMILIES, read_table
from benchsep.imported.versions import of_versions
from benchsep.runner.manifest import stem_set_of
from benchsep.stems.files import folded
from benchsep.stems.sets import set_name

if TYPE_CHECKING:
    import pandas as pd

NAMED = 3
"""Most songs that a message names."""
KEYS = ["system", "draw", "track", "stem", "metric"]


@dataclass(frozen=True)
class Imports:
    """The results to import."""

    paths: Sequence[str] = ()
    """``PATH`` or ``NAME=PATH`` each."""
    edition: str | None = None
    """Edition of files without one. If it is given, lengths are not compared."""
    families: Mapping[str, str] = field(default_factory=dict)
    """Family by system, one of :data:`FAMILIES`; the default is ``unknown``."""


@dataclass(frozen=True)
class Joined:
    """The cells and the manifest of a run with its imports, and a message per import."""

    cells: pd.DataFrame
    manifest: dict[str, Any]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """The content of a path."""

    path: Path
    kind: str
    frame: pd.DataFrame
    version: str
    """Version of the program that wrote it."""
    remarks: tuple[str, ...]


def with_imports(
    cells: pd.DataFrame, manifest: Mapping[str, Any], imports: Imports | None
) -> Joined:
    """The cells of a run, and those of the imports.

    Parameters
    ----------
    cells
        From :func:`benchsep.runner.frame.load_run`.
    manifest
        The manifest of the run.

    Raises
    ------
    UsageError, StoreError
        a path has no results; there is no common song or metric; the edition or the length of songs
        differs; a family or system is unknown; two systems have the same name.
    """
    joined = Joined(cells, dict(manifest))
    unused = dict(imports.families) if imports else {}
    for family in unused.values():
        if family not in FAMILIES:
            raise UsageError(f"unknown family {family!r}, expected one of {', '.join(FAMILIES)}")
    for text in imports.paths if imports else ():
        assert imports is not None
        source = _read(text, cells, manifest)
        for name in set(source.frame["system"]):
            unused.pop(name, None)
        joined = _with_source(joined, cells, source, imports)
    if unused:
        known = ", ".join(joined.manifest.get("imported", {})) or "none"
        raise UsageError(
            f"there is no imported system {min(unused)!r}; the imported systems are: {known}"
        )
    return joined


# -- reading ------------------------------------------------------------------------------------


def _read(text: str, cells: pd.DataFrame, manifest: Mapping[str, Any]) -> _Source:
    """The content of ``PATH`` or ``NAME=PATH``, with the final names of the rows."""
    name, path = _named(text)
    if path.is_file() and path.suffix.casefold() == ".csv":
        source = _read_csv(path, cells, manifest)
    elif path.is_dir() and (path / "manifest.json").is_file():
        raise UsageError(
            f"{path} is a run folder of benchsep; to show two runs in one table, use: benchsep "
            "merge"
        )
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
    """The name (may be empty) and the path; if the whole text is an existing path, there is no
    name.
    """
    name, equals, path = text.partition("=")
    if equals and name and path and os.sep not in name and not Path(text).exists():
        return name.strip(), Path(path).expanduser()
    return "", Path(text).expanduser()


def _read_csv(path: Path, cells: pd.DataFrame, manifest: Mapping[str, Any]) -> _Source:
    """The values of a table that have the same meaning in the run's stem set."""
    found, stems = read_table(path, metrics=sorted(set(cells["metric"]))), stem_set_of(manifest)
    scales = check_ranges(found.frame, path)
    frame, left = of_stem_set(found.frame, stems)
    kept = "kept" if frame["frames"].isna().all() else "where the windows are known"
    remarks = [*found.remarks, *scales, *_left_out(left, stems, kept)]
    return _Source(path, "csv", frame, AS_IMPORTED, tuple(remarks))


def _left_out(
    left: Sequence[str], stems: Sequence[str], kept: str = "where the windows are known"
) -> list[str]:
    if not left:
        return []
    return [
        f"{', '.join(left)} scored with other stems than {set_name(stems)}: SIR and SAR left out, "
        f"SDR and ISR {kept}"
    ]


def _read_museval(path: Path, cells: pd.DataFrame, manifest: Mapping[str, Any]) -> _Source:
    """The values of museval's files that have the same meaning in the run's stem set."""
    stems = stem_set_of(manifest)
    splits = set(cells["split"].dropna()) if "split" in cells else set()
    split = str(splits.pop()) if len(splits) == 1 else ""
    pairs = [of_set(result, stems) for result in read_results(path, split=split)]
    frame = as_frame(result for result, _ in pairs)
    left = sorted({stem for _, stems in pairs for stem in stems})
    if frame.empty and left:
        raise UsageError(f"{path}: no value can be shown: {_left_out(left, stems)[0]}")
    versions = ", ".join(sorted({result.version for result, _ in pairs}))
    return _Source(path, "museval", frame, versions, tuple(_left_out(left, stems)))


# -- joining ------------------------------------------------------------------------------------


def _with_source(joined: Joined, cells: pd.DataFrame, source: _Source, imports: Imports) -> Joined:
    """``joined`` with the systems of a source; ``cells`` are the run's own."""
    import pandas as pd

    frame = _with_families(source.frame, imports.families)
    own = str(cells["edition"].iloc[0])
    unsaid = frame.index[frame["edition"] == ""]
    said = frame["edition"].replace("", imports.edition or "")
    frame, splits = _named_as_in_run(frame.assign(edition=said), cells)
    frame, songs = _shared_songs(frame, cells, source)
    check_edition(frame, own)
    lengths = check_lengths(frame, cells, unsaid if imports.edition else ())
    check_audio(frame, cells)
    frame, stems = _shared_cells(frame, cells, source)
    frame, versions = of_versions(frame, cells)
    _check_once(frame, source)
    labels = {name: f"{name} ({source.kind})" for name in sorted(set(frame["system"]))}
    if taken := sorted({*labels.values()} & {*joined.cells["system"]}):
        raise UsageError(
            f"{source.path}: the run has a system {taken[0]!r} already; give the imported one "
            f"another name: --import NAME={source.path}"
        )
    taken_as = [f"no edition is named; taken as {own}"] if (frame["edition"] == "").any() else []
    undeclared = sorted(set(frame.loc[frame["family"] == "unknown", "system"]))
    asked = [f"--import-family {undeclared[0]!r}=… declares a family"] if undeclared else []
    ranked = (
        [f"no family is declared, so these are ranked as systems: {_some(set(undeclared))}"]
        if undeclared
        else []
    )
    remark = "; ".join(
        [*songs, *stems, *splits, *lengths, *versions, *source.remarks, *taken_as, *ranked]
    )
    entries = {
        label: {
            "source": str(source.path),
            "version": source.version,
            "remark": remark,
        }
        for label in labels.values()
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


def _named_as_in_run(imported: pd.DataFrame, cells: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows with the songs' spelling and split in the run, and notes on other splits."""
    own = sorted(map(str, cells["track"].unique()))
    tracks: dict[str, list[str]] = {}
    for name in own:
        tracks.setdefault(folded(name), []).append(name)
    # If names of songs in the run look the same, only exact spellings match.
    exact = set(own)
    spelled = {
        name: name if name in exact or len(found := tracks.get(folded(name), [])) != 1 else found[0]
        for name in set(imported["track"])
    }
    names = [spelled[name] for name in imported["track"]]
    if "split" not in cells:
        return imported.assign(track=names), []
    said = other_splits(imported.assign(track=names), cells)
    splits = dict(zip(cells["track"], cells["split"], strict=True))
    return imported.assign(track=names, split=[splits.get(name, "") for name in names]), said


def _shared_songs(
    frame: pd.DataFrame, cells: pd.DataFrame, source: _Source
) -> tuple[pd.DataFrame, list[str]]:
    """The cells of the run's songs, and notes on the others."""
    here, there = set(map(str, cells["track"])), set(frame["track"])
    if not here & there:
        raise UsageError(
            f"{source.path}: it has no song of the run; its songs are {_some(there)}, those of "
            f"the run {_some(here)}"
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
    """The cells of stems that the run scores with the metric, and notes on the others."""
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
                "museval's files have only BSSEval, and the run has no BSSEval; run with "
                "--metrics bsseval"
            )
        raise UsageError(
            f"{source.path} has no metric of a stem that the run has; it has "
            f"{_list(frame['metric'])} of {_list(frame['stem'])}, "
            f"the run has {_list(metrics)} of {_list(stems)}"
        )
    return kept, [f"stems that the run does not have: {', '.join(left)}"] if left else []


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


def _check_once(frame: pd.DataFrame, source: _Source) -> None:
    """Raise for duplicate values of a song, because they would be averaged like draws."""
    again = frame[frame.duplicated(KEYS)]
    if not again.empty:
        row = again.iloc[0]
        raise UsageError(
            f"{source.path}: {row['metric']} of {row['system']}, {row['track']!r}, {row['stem']} "
            "occurs twice, because two names in it mean the same; remove one of them"
        )
