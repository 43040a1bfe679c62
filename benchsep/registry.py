"""A lazy registry over entry points.

A name resolves to an entry point of one of the groups ``benchsep.systems``,
``benchsep.datasets``, ``benchsep.metrics`` and ``benchsep.trainers``; benchsep's own entries are
registered in the same way as those of other packages. A plugin is imported only when its name is
resolved. A plugin that cannot be imported is an error for its own name only. The error for an
unknown name suggests a similar one.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError

GROUPS = {
    "system": "benchsep.systems",
    "dataset": "benchsep.datasets",
    "metric": "benchsep.metrics",
    "trainer": "benchsep.trainers",
}

_local: dict[str, dict[str, Any]] = {kind: {} for kind in GROUPS}


def register(kind: str, name: str, target: Any) -> None:
    """Register an object in this process, for tests and notebooks; entry points need no call."""
    if name in _local[kind] or name in _entry_points(kind):
        raise UsageError(
            f"a {kind} with the name {name!r} is registered already; choose another name"
        )
    _local[kind][name] = target


def unregister(kind: str, name: str) -> None:
    _local[kind].pop(name, None)


def is_local(kind: str, name: str) -> bool:
    """Whether the name was registered in this process only: other processes do not know it."""
    return name in _local[kind]


def local(kind: str, name: str) -> Any:
    """What is registered under the name in this process only, else ``None``.

    A cache of loaded objects compares it (``is``), because the name may be registered anew.
    """
    return _local[kind].get(name)


def names(kind: str) -> list[str]:
    """Every registered name of a kind, sorted; imports nothing."""
    return sorted({*_entry_points(kind), *_local[kind]})


def resolve(kind: str, name: str) -> Any:
    """The registered object.

    Raises
    ------
    UsageError
        if the name is unknown (with a suggestion) or its plugin cannot be imported.
    """
    if name in _local[kind]:
        return _local[kind][name]
    points = _entry_points(kind)
    if name not in points:
        raise UsageError(f"unknown {kind} {name!r}{_as_folder(kind, name)}")
    point = points[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{kind} {name!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _as_folder(kind: str, name: str) -> str:
    """If the name is a folder, how to write it with its prefix; else a similar name."""
    prefix = {"system": "dir", "dataset": "folder"}.get(kind)
    if prefix and Path(name).is_dir():
        return f"; it is a folder: write '{prefix}:{name}'"
    return did_you_mean(name, names(kind))


def is_ours(kind: str, name: str) -> bool:
    """Whether benchsep itself ships that name, rather than another package or this process."""
    point = _entry_points(kind).get(name)
    return point is not None and point.value.startswith("benchsep.")


def installed(kind: str) -> tuple[EntryPoint, ...]:
    """The entry points of a kind in all installed packages."""
    # A search reads the metadata of every package, so its result is cached. An installation changes
    # the time of a folder on the path, and so the key of the cache.
    return _searched(GROUPS[kind], tuple((folder, _changed(folder)) for folder in sys.path))


@lru_cache(maxsize=64)
def _searched(group: str, path: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _changed(folder: str) -> int:
    """Modification time of a folder in ns; 0 if it does not exist."""
    try:
        return Path(folder).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def _entry_points(kind: str) -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in installed(kind):
        if point.name in points and points[point.name].value != point.value:
            raise UsageError(
                f"two packages register the {kind} {point.name!r}: "
                f"{points[point.name].value} and {point.value}; remove one"
            )
        points[point.name] = point
    return points
