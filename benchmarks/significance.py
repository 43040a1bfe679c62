"""False verdicts and power of `benchsep compare`, by simulation.

``python -m benchmarks.significance``

Model: ``value [systems, songs] = song effect + system effect + noise``. The song effect cancels in
paired differences. Noise: normal, or Student's t with 3 degrees of freedom (heavy tails), or
log-normal (skewed), each scaled to a standard deviation of 1. Effects are given in standard
deviations of a paired difference, so that the table holds for every metric.

Verdicts are those of one column with six systems: the exact sign-flip test of 15 pairs, Holm at
.05. Prints a Markdown table; the rates have a standard error of about .007 (1,000 repetitions).
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np

from benchsep.stats.signflip import sign_flip
from benchsep.stats.significance import holm

SYSTEMS = 6
ALPHA = 0.05
NOISE = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails (t3)": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "skewed (log-normal)": lambda rng, shape: (
        (rng.lognormal(0, 0.8, shape) - np.exp(0.32)) / np.sqrt((np.exp(0.64) - 1) * np.exp(0.64))
    ),
}


def verdicts(values: np.ndarray, statistic: str) -> dict[tuple[int, int], bool]:
    """Which pairs of systems differ significantly; ``values [systems, songs]``."""
    pairs = list(combinations(range(len(values)), 2))
    p = [sign_flip(values[a] - values[b], statistic=statistic) for a, b in pairs]
    return {pair: q < ALPHA for pair, q in zip(pairs, holm(p), strict=True)}


def rates(
    noise: str, songs: int, effect: float, statistic: str, repeats: int
) -> tuple[float, float]:
    """Share of columns with a false verdict, and of true differences found.

    System 0 is better than the others by ``effect``; the others are equal.
    """
    rng = np.random.default_rng(songs)
    false = found = 0
    for _ in range(repeats):
        values = NOISE[noise](rng, (SYSTEMS, songs))
        values[0] += effect * np.sqrt(2)  # a difference of two systems has deviation sqrt(2)
        seen = verdicts(values, statistic)
        false += any(differ for (a, _), differ in seen.items() if effect == 0 or a != 0)
        found += sum(differ for (a, _), differ in seen.items() if a == 0)
    return false / repeats, found / repeats / (SYSTEMS - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    effects = (0.5, 0.75, 1.0)
    print("| noise | statistic | songs | false verdict | " +
          " | ".join(f"power at {e:g} sd" for e in effects) + " |")  # fmt: skip
    print("|:--|:--|--:|--:|" + "--:|" * len(effects))
    for noise in NOISE:
        for statistic in ("mean", "median"):
            for songs in (25, 50):
                false, _ = rates(noise, songs, 0.0, statistic, repeats)
                power = [rates(noise, songs, e, statistic, repeats)[1] for e in effects]
                cells = " | ".join(f"{p:.2f}" for p in power)
                print(f"| {noise} | {statistic} | {songs} | {false:.3f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
