"""Remote shards: WebDataset opens them, and a cache folder of limited size holds the last ones.

Conventions
-----------
address   of a folder of shards, as WebDataset's ``gopen`` takes it: ``https://host/tokens``,
          ``gs://bucket/tokens``, ``hf://…``, or ``pipe:COMMAND`` whose output is the file. The
          file name replaces ``{}``, or is appended to the address after a slash:
          ``pipe:aws s3 cp s3://bucket/tokens/{} -``
index     ``index.json`` of the folder names its shards and counts their clips, so that no remote
          folder need be listed

A shard is fetched completely, once for each machine, when its first clip is needed. A stream reads
one window of shards at a time, so the cache holds few; each new shard replaces the oldest.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from benchsep._util.atomic import replacing
from benchsep._util.cache import cache_folder
from benchsep.errors import StoreError
from tokensep.errors import DataError, Unavailable

NAME = re.compile(r"[\w-][\w.-]*\.tar")
"""Allowed names of shards: a name becomes part of an address or of a command."""


def is_remote(place: Path | str) -> bool:
    """Whether ``place`` is an address, not a path."""
    return isinstance(place, str) and re.match(r"[a-z0-9]+:", place) is not None


def place(text: str) -> Path | str:
    """A folder or an address, from the command line."""
    return text if is_remote(text) else Path(text)


def address_of(folder: str, name: str) -> str:
    """The address of a file of a folder."""
    return folder.replace("{}", name) if "{}" in folder else f"{folder.rstrip('/')}/{name}"


def shard_cache() -> Path:
    """The cache folder of shards: below ``BENCHSEP_CACHE``, else below the user's cache."""
    return cache_folder() / "shards"


def fetch(address: str, target: Path) -> None:
    """Copy the file at ``address`` to ``target``, completely or not at all.

    Raises
    ------
    DataError
        It cannot be fetched, or cannot be written to ``target``.
    """
    try:
        from webdataset.gopen import gopen
    except ImportError as error:
        raise Unavailable(
            f"{address}: fetching shards needs webdataset: pip install 'benchsep[train]'"
        ) from error
    try:
        with replacing(target) as partial, partial.open("wb") as file:
            source = gopen(address)
            try:
                shutil.copyfileobj(source, file, 1 << 20)
            finally:
                source.close()  # a command that failed is an error here
    except (OSError, StoreError, ValueError) as error:
        raise DataError(f"{address} cannot be fetched ({error})") from error


def read_text(folder: str, name: str) -> str:
    """The content of a small file of a remote folder; it is fetched each time.

    Raises
    ------
    DataError
        It cannot be fetched, or is not text.
    """
    address = address_of(folder, name)
    target = _target(shard_cache(), address, f"-{os.getpid()}.json")
    fetch(address, target)
    try:
        return target.read_text(encoding="utf-8")
    except ValueError as error:
        raise DataError(f"{address} is not a text file ({error})") from error
    finally:
        target.unlink(missing_ok=True)


class ShardCache:
    """A folder of at most ``limit`` fetched shards; several processes may share it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def local(self, address: str) -> Path:
        """The local file of a shard; it is fetched if absent.

        Raises
        ------
        DataError
            It cannot be fetched.
        """
        target = _target(self.folder, address, ".tar")
        if target.exists():
            target.touch()  # the oldest in use is the first to go
        else:
            self._make_room()
            fetch(address, target)
        return target

    def _make_room(self) -> None:
        """Remove the oldest shards. A process that has one open can still read it."""
        times = {}
        for path in self.folder.glob("*.tar"):
            try:
                times[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # another process was faster
                continue
        for path in sorted(times, key=times.__getitem__)[: max(0, len(times) - self.limit + 1)]:
            path.unlink(missing_ok=True)


def _target(folder: Path, address: str, suffix: str) -> Path:
    return folder / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}{suffix}"
