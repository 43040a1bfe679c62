"""How much work the default metrics do on one small song: exact counts, whatever the machine.

    python -m benchmarks.counted [--write]

Times tell little on a shared machine; a file that is decoded twice or a transform too many is seen
in a count. ``reports/benchmarks/work.json`` holds the counts, ``tests/benchmarks/test_counted.py``
compares them in the default tests, and ``--write`` replaces them after a wanted change.

The song is two seconds of the embedded clip with four stems, the systems two folders of estimates.
NISQA is left out: its weights are not everyone's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

RECORD = Path(__file__).parents[1] / "reports/benchmarks/work.json"
METRICS = ("visqol", "mrstft", "usdr", "sisdr", "bsseval", "dnsmos")
ALONE = ("visqol", "mrstft", "dnsmos")
"""Counted by themselves too, so that a change is found sooner."""
FORWARD = ("fft", "rfft", "rfftn", "fftn")
INVERSE = ("ifft", "irfft", "irfftn", "ifftn")
SECONDS = 2


@contextlib.contextmanager
def counting() -> Iterator[Counter[str]]:
    """A counter of the calls made inside.

    ``decodes`` and ``bytes decoded`` of audio files, ``resamples`` and the ``samples resampled``,
    ``transforms`` (calls, or those of all lanes at once) and ``points transformed`` (real numbers
    of their results), and ``network runs`` of DNSMOS.
    """
    import onnxruntime
    import scipy.fft
    import soxr
    import torch

    from benchsep._util import decode
    from benchsep.metrics import lags, spectra
    from benchsep.metrics.bsseval import transform
    from benchsep.metrics.visqol import alignment

    found: Counter[str] = Counter()

    def counted(owner: Any, name: str, note: Any) -> Any:
        whole = getattr(owner, name)

        def call(*given: Any, **options: Any) -> Any:
            result = whole(*given, **options)
            note(given, result)
            return result

        return mock.patch.object(owner, name, call)

    def called(_: Any, result: Any) -> None:
        found["transforms"] += 1
        elements = int(np.prod(result.shape))
        found["points transformed"] += elements * (2 if "complex" in str(result.dtype) else 1)

    def in_lanes(given: Any, _: Any) -> None:
        frames, size = len(given[4]), given[0].size
        found.update({"transforms": frames, "points transformed": frames * spectra.LANES * size})

    def eight(given: Any, _: Any) -> None:
        groups = -(-len(given[1]) // transform.LANES)
        points = groups * transform.LANES * given[0].length
        found.update({"transforms": groups, "points transformed": points})

    def blocks(given: Any, _: Any) -> None:
        # Both signals as one complex one; each lane has another block.
        signal, step, twiddles = given[0], given[5], given[7]
        groups = -(-len(signal) // (lags.LANES * step))
        points = groups * lags.LANES * 2 * len(twiddles)
        found.update({"transforms": groups, "points transformed": points})

    def correlated(given: Any, _: Any) -> None:
        # Both signals forward as one complex one, and a real one back.
        found.update({"transforms": 2, "points transformed": given[0].size * 3 // 2})

    def decoded(given: Any, _: Any) -> None:
        found.update({"decodes": 1, "bytes decoded": Path(given[0]).stat().st_size})

    def resampled(given: Any, _: Any) -> None:
        found.update({"resamples": 1, "samples resampled": int(np.size(given[0]))})

    def network(given: Any, _: Any) -> None:
        found["network runs"] += 1

    with contextlib.ExitStack() as stack:
        for name in FORWARD + INVERSE:
            stack.enter_context(counted(scipy.fft, name, called))
        stack.enter_context(counted(torch.fft, "rfft", called))
        stack.enter_context(counted(spectra.PairSums, "add", in_lanes))
        stack.enter_context(counted(transform.Transform, "write", eight))
        stack.enter_context(counted(alignment, "correlate", correlated))
        stack.enter_context(counted(lags, "_add_blocks", blocks))
        stack.enter_context(counted(decode, "decode", decoded))
        stack.enter_context(counted(soxr, "resample", resampled))
        stack.enter_context(counted(onnxruntime.InferenceSession, "run", network))
        yield found


def make_song(root: Path) -> None:
    """``songs/clip/STEM.wav`` and two folders of estimates of it."""
    from benchsep.audio import STEMS, Audio, write_audio
    from benchsep.datasets.clip import ClipDataset

    audio = ClipDataset().tracks()[0].load()
    cut = slice(44_100, (1 + SECONDS) * 44_100)
    mixture = audio.mixture.samples[:, cut]
    for stem in STEMS:
        truth = audio.stems[stem].samples[:, cut]
        for folder, part in (("songs", 0.0), ("first", 0.1), ("second", 0.3)):
            heard = ((1 - part) * truth + part * mixture).astype(np.float32)
            write_audio(root / folder / "clip" / f"{stem}.wav", Audio(heard, 44_100))


def count(root: Path) -> dict[str, dict[str, int]]:
    """Metric, or ``all`` -> counts for a song with two systems in the folder ``root``."""
    import benchsep

    def run(name: str, metrics: tuple[str, ...]) -> dict[str, int]:
        with counting() as found:
            benchsep.run(
                out=root / name,
                dataset=f"folder:{root / 'songs'}",
                systems=tuple(f"dir:{root / folder}" for folder in ("first", "second")),
                metrics=metrics,
                yardsticks=False,
                inline=True,  # counted in this process
            )
        return dict(sorted(found.items()))

    make_song(root)
    return {"all": run("all", METRICS), **{name: run(name, (name,)) for name in ALONE}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"replace {RECORD.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(count(Path(folder)), indent=1) + "\n"
    print(text, end="")
    if options.write:
        RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
