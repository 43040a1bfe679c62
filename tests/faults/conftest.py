"""The fault campaign: short by default, long with ``BENCHSEP_FAULTS=long`` (``make faults``).

Every test has one body for both forms; ``sizes`` says how much of it is done. What a test
measured goes to ``figures``; the long form writes them all into ``reports/reliability.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.environment import ROOT, environment
from tests.helpers.noise import noise_songs

LONG = os.environ.get("BENCHSEP_FAULTS") == "long"
FIGURES: dict[str, dict[str, Any]] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that fails has no figures."""
    report = (yield).get_result()
    if report.failed and report.when == "call":
        FIGURES.pop(item.name, None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if LONG and FIGURES and not hasattr(session.config, "workerinput"):
        from tests.faults.reliability import MEASURED, write_report

        used = os.times()
        seconds = used.user + used.system + used.children_user + used.children_system
        whole = {"tests": session.testscollected, "failed": session.testsfailed,
                 "CPU minutes": round(seconds / 60)}  # fmt: skip
        if FIGURES.keys() >= MEASURED:
            FIGURES["campaign"] = whole
        write_report(FIGURES, ROOT / "reports")


@pytest.fixture(scope="session")
def sizes() -> Callable[[int, int], int]:
    """``sizes(short, long)``: how many, in this form of the campaign."""
    return lambda short, long: long if LONG else short


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a test measured, by name; ends in the report of the long form."""
    return FIGURES.setdefault(request.node.name, {})


class Zygote:
    """See :mod:`tests.faults.zygote`; one process for the whole session."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.environment = environment()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.log = work / "log"

    def __call__(self, *argv: str | Path, **request: Any) -> dict[str, Any]:
        """Run a program to its end, or to its death."""
        line = {"argv": list(map(str, argv)), "log": str(self.log), **request}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def said(self) -> str:
        """What the last run printed."""
        return self.log.read_text(errors="replace")

    def ok(self, *argv: str | Path, **request: Any) -> dict[str, Any]:
        reply = self(*argv, **request)
        assert reply["code"] == 0, self.said()
        return reply


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    assert made.process.stdin and made.process.stdout
    made.process.stdin.close()
    made.process.kill()
    made.process.wait()
    made.process.stdout.close()


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_songs(tmp_path_factory.mktemp("songs") / "songs", ("one", "two", "Drei & 4"))
