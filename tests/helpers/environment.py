"""What every process that the campaign starts finds around it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    ),
    "BENCHSEP_OFFLINE": "1",
    "COLUMNS": "200",
}


def environment(*folders: Path) -> dict[str, str]:
    """One thread, no network, and this checkout (and ``folders``) first on the path."""
    paths = [*map(str, folders), str(ROOT), str(ROOT / "systems"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **SETTINGS, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
