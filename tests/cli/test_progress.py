"""Whoever watches a run sees what is done, what is at work, and how long the rest takes."""

from __future__ import annotations

import io
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from rich.console import Console

import benchsep
from benchsep.cli import progress
from benchsep.cli.progress import Bar, Live, Watcher, clock, words
from benchsep.runner.timetable import Timetable

WEIGHTS = {("htdemucs", "Song"): 30.0, ("mixture", "Song"): 10.0}


@pytest.fixture
def now(monkeypatch):
    """A clock that the test sets."""
    time = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: time.seconds)
    return time


def job(label: str) -> SimpleNamespace:
    return SimpleNamespace(label=label, track=SimpleNamespace(name="Song"))


def outcome(label: str) -> SimpleNamespace:
    return SimpleNamespace(label=label, track="Song")


def test_a_log_gets_a_line_a_minute_at_most(now):
    text = io.StringIO()
    watcher = Watcher(Timetable(WEIGHTS, workers=1), Console(file=text, width=200))
    watcher.started(job("htdemucs"))
    now.seconds = 30.0
    watcher(outcome("htdemucs"))
    assert text.getvalue() == ""
    now.seconds = 60.0
    watcher.started(job("mixture"))
    assert text.getvalue() == (
        "1/2 jobs, 75% of the work, 1:00 elapsed, about 0:20 left; running: mixture on Song\n"
    )


def test_the_bar_names_what_is_at_work_and_for_how_long(now):
    watcher = Live(Timetable(WEIGHTS, workers=1), None)
    watcher.started(job("htdemucs"))
    now.seconds = 15.0
    text = io.StringIO()
    Console(file=text, width=100).print(Bar(watcher))
    assert "0/2 jobs" in text.getvalue() and "0:15 elapsed, about 0:25 left" in text.getvalue()
    assert "htdemucs on Song (0:15)" in text.getvalue()
    watcher(outcome("htdemucs"))
    assert watcher.lines() == []


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3600 + 125, "1:02:05"), (-3, "0:00")]
)
def test_clocks(seconds, shown):
    assert clock(seconds) == shown


@pytest.mark.parametrize("inline", [True, False])
def test_a_run_tells_of_every_job_before_its_outcome(tmp_path, inline):
    heard = []

    class Listener:
        def started(self, job):
            heard.append(("started", job.label))

        def __call__(self, outcome):
            heard.append(("done", outcome.label))

    benchsep.run(
        out=tmp_path, dataset="clip", systems=("mixture", "oracle-irm"), metrics=("usdr",),
        yardsticks=False, jobs=1, inline=inline, progress=lambda plan: nullcontext(Listener()),
    )  # fmt: skip
    assert heard == [
        (what, label) for label in ("mixture", "oracle-irm") for what in ("started", "done")
    ]


def test_words_print_nothing_where_stderr_is_no_terminal(capfd):
    with pytest.raises(ValueError), words() as say:
        say("reading")
        raise ValueError
    assert capfd.readouterr() == ("", "")
