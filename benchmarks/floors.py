"""The arithmetic that each engine cannot leave out, at the rates that this machine reaches.

    python -m benchmarks.floors [--seconds 240] [-o FILE.json]

Rates are CPU seconds of one thread, least of several repeats: real transforms in single and double
precision (a number's share; those of up to 4096 points by :mod:`benchsep.metrics.spectra`, and by
torch for comparison), matrix products in both (the rate of multiply-adds), roots and quotients in
single precision (compiled loops), logarithms and exponentials (numpy), and reading memory.
A floor is the sum of an engine's operations over these rates, for a song of four stereo stems at
44.1 kHz and the first system:

mrstft    a filter of 101 taps; transforms of all frames of both signals at five sizes; two roots,
          a quotient and 8 operations a bin
visqol    32 filters of 13 multiply-adds on every window of both signals; NSIM of each patch with
          3601 offsets, 17 multiply-adds a point; three transforms for the lag
bsseval   factorisations for 8 channels and for 2 of each stem; transforms of windows and blocks;
          products of 8 x 8 spectra twice
dnsmos    the convolutions of both networks, six of P.835 and four of P.808 once a frame, three
          of them with 16 multiply-adds for 36
nisqa     the convolutions of every segment, a transform a mel frame, and two layers of attention,
          128 multiply-adds and an exponential for each pair of segments
bleedless transforms of all frames of both signals at one size; a root and 16 multiply-adds a bin
          (its bands), a logarithm a band
usdr, sisdr   reading the signals: twice, and three times all of them

and of the optional engines of benchsep, with their default stems (not those of other packages:
zimtohrli, audiobox, emb-clap, emb-mert):

leakage   transforms of references, mixture and estimates at one size with 16 multiply-adds a bin;
          eight rounds of the fit: 45 multiply-adds and a quotient a point in double precision, and
          reading its powers; reading four times (silence, energies of hops)
lsd       transforms of all frames of both signals, and again of references, whose peak is needed
          first; a quotient, a logarithm and 8 operations a bin; reading twice (silence)
logwmse   two transforms a sample in double precision of the mixture and of the errors (their
          correlations with themselves, in blocks); reading four times (silence, errors)
alignment   two transforms a sample in double precision (correlations at all lags); transforms at
          one size of both signals, a root and three multiply-adds a bin; reading four times
mireval   two transforms a sample in double precision of references and of estimates; a
          factorisation of 512 rows a stem; reading four times
onsets    (drums) a transform of 2046 points each 10 ms, 16 multiply-adds a bin; reading
consistency   reading mixture and estimates once
emb-voice   (vocals) the convolutions of DNSMOS's P.835 network, reference and estimate
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import upstream

RATE, CHANNELS, STEMS = 44_100, 2, 4
SIZES = (256, 512, 1024, 2048, 4096)
DOUBLE_SIZES = (4096, 32_768)
"""Complex points of the transforms of :mod:`benchsep.metrics.lags`."""


def least(call: Callable[[], object], repeats: int = 5) -> float:
    """CPU seconds of the fastest of several calls, after one more."""
    call()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def rates() -> dict[str, float]:
    """Seconds of one operation: a number transformed, a multiply-add, a byte read."""
    import torch
    from scipy.fft import rfft

    torch.set_num_threads(1)
    rng, found = np.random.default_rng(0), {}
    for size in DOUBLE_SIZES:
        found[f"float64 transform of {size}, in lanes"] = _double_in_lanes(size)
    for size in SIZES:
        frames = torch.from_numpy(rng.standard_normal((1 << 17) // size * size, np.float32))
        frames = frames.reshape(-1, size)
        out = torch.empty((len(frames), size // 2 + 1), dtype=torch.complex64)

        def transform(frames: torch.Tensor = frames, out: torch.Tensor = out) -> None:
            torch.fft.rfft(frames, out=out)

        found[f"float32 transform of {size}"] = _in_lanes(size)
        found[f"float32 transform of {size}, torch"] = least(transform) / frames.numel()
    odd = rng.standard_normal((64, 2046), np.float32)
    found["float32 transform of 2046"] = least(lambda: rfft(odd, axis=1)) / odd.size
    window = rng.standard_normal((8, 45_000))
    found["float64 transform of 45000"] = least(lambda: rfft(window, axis=1)) / window.size
    divided = rng.uniform(1, 2, 1 << 12)
    found["float64 quotient"] = least(lambda: np.divide(1.0, divided)) / divided.size
    for name, kind in (("float32", np.float32), ("float64", np.float64)):
        a = rng.standard_normal((1024, 1024)).astype(kind)
        found[f"{name} multiply-add"] = least(lambda a=a: a @ a) / 1024**3
    found |= _elementwise(rng.uniform(0.5, 2, 1 << 12).astype(np.float32))
    large = rng.standard_normal(1 << 24).astype(np.float32)
    found["byte read"] = least(large.sum) / large.nbytes
    return found


def _elementwise(values: np.ndarray) -> dict[str, float]:
    """Seconds of a number of operations that are no multiply-adds, in the first-level cache."""
    from numba import njit

    @njit(nogil=True)
    def roots(x, repeats):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            for k in range(x.shape[0]):
                x[k] = np.sqrt(x[k])

    @njit(nogil=True, error_model="numpy")
    def quotients(x, y, repeats):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            for k in range(x.shape[0]):
                x[k] = y[k] / x[k]

    def by_numpy(operation: np.ufunc, repeats: int) -> None:
        for _ in range(repeats):
            operation(values, out=out)

    out, repeats = values.copy(), 1000
    calls = {
        "root": lambda: roots(out, repeats),
        "quotient": lambda: quotients(out, values, repeats),
        "logarithm": lambda: by_numpy(np.log, repeats),
        "exponential": lambda: by_numpy(np.exp, repeats),
    }
    return {f"float32 {k}": least(call) / (repeats * values.size) for k, call in calls.items()}


def _in_lanes(size: int) -> float:
    """Seconds of a number of a transform with a signal in each lane."""
    from numba import njit

    from benchsep.metrics import spectra

    tables, room = spectra.plan(size), spectra.aligned(size)
    lanes = spectra.aligned(size)
    given = (lanes, 0, tables.window, tables.twiddles, size, room)
    spectra.transform(*given)
    compiled, frames = spectra.transform, (1 << 17) // size

    @njit(nogil=True)
    def many(lanes, first, window, twiddles, size, room):  # type: ignore[no-untyped-def]
        for _ in range(frames):
            compiled(lanes, first, window, twiddles, size, room)

    return least(lambda: many(*given)) / (frames * size * spectra.LANES)


def _double_in_lanes(points: int) -> float:
    """Seconds of a real number of a complex transform in double precision, a block in each lane."""
    from numba import njit

    from benchsep.metrics import lags

    tables, room = lags.plan(points), lags._aligned(2 * points)
    one = np.zeros((1, 16), np.float32)
    lags.correlations(one, one, 0, 3, 16)  # compiles the module's kernels
    compiled, blocks = lags._transform, max(1, (1 << 15) // points)

    @njit(nogil=True)
    def many(room, twiddles, points):  # type: ignore[no-untyped-def]
        for _ in range(blocks):
            compiled(room, twiddles, points)

    calls = least(lambda: many(room, tables.twiddles, points))
    return calls / (blocks * 2 * points * lags.LANES)


def floors(rate: dict[str, float], seconds: float) -> dict[str, float]:
    """CPU seconds of each metric for the first system of a song."""
    single, double = rate["float32 multiply-add"], rate["float64 multiply-add"]
    samples = RATE * seconds
    both = 2 * CHANNELS * STEMS  # signals of references and of estimates
    root, logarithm = rate["float32 root"], rate["float32 logarithm"]
    frames = sum(4 * samples * rate[f"float32 transform of {size}"] for size in SIZES)
    bins = len(SIZES) * 2 * samples * CHANNELS * STEMS
    windows, patches = 50 * seconds, seconds / 0.6
    filters = 2 * windows * 3840 * 32 * 13 * double
    search = patches * 3601 * 32 * 30 * 17 * double
    # Twice as many points in the logarithm, so twice the operations of a number.
    lag = 3 * 1.3 * 48_000 * seconds * 2 * rate["float32 transform of 4096"]
    solve = ((8 * 512) ** 3 + STEMS * (2 * 512) ** 3) / 6 * double
    blocks = seconds * RATE / 15_362
    pairs = 2 * 64 * blocks * 8193 * 4 * double
    spectra = (both * seconds * 45_000 + 2 * both * blocks * 16_384) * rate[
        "float64 transform of 45000"
    ]
    hops = 0.7 * max(1.0, seconds - 9)  # a third of the windows is left out, see DNSMOS
    lower = _p835_convolutions(seconds)
    lower += 9 * seconds * (100 * 120 * 32 + 50 * 60 * 1024 + 2 * 25 * 30 * 1024)
    upper = 9 * 112 * (20 * 2048 + 15 * 2048)
    segment = 9 * (720 * 16 + 168 * 512 + 60 * (2048 + 4096) + 18 * 4096 + 6 * 4096)
    mel = 100 * seconds * 4096 * rate["float32 transform of 4096"]
    pairs_of_segments = 2 * (25 * seconds) ** 2
    attention = pairs_of_segments * (128 * single + rate["float32 exponential"])
    levels = samples / 1024 * (2049 * root + 512 * logarithm)
    song = samples * CHANNELS * STEMS * 4 * rate["byte read"]
    return {
        "visqol": STEMS * (filters + search + lag),
        "mrstft": both * (frames + 101 * samples * single)
        + bins * (8 * single + 2 * root + rate["float32 quotient"]),
        "usdr": 2 * song,
        "sisdr": 3 * (STEMS + 1) * song,
        "bsseval": solve + pairs + spectra,
        "dnsmos": (lower + hops * upper) * single,
        "nisqa": 25 * seconds * segment * single + mel + attention,
        "bleedless": both
        * (4 * samples * (rate["float32 transform of 4096"] + 8 * single) + levels),
    }


def _p835_convolutions(seconds: float) -> float:
    """Multiply-adds of the six convolutions of DNSMOS's P.835 network, once a frame."""
    first = 100 * seconds * 161 * (9 * 128 + 4 * (128 * 64 + 64 * 64 + 64 * 32))
    return first + 9 * seconds * (50 * 80 * 1024 + 25 * 40 * 1024)


