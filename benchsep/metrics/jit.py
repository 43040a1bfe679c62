"""Compilation of the metrics' kernels with numba.

Conventions
-----------
- no ``parallel=True``: benchsep runs in threads and in processes, and numba's thread layers
  abort the process when two threads enter them; a track is the unit of parallel work
- ``nogil=True``: threads that score different tracks run side by side
- a kernel calls kernels of its own module, which are compiled together, kernels that its module
  imports by name, and intrinsics, such as those of :mod:`benchsep.metrics.vectors`
- a kernel that other kernels call is an :func:`inner_kernel`: its code is inlined into the callers.
  Otherwise numba compiles it twice, alone and with each caller, with different rounding; the
  process that compiles would run the first version, and processes that load code from disk the
  second
- code on disk is valid as long as all of its source files are unchanged. numba alone checks only
  the file of the kernel, and would use code with outdated intrinsics
- ``contract`` is the only fast-math flag: it allows fused multiply-adds, but no reordering of sums
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_LOCK = threading.Lock()


class Kernel:
    """A function that is compiled at its first call, together with all kernels of its module.

    Why: the import of numba takes 0.4 s of CPU time, and most commands only read the declarations
    of metrics.
    """

    def __init__(self, function: Callable[..., Any], inner: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self.inner = inner
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        return (self._compiled or self._compile())(*arguments)

    def _compile(self) -> Callable[..., Any]:
        with _LOCK:
            _compile_all(self.py_func.__globals__)
            self._compiled = self._compiled or _compiled(self.py_func, self.inner)
        return self._compiled


def _compile_all(names: dict[str, Any]) -> None:
    """Compile the kernels among a module's names, with those of other modules that they call.

    numba calls the object that a global name refers to, so each kernel is replaced by its compiled
    code.
    """
    found = {name: value for name, value in names.items() if isinstance(value, Kernel)}
    for value in found.values():
        if value._compiled is None and value.py_func.__globals__ is not names:
            _compile_all(value.py_func.__globals__)
        value._compiled = value._compiled or _compiled(value.py_func, value.inner)
    names.update({name: value._compiled for name, value in found.items()})


def kernel(function: Function) -> Function:
    """Compile with numba, at the first call; see :class:`Kernel`."""
    return cast("Function", Kernel(function))


def inner_kernel(function: Function) -> Function:
    """A :func:`kernel` that kernels call; its code becomes part of theirs."""
    return cast("Function", Kernel(function, inner=True))


def _compiled(function: Callable[..., Any], inner: bool) -> Callable[..., Any]:
    """Machine code of a function, by numba; it is kept on disk for the next process.

    numba writes beside the source, or to the user's cache folder (``NUMBA_CACHE_DIR``,
    ``~/.cache/numba``) where the package is read-only. The cached code is valid while numba's stamp
    of the source is unchanged; here the stamp also includes the other source files of the kernel.
    If this is not possible, each process compiles the kernel, which takes seconds and changes no
    value.
    """
    from numba import njit

    try:
        made = njit(cache=True, forceinline=inner, **OPTIONS)(function)
        on_disk = made._cache._cache_file
        on_disk._source_stamp = (on_disk._source_stamp, sources_digest(function.__globals__))
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    except AttributeError:  # another numba version, with the stamp elsewhere
        pass
    else:
        return cast("Callable[..., Any]", made)
    return cast("Callable[..., Any]", njit(forceinline=inner, **OPTIONS)(function))


def sources_digest(names: dict[str, Any]) -> str:
    """Hash of the files from which a module with these global names imports, recursively: of
    functions, and of constants, because numba compiles their values into the code.

    Only modules of ``benchsep.metrics`` are included; numba itself checks the module's own file.
    """
    todo, found = [str(names.get("__name__"))], set[str]()
    while todo:
        new = set(_imported(todo.pop())) - found
        found |= new
        todo += new
    files = (Path(sys.modules[name].__file__ or "") for name in sorted(found))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@functools.cache
def _imported(module: str) -> tuple[str, ...]:
    """The modules of ``benchsep.metrics`` that a module imports, or imports names from, at its top
    level.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ()
    asked: list[str] = []
    for node in ast.parse(Path(file).read_bytes()).body:
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}" for each in node.names]
            asked += [name if name in sys.modules else str(node.module) for name in names]
        elif isinstance(node, ast.Import):
            asked += [each.name for each in node.names]
    home = __name__.rpartition(".")[0]
    return tuple(n for n in asked if n.startswith(f"{home}.") and n in sys.modules)
