"""Benchmark generative and discriminative music separators in one table.

The Python interface does the same as the command line::

    import benchsep

    result = benchsep.run(out="runs/mine", systems=("htdemucs", "dir:my-estimates"))
    frame = benchsep.load_run("runs/mine")           # a row a cell
    scores = benchsep.score("ref.wav", "est.wav", metrics=["visqol", "usdr"])
    stems = benchsep.load_system("htdemucs:checkpoint=mini").separate(mixture, seed=0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep._util.version import __version__

if TYPE_CHECKING:
    from benchsep.audio import STEMS, Audio
    from benchsep.datasets.track import Dataset, Track, TrackAudio
    from benchsep.metrics.metric import Metric
    from benchsep.runner.frame import load_costs, load_run
    from benchsep.runner.run import run
    from benchsep.runner.score import score
    from benchsep.systems.contract import System, SystemInfo
    from benchsep.systems.spec import load_system

_PUBLIC = {
    "STEMS": "benchsep.audio",
    "Audio": "benchsep.audio",
    "Dataset": "benchsep.datasets.track",
    "Metric": "benchsep.metrics.metric",
    "System": "benchsep.systems.contract",
    "SystemInfo": "benchsep.systems.contract",
    "Track": "benchsep.datasets.track",
    "TrackAudio": "benchsep.datasets.track",
    "load_costs": "benchsep.runner.frame",
    "load_run": "benchsep.runner.frame",
    "load_system": "benchsep.systems.spec",
    "run": "benchsep.runner.run",
    "score": "benchsep.runner.score",
}
__all__ = [
    "STEMS",
    "Audio",
    "Dataset",
    "Metric",
    "System",
    "SystemInfo",
    "Track",
    "TrackAudio",
    "__version__",
    "load_costs",
    "load_run",
    "load_system",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that `benchsep --help` does not pay for pandas and torch.
    if name not in _PUBLIC:
        raise AttributeError(f"module 'benchsep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)
