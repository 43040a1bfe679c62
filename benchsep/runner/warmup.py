"""The first call of a newly loaded system, which is not timed.

It compiles kernels, fills caches and allocates memory, which should not count as time per song. The
call uses at most one second of the mixture; its result and its errors are ignored. The global
random states are restored, so estimates are the same with and without it.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import Audio
from benchsep.systems.reference import REFERENCE_FAMILIES
from benchsep.systems.spec import Spec

if TYPE_CHECKING:
    from benchsep.systems.contract import SystemInfo

SECONDS = 1.0

_warm: list[Any] = []
"""The systems of this process that have been called; an entry per load."""


def warm_up(system: Any, spec: str, mixture: Audio) -> None:
    """Call a system once, if it has not been called yet and computes in this process."""
    if any(known is system for known in _warm) or not _has_warm_up(spec, system.info):
        return
    _warm.append(system)
    start = mixture.samples[:, : round(SECONDS * mixture.rate)].copy()
    with _random_states_kept(), contextlib.suppress(Exception, SystemExit, GeneratorExit):
        system.separate(Audio(start, mixture.rate), seed=0)


def forget() -> None:
    """Forget all calls, because the loaded systems were dropped."""
    _warm.clear()


def _has_warm_up(spec: str, info: SystemInfo) -> bool:
    """Whether the system computes in this process: not files, programs, oracles or the mixture."""
    elsewhere = info.from_files or Spec.parse(spec).name == "cmd"
    return not elsewhere and not info.needs_references and info.family not in REFERENCE_FAMILIES


@contextlib.contextmanager
def _random_states_kept() -> Iterator[None]:
    """Restore the global random generators of Python, NumPy and torch (all CUDA devices) at the
    end.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
        if torch := sys.modules.get("torch"):
            cuda = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
            stack.enter_context(torch.random.fork_rng(devices=list(range(cuda))))
        yield
