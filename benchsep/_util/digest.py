"""One serialisation of values as text, the hash of it, and file names made of any text.

Content keys, checksums and run folders depend on these three functions: a change of their output
makes every stored result unreadable.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from benchsep.errors import StoreError

MAX_NAME_BYTES = 150
"""Of a file name's readable part; file systems allow 255 bytes for the whole name."""


def canonical(value: Any) -> str:
    """Strict JSON with sorted keys and an indent of one space.

    Raises
    ------
    StoreError
        on NaN or infinity, which JSON does not know, and on text that is not valid Unicode.
    """
    try:
        try:
            text = _written(value)
        except _OtherTypeError:
            text = _by_the_library(value)
        text.encode()  # raises for lone surrogates, which a file name that is not UTF-8 contains
        return text
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"not representable as strict JSON: {error}") from error


def _by_the_library(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


class _OtherTypeError(Exception):
    """A tree holds more than the plain types of JSON."""


def _written(value: Any, line: str = "\n") -> str:
    """As :func:`_by_the_library`, which with an indent takes twice as long.

    ``line``: the end of a line and the indent of this value.

    Raises
    ------
    _OtherTypeError
        something in it is of another type, or of one made of the plain ones.
    """
    kind, inner = type(value), line + " "
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        if not all(type(key) is str for key in value):
            raise _OtherTypeError
        lines = [f"{encode_basestring(k)}: {_written(value[k], inner)}" for k in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(lines)}{line}}}" if lines else "{}"
    if kind is list or kind is tuple:
        lines = [_written(each, inner) for each in value]
        return f"[{inner}{f',{inner}'.join(lines)}{line}]" if lines else "[]"
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    if value is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[value]
    raise _OtherTypeError


def digest(*parts: Any) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of ``parts`` in canonical JSON.

    Raises
    ------
    StoreError
        as :func:`canonical` does.
    """
    return hashlib.sha256(canonical(list(parts)).encode()).hexdigest()[:32]


@lru_cache(maxsize=65536)
def file_name(name: str) -> str:
    """A file name that is valid on every file system and distinct for distinct names.

    Letters of any script, digits, space and ``.-_()&'@+`` are kept, so that a person can read
    the folder. A short hash is appended unless the name is plain lower case already, because two
    names may differ only in case or in the characters that were replaced.
    """
    readable = re.sub(r"[^\w .()&'@+-]", "_", name).strip(" .")
    readable = readable.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    plain = unicodedata.normalize("NFC", name.casefold())
    if readable and readable == name == plain and not name.startswith("."):
        return readable
    suffix = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{readable or 'unnamed'}~{suffix}"
