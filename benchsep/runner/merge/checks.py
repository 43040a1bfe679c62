"""Checks whether runs can be merged: compares their requests, data, systems and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from benchsep._util.digest import canonical
from benchsep.metrics.catalog import traits_of_columns
from benchsep.metrics.ranges import out_of_range
from benchsep.runner.info import info_to_json
from benchsep.runner.manifest import stem_set_of
from benchsep.runner.merge.conflict import Conflict, Kind, disagreement
from benchsep.runner.merge.records import ROUNDING, cell_name, valued
from benchsep.stems.sets import set_name

if TYPE_CHECKING:
    from benchsep.metrics.metric import ValueTraits
    from benchsep.runner.merge.inputs import Input
    from benchsep.runner.record import Cell, Record

Said = dict[str, list[tuple[str, str]]]
"""Subject to the statements of the runs, each with the run's name."""


def conflicts_between(inputs: Sequence[Input]) -> list[Conflict]:
    """All conflicts except those of single cells (:mod:`benchsep.runner.merge.records`)."""
    return [
        *(problem for each in inputs for problem in each.problems),
        *_requests(inputs),
        *_data(inputs),
        *_systems(inputs),
        *_of_files(inputs),
        *_metrics(inputs),
        *(conflict for each in inputs for conflict in _impossible(each)),
    ]


def _listed(kind: Kind, said: Said) -> list[Conflict]:
    return [conflict for what in said for conflict in disagreement(kind, what, said[what])]


# -- request and data ---------------------------------------------------------------------------


def _requests(inputs: Sequence[Input]) -> list[Conflict]:
    """Conflicts of editions, stem sets and other settings that must be equal in one table."""
    sets = [(each.name, set_name(sorted_set(each))) for each in inputs]
    said: Said = {"data set": [], "mixture": [], "split": [], "align": []}
    for each in inputs:
        suite, dataset = each.manifest.get("suite", {}), each.manifest.get("dataset", {})
        said["data set"].append((each.name, str(dataset.get("name", ""))))
        said["mixture"].append((each.name, str(dataset.get("mixture", ""))))
        said["split"].append((each.name, str(suite.get("split", ""))))
        said["align"].append((each.name, str(suite.get("align", False))))
    return [
        *disagreement("edition", "data", _editions(inputs)),
        *disagreement("stem set", "stems", sets),
        *_listed("request", said),
    ]


def sorted_set(each: Input) -> list[str]:
    """The stems of the run's set, sorted, because another order is not a conflict."""
    return sorted(stem_set_of(each.manifest))


def _editions(inputs: Sequence[Input]) -> Iterator[tuple[str, str]]:
    for each in inputs:
        own = each.manifest.get("dataset", {}).get("edition")
        for edition in dict.fromkeys([*([own] if own else []), *_editions_of(each.records)]):
            yield each.name, str(edition)


def _editions_of(records: Iterable[Record]) -> list[str]:
    return [record.track.edition for record in records]


def _data(inputs: Sequence[Input]) -> list[Conflict]:
    """Conflicts of songs with the same name: split, length, mixture and true stems must be
    equal.
    """
    said: Said = {}
    for each in inputs:
        for track in (record.track for record in each.records):
            facts = {
                "split": track.split,
                "how the mixture is made": track.mixture_source,
                "mixture": track.mixture_sha256[:16],
                "seconds": "" if track.audio_seconds is None else f"{track.audio_seconds:.6f}",
                **{stem: text[:16] for stem, text in track.reference_sha256.items()},
            }
            for what, text in facts.items():
                if text:  # empty if the song could not be decoded
                    said.setdefault(f"{track.name} / {what}", []).append((each.name, text))
    return _listed("data", said)


# -- systems ------------------------------------------------------------------------------------


def _systems(inputs: Sequence[Input]) -> list[Conflict]:
    """Conflicts of systems with the same label: description and checkpoint must be equal.

    Remarks for readers may differ: a merged run has those of all.
    """
    said: Said = {}
    for each in inputs:
        for label, info in each.systems.items():
            for name, value in info_to_json(info).items():
                if name != "remark":  # of a folder of estimates, it describes the files of one run
                    said.setdefault(f"{label} / {name}", []).append((each.name, _short(value)))
    described = _listed("system", said)
    named = {conflict.subject.rpartition(" / ")[0] for conflict in described}
    facts: Said = {}
    for each in inputs:
        for system in (record.system for record in each.records):
            if system.label not in named:
                texts = {
                    "checkpoint_sha256": system.checkpoint_sha256[:16] or "none",
                    "identity": system.system_id[:16],
                    "family": system.family,
                }
                for name, text in texts.items():
                    facts.setdefault(f"{system.label} / {name}", []).append((each.name, text))
    return [*described, *_listed("system", facts)]


