"""Canonical JSON, hashes of it, and safe file names for any text.

Content keys, checksums and run folders depend on these three functions: if their output changes,
all stored results become unreadable.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from functools import lru_cache
from typing import Any

from benchsep.errors import StoreError

MAX_NAME_BYTES = 150
"""Most bytes of a file name's readable part; file systems allow 255 bytes for the whole name."""


def canonical(value: Any) -> str:
    """Strict JSON with sorted keys and an indent of one space.

    Raises
    ------
    StoreError
        a number is NaN or infinite (not allowed in JSON), or a text is not valid Unicode.
    """
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
        text.encode()  # raises for lone surrogates, which a file name that is not UTF-8 contains
        return text
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"not representable as strict JSON: {error}") from error


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
    the folder. A short hash is appended unless the name is plain lower case, because two names may
    differ only in case or in replaced characters.
    """
    readable = re.sub(r"[^\w .()&'@+-]", "_", name).strip(" .")
    readable = readable.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    plain = unicodedata.normalize("NFC", name.casefold())
    if readable and readable == name == plain and not name.startswith("."):
        return readable
    suffix = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{readable or 'unnamed'}~{suffix}"
