"""Downloads a file: over https with resumption, or from the Hugging Face hub.

Conventions
-----------
partial   bytes so far; ``.partial.json`` beside it holds the server's mark of the file (``ETag`` or
          ``Last-Modified``). With it a download continues, unless the file on the server has
          changed
page      HTML of a proxy, a login or an error instead of the file; never kept
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from benchsep._util.strict_json import parse_json
from benchsep.errors import CheckpointError

TRIES = 3
WAIT_S = 3600.0
"""Longest wait in seconds for another process that downloads the same file."""
TIMEOUT_S = 30.0
BLOCK = 1 << 20


class Unreachable(Exception):
    """The server or file cannot be reached, or the connection breaks repeatedly."""


class _SafeRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise CheckpointError(f"{req.full_url}: is redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Lock so that one process downloads a file and others wait for it.

    Raises
    ------
    CheckpointError
        the wait took more than an hour.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=WAIT_S):
            yield
    except Timeout as error:
        raise CheckpointError(
            f"{path}: another process has been fetching it for too long; end that process, then "
            "run again"
        ) from error


def over_http(url: str, path: Path, check: Callable[[Path], None] = lambda path: None) -> None:
    """Download ``url`` to ``path`` atomically.

    ``check`` is called with the complete file before it is renamed, and raises if it is wrong.

    Raises
    ------
    Unreachable
        after three attempts; the partial file is kept, and the next call continues.
    CheckpointError
        the server sent a web page instead of the file.
    """
    partial = path.with_name(path.name + ".partial")
    mark = partial.with_name(partial.name + ".json")
    problem = ""
    for _ in range(TRIES):
        try:
            total = _receive(url, partial, mark)
        except HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # the partial file is no part of what is there now
                partial.unlink(missing_ok=True)
            elif error.code < 500:
                break
            continue
        except (OSError, HTTPException) as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            continue
        size = partial.stat().st_size
        if total is None or size == total:
            mark.unlink(missing_ok=True)
            _settle(partial, path, url, check)
            return
        if size > total:
            partial.unlink()
        problem = f"the connection was cut at {size:,} of {total:,} bytes; run again to continue"
    raise Unreachable(problem)


def _settle(partial: Path, path: Path, url: str, check: Callable[[Path], None]) -> None:
    """Check the complete file and rename it."""
    try:
        check_content(partial, url, path.suffix)
        check(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _receive(url: str, partial: Path, mark: Path) -> int | None:
    """One connection, continuing at the end of the partial file; returns the total size if
    known.
    """
    have, known = partial.stat().st_size if partial.exists() else 0, _mark(mark)
    headers = {"User-Agent": "benchsep", "Accept-Encoding": "identity"}
    if have and known:
        headers |= {"Range": f"bytes={have}-", "If-Range": known}
    with open_url(Request(url, headers=headers)) as r:
        goes_on = r.status == 206 and r.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if "html" in r.headers.get("Content-Type", ""):
            raise CheckpointError(_page(url, r.read(200)))
        mark.write_text(json.dumps(r.headers.get("ETag") or r.headers.get("Last-Modified") or ""))
        length = r.headers.get("Content-Length")
        with partial.open("ab" if goes_on else "wb") as handle:
            while block := r.read(BLOCK):
                handle.write(block)
    return None if length is None else int(length) + (have if goes_on else 0)


def open_url(request: Request) -> Any:
    """The server's reply; redirects stay on https."""
    return build_opener(_SafeRedirects).open(request, timeout=TIMEOUT_S)


def _mark(path: Path) -> str:
    """The server's mark of the partial file; a weak one identifies no bytes."""
    with suppress(OSError, ValueError):
        text = parse_json(path.read_text())
        return "" if not isinstance(text, str) or text.startswith("W/") else text
    return ""


def check_content(path: Path, url: str, suffix: str = "") -> None:
    """Raise a :class:`CheckpointError` if a file is obviously of another type."""
    with path.open("rb") as handle:
        start = handle.read(200)
    kind = suffix or path.suffix
    if start.lstrip()[:1] == b"<":
        wrong = _page(url, start)
    elif kind in (".ckpt", ".pt", ".pth", ".th", ".chpt", ".bin") and start[:1] not in (
        b"P",
        b"\x80",
    ):
        wrong = f"{url}: begins with {start[:30]!r}, expected a checkpoint of torch"
    elif kind == ".safetensors" and start[8:9] != b"{":
        wrong = f"{url}: begins with {start[:30]!r}, expected a safetensors file"
    else:
        return
    raise CheckpointError(wrong)


def _page(url: str, start: bytes) -> str:
    text = " ".join(start.decode("utf-8", "replace").split())[:80]
    return (
        f"{url}: found a page instead of the file ({text!r}), such as the answer of a proxy, a "
        "login or an error; open the address in a browser to see it"
    )


def from_hub(repository: str, path: str, revision: str, folder: Path) -> None:
    """Download ``path`` of a repository into ``folder`` with the hub's own client.

    Raises
    ------
    Unreachable
        no route, no such file, or no permission.
    """
    import os

    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        hf_hub_download(
            repository,
            path,
            revision=revision,
            local_dir=folder,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
            library_name="benchsep",
        )
    except GatedRepoError as error:
        raise Unreachable(
            f"{repository} needs an accepted licence and a login: hf auth login"
        ) from error
    except HfHubHTTPError as error:
        raise Unreachable(_first_line(error)) from error
    except Exception as error:  # the client raises many types of errors
        raise Unreachable(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
