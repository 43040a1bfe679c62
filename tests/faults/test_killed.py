"""Killed at any moment and started again: the same bytes, nothing lost, nothing doubled.

Two kinds of death. At random moments: kill -9 after a random time, again and again until the
work is done. At chosen moments: at each file operation in turn, also leaving the file empty or
torn, as a crash between two system calls does. Both against the real ``main``.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import benchsep
from tests.helpers.environment import ROOT, environment
from tests.helpers.noise import noise_songs

HOWS = ("before", "empty", "torn")
KEYS = ["system", "track", "stem", "metric", "draw"]


def suite(folder: Path, songs: Path, *, inline: bool = False) -> Path:
    """Yardsticks only: they have no cost columns, so that the printed tables are equal bytes.

    ``inline``: where no worker dies. A run in the forked process costs a tenth of one that starts
    an interpreter for its worker.
    """
    path = folder / "suite.yaml"
    path.write_text(
        f"dataset: 'folder:{songs}'\nsystems: [mixture, reference, oracle-irm]\n"
        "yardsticks: false\nmetrics: [usdr, sisdr, lsd]\njobs: 1\n"
        f"inline: {str(inline).lower()}\n"
    )
    return path


def cells(run: Path) -> str:
    """The table of all cells, without how long each took."""
    return benchsep.load_run(run).drop(columns=["seconds"]).to_csv(index=False)


def tables(zygote, run: Path) -> str:
    zygote.ok("benchsep", "show", run, "--format", "md")
    shown = zygote.said()
    zygote.ok("benchsep", "show", run, "--format", "json")
    return shown + zygote.said()


def check_clean(run: Path) -> None:
    frame = benchsep.load_run(run)
    assert not frame.duplicated(KEYS).any()
    left = [p for p in run.rglob("*") if ".partial" in p.name or p.name == "claims"]
    assert not left


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(zygote, songs, tmp_path_factory):
    """A run that nobody killed: its folder, its seconds, its cells, its tables."""
    folder = tmp_path_factory.mktemp("undisturbed")
    reply = zygote.ok("benchsep", "run", suite(folder, songs), "-o", folder / "run")
    return reply["seconds"], cells(folder / "run"), tables(zygote, folder / "run")


def kill_until_done(zygote, rng, whole: float, *argv) -> int:
    """Start, kill at a random moment, start again … until it finishes; the number of kills."""
    kills = 0
    while True:
        # Half of the time on average: most starts die before they are done, all get further.
        # After many deaths it is let through, as a machine that only crashes proves nothing.
        delay = rng.uniform(0, whole) if kills < 25 else None
        code = zygote(*argv, kill_after=delay)["code"]
        if code == 0:
            return kills
        assert code == -9, zygote.said()
        kills += 1


def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(
    zygote, songs, undisturbed, tmp_path, sizes, figures
):
    whole, expected, shown = undisturbed
    rng, kills, rounds = random.Random(8), 0, 0
    while kills < sizes(2, 25):  # each start imports everything in a worker of its own
        run = tmp_path / f"run-{rounds}"
        kills += kill_until_done(
            zygote, rng, whole, "benchsep", "run", suite(tmp_path, songs), "-o", run
        )
        rounds += 1
        assert cells(run) == expected
        assert tables(zygote, run) == shown
        check_clean(run)
    figures.update(kills=kills, runs=rounds, different=0)


def test_a_run_killed_at_any_file_operation_ends_in_the_same_bytes(
    zygote, songs, undisturbed, tmp_path, sizes, figures
):
    _, expected, shown = undisturbed
    # Inline: the operations of one process are counted, and it is the one that is killed.
    command = ("benchsep", "run", suite(tmp_path, songs, inline=True), "-o")
    count = zygote.ok(*command, tmp_path / "counted", count=str(tmp_path / "counted"))["operations"]
    assert count > 50
    moments = [(n, how) for n in range(1, count + 1) for how in HOWS]
    rng = random.Random(8)
    some = rng.sample(moments, min(sizes(3, 60), len(moments)))
    for n, how in some:
        run = tmp_path / f"{how}-{n}"
        assert zygote(*command, run, kill_at=[str(run), n, how])["code"] == -9, (n, how)
        zygote.ok(*command, run)
        assert cells(run) == expected, (n, how)
        check_clean(run)
    assert tables(zygote, run) == shown
    figures.update(kills=len(some), operations=count, different=0)


def test_kept_estimates_and_reports_survive_a_kill(zygote, songs, tmp_path, sizes, figures):
    """Audio files and the report's folder: whole or absent, and no temporary file stays."""
    kept = ("--keep-estimates", "flac")
    command = ("benchsep", "run", suite(tmp_path, songs, inline=True), *kept, "-o")
    report = ("--no-page", "--max-songs", "0", "-o")
    whole, whole_report = tmp_path / "whole", tmp_path / "whole-report"
    writes = zygote.ok(*command, whole, count=str(whole))
    pages = zygote.ok("benchsep", "report", whole, *report, whole_report, count=str(whole_report))
    estimates, expected = digest(whole / "estimates"), digest(whole_report)
    run, made = tmp_path / "run", tmp_path / "report"
    rng, kills = random.Random(8), 0
    for _ in range(sizes(1, 12)):
        at = rng.randrange(1, writes["operations"] + 1)
        assert zygote(*command, run, kill_at=[str(run), at, "torn"])["code"] in (-9, 0)
        zygote.ok(*command, run)
        assert digest(run / "estimates") == estimates
        check_clean(run)
        at = rng.randrange(1, pages["operations"] + 1)
        code = zygote("benchsep", "report", run, *report, made, kill_at=[str(made), at, "torn"])
        kills += 1 + (code["code"] == -9)
        zygote.ok("benchsep", "report", run, *report, made)
        assert digest(made) == expected, at
    figures.update(kills=kills, different=0)


