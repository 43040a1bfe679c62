"""Reads, writes and checks safetensors files, and loads them into models; errors name the file."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from benchsep._util.atomic import replacing, sweep
from benchsep.errors import CheckpointError

LARGEST_HEADER = 4_000_000
"""Most bytes of a safetensors header, about 40,000 tensors. Models with billions of weights have a
few thousand."""


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def combined_sha256(paths: list[Path]) -> str:
    """Hash of one file; for several files (weights in parts, with configuration), a hash of their
    hashes in order.
    """
    hashes = [file_sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


WEIGHTS = (".safetensors", ".bin", ".pt", ".json")
"""Ends of the names of weights and configurations in a folder of ``transformers``."""


def weight_files(folder: Path) -> list[Path]:
    """The weights and configurations in a folder, in order."""
    return sorted(p for p in folder.iterdir() if p.suffix in WEIGHTS and p.is_file())


def folder_sha256(folder: Path) -> str:
    """Hash of :func:`weight_files`; a file is hashed again if it changes."""
    files = weight_files(folder)
    hashes = "".join(f"{path.name}\0{remembered_sha256(path)}\0" for path in files)
    return hashlib.sha256(hashes.encode("utf-8", "surrogateescape")).hexdigest()


def remembered_sha256(path: Path) -> str:
    """:func:`file_sha256`, computed again only if the file changes: its inode, size or times, also
    that of the inode, because some programs set the time of the content back (rsync, tar).
    """
    stat = path.stat()
    return _sha256(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@cache
def _sha256(path: Path, inode: int, size: int, changed: int, replaced: int) -> str:
    return file_sha256(path)


def check_header(path: Path) -> None:
    """Raise for a safetensors file with an implausibly large header, before it is parsed.

    A hundred thousand empty tensors fit into 7 MB and take seconds to parse.

    Raises
    ------
    CheckpointError
        the header is too large; the message names the file and the size.
    """
    with path.open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
    if size > LARGEST_HEADER:
        raise CheckpointError(
            f"{path}: its header claims {size:,} bytes, expected at most {LARGEST_HEADER:,}: not a "
            "safetensors file of a model"
        )


def read_tensors(path: Path) -> dict[str, Any]:
    """Tensors of a safetensors file as float32 (integers and booleans unchanged).

    Raises
    ------
    CheckpointError
        the file is missing or corrupt.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: the checkpoint is incomplete")
    check_header(path)
    try:
        tensors = load_file(path)
    except Exception as error:  # the reader raises many types of errors for a damaged header
        raise CheckpointError(
            f"{path} is corrupt: not a whole safetensors file ({error}); fetch it again"
        ) from error
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def save_tensors(path: Path, tensors: dict[str, Any]) -> None:
    """Write a safetensors file atomically, with the permissions of an ordinary file.

    Partial files of killed writers in its folder are removed, because nothing else cleans up
    folders of weights.
    """
    from safetensors.torch import save_file

    with replacing(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(tensors, partial)
        partial.chmod(mode)  # safetensors makes files that only their owner can read
    sweep([path.parent])


def load_strictly(model: Any, state: dict[str, Any], path: Path) -> None:
    """``load_state_dict`` with an error that names the differences.

    Raises
    ------
    CheckpointError
        keys are absent, unexpected, or of another shape; the message names the first ones.
    """
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: found a {type(state).__name__}, expected a state dict")
    expected = model.state_dict()
    absent = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    shapes = [
        f"{key} {tuple(state[key].shape)} for {tuple(expected[key].shape)}"
        for key in expected
        if key in state and getattr(state[key], "shape", None) != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {what}: {', '.join(keys[:3])}{' …' if len(keys) > 3 else ''}"
        for keys, what in ((absent, "absent"), (extra, "unexpected"), (shapes, "of another shape"))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path}: its weights do not fit this model ({'; '.join(problems)}); use a checkpoint "
            "and a configuration that belong together"
        )
    model.load_state_dict(state, strict=True)
