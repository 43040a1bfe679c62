"""Downloads published weights over https and checks them by the hash in the file's name."""

from __future__ import annotations

import os
from pathlib import Path

from benchsep._util.notify import notify
from benchsep._util.tensors import file_sha256
from benchsep.errors import CheckpointError
from benchsep_baselines import locate, transfer
from benchsep_baselines.locate import Bag, torch_cache

TLS = "https://"
"""Required start of addresses of weights."""


def fetch_official(bag: Bag) -> list[Path] | None:
    """Download the bag into ``torch.hub``'s cache; None if the server cannot be reached.

    The connection has a timeout of two seconds for machines without a network;
    ``BENCHSEP_OFFLINE=1`` skips it.
    """
    if not online(locate.DEMUCS_ROOT):
        return None
    paths = []
    for file in bag.files:
        path = torch_cache() / Path(file).name
        if not path.is_file():
            try:
                _download(locate.DEMUCS_ROOT + file, path)
            except transfer.Unreachable as error:
                notify(f"{locate.DEMUCS_ROOT}{file}: {error}")
                return None
        paths.append(path)
    return paths


def online(url: str) -> bool:
    """Whether network access is allowed and the server of an address answers within two seconds."""
    return not os.environ.get("BENCHSEP_OFFLINE") and _reachable(url)


def _reachable(url: str, seconds: float = 2.0) -> bool:
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if getproxies().get("https"):
        return True  # only the proxy knows; it refuses quickly
    try:
        with socket.create_connection((urlsplit(url).hostname or "", 443), timeout=seconds):
            return True
    except OSError:
        return False


def _download(url: str, path: Path) -> None:
    """Download to ``path`` and check the hash in its name; only one of several processes downloads.

    Raises
    ------
    CheckpointError
        the address is not https, the name contains no hash, or the content has another hash (a
        proxy's error page, a partial file).
    transfer.Unreachable
        the server cannot be reached or has no such file.
    """
    if not url.startswith(TLS):
        raise CheckpointError(
            f"{url}: expected an address with https; weights are fetched over https only"
        )
    if not _promised_hash(path.stem):
        raise CheckpointError(
            f"{url}: the file name has no hash, so the download cannot be checked"
        )
    with transfer.alone(path):
        if not path.is_file():
            notify(f"fetching {url}")
            transfer.over_http(url, path, lambda partial: check_name_hash(partial, path.stem))


def check_name_hash(path: Path, stem: str) -> None:
    """Check a file named ``<signature>-<hash prefix>``.

    Raises
    ------
    CheckpointError
        the file is corrupt. A name without a hex suffix is not checked.
    """
    prefix = _promised_hash(stem)
    if not prefix:
        return
    actual = file_sha256(path)[: len(prefix)]
    if actual != prefix:
        raise CheckpointError(
            f"{path}: its sha256 begins with {actual}, expected {prefix} as in its name; the file "
            "is corrupt or cut short. Delete it and fetch it again"
        )


def _promised_hash(stem: str) -> str:
    prefix = stem.rpartition("-")[2]
    hexadecimal = len(prefix) == 8 and not set(prefix) - set("0123456789abcdef")
    return prefix if "-" in stem and hexadecimal else ""