# -- training -----------------------------------------------------------------------------------


def curve(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "train.csv").open() as handle:
        return [(r["step"], r["loss"], r["grad_norm"]) for r in csv.DictReader(handle)]


@pytest.fixture(scope="module")
def trained(zygote, tmp_path_factory):
    """A training that nobody killed: its seconds, file operations, curve and weights."""
    folder = tmp_path_factory.mktemp("trained") / "whole"
    reply = zygote.ok("train", folder, count=str(folder))
    return reply["seconds"], reply["operations"], curve(folder), digest(folder / "final")


def test_a_training_killed_at_random_moments_draws_the_same_curve(
    zygote, trained, tmp_path, sizes, figures
):
    whole, _, expected, weights = trained
    rng, kills, rounds = random.Random(8), 0, 0
    while kills < sizes(2, 60):
        folder = tmp_path / f"run-{rounds}"
        kills += kill_until_done(zygote, rng, whole, "train", folder)
        rounds += 1
        assert curve(folder) == expected
        assert digest(folder / "final") == weights
    figures.update(kills=kills, runs=rounds, different=0)


def test_a_training_killed_at_any_file_operation_draws_the_same_curve(
    zygote, trained, tmp_path, sizes, figures
):
    _, count, expected, weights = trained
    moments = [(n, how) for n in range(1, count + 1) for how in HOWS]
    rng = random.Random(8)
    some = rng.sample(moments, min(sizes(2, 80), len(moments)))
    for n, how in some:
        folder = tmp_path / f"{how}-{n}"
        assert zygote("train", folder, kill_at=[str(folder), n, how])["code"] == -9, (n, how)
        zygote.ok("train", folder)
        assert curve(folder) == expected, (n, how)
        assert digest(folder / "final") == weights, (n, how)
    figures.update(kills=len(some), operations=count, different=0)


# -- ablations ----------------------------------------------------------------------------------

GRID = ROOT / "configs" / "ablations" / "smoke.yaml"


