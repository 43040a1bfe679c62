"""How the kernels of the metrics are compiled.

Conventions
-----------
- no ``parallel=True``: benchsep runs in threads and in processes, and numba's thread layers
  abort the process when two threads enter them; a track is the unit of parallel work
- ``nogil=True``: threads that score different tracks run side by side
- a kernel calls kernels of its own module only: numba's cache notices a change of the file that
  a kernel is in, and not of the files of the kernels it calls
- ``contract`` is the only fast-math flag: it allows a fused multiply-add and nothing that
  reorders a sum
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def kernel(function: Function) -> Function:
    """Compile with numba; the machine code is kept on disk for the next process.

    numba writes beside the source, or to the user's cache folder (``NUMBA_CACHE_DIR``,
    ``~/.cache/numba``) where the package is read-only. Where neither can be written it raises;
    the kernel is then compiled in each process, which costs seconds and changes no value.
    """
    try:
        compiled = njit(cache=True, **OPTIONS)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        compiled = njit(**OPTIONS)(function)
    return cast("Function", compiled)
