"""Sets how far the rows that sample may move in the demo's baseline.

    benchsep baseline runs/demo -o reports/demo/baseline.json
    for k in 1 2 3 4 5 6; do benchsep run configs/demo.yaml --seed $k -o runs/seed$k; done
    python -m benchmarks.demo_tolerances runs/demo runs/seed*

On another processor a token may fall the other way, and a song from there on. The most that can do
is to draw another song, so a cell may move by 1.5 times the largest distance between seeds (over
the stems). Measured noise (``--repeat``) would be the honest quantile, but from seven runs of one
song it is wider than the scale itself. Systems that do not sample stay at the declared tolerances;
so does the codec's ceiling, but for SI-SDR, which at -42 dB is the logarithm of next to nothing.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from benchsep.gate.baseline import read_baseline, tolerance_entry, write_content
from benchsep.gate.tolerance import Tolerance, noise
from benchsep.runner.frame import load_run

BASELINE = Path(__file__).resolve().parents[1] / "reports/demo/baseline.json"
SAMPLING = ("tokensep@mini", "tokensep+mask@mini", "tokensep-unrefined@mini")
FACTOR = 1.5
CEILING = "tokensep-oracle-tokens@mini sisdr"


def rounded_up(value: float) -> float:
    """To two digits, so that a diff of two baselines can be read."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / unit) * unit, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="runs of several seeds")
    write_tolerances(parser.parse_args().runs)


def write_tolerances(runs: list[Path]) -> None:
    content = read_baseline(BASELINE)
    measured = noise([load_run(run) for run in runs])
    largest: dict[str, float] = {}
    for (system, _, metric), spread in measured.items():
        if system in SAMPLING:
            key = f"{system} {metric}"
            largest[key] = max(largest.get(key, 0.0), spread.worst)
    limits = {key: rounded_up(FACTOR * value) for key, value in largest.items() if value > 0}
    # one song: a cell and a mean are the same
    given = {key: Tolerance(x, x, "another draw of the song") for key, x in limits.items()}
    given[CEILING] = Tolerance(0.5, 0.5, "a projection of nearly nothing")
    content["tolerances"] = {key: tolerance_entry(given[key]) for key in sorted(given)}
    write_content(BASELINE, content)


if __name__ == "__main__":
    main()