def ablated(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Weights by variant, and the report without what a clock wrote."""
    weights = {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.glob("variants/*/lm.safetensors"))
    }
    report = (folder / "report" / "two.md").read_text().splitlines()
    clock = {line for line in report if line.startswith("| ") and "NLL" in line}
    return weights, [line for line in report if line not in clock]


def test_an_ablation_killed_at_random_moments_ends_in_the_same_report(tmp_path, sizes, figures):
    """Half of the deaths take the command alone, whose training lives on, half take both."""
    if not sizes(0, 1):
        pytest.skip("`make faults` runs it; short form: tests/ablation/test_ablate.py, killed")
    import yaml

    grid = yaml.safe_load(GRID.read_text())
    grid["variants"] = {n: grid["variants"][n] for n in ("Conformer", "parallel")}
    grid |= {"control": "", "seeds": [0, 1]}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(grid))

    def start(folder: Path) -> subprocess.Popen[bytes]:
        words = ["ablate", tmp_path / "two.yaml", "--work", folder, "-o", folder / "report"]
        return subprocess.Popen(
            [sys.executable, "-m", "benchsep", *map(str, words), "-j", "1"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )

    began = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    whole = time.monotonic() - began
    expected = ablated(tmp_path / "whole")
    assert len(expected[0]) == 2
    rng, kills, rounds = random.Random(8), 0, 0
    while kills < 6:
        folder = tmp_path / f"work-{rounds}"
        for _ in range(4):
            process = start(folder)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.2, 1) * whole)
            if process.poll() is not None:
                assert process.returncode == 0
                break
            alone = rng.random() < 0.5
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        assert start(folder).wait() == 0
        rounds += 1
        assert ablated(folder) == expected
        check_clean(folder / "run")
    figures.update(kills=kills, runs=rounds, different=0)


# -- pseudo-labels ------------------------------------------------------------------------------


def labelling(songs: Path, out: Path) -> tuple[str | Path, ...]:
    return ("tokensep", "pseudo-label", songs, "-o", out, "--teacher", "mixture",
            "--min-residual-db", "-100", "--shard-minutes", "0.05")  # fmt: skip


def test_pseudo_labelling_killed_at_random_moments_leaves_the_same_shards(
    zygote, tmp_path, sizes, figures
):
    music = noise_songs(tmp_path / "music", ("one", "two"), seconds=2.5)
    whole = zygote.ok(*labelling(music, tmp_path / "whole"))["seconds"]
    shards = {k: v for k, v in digest(tmp_path / "whole").items() if k.endswith(".tar")}
    assert len(shards) > 3
    rng, kills, rounds = random.Random(8), 0, 0
    while kills < sizes(2, 60):
        out = tmp_path / f"out-{rounds}"
        kills += kill_until_done(zygote, rng, whole, *labelling(music, out))
        rounds += 1
        found = digest(out)
        assert {k: v for k, v in found.items() if k.endswith(".tar")} == shards
        assert not [name for name in found if "partial" in name]
    figures.update(kills=kills, runs=rounds, different=0)


def test_pseudo_labelling_killed_at_any_file_operation_leaves_the_same_shards(
    zygote, tmp_path, sizes, figures
):
    music = noise_songs(tmp_path / "music", ("one", "two"), seconds=2.5)
    command = labelling(music, tmp_path / "whole")
    count = zygote.ok(*command, count=str(tmp_path / "whole"))["operations"]
    shards = {k: v for k, v in digest(tmp_path / "whole").items() if k.endswith(".tar")}
    moments = [(n, how) for n in range(1, count + 1) for how in HOWS]
    some = random.Random(8).sample(moments, min(sizes(3, 80), len(moments)))
    for n, how in some:
        out = tmp_path / f"{how}-{n}"
        assert zygote(*labelling(music, out), kill_at=[str(out), n, how])["code"] == -9, (n, how)
        zygote.ok(*labelling(music, out))
        found = digest(out)
        assert {k: v for k, v in found.items() if k.endswith(".tar")} == shards, (n, how)
        assert not [name for name in found if "partial" in name], (n, how)
    figures.update(kills=len(some), operations=count, different=0)
