"""Reading checkpoint files without running code from them.

``.th`` and ``.ckpt`` are pickles. They go through ``torch.load(weights_only=True)`` with a short
list of allowed names; ``trust_pickle=true`` lifts this for one checkpoint of the user's own.
Torch is imported when a file is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchsep.errors import CheckpointError


def load_pickle(path: Path, *, admitted: dict[str, Any], trust_pickle: bool) -> Any:
    """``torch.load`` without executing anything from the file.

    Parameters
    ----------
    admitted
        Dotted name → object: what a pickle may refer to beside tensors and plain containers.
    trust_pickle
        Unpickle fully. The file can then run any code as this user.

    Raises
    ------
    CheckpointError
        if the file is corrupt, or refers to anything else (named in the message).
    """
    import torch

    try:
        if trust_pickle:
            return torch.load(path, map_location="cpu", weights_only=False)
        with torch.serialization.safe_globals([(value, key) for key, value in admitted.items()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes the unpickler raise whatever it likes
        disallowed = disallowed_globals(path) - set(admitted)
        if disallowed and not trust_pickle:
            raise CheckpointError(
                f"{path}: refers to {', '.join(sorted(disallowed))}, which a checkpoint has no "
                "need of and which could run code; if you made this file yourself, "
                "add trust_pickle=true"
            ) from error
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({_first_line(error)})"
        ) from error


def _numpy_scalar(dtype: Any, data: bytes) -> Any:
    """A number that numpy pickled (``{"best_metric": np.float64(7)}``)."""
    import numpy as np

    if np.dtype(dtype).kind not in "biufc":
        raise CheckpointError(f"a scalar of type {dtype} in a checkpoint, expected a number")
    return np.frombuffer(data, dtype)[0]


def numpy_scalars() -> dict[str, Any]:
    """What a pickled numpy number refers to; none of it can run code from the file."""
    import numpy as np

    kinds = [np.dtype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")]
    return {
        "numpy.core.multiarray.scalar": _numpy_scalar,
        "numpy._core.multiarray.scalar": _numpy_scalar,
        "numpy.dtype": np.dtype,
        **{f"numpy.dtypes.{type(kind).__name__}": type(kind) for kind in kinds},
    }


def disallowed_globals(path: Path) -> set[str]:
    """Dotted names that a pickle refers to and that torch does not allow by itself."""
    import torch

    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # any corruption: the caller's message covers it
        return set()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def load_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """``(tensors, metadata)``; half-precision tensors are widened to float32.

    Raises
    ------
    CheckpointError
        if the file cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as handle:
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
            metadata = dict(handle.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    wide = {k: v.to(torch.float32) if v.dtype == torch.float16 else v for k, v in tensors.items()}
    return wide, metadata