def _short(value: Any) -> str:
    return " ".join(canonical(value).split())


def _of_files(inputs: Sequence[Input]) -> list[Conflict]:
    """Conflicts of systems whose estimates come from files or programs, which only their scores
    identify.

    Two people may both use a folder named ``est``. Rows of two runs are the same system only if
    they have a common song with equal cells.
    """
    places: dict[str, list[tuple[str, set[Any]]]] = {}
    for each in inputs:
        outside = {s for s, info in each.systems.items() if info.from_files or info.from_program}
        for label in sorted(outside):
            own = [record for record in each.records if record.system.label == label]
            cells = {(record.track.name, place) for record in own for place in valued(record)}
            places.setdefault(label, []).append((each.name, cells))
    return [
        Conflict("system", label, _not_known_as_one(runs))
        for label, runs in places.items()
        if len(_linked(runs)) > 1
    ]


def _linked(runs: Sequence[tuple[str, set[Any]]]) -> list[tuple[list[str], set[Any]]]:
    """Groups of runs that are connected by common cells."""
    groups: list[tuple[list[str], set[Any]]] = []
    for name, cells in runs:
        if not cells:
            continue
        near = [group for group in groups if group[1] & cells]
        groups = [group for group in groups if group not in near]
        names = [*(n for group in near for n in group[0]), name]
        groups.append((names, cells.union(*(group[1] for group in near))))
    return groups


def _not_known_as_one(runs: Sequence[tuple[str, set[Any]]]) -> str:
    who = " and ".join(", ".join(names) for names, _ in _linked(runs))
    return (
        f"{who} have no value in common, so it cannot be checked that these files are of one "
        "system; run one under another name (--systems NAME=SPEC), or score one song in both"
    )


# -- metrics ------------------------------------------------------------------------------------


def _metrics(inputs: Sequence[Input]) -> list[Conflict]:
    """Conflicts of metrics: version, settings and packages must be equal."""
    described: Said = {}
    said: Said = {}
    for each in inputs:
        for name, entry in each.manifest.get("metrics", {}).items():
            if not entry.get("unavailable"):
                for what in ("version", "settings"):
                    text = _short(entry.get(what))
                    described.setdefault(f"{name} / {what}", []).append((each.name, text))
        for name, version, identity in sorted(_versions(each.records)):
            text = f"version {version} (settings and packages {identity[:12]})"
            said.setdefault(name, []).append((each.name, text))
    found = _listed("metric", said)
    told = {conflict.subject for conflict in found}
    more = _listed("metric", {k: v for k, v in described.items() if k.split(" / ")[0] not in told})
    return [*found, *more]


def _versions(records: Iterable[Record]) -> set[tuple[str, str, str]]:
    """Metric, version and id of all cells that are not ``unavailable``."""
    return {
        (cell.metric.partition(".")[0], cell.metric_version, cell.metric_id)
        for record in records
        for cell in record.cells
        if cell.status.kind != "unavailable"
    }


# -- single values ------------------------------------------------------------------------------


def _impossible(each: Input) -> Iterator[Conflict]:
    """Values that no run of benchsep writes: out of their range, not those of their windows, or of
    a song without a hash, whose audio cannot be compared.
    """
    columns = {cell.metric for record in each.records for cell in record.cells}
    traits = traits_of_columns(sorted(columns))
    for record in each.records:
        valued = [cell for cell in record.cells if cell.value is not None]
        if valued and not record.track.mixture_sha256:
            subject = f"{record.system.label} / {record.track.name}"
            yield Conflict("data", subject, f"{each.name}: values of a song without a hash")
        for cell in valued:
            if (own := traits.get(cell.metric)) and (said := _wrong(cell, own)):
                text = f"{each.name}: {cell.value!r}, {said}"
                yield Conflict("value", cell_name(record, cell.place), text)


def _wrong(cell: Cell, traits: ValueTraits) -> str:
    """Why a value cannot be one of its metric; empty if it can."""
    assert cell.value is not None
    if said := out_of_range(cell.value, traits):
        return said
    windows = [value for value in cell.frames or () if value is not None]
    if traits.window_s is None or not windows:
        return ""
    of_windows = median(windows) if traits.aggregate == "median" else fmean(windows)
    apart = abs(of_windows - cell.value) > ROUNDING * max(1.0, abs(cell.value))
    return f"the {traits.aggregate} of its windows is {of_windows!r}" if apart else ""
