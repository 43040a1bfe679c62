"""A small finished run, and the program called in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli import app
from benchsep.systems.contract import SystemInfo

RATE = 44_100
SONGS = tuple(f"Band {i} - Song" for i in range(5))

Call = Callable[..., str]


class Noisy:
    """A system that samples: a quarter of the mixture, and noise of its seed."""

    info = SystemInfo(name="noisy", family="generative", deterministic=False)

    def __init__(self, device: str = "cpu") -> None: ...

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        rng = np.random.default_rng(seed)
        shape = mixture.samples.shape
        return {
            stem: Audio(
                (mixture.samples / 4 + rng.normal(0, 0.02, shape)).astype(np.float32), mixture.rate
            )
            for stem in STEMS
        }


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set: five songs of 1.2 seconds, each stem noise of its own level."""
    folder = tmp_path_factory.mktemp("dataset") / "songs"
    rng = np.random.default_rng(0)
    for song in SONGS:
        for stem in STEMS:
            samples = rng.normal(0, rng.uniform(0.05, 0.2), (2, RATE * 12 // 10))
            write_audio(folder / song / f"{stem}.wav", Audio(samples.astype(np.float32), RATE))
    return folder


@pytest.fixture(scope="session")
def finished_run(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of a system that samples, of a folder and of the mixture, estimates included."""
    registry.register("system", "noisy", Noisy)
    folder = tmp_path_factory.mktemp("runs") / "run"
    benchsep.run(
        out=folder, dataset=f"folder:{songs}", systems=("noisy", f"dir:{songs}", "mixture"),
        metrics=("usdr",), stems=("vocals", "drums"), draws=2, inline=True, yardsticks=False,
        keep_estimates="flac",
    )  # fmt: skip
    yield folder
    registry.unregister("system", "noisy")


@pytest.fixture
def call() -> Call:
    """Call ``benchsep WORDS``; what it writes to stdout. An error of benchsep is raised."""

    def called(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return called
