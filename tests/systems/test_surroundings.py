"""What a system changes in its process: torch's own wrapper is no change."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.environment import environment

SCRIPT = """import torch
from benchsep.systems.surroundings import own_surroundings, spoilt
with own_surroundings("imports the compiler"):
    import torch._dynamo
print(spoilt)
with own_surroundings("replaces a function"):
    torch.manual_seed = lambda seed: None
print(spoilt)
"""


def test_a_system_that_imports_torchs_compiler_has_replaced_nothing():
    """Else a worker that had torch before ended after every such system, and was started anew."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment(), capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["[]", "['torch.manual_seed was replaced']"]
