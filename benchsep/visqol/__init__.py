"""visqol-python's interface with benchsep's ViSQOL engine, without torch.

``from benchsep.visqol import VisqolApi`` in place of ``from visqol import VisqolApi``; from a shell
``python -m benchsep.visqol --reference REF --degraded EST``. Audio mode only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsep.visqol.api import SimilarityResult, VisqolApi

__all__ = ["SimilarityResult", "VisqolApi"]


def __getattr__(name: str) -> Any:
    # Lazy import, because numba and the compiled kernels take half a second.
    if name in __all__:
        from benchsep.visqol import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
