"""Downloads files by address: once, with resumption after a broken connection, and with checks of
the hash.

Conventions
-----------
address   ``hf://OWNER/REPO/PATH@REVISION`` (a branch, tag or commit; ``main`` if none is given) or
          ``https://HOST/PATH``, each with ``#sha256=HEX`` at its end if the hash is known. Plain
          http is allowed only for loopback addresses
kept      ``<cache>/checkpoints/fetched/<hash of the address>/<file name>``
partial   ``<file name>.partial`` beside it; the download continues (``Range``) if the file on the
          server is unchanged
pin       ``<file name>.pin.json`` beside it: address, sha256, size. Written at the first download;
          if the file is different later, locally or at its address, this is an error
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from hashlib import sha256 as digest_of
from pathlib import Path, PurePosixPath
from shlex import quote
from urllib.parse import unquote, urlsplit

from benchsep._util.atomic import write_atomically
from benchsep._util.cache import cache_folder
from benchsep._util.notify import notify
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import file_sha256
from benchsep.errors import CheckpointError, UsageError
from benchsep_baselines import transfer

HUB = "https://huggingface.co"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Address:
    """A parsed address."""

    text: str
    """The address without the hash."""
    sha256: str = ""
    repository: str = ""
    """``OWNER/REPO`` on the hub; empty for a URL."""
    path: str = ""
    revision: str = ""

    @property
    def url(self) -> str:
        """The https address for a browser or curl."""
        if not self.repository:
            return self.text
        hub = os.environ.get("HF_ENDPOINT") or HUB
        return f"{hub.rstrip('/')}/{self.repository}/resolve/{self.revision}/{self.path}"

    @property
    def file(self) -> Path:
        """The local path of the file."""
        key = digest_of(self.text.encode()).hexdigest()[:16]
        name = PurePosixPath(unquote(self.path or urlsplit(self.text).path)).name
        return cache_folder() / "checkpoints" / "fetched" / key / name

    @property
    def pin(self) -> Path:
        return self.file.with_name(self.file.name + ".pin.json")


def is_address(text: str) -> bool:
    """Whether an option is an address (not a file or a name)."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text))


def parse_address(text: str) -> Address:
    """Parse an address.

    Raises
    ------
    UsageError
        the form is wrong, there is no file name, or the connection is not encrypted.
    """
    base, _, promise = text.partition("#")
    match = re.fullmatch(r"(?:sha256=([0-9a-fA-F]{64}))?", promise)
    if match is None:
        raise UsageError(f"{text}: expected sha256= and 64 hexadecimal digits after #")
    sha = (match[1] or "").lower()
    if base.startswith("hf://"):
        parts = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)/([^@?]+?)(?:@([^@?]+))?", base)
        if parts is None or ".." in parts[2].split("/"):
            raise UsageError(f"{text}: expected hf://OWNER/REPO/FILE@REVISION")
        revision = parts[3] or "main"
        whole = f"hf://{parts[1]}/{parts[2]}@{revision}"
        return Address(whole, sha, parts[1], parts[2], revision)
    url = urlsplit(base)
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
        raise UsageError(f"{text}: expected an address with https:// or hf://")
    if url.username or url.password:
        raise UsageError(
            "an address with a user name or a password is not allowed, because it would be "
            "stored in every manifest"
        )
    if PurePosixPath(unquote(url.path)).name in ("", ".", ".."):
        raise UsageError(f"{text}: expected the address of a file")
    return Address(base, sha)


def fetched(text: str) -> Path:
    """The file of an address, from the cache or from its server.

    Raises
    ------
    UsageError
        a malformed address.
    CheckpointError
        the file cannot be downloaded (the message has a command for it), or it has changed.
    """
    address = parse_address(text)
    if address.file.is_file() and address.pin.is_file():
        _check(address)
        return address.file
    if not address.file.is_file() and os.environ.get("BENCHSEP_OFFLINE"):
        raise CheckpointError(_offline(address, "BENCHSEP_OFFLINE is set"))
    with transfer.alone(address.file):
        if not address.file.is_file():
            _fetch(address)
        _check(address)
    return address.file


def is_kept(text: str) -> bool:
    """Whether the file of an address is on this machine."""
    return parse_address(text).file.is_file()


def command_for(*texts: str) -> str:
    """A command that downloads the files of addresses to their local paths."""
    found = [parse_address(text) for text in texts]
    parts = " ".join(f"-o {quote(str(a.file))} {quote(a.url)}" for a in found)
    return f"curl -L --fail --create-dirs {parts}"


def _fetch(address: Address) -> None:
    notify(f"fetching {address.url}")
    try:
        if address.repository:
            transfer.from_hub(
                address.repository, address.path, address.revision, address.file.parent
            )
            (address.file.parent / address.path).replace(address.file)
        else:
            transfer.over_http(address.url, address.file)
    except transfer.Unreachable as error:
        raise CheckpointError(_offline(address, str(error))) from error


def _offline(address: Address, why: str) -> str:
    return (
        f"{address.text}: the file is not on this machine and cannot be fetched ({why}); on a "
        f"machine with a network, run: {command_for(address.text)}"
    )


def _check(address: Address) -> None:
    """Compare a file with the hash in the address and with the pin; at the first download, write
    the pin.
    """
    try:
        transfer.check_content(address.file, address.url)
    except CheckpointError:
        address.file.unlink()
        raise
    actual = file_sha256(address.file)
    if address.sha256 and actual != address.sha256:
        address.file.unlink()
        raise CheckpointError(
            f"{address.text}: sha256 {actual}, expected {address.sha256}: the address gives "
            "another file than expected, and the download was not kept"
        )
    pinned = _pinned(address)
    if pinned and actual != pinned:
        raise CheckpointError(
            f"{address.text}: the file changed: its sha256 was {pinned} at the first download and "
            f"is {actual} now; if this is intended, delete {address.pin} and run again"
        )
    if not pinned:
        content = {"address": address.text, "sha256": actual, "size": address.file.stat().st_size}
        write_atomically(address.pin, json.dumps(content, indent=1) + "\n")


def _pinned(address: Address) -> str:
    """The hash at the first download; empty if there was none."""
    try:
        return str(parse_json(address.pin.read_text(encoding="utf-8"))["sha256"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{address.pin} is damaged ({error}); delete it and the file beside it"
        ) from error
