"""Isolates the process state (working folder, environment, random states, ...) of each system.

A system is third-party code. It may change the working folder, environment variables, signal
handlers, random states and the settings of torch and NumPy; some systems do so on purpose when they
are loaded. :func:`own_surroundings` restores what this system itself changed until its last call,
and afterwards the state of benchsep, so that metrics, other systems and the store are not affected.
What the system did not change is as the caller has it now: a notebook may change the working folder
or a variable between two runs.

A change that cannot be reverted (a replaced function of NumPy) is recorded in :data:`spoilt`: the
worker process then ends after its job, and a new one continues.
"""

from __future__ import annotations

import contextlib
import gc
import locale
import multiprocessing.context
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np

ENVIRONMENT = "environment"

Part = tuple[str, Callable[[], Any], Callable[[Any], object]]
"""Name, how to read it, how to set it."""

spoilt: list[str] = []
"""Changes by systems in this process that cannot be reverted."""

_left: dict[Hashable, dict[str, Any]] = {}
"""System to the process state after its last call, as far as it differs from that of the caller; of
the environment, the variables that differ (``None``: absent)."""


@contextlib.contextmanager
def own_surroundings(system: Hashable) -> Iterator[None]:
    """Context with the changes of the process state that ``system`` made; the state before is
    restored at the end.

    Output of the system goes to standard error: standard output is for results.
    """
    me, before, functions = os.getpid(), _read(), _functions()
    with _standard_files():
        _write(_applied(_left.get(system, {}), before))
        try:
            yield
        finally:
            if os.getpid() != me:
                os._exit(1)  # a copy of the process that the system made and that came back
            _left[system] = _changed(before, _read())
            _write(before)
    now = _functions()
    if changed := [name for name, known in functions.items() if now.get(name) is not known]:
        spoilt.append(f"{changed[0]} was replaced")


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The parts of the state in which ``after`` differs."""
    found = {
        name: value
        for name, value in after.items()
        if name not in _SHARED
        and (name in _COMPARED_NEVER or name not in before or value != before[name])
    }
    if ENVIRONMENT in found:
        old, new = before[ENVIRONMENT], after[ENVIRONMENT]
        names = [name for name in old | new if old.get(name) != new.get(name)]
        found[ENVIRONMENT] = {name: new.get(name) for name in names}
    return found


def _applied(changes: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The parts that a system changed, in the form of :func:`_read`."""
    if ENVIRONMENT not in changes:
        return changes
    variables = before[ENVIRONMENT] | changes[ENVIRONMENT]
    kept = {name: text for name, text in variables.items() if text is not None}
    return {**changes, ENVIRONMENT: kept}


def forget_random_states() -> None:
    """Forget the random states of all systems, at the start of a run in this process."""
    for values in _left.values():
        for name in ("random", "numpy random", "torch random", "torch cuda random"):
            values.pop(name, None)


def _read() -> dict[str, Any]:
    values = {}
    for name, read, _ in _parts():
        with contextlib.suppress(Exception):
            values[name] = read()
    return values


def _write(values: dict[str, Any]) -> None:
    for name, read, write in _parts():
        if name not in values:
            continue
        try:
            if name in _COMPARED_NEVER or read() != values[name]:
                write(values[name])
        except Exception as error:  # whatever a limit or a closed file raises
            spoilt.append(f"{name} cannot be put back ({type(error).__name__})")


# -- the parts ----------------------------------------------------------------------------------

_SHARED = ("timer", "limits", "torch threads", "thread pools")
"""State that is restored after a system, but not set again for its next call: the run decides the
number of threads, because it affects values."""
_COMPARED_NEVER = ("numpy random", "torch random", "torch cuda random", "thread pools")


def _parts() -> list[Part]:
    parts: list[Part] = [
        ("working folder", os.getcwd, os.chdir),
        (ENVIRONMENT, lambda: dict(os.environ), _set_environment),
        ("umask", _umask, os.umask),
        ("limits", _limits, _set_limits),
        ("locale", lambda: locale.setlocale(locale.LC_ALL), _set_locale),
        ("module path", lambda: list(sys.path), lambda value: _refill(sys.path, value)),
        ("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        ("collector", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        ("warnings", lambda: list(warnings.filters), _set_warnings),
        ("except hook", lambda: sys.excepthook, lambda hook: setattr(sys, "excepthook", hook)),
        ("start method", _start_method, _set_start_method),
        ("random", random.getstate, random.setstate),
        ("numpy errors", np.geterr, lambda value: np.seterr(**value)),
        ("numpy random", np.random.get_state, np.random.set_state),
        ("thread pools", lambda: None, _one_thread),
        *_torch_parts(),
    ]
    if hasattr(os, "sched_getaffinity"):
        affinity: Part = (
            "processors",
            lambda: os.sched_getaffinity(0),
            lambda cores: os.sched_setaffinity(0, cores),
        )
        parts.append(affinity)
    if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
        parts += [
            ("signal handlers", _handlers, _set_handlers),
            ("signal mask", _mask, lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask)),
            ("timer", _timer_is_on, _stop_timer),
        ]
    return parts


