"""Regenerates ``visqol.json``: pip install visqol-python==3.8.0

    python -m tests.golden.make_visqol > tests/golden/visqol.json

Each stem of the embedded clip against estimates of many kinds. ``upstream`` is visqol-python's
score; ``google`` is this package's own, with Google's envelope instead of upstream's: it is
proven by Google's conformance list (``test_visqol_parity.py``), and held here so that the whole
path is checked where neither that list nor upstream is at hand. The audio is made by
:func:`pairs`, which the test imports; nothing but numbers is stored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np

RATE = 48_000

Pair = tuple[str, np.ndarray, np.ndarray]


def pairs(clip) -> Iterator[Pair]:
    """Name, reference and estimate, float32 ``[samples]`` mono at 48 kHz."""
    mixture = clip.mixture.mono().resampled(RATE).samples[0]
    for stem, audio in clip.stems.items():
        reference = audio.mono().resampled(RATE).samples[0]
        for kind, estimate in estimates(reference, mixture):
            yield f"{stem} {kind}", reference, estimate.astype(np.float32)


def estimates(reference: np.ndarray, mixture: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    from scipy.signal import butter, istft, sosfilt, stft

    length = len(reference)
    noise = np.random.default_rng(1).standard_normal(length)
    level = np.sqrt((reference.astype(np.float64) ** 2).mean())
    yield "mixture", mixture
    yield "bleed", reference + 0.3 * (mixture - reference)
    yield "low-pass", sosfilt(butter(6, 3500, fs=RATE, output="sos"), reference)
    yield "noise", reference + 0.1 * level * noise
    yield "50 ms late", np.concatenate([np.zeros(2400), reference])[:length]
    yield "1001 samples early", np.concatenate([reference[1001:], np.zeros(1001)])
    yield "quieter", 0.25 * reference
    spectrum = stft(reference, RATE, nperseg=2048)[2]
    jitter = np.random.default_rng(2).standard_normal(spectrum.shape)
    yield "phase jitter", istft(spectrum * np.exp(1j * jitter), RATE, nperseg=2048)[1][:length]
    gated = reference.copy()
    gated[length // 3 : length // 2] = 0
    yield "hole", gated


def upstream_score(reference: np.ndarray, estimate: np.ndarray) -> float:
    """The score of visqol-python in audio mode."""
    from pathlib import Path

    import visqol
    from visqol.audio_utils import AudioSignal
    from visqol.visqol_manager import VisqolManager

    manager = VisqolManager()
    manager.init(str(Path(visqol.__file__).parent / "model" / "libsvm_nu_svr_model.txt"))
    signals = (AudioSignal(x.astype(np.float64), RATE) for x in (reference, estimate))
    return float(manager.run_from_signals(*signals).moslqo)


def main() -> None:
    from benchsep.datasets.clip import ClipDataset
    from benchsep.metrics.visqol.engine import Reference

    table = {}
    for name, reference, estimate in pairs(ClipDataset().tracks()[0].load()):
        own = Reference(reference).compare(estimate).score
        table[name] = {"upstream": upstream_score(reference, estimate), "google": own}
    json.dump(table, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
