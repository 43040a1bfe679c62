"""museval's call and file format on benchsep's BSSEval engine.

``from benchsep.museval import bss_eval`` is museval's function; files are in
:mod:`benchsep.museval.io`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsep.museval.api import bss_eval

__all__ = ["bss_eval"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: the command line reads this package without numpy.
    if name == "bss_eval":
        from benchsep.museval.api import bss_eval

        return bss_eval
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
