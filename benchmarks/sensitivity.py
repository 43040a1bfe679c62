"""What a metric sees and what it does not: a Markdown table of its values on known faults.

    python -m benchmarks.sensitivity mrstft dnsmos [--stem vocals] [--audio FILE --rest FILE]

Any registered metric, or ``module:Class``. By default the real clip of the ``stempeg`` package
is used (6 s, four stems). Each row is one fault applied to the true stem; the other stems
stay true, so that metrics which look at all stems (bleed, mixture consistency) see one fault.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchsep.audio import Audio
from benchsep.metrics.metric import Metric, References, column

Samples = np.ndarray
Fault = Callable[[Samples, Samples, int], Samples]


def delay(milliseconds: float) -> Fault:
    def apply(truth: Samples, rest: Samples, rate: int) -> Samples:
        shift = max(1, round(milliseconds * rate / 1000))
        return np.pad(truth, ((0, 0), (shift, 0)))[:, : truth.shape[1]]

    return apply


def gain(decibels: float) -> Fault:
    return lambda truth, rest, rate: truth * 10 ** (decibels / 20)


def random_phase(radians: float, seed: int = 0) -> Fault:
    """STFT magnitudes kept, phases moved by a normal (or, from pi on, uniform) amount."""

    def apply(truth: Samples, rest: Samples, rate: int) -> Samples:
        from scipy.signal import istft, stft

        spectrum = stft(truth, nperseg=2048, noverlap=1536)[2]
        generator = np.random.default_rng(seed)
        shape = spectrum.shape
        turn = (
            generator.uniform(-np.pi, np.pi, shape)
            if radians >= np.pi
            else generator.normal(0, radians, shape)
        )
        out = istft(spectrum * np.exp(1j * turn), nperseg=2048, noverlap=1536)[1]
        return np.pad(out, ((0, 0), (0, truth.shape[1])))[:, : truth.shape[1]]

    return apply


def low_pass(hertz: float) -> Fault:
    def apply(truth: Samples, rest: Samples, rate: int) -> Samples:
        from scipy.signal import firwin, oaconvolve

        taps = firwin(1001, hertz, fs=rate)
        return oaconvolve(truth, taps[None], mode="same", axes=-1)

    return apply


def bleed(decibels: float) -> Fault:
    """The sum of the other stems, at this level relative to itself."""
    return lambda truth, rest, rate: truth + rest * 10 ** (decibels / 20)


def noise(decibels: float, seed: int = 0) -> Fault:
    """White noise at this signal-to-noise ratio."""

    def apply(truth: Samples, rest: Samples, rate: int) -> Samples:
        white = np.random.default_rng(seed).standard_normal(truth.shape)
        level = np.sqrt((truth**2).mean() / 10 ** (decibels / 10))
        return truth + level * white

    return apply


FAULTS: dict[str, Fault] = {
    "none (the true stem)": lambda truth, rest, rate: truth,
    "delay 1 sample": delay(0),
    "delay 5 ms": delay(5),
    "delay 50 ms": delay(50),
    "gain -3 dB": gain(-3),
    "gain -12 dB": gain(-12),
    "polarity": lambda truth, rest, rate: -truth,
    "phase jitter 1 rad": random_phase(1),
    "phase random": random_phase(np.pi),
    "low-pass 8 kHz": low_pass(8000),
    "low-pass 3.5 kHz": low_pass(3500),
    "bleed -20 dB": bleed(-20),
    "bleed -10 dB": bleed(-10),
    "noise 40 dB": noise(40),
    "noise 20 dB": noise(20),
    "the mixture": bleed(0),
    "silence": lambda truth, rest, rate: truth * 0,
}


def load_metric(name: str) -> Metric:
    """A registered metric, or ``module:Class`` before it is registered."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        found = getattr(importlib.import_module(module), attribute)
    else:
        from benchsep.registry import resolve

        found = resolve("metric", name)
    return found() if isinstance(found, type) or not hasattr(found, "score_track") else found


def clip_stems() -> dict[str, Audio]:
    from benchsep.datasets.clip import ClipDataset

    return ClipDataset().tracks()[0].load().stems


def file_stems(path: Path, rest: Path, stem: str) -> dict[str, Audio]:
    from benchsep.audio import read_audio

    return {stem: read_audio(path), "rest": read_audio(rest)}


def cell(metric: Metric, scores: dict[str, Any], name: str, digits: int) -> str:
    score = scores[name]
    if score.value is None:
        return score.status.split(":")[0]
    mark = "" if score.status == "ok" else f" ({score.status})"
    return f"{score.value:.{digits}f}{mark}"


def table(metrics: list[Metric], truth: dict[str, Audio], stem: str) -> str:
    """The Markdown table: one row a fault, one column a value."""
    rate, signal = truth[stem].rate, truth[stem].samples
    rest = sum(audio.samples for name, audio in truth.items() if name != stem)
    assert isinstance(rest, np.ndarray)
    references = References(truth, Audio(signal + rest, rate))
    heads = [column(metric, value) for metric in metrics for value in metric.values]
    lines = [f"| {stem}: fault | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, fault in FAULTS.items():
        estimates = {**truth, stem: Audio(fault(signal, rest, rate), rate)}
        cells = []
        for metric in metrics:
            scores = metric.score_track(references, estimates, (stem,))[stem]
            cells += [cell(metric, scores, v.name, v.digits) for v in metric.values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("metrics", nargs="+", help="registered names, or module:Class")
    parser.add_argument("--stem", default="vocals")
    parser.add_argument("--audio", type=Path, help="the true stem, instead of the clip's")
    parser.add_argument("--rest", type=Path, help="rest of the mixture of --audio")
    options = parser.parse_args()
    if bool(options.audio) != bool(options.rest):
        parser.error("--audio and --rest go together")
    truth = file_stems(options.audio, options.rest, options.stem) if options.audio else clip_stems()
    print(table([load_metric(name) for name in options.metrics], truth, options.stem))


if __name__ == "__main__":
    main()
