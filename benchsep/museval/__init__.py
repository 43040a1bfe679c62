"""museval's functions, command and file format with benchsep's BSSEval engine, without torch.

``from benchsep.museval import bss_eval, evaluate`` are museval's functions, ``python -m
benchsep.museval REF EST`` is its command ``bsseval``; files are in :mod:`benchsep.museval.io`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsep.museval.api import bss_eval, evaluate

__all__ = ["bss_eval", "evaluate"]


def __getattr__(name: str) -> Any:
    # Lazy import, because the command line reads this package without numpy.
    if name in __all__:
        from benchsep.museval import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
