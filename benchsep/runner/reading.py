"""Reads and checks one file of a run folder; never changes a file.

Conventions
-----------
checksum   :func:`benchsep._util.digest.digest` of the rest of the file
damaged    a file of a known format (:mod:`benchsep.runner.formats`) with a wrong checksum or
           invalid content: :class:`DamagedRecordError`
foreign    a file of any other format version: :class:`FormatError`
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from benchsep._util.digest import digest
from benchsep._util.strict_json import parse_json
from benchsep.errors import FormatError, StoreError
from benchsep.runner.formats import READ, as_now, format_of
from benchsep.runner.record import Record
from benchsep.runner.sheet import Sheet

Read = TypeVar("Read", Record, Sheet)
"""A record in one of its two forms."""
Reader = Callable[[str | Path], Read | None]
"""Reads the file at a path like :func:`read_record`, with the same errors. Paths may be texts,
because creating a ``Path`` takes longer than opening the file."""


class DamagedRecordError(Exception):
    """A damaged record of this format; the text gives the reason."""


def read_record(path: str | Path) -> Record | None:
    """The record at ``path``; ``None`` if there is no file.

    Raises
    ------
    DamagedRecordError
        the checksum is wrong, or the content is not a record of this format.
    FormatError
        the file is of another format; the text names it.
    StoreError
        the file cannot be opened.
    """
    return _read(path, Record.from_json)


def read_sheet(path: str | Path) -> Sheet | None:
    """The record at ``path`` as a sheet; as :func:`read_record`."""
    return _read(path, Sheet.from_json)


class Sheets:
    """Reads sheets without frames and keys, with a cache that is valid while the file is unchanged.

    A file is unchanged if its inode, size and both times are. A replaced record has another inode,
    and an edit changes the ctime, which programs cannot set.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Sheet]] = {}

    def __call__(self, path: str | Path) -> Sheet | None:
        """The sheet at a path; as :func:`read_record`."""
        try:
            stat = os.stat(path)  # noqa: PTH116 -- a text
        except OSError:
            return _read(path, _light_sheet)
        identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = self._known.get(str(path))
        if known is not None and known[0] == identity:
            return known[1]
        sheet = _read(path, _light_sheet)
        if sheet is not None:
            self._known[str(path)] = (identity, sheet)
        return sheet


def _light_sheet(content: Mapping[str, Any]) -> Sheet:
    return Sheet.from_json(content, whole=False)


def _read(path: str | Path, from_json: Callable[[Mapping[str, Any]], Read]) -> Read | None:
    try:
        with FileIO(path) as file:  # read in one call, so no buffer is needed
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error})") from error
    try:
        content = parse_json(data)
        version = format_of(content)
        # The checksums of another version are unknown here.
        sound = version not in READ or _checksum_holds(data, content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreError) as error:
        raise DamagedRecordError("damaged (its checksum is wrong)") from error
    if version not in READ:
        raise FormatError(f"format {shown(version)}")
    if not sound:
        raise DamagedRecordError("damaged or edited by hand (its checksum is wrong)")
    try:
        return from_json(as_now(content))
    except (ValueError, OverflowError) as error:  # an integer beyond the range of float
        raise DamagedRecordError(f"not a record of format {version}") from error


def shown(value: Any) -> str:
    """A value of a file as text for a message."""
    return repr(value)[:40]


_BEFORE_CHECKSUM = b'\n "checksum": "'
_CHECKSUM = re.compile(rb'([0-9a-f]{32})",')


def _checksum_holds(data: bytes, content: dict[str, Any]) -> bool:
    """Whether ``digest`` of the content without its checksum is the checksum.

    The file is canonical JSON. To serialise it again would take half of the loading time of a large
    run, so the canonical form of ``[body]`` is made from the text: without the line of the
    checksum, and one level deeper. A reformatted file does not match and is serialised.
    """
    start = data.find(_BEFORE_CHECKSUM)
    found = _CHECKSUM.match(data, start + len(_BEFORE_CHECKSUM)) if start >= 0 else None
    # An escaped character may be half of a surrogate pair, which canonical JSON does not allow.
    is_plain = b"\\" not in data or b"\\u" not in data  # a search for one byte is faster
    if found and data.find(_BEFORE_CHECKSUM, found.end()) < 0 and is_plain:
        nested = hashlib.sha256(b"[\n ")
        nested.update(data[:start].replace(b"\n", b"\n "))
        nested.update(data[found.end() :].rstrip(b"\n").replace(b"\n", b"\n "))
        nested.update(b"\n]")
        if nested.hexdigest()[:32] == found[1].decode():
            return bool(content["checksum"] == found[1].decode())
    body_content = {key: value for key, value in content.items() if key != "checksum"}
    return bool(content["checksum"] == digest(body_content))
