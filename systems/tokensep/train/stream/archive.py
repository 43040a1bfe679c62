"""Read a tar shard by position: any member of any clip, without reading the data before it."""

from __future__ import annotations

import io
import os
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokensep.errors import DataError
from tokensep.train.pseudo_labels.reading import split_name
from tokensep.train.stream.remote import ShardCache, shard_cache


class Archive:
    """An open shard. Its table of members is read once (one header of 512 bytes for each).

    Reads do not move a shared file position (``pread``), so workers that were forked may share it.

    Raises
    ------
    DataError
        the file is not a complete tar file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, dict[str, tuple[int, int]]] = {}
        """Of each clip, by part: where it starts and how many bytes it has."""
        try:
            with tarfile.open(path, "r:") as tar:
                for entry in tar:
                    if entry.issparse():  # its size is claimed, and not that of what it holds
                        raise ValueError(f"{entry.name} is a sparse file")
                    if entry.isreg():
                        key, part = split_name(entry.name)
                        place = (entry.offset_data, entry.size)
                        self._members.setdefault(key, {})[part] = place
            self._file = os.open(path, os.O_RDONLY)
        except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
            raise self.damaged(error) from error
        self.keys = list(self._members)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def parts(self, clip: int) -> set[str]:
        """Names of the members of a clip, e.g. ``mixture.flac``."""
        return set(self._members[self.keys[clip]])

    def read(self, clip: int, part: str) -> bytes:
        """The whole content of a member."""
        start, size = self._place(clip, part)
        data = os.pread(self._file, size, start)
        if len(data) < size:
            raise self.damaged(f"{self.keys[clip]}.{part} ends after {len(data)} of {size} bytes")
        return data

    def flac(self, clip: int, part: str) -> Recording:
        """A member that holds FLAC."""
        start, size = self._place(clip, part)
        name = f"{self.keys[clip]}.{part}"
        return Recording(
            _Part(self._file, start, size), lambda reason: self.damaged(f"{name}: {reason}")
        )

    def length(self, clip: int, parts: Sequence[str]) -> int:
        """Samples of each of the FLAC members ``parts`` of a clip.

        Raises
        ------
        DataError
            They are not equally long.
        """
        lengths = {part: self.flac(clip, part).frames for part in parts}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{part} {frames}" for part, frames in lengths.items())
            raise self.damaged(f"{self.keys[clip]}: members of different lengths ({found} samples)")
        return lengths[parts[0]]

    def _place(self, clip: int, part: str) -> tuple[int, int]:
        if clip >= len(self.keys):  # the file beside it, or the index, counts more
            raise self.damaged(f"{len(self.keys)} clips in it, expected at least {clip + 1}")
        members = self._members[self.keys[clip]]
        if part not in members:
            raise self.damaged(f"{self.keys[clip]} has no {part}, only {', '.join(members)}")
        return members[part]

    def damaged(self, reason: object) -> DataError:
        """The error that states what is wrong with this file."""
        return DataError(
            f"{self.path} is not a complete shard ({reason}); delete it, and repeat the command "
            "that made it"
        )


class Recording:
    """FLAC data, decoded in parts; ``damaged`` makes the error for an incomplete file.

    Raises
    ------
    DataError
        It cannot be decoded.
    """

    def __init__(self, file: io.RawIOBase, damaged: Callable[[object], DataError]) -> None:
        import soundfile

        self._damaged = damaged
        try:
            self._file = soundfile.SoundFile(io.BufferedReader(file, 1 << 16))
        except RuntimeError as error:
            raise damaged(error) from error
        self.frames: int = self._file.frames
        self.rate: int = self._file.samplerate

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """``count`` samples from ``start`` on, ``[channels, samples]``."""
        try:
            self._file.seek(start)
            samples: NDArray[np.float32] = self._file.read(count, dtype="float32", always_2d=True)
        except (RuntimeError, MemoryError) as error:
            raise self._damaged(error) from error
        if len(samples) < min(count, self.frames - start):
            raise self._damaged(f"{len(samples)} of {count} samples from {start} on")
        return samples.T


class _Part(io.RawIOBase):
    """A part of an open file, presented as a separate file."""

    def __init__(self, file: int, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        data = os.pread(self._file, count, self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Archives:
    """The shards of a training by number; the last ``limit`` of them stay open.

    Remote shards are fetched (:mod:`tokensep.train.stream.remote`).
    """

    def __init__(self, paths: Sequence[Path | str], limit: int) -> None:
        self.paths, self.limit = paths, limit
        # processes of one machine are a little apart in the stream
        self._cache = ShardCache(shard_cache(), 2 * limit)
        self._open: OrderedDict[int, Archive] = OrderedDict()

    def __getitem__(self, shard: int) -> Archive:
        if shard not in self._open:
            while len(self._open) >= self.limit:
                self._open.popitem(last=False)[1].close()
            self._open[shard] = self._opened(self.paths[shard])
        self._open.move_to_end(shard)
        return self._open[shard]

    def _opened(self, path: Path | str) -> Archive:
        if isinstance(path, Path):
            return Archive(path)
        local = self._cache.local(path)
        try:
            return Archive(local)
        except DataError:
            if local.exists():
                raise
            return Archive(self._cache.local(path))  # another process made room in between
