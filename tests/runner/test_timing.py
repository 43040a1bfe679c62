"""What a real-time factor is: of a warm system, never of reading files, sessions named."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio
from benchsep.report.run import load
from benchsep.runner import loaded_system, separation, warmup
from benchsep.runner.frame import load_costs
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs


class Sampler:
    """Draws from the global generators and never seeds them; keeps the lengths of its calls."""

    lengths: list[float] = []  # noqa: RUF012
    fails = False

    def __init__(self, device: str = "cpu") -> None:
        self.info = SystemInfo("sampler", "generative", deterministic=False)

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        import torch

        self.lengths.append(mixture.seconds)
        if self.fails and len(self.lengths) == 1:
            raise RuntimeError("too short for me")
        gain = float(torch.rand(1)) + random.random() + float(np.random.rand())  # noqa: NPY002
        return {s: Audio(mixture.samples * gain / 4, mixture.rate) for s in STEMS}


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    registry.register("system", "sampler", Sampler)
    monkeypatch.setattr(Sampler, "lengths", [])
    loaded_system._systems.clear()
    warmup.forget()
    yield
    registry.unregister("system", "sampler")


@pytest.fixture
def songs(tmp_path):
    return noise_songs(tmp_path / "songs", ("one", "two"), seconds=1.5, rate=8_000)


def _run(songs, out, *systems, **options):
    defaults = {"metrics": ("usdr",), "yardsticks": False, "inline": True}
    return benchsep.run(
        dataset=f"folder:{songs}", systems=systems, out=out, **{**defaults, **options}
    )


def test_the_first_call_is_on_a_second_and_not_timed(songs, tmp_path):
    _run(songs, tmp_path / "run", "sampler")
    assert Sampler.lengths == [1.0, 1.5, 1.5]


def test_an_error_of_the_first_call_is_no_result(songs, tmp_path, monkeypatch):
    monkeypatch.setattr(Sampler, "fails", True)
    frame = _run(songs, tmp_path / "run", "sampler").cells()
    assert len(Sampler.lengths) == 3 and set(frame["status"]) == {"ok"}


def test_reference_systems_and_oracles_have_no_first_call(songs, tmp_path):
    _run(songs, tmp_path / "run", "mixture", "oracle-irm")
    assert not warmup._warm


def test_estimates_are_the_same_bytes_with_and_without_it(songs, tmp_path, monkeypatch):
    import torch

    def ids(name: str) -> list[str]:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        _run(songs, tmp_path / name, "sampler", keep_estimates="flac")
        folder = tmp_path / name / "estimates"
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        assert len(files) == 8
        return [p.read_bytes().hex() for p in files]

    warm = ids("warm")
    monkeypatch.setattr(separation, "warm_up", lambda *_: None)
    assert ids("cold") == warm


def test_files_have_no_real_time_factor_and_no_memory(songs, tmp_path):
    columns = ["rtf", "peak_memory_mb"]
    _run(songs, tmp_path / "run", f"dir:{songs}", "sampler")
    costs = load_costs(tmp_path / "run").set_index("system")[columns]
    assert not costs.drop("sampler").notna().to_numpy().any()
    assert costs.loc["sampler", "rtf"].notna().all()
    # the folder's row stays, without having been asked for
    _run(songs, tmp_path / "run", "sampler")
    costs = load_costs(tmp_path / "run").set_index("system")[columns]
    assert not costs.loc["dir:songs"].notna().to_numpy().any()
    assert costs.loc["sampler", "rtf"].notna().all()


def test_memory_is_what_a_separation_adds_not_what_the_process_holds(songs, tmp_path):
    """All systems of a run had the memory of the largest, once a worker had loaded it."""
    registry.register("system", "heavy", lambda device="cpu": _heavy())
    try:
        _run(songs, tmp_path / "run", "heavy", "sampler")
    finally:
        registry.unregister("system", "heavy")
    memory = load_costs(tmp_path / "run").groupby("system")["peak_memory_mb"].max()
    assert memory.notna().all() == (sys.platform == "linux")
    assert memory.fillna(0).max() < 100


def test_memory_is_measured_again_only_for_a_longer_song(tmp_path):
    """To measure costs time: freed memory is given back to the system before."""
    lengths = {"a": 1.0, "b": 1.0, "c": 1.5, "d": 1.2}
    for name, seconds in lengths.items():
        noise_songs(tmp_path / "songs", (name,), seconds=seconds, rate=8_000)
    for name in ("first", "second"):  # each run measures for itself
        _run(tmp_path / "songs", tmp_path / name, "sampler")
        memory = load_costs(tmp_path / name).set_index("track")["peak_memory_mb"]
        measured = set(memory[memory.notna()].index)
        assert measured == ({"a", "c"} if sys.platform == "linux" else set())


def _heavy() -> Sampler:
    system = Sampler()
    system.info = SystemInfo("heavy", "unknown")
    system.weights = np.ones(300 * 2**20, np.uint8)  # type: ignore[attr-defined]
    return system


def test_rows_of_several_sessions_are_marked(songs, tmp_path):
    out = tmp_path / "run"
    registry.register("system", "other", lambda device="cpu": _other())
    try:
        _run(songs, out, "sampler", "other")
        one = load(out, intervals=False).tables[0].warnings
        assert not any("several calls" in w for w in one)
        sessions = {d.session for r in Store(out).records() for d in r.draws.values()}
        assert len(sessions) == 1 and "" not in sessions
        _run(songs, tmp_path / "two", "sampler")
        _run(songs, tmp_path / "two", "sampler", "other")
        (line,) = (w for w in load(tmp_path / "two").tables[0].warnings if "several calls" in w)
        assert "sampler; other" in line
    finally:
        registry.unregister("system", "other")


def _other() -> Sampler:
    system = Sampler()
    system.info = SystemInfo("other", "unknown")
    return system