def optional_floors(rate: dict[str, float], seconds: float) -> dict[str, float]:
    """As :func:`floors`, for engines that are not in the default suite."""
    single, double = rate["float32 multiply-add"], rate["float64 multiply-add"]
    samples, stereo = RATE * seconds, CHANNELS * STEMS
    song = samples * stereo * 4 * rate["byte read"]
    frames = 4 * samples * (rate["float32 transform of 2048"] + 8 * single)
    points = samples / 512 * 64
    turn = points * (45 * double + rate["float64 quotient"] + 5 * 8 * rate["byte read"])
    bins = 2 * samples
    logs = bins * (rate["float32 quotient"] + rate["float32 logarithm"] + 8 * single)
    steps = 100 * seconds
    spectrum = steps * 2046 * (rate["float32 transform of 2046"] + 8 * single)
    return {
        "leakage": (2 * stereo + CHANNELS) * frames + STEMS * 8 * turn + 4 * song,
        "lsd": 3 * stereo * 4 * samples * rate["float32 transform of 2048"]
        + stereo * logs
        + 2 * song,
        "logwmse": 2 * (stereo + CHANNELS) * samples * rate["float64 transform of 32768, in lanes"]
        + 4 * song,
        "alignment": stereo * 2 * samples * rate["float64 transform of 32768, in lanes"]
        + 2 * stereo * 4 * samples * rate["float32 transform of 2048"]
        + stereo * bins * (2 * rate["float32 root"] + 3 * double)
        + 4 * song,
        "mireval": 2 * STEMS * 2 * samples * rate["float64 transform of 4096, in lanes"]
        + STEMS * 512**3 / 6 * double
        + 4 * song,
        "onsets": 2 * spectrum + song / STEMS,
        "consistency": 1.25 * song,
        "emb-voice": 2 * _p835_convolutions(seconds) * single,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    measured = rates()
    found, more = floors(measured, options.seconds), optional_floors(measured, options.seconds)
    for name, value in measured.items():
        print(f"{name}: {1e9 * value:.3f} ns")
    for name, value in found.items():
        print(f"{name}: {value:.2f} CPU s")
    print(f"all: {sum(found.values()):.2f} CPU s")
    for name, value in more.items():
        print(f"{name} (optional): {value:.2f} CPU s")
    if options.output:
        content = {"machine": upstream.machine(), "rates": measured, "floors": found | more}
        options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
