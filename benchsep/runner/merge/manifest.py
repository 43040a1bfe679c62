"""Makes the manifest of a board from the manifests of its runs.

Conventions
-----------
order     the result does not depend on the order of the runs, and another merge with one of them
          changes nothing: sets are united; of different texts that do not affect values, the first
          in alphabetical order is taken
requests  fields of the request that are equal in all runs are kept; a field that differs is left
          out, if it is not a conflict
runs      ``merged`` has the command, request, code, packages and platform of each run, by the
          digest of its manifest
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchsep._util.digest import canonical, digest
from benchsep.runner.formats import FORMAT
from benchsep.runner.info import info_to_json
from benchsep.runner.merge.inputs import MERGED
from benchsep.stems.sets import in_order

if TYPE_CHECKING:
    from benchsep.runner.merge.inputs import Input
    from benchsep.runner.record import Record

KEPT = ("command", "suite", "code", "packages", "platform")
"""Sections of a run's manifest that ``merged`` keeps."""


def merge_manifests(inputs: Sequence[Input], records: Sequence[Record]) -> dict[str, Any]:
    """The manifest of a board; the inputs must have no conflict.

    ``records``: the records of the board.
    """
    manifests = [each.manifest for each in inputs]
    labels = {record.system.label for record in records}
    return {
        "format": FORMAT,
        "suite": _suite([m.get("suite", {}) for m in manifests]),
        "dataset": _dataset([m.get("dataset", {}) for m in manifests], records),
        "systems": _systems(inputs),
        "labels": _labels(manifests, labels),
        "metrics": _metrics([m.get("metrics", {}) for m in manifests]),
        "mixtures": _mixtures(records),
        "code": _code([m.get("code", {}) for m in manifests]),
        "packages": _texts([m.get("packages", {}) for m in manifests]),
        "platform": _texts([m.get("platform", {}) for m in manifests]),
        MERGED: _sources(manifests),
        "finished": True,
    }


def _sources(manifests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for manifest in manifests:
        if MERGED in manifest:
            found |= manifest[MERGED]
        else:
            kept = {key: manifest[key] for key in KEPT if key in manifest}
            found[digest(dict(manifest))] = kept
    return found


def _first(values: Iterable[Any]) -> Any:
    """One of the values, independent of their order."""
    return min(values, key=canonical)


def _all_the_same(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _united(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The union of all lists, sorted; equal lists keep their order."""
    if _all_the_same([list(each) for each in lists]):
        return list(lists[0])
    return sorted({member for each in lists for member in each})


# -- sections -----------------------------------------------------------------------------------


def _suite(suites: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shared = set(suites[0]).intersection(*suites)
    merged = {k: suites[0][k] for k in shared if _all_the_same([s[k] for s in suites])}
    for name in ("systems", "metrics"):
        merged[name] = _united([suite.get(name, ()) for suite in suites])
    stems = [suite["stems"] for suite in suites if suite.get("stems")]
    if stems:
        merged["stems"] = list(in_order({stem for each in stems for stem in each}))
    named = sorted({suite["stem_set"] for suite in suites if suite.get("stem_set")})
    merged["stem_set"] = named[0] if named else None
    merged["all_stems"] = any(suite.get("all_stems") for suite in suites)
    draws = [suite["draws"] for suite in suites if "draws" in suite]
    return merged | ({"draws": max(draws)} if draws else {})


def _dataset(datasets: Sequence[Mapping[str, Any]], records: Sequence[Record]) -> dict[str, Any]:
    merged = dict(_first(datasets))
    merged["notes"] = _united([dataset.get("notes", ()) for dataset in datasets])
    shown = sorted({record.track.name for record in records})
    merged["tracks"] = _united([dataset.get("tracks", shown) for dataset in datasets])
    return merged


def _systems(inputs: Sequence[Input]) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in inputs:
        for label, info in each.systems.items():
            entry = each.manifest["systems"][label]
            found.setdefault(label, []).append({**entry, "info": info_to_json(info)})
    return {label: _with_all_remarks(entries) for label, entries in found.items()}


def _with_all_remarks(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first entry of a system, with the remarks of all."""
    first: dict[str, Any] = _first(entries)
    remarks = [entry["info"]["remark"] for entry in entries if entry["info"].get("remark")]
    if not remarks:
        return first
    joined = "; ".join(_united([remark.split("; ") for remark in remarks]))
    return {**first, "info": {**first["info"], "remark": joined}}


def _labels(manifests: Iterable[Mapping[str, Any]], shown: set[str]) -> dict[str, str]:
    """Specs of all systems with results, including those of earlier requests."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        specs = {label: entry.get("spec") for label, entry in manifest.get("systems", {}).items()}
        for label, spec in (manifest.get("labels", {}) | specs).items():
            if label in shown and isinstance(spec, str):
                found.setdefault(label, set()).add(spec)
    return {label: min(specs) for label, specs in found.items()}


def _metrics(sections: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """If a metric is not installed on one machine, the descriptions of the others are used."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for section in sections:
        for name, entry in section.items():
            found.setdefault(name, []).append(entry)
    return {
        name: _first([e for e in entries if not e.get("unavailable")] or entries)
        for name, entries in found.items()
    }


def _mixtures(records: Iterable[Record]) -> dict[str, str]:
    tracks = [record.track for record in records]
    return {track.name: track.mixture_sha256 for track in tracks if track.mixture_sha256}


def _code(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {state.get("dirty") for state in states}
    dirty = True if True in found else None if None in found else False
    return {**_texts([{"sha": str(state.get("sha", ""))} for state in states]), "dirty": dirty}


def _texts(sections: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The distinct texts of each key, sorted and joined by commas."""
    found: dict[str, set[str]] = {}
    for section in sections:
        for key, text in section.items():
            found.setdefault(key, set()).update(str(text).split(", "))
    return {key: ", ".join(sorted(filter(None, texts))) for key, texts in found.items()}
