"""Fixtures shared by all tests: real audio first."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from benchsep.datasets.track import TrackAudio

pytest.register_assert_rewrite("tests.helpers")

# How long one example takes says how busy the machine is.
settings.register_profile("busy machines", deadline=None)
settings.load_profile("busy machines")

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Upstream packages import librosa on their own, and numba's cache does not survive two processes
# that fill it at once: every xdist worker has a cache of its own.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    caches = Path(__file__).resolve().parents[1] / ".pytest_cache"
    os.environ["NUMBA_CACHE_DIR"] = str(caches / f"numba-{worker}")


# Hundreds of processes are started here; without bytecode each compiles the packages anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# Processes that crash on purpose leave no core file beside the checkout.
if sys.platform == "linux":
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked `slow` as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: `make slow` runs it"))


@pytest.fixture(scope="session", autouse=True)
def _temporary_files_below_those_of_pytest(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What killed processes leave goes with pytest's own folders (pyproject.toml: when)."""
    if sys.platform == "linux":  # elsewhere the paths of sockets might become too long
        os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("t"))
        tempfile.tempdir = None


@pytest.fixture(scope="session")
def clip() -> TrackAudio:
    """The real 6-second excerpt that the ``stempeg`` package ships (44.1 kHz stereo, 4 stems)."""
    from benchsep.datasets.clip import ClipDataset

    return ClipDataset().tracks()[0].load()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout with real data; tests that use it are marked ``shared``."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"{SHARED} is not here: this test measures on real MUSDB18 excerpts")
    return SHARED
