"""The list of shards and the number of clips in each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchsep._util.strict_json import parse_json
from tokensep.errors import DataError
from tokensep.train.pseudo_labels.reading import shards_in
from tokensep.train.shard_index import INDEX
from tokensep.train.stream import remote
from tokensep.train.stream.archive import Archive


@dataclass(frozen=True)
class Shards:
    """Files in a fixed order, and the number of clips in each."""

    paths: list[Path | str]
    counts: list[int]

    @property
    def clips(self) -> int:
        """Number of clips of all shards together."""
        return sum(self.counts)


def find_shards(folders: Iterable[Path | str]) -> Shards:
    """The shards of the folders, or of addresses of folders.

    The number of clips is read from the JSON file beside a shard (``shard-000000.json``); without
    that file the members are counted. For a remote folder, its index lists the shards and their
    clips.

    Raises
    ------
    DataError
        A folder holds no shard, or the shards hold no clips.
    """
    paths: list[Path | str] = []
    counts: list[int] = []
    for folder in folders:
        if isinstance(folder, str):
            names = _index(folder)
            paths += [remote.address_of(folder, name) for name in names]
            counts += names.values()
            continue
        found = shards_in(folder)
        if not found:
            raise DataError(
                f"{folder}: found no shards (*.tar), expected a folder that tokensep wrote"
            )
        paths += found
        counts += [_count(path) for path in found]
    shards = Shards(paths, counts)
    if not shards.clips:
        raise DataError(
            f"found {len(paths)} shards without any clip, because every piece was left out"
        )
    return shards


def _index(folder: str) -> dict[str, int]:
    """Names of the shards of a remote folder, with their numbers of clips."""
    text = remote.read_text(folder, INDEX)
    try:
        counts = {name: _number(facts) for name, facts in parse_json(text)["shards"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder}: its {INDEX} was not written by tokensep ({error!r})") from error
    for name in counts:
        if not remote.NAME.fullmatch(name):
            raise DataError(
                f"{folder}: its {INDEX} names {name!r}, which is not the name of a shard"
            )
    return dict(sorted(counts.items()))


def _number(facts: dict[str, Any]) -> int:
    """Number of clips of a shard, from the JSON file beside it."""
    clips = facts["clips"]
    if type(clips) is not int or clips < 0:
        raise ValueError(f"clips is {clips!r:.40}, expected a number")
    return clips


def _count(path: Path) -> int:
    try:
        return _number(parse_json(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        archive = Archive(path)
        archive.close()
        return len(archive.keys)


def spread(shards: Shards, limit: int) -> list[tuple[int, int]]:
    """Shard and clip of at most ``limit`` clips, evenly spaced over all."""
    numbers = np.unique(np.linspace(0, shards.clips - 1, min(limit, shards.clips)).astype(int))
    ends = np.cumsum(shards.counts)
    found = np.searchsorted(ends, numbers, side="right")
    starts = ends - np.asarray(shards.counts)
    return [(int(s), int(n - starts[s])) for s, n in zip(found, numbers, strict=True)]
