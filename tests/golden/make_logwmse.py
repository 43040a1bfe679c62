"""Regenerates ``logwmse.json`` from upstream: pip install torch-log-wmse==1.1.0 torchaudio.

    python -m tests.golden.make_logwmse > tests/golden/logwmse.json

The signals are made by :func:`signals`, which the test imports, so that no audio is stored.
Without torchaudio (upstream uses only its Resample, and that not at 44.1 kHz) a stand-in serves.
"""

from __future__ import annotations

import json
import sys
import types

import numpy as np


def signals() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Name to (reference, estimate, mixture), ``[2, 30000]`` float32 each."""
    generator = np.random.default_rng(20250727)
    time = np.arange(30_000) / 44_100
    tone = np.stack([np.sin(2 * np.pi * f * time) for f in (220, 331)])
    white = generator.standard_normal((2, 30_000))
    dull = np.cumsum(white, 1)
    dull = 0.1 * (dull - dull.mean(1, keepdims=True)) / dull.std()
    truth, rest = 0.3 * tone, 0.1 * white + dull
    cases = {
        "noisy": (truth, truth + 0.01 * white, truth + rest),
        "dull": (truth, truth + 0.1 * dull, truth + rest),
        "mixture": (truth, truth + rest, truth + rest),
        "perfect": (truth, truth, truth + rest),
        "silent estimate": (truth, truth * 0, truth + rest),
        "silent reference": (truth * 0, 0.001 * white, rest),
        "all silent": (truth * 0, truth * 0, rest),
        "silent mixture": (truth * 0, 0.001 * white, rest * 0),
    }
    return {name: tuple(x.astype(np.float32) for x in case) for name, case in cases.items()}


def main() -> None:
    import torch

    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        stand_in = types.ModuleType("torchaudio")
        stand_in.transforms = types.ModuleType("torchaudio.transforms")
        stand_in.transforms.Resample = None
        sys.modules["torchaudio"] = stand_in
        sys.modules["torchaudio.transforms"] = stand_in.transforms
    from torch_log_wmse import LogWMSE

    metric = LogWMSE(sample_rate=44_100)
    found = {}
    for name, case in signals().items():
        truth, estimate, mixture = (torch.from_numpy(x.astype(np.float64)) for x in case)
        found[name] = float(metric(mixture[None], estimate[None, :, None], truth[None, :, None]))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
