"""Reads checkpoint files without running code from them.

``.th`` and ``.ckpt`` are pickles. They go through ``torch.load(weights_only=True)`` with a short
list of allowed names; ``trust_pickle=true`` disables this check for a checkpoint that the user
trusts. Torch is imported when a file is read.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from benchsep._util.reason import without_path
from benchsep._util.tensors import check_header
from benchsep.errors import CheckpointError


def load_pickle(path: Path, *, admitted: dict[str, Any], trust_pickle: bool) -> Any:
    """``torch.load`` without executing anything from the file.

    Parameters
    ----------
    admitted
        Dotted name → object: allowed names in addition to tensors and plain containers.
    trust_pickle
        Unpickle fully. The file can then run any code as this user.

    Raises
    ------
    CheckpointError
        the file is corrupt, or refers to other names; the message lists them.
    """
    import torch

    try:
        if trust_pickle:
            return torch.load(path, map_location="cpu", weights_only=False)
        with torch.serialization.safe_globals([(value, key) for key, value in admitted.items()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many types of errors for a damaged pickle
        disallowed = disallowed_globals(path) - set(admitted)
        if disallowed and not trust_pickle:
            raise CheckpointError(
                f"{path}: refers to {', '.join(sorted(disallowed))}, which a checkpoint does not "
                "need and which could run code; if you trust the author of this file, add "
                "trust_pickle=true"
            ) from error
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({_first_line(error)})"
        ) from error


def _numpy_scalar(dtype: Any, data: bytes) -> Any:
    """A number or a text that numpy pickled (``{"best_metric": np.float64(7)}``)."""
    import numpy as np

    if np.dtype(dtype).kind not in "biufcUS":
        raise CheckpointError(f"a scalar of type {dtype} in a checkpoint, expected a number")
    return np.ndarray((), dtype, data)[()]


def numpy_scalars() -> dict[str, Any]:
    """The names that a pickled numpy number uses; none of them can run code from the file."""
    import numpy as np

    kinds = [
        np.dtype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", "U1")
    ]
    return {
        "numpy.core.multiarray.scalar": _numpy_scalar,
        "numpy._core.multiarray.scalar": _numpy_scalar,
        "numpy.dtype": np.dtype,
        **{f"numpy.dtypes.{type(kind).__name__}": type(kind) for kind in kinds},
    }


class Inert:
    """A placeholder for classes of settings in a checkpoint; an empty dict for any arguments."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return OrderedDict()  # torch fills this class, and no subclass of it


SETTINGS_CLASSES = (
    "argparse.Namespace",
    "collections.defaultdict",
    "types.SimpleNamespace",
    "datetime.datetime",
    "datetime.timedelta",
    *(f"pathlib.{name}Path" for name in ("", "Posix", "Windows", "Pure", "PurePosix")),
    "pathlib._local.PosixPath",
    "ml_collections.config_dict.config_dict.ConfigDict",
    "addict.addict.Dict",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "typing.Any",
    *(f"__builtin__.{name}" for name in ("list", "dict", "int", "float", "str", "frozenset")),
    *(f"builtins.{name}" for name in ("list", "dict", "int", "float", "str", "frozenset")),
)
"""Classes of settings that trainings store in checkpoints."""


def harmless() -> dict[str, Any]:
    """The allowed names in a checkpoint of a training; none of them can run code from the file.

    Numbers and arrays of numpy are read; settings become :class:`Inert`, which is never used.
    """
    import numpy as np

    rebuild = np.empty(0).__reduce__()[0]
    return {
        **dict.fromkeys(SETTINGS_CLASSES, Inert),
        **numpy_scalars(),
        "numpy.ndarray": np.ndarray,
        "numpy.core.multiarray._reconstruct": rebuild,
        "numpy._core.multiarray._reconstruct": rebuild,
    }


def disallowed_globals(path: Path) -> set[str]:
    """Dotted names that a pickle refers to and that torch does not allow by itself."""
    import torch

    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # corrupt file: the caller reports it
        return set()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def load_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """``(tensors, metadata)``; half-precision tensors are widened to float32.

    Raises
    ------
    CheckpointError
        the file cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        check_header(path)
        with safe_open(str(path), framework="pt") as handle:
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
            metadata = dict(handle.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({without_path(error)})"
        ) from error
    wide = {k: v.to(torch.float32) if v.dtype == torch.float16 else v for k, v in tensors.items()}
    return wide, metadata
