"""Checks the types of a manifest's entries before they are used.

A manifest may have been edited by hand and given a new checksum. Readers index, compare and sort
its entries, so an entry of a wrong type is reported here, before it causes an error there. Missing
entries are no fault: manifests of older versions have fewer entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchsep.runner.info import info_from_json

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_object_of_text(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text_or_none, value.values()))


OBJECTS = ("suite", "dataset", "systems", "metrics")
"""Sections that are JSON objects."""

ENTRIES: Mapping[str, tuple[str, Check]] = {
    "packages": ("an object of texts", _is_object_of_text),
    "labels": ("an object of texts", _is_object_of_text),
    "mixtures": ("an object of texts", _is_object_of_text),
    "references": ("an object of texts", _is_object_of_text),
    "suite.dataset": ("a text or null", _is_text_or_none),
    "suite.split": ("a text", _is_text),
    "suite.mixture": ("a text or null", _is_text_or_none),
    "suite.stem_set": ("a text or null", _is_text_or_none),
    "suite.stems": ("a list of names", _is_names),
    "suite.systems": ("a list of names", _is_names),
    "suite.metrics": ("a list of names", _is_names),
    "suite.tracks": ("a list of names", _is_names),
    "suite.seed": ("a whole number", _is_number),
    "suite.draws": ("a whole number", _is_number),
    "suite.all_stems": ("true or false", _is_flag),
    "suite.align": ("true or false", _is_flag),
    "suite.device": ("a text", _is_text),
    "suite.metric_device": ("a text", _is_text),
    "dataset.name": ("a text", _is_text),
    "dataset.edition": ("a text", _is_text),
    "dataset.mixture": ("a text or null", _is_text_or_none),
    "dataset.notes": ("a list of texts", _is_names),
    "dataset.tracks": ("a list of names", _is_names),
}
"""Entry to its expected type, in words and as a check; a dot separates section and key."""


def manifest_problem(manifest: Mapping[str, Any]) -> str:
    """An error text on the entries that readers rely on, or ``""``."""
    for name in OBJECTS:
        if not _is_object(manifest.get(name, {})):
            return _wrong(name, manifest[name], "an object")
    for entry, (expected, fits) in ENTRIES.items():
        section, dot, key = entry.partition(".")
        where = manifest.get(section, {}) if dot else manifest
        key = key if dot else section
        if key in where and not fits(where[key]):
            return _wrong(entry, where[key], expected)
    if "imported" in manifest:  # created with the tables (benchsep.imported.join), never stored
        return _wrong("imported", manifest["imported"], "no such entry")
    for name, metric in manifest.get("metrics", {}).items():
        if not _is_object(metric):
            return _wrong(f"metrics.{name}", metric, "an object")
    return _system_problem(manifest.get("systems", {}))


def _system_problem(systems: Mapping[str, Any]) -> str:
    for label, entry in systems.items():
        if not _is_object(entry):
            return _wrong(f"systems.{label}", entry, "an object")
        if not _is_text(entry.get("spec", "")):
            return _wrong(f"systems.{label}.spec", entry["spec"], "a text")
        if "info" in entry and not _is_info(entry["info"]):
            return f"systems.{label}.info is no description of a system"
    return ""


def _is_info(entry: Any) -> bool:
    try:
        return bool(info_from_json(entry))
    except (TypeError, KeyError, ValueError, AttributeError):
        return False


def _wrong(name: str, value: Any, expected: str) -> str:
    return f"{name} is {_found(value)}, expected {expected}"


def _found(value: Any) -> str:
    """The type in words; for a list or an object also the type of the first member that is not a
    text.
    """
    members = value.values() if isinstance(value, dict) else value
    odd = [m for m in members if not _is_text(m)] if isinstance(value, (dict, list)) else []
    return type(value).__name__ + (f" with {type(odd[0]).__name__}" if odd else "")