def _set_environment(values: dict[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _limits() -> dict[int, tuple[int, int]]:
    return {limit: resource.getrlimit(limit) for limit in sorted(set(_LIMITS))}


def _set_limits(values: dict[int, tuple[int, int]]) -> None:
    for limit, value in values.items():
        if resource.getrlimit(limit) != value:
            resource.setrlimit(limit, value)


def _set_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _refill(kept: list[Any], values: list[Any]) -> None:
    kept[:] = values


def _set_warnings(values: list[Any]) -> None:
    _refill(warnings.filters, values)  # type: ignore[arg-type]  # a list, whatever its stub says
    with contextlib.suppress(AttributeError):
        warnings._filters_mutated()  # type: ignore[attr-defined]  # as `catch_warnings` does


def _start_method() -> Any:
    return multiprocessing.context._default_context._actual_context  # type: ignore[attr-defined]


def _set_start_method(value: Any) -> None:
    multiprocessing.context._default_context._actual_context = value  # type: ignore[attr-defined]


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(values: dict[int, Any]) -> None:
    for number, handler in values.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _mask() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def _timer_is_on() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _stop_timer(before: bool) -> None:
    if not before:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _one_thread(_: None) -> None:
    """BLAS and OpenMP compute with one thread, as in every job."""
    if "threadpoolctl" in sys.modules:
        sys.modules["threadpoolctl"].threadpool_limits(1)
    if "numba" in sys.modules:
        with contextlib.suppress(Exception):
            sys.modules["numba"].set_num_threads(1)


# -- torch --------------------------------------------------------------------------------------


def _torch_parts() -> list[Part]:
    """The settings of torch, if it is imported."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_float32_matmul_precision"):
        return []
    precision = torch.set_float32_matmul_precision
    parts: list[Part] = [
        ("torch type", torch.get_default_dtype, torch.set_default_dtype),
        ("torch device", torch.get_default_device, lambda device: _set_device(torch, device)),
        ("torch gradients", torch.is_grad_enabled, torch.set_grad_enabled),
        ("torch threads", torch.get_num_threads, torch.set_num_threads),
        ("torch precision", torch.get_float32_matmul_precision, precision),
        ("torch determinism", lambda: _determinism(torch), lambda v: _set_determinism(torch, v)),
        ("torch random", torch.get_rng_state, torch.set_rng_state),
        ("torch denormals", lambda: _flushes(torch), torch.set_flush_denormal),
    ]
    for backend, name in (("cudnn", "benchmark"), ("cudnn", "deterministic"), ("cudnn", "enabled"),
                          ("cudnn", "allow_tf32"), ("mkldnn", "enabled")):  # fmt: skip
        parts.append(_flag(getattr(torch.backends, backend), name))
    if torch.cuda.is_initialized():
        cuda = torch.cuda
        parts.append(("torch cuda random", cuda.get_rng_state_all, cuda.set_rng_state_all))
    return parts


def _flag(owner: Any, name: str) -> Part:
    return (
        f"torch {owner.__name__}.{name}",
        lambda: getattr(owner, name),
        lambda value: setattr(owner, name, value),
    )


def _set_device(torch: Any, device: Any) -> None:
    torch.set_default_device(None)
    if torch.get_default_device() != device:
        torch.set_default_device(device)


def _determinism(torch: Any) -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_determinism(torch: Any, value: tuple[bool, bool]) -> None:
    # The public function also imports the compiler, which takes a second.
    torch._C._set_deterministic_algorithms(value[0], warn_only=value[1])


def _flushes(torch: Any) -> bool:
    """Whether denormal numbers are flushed to zero."""
    return float(torch.tensor([1e-310], dtype=torch.float64).mul(1.0)) == 0.0


# -- standard files, functions ------------------------------------------------------------------


@contextlib.contextmanager
def _standard_files() -> Iterator[None]:
    """Send output to standard error; restore the three standard files at the end."""
    objects = sys.stdin, sys.stdout, sys.stderr
    sys.stdout.flush()
    kept = {fd: _duplicate(fd) for fd in (0, 1, 2)}
    try:
        if kept[1] is not None and kept[2] is not None:
            os.dup2(2, 1)
        sys.stdout = sys.stderr
        yield
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            objects[1].flush()
        sys.stdin, sys.stdout, sys.stderr = objects
        for fd, copy in kept.items():
            _put_back(fd, copy)


def _duplicate(fd: int) -> int | None:
    try:
        return os.dup(fd)
    except OSError:
        return None


def _put_back(fd: int, copy: int | None) -> None:
    if copy is None:
        return
    try:
        os.dup2(copy, fd)
        os.close(copy)
    except OSError:
        spoilt.append(f"file {fd} was closed")


_WATCHED = ("builtins", "os", "json", "random", "math", "time", "hashlib", "numpy", "numpy.fft",
            "numpy.linalg", "numpy.random", "scipy.signal", "scipy.fft", "torch",
            "torch.nn.functional", "torch.fft", "soundfile", "soxr")  # fmt: skip


def _without_torchs_wrapper(function: Any) -> Any:
    """The function inside a wrapper of torch's compiler, which wraps ``torch.manual_seed`` at
    import.

    A system that only imports the compiler has not replaced a function.
    """
    maker = getattr(function, "__globals__", {}).get("__name__", "")
    wrapped = getattr(function, "__wrapped__", function)
    return wrapped if maker == "torch._compile" else function


def _functions() -> dict[str, Any]:
    """Full name to each public function of :data:`_WATCHED` modules that are imported."""
    return {
        f"{module}.{name}": _without_torchs_wrapper(value)
        for module in _WATCHED
        if module in sys.modules
        for name, value in list(vars(sys.modules[module]).items())
        if callable(value) and not name.startswith("_")
    }
