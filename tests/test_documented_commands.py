"""Every command in README.md and docs/ exists as written; those of the first pages are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from benchsep.audio import Audio, write_audio
from benchsep.cli.app import app
from benchsep.datasets.load import load_dataset

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("README.md", "docs/guides/score-my-folder.md")
"""Pages whose commands are run in the order of the page, on a tiny MUSDB18-HQ."""
ELSEWHERE = ("run demo", "show runs/demo", "report runs/demo")
"""The demo: slow, and run by ``make demo``."""
SECONDS = 1.5
"""Length of the two songs of the tiny MUSDB18-HQ."""


def blocks(text: str) -> Iterator[str]:
    """The fenced blocks without a language, or of a shell."""
    kind, lines = None, []
    for line in text.splitlines():
        if not line.lstrip().startswith("```"):
            lines.append(line)
        elif kind is None:
            kind, lines = line.strip().strip("`"), []
        else:
            if kind in ("", "bash", "sh"):
                yield "\n".join(lines)
            kind = None


def commands(path: Path, program: str) -> list[list[str]]:
    """The words of each call of ``program``: continued lines joined, comments left out."""
    calls = []
    for block in blocks(path.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in re.split(r"&&|;", line):
                call = re.match(rf"\s*(?:[A-Z_]+=\S*\s+|do\s+)*{program}\s+(.*)", part)
                if call:
                    words = shlex.split(call[1], comments=True)
                    words = [word.replace("$k", "1") for word in words]
                    calls.append(words[: words.index("&")] if "&" in words else words)
    return calls


def written(program: str) -> list[pytest.ParameterSet]:
    """All calls on all pages."""
    return [
        pytest.param(words, id=f"{path.stem}: {' '.join(words)}"[:90])
        for path in PAGES
        for words in commands(path, program)
        if words and "…" not in words
    ]


def parse(program: Any, words: list[str]) -> None:
    """Parse the call down to its last subcommand; nothing is run. Raises typer's UsageError."""
    context = program.make_context("program", list(words))
    while hasattr(context.command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None, name
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("words", written("benchsep"))
def test_every_call_of_benchsep_is_one_that_it_takes(words: list[str]) -> None:
    parse(typer.main.get_command(app), words)


@pytest.mark.parametrize("words", written("tokensep"))
def test_every_call_of_tokensep_is_one_that_it_takes(words: list[str]) -> None:
    from tokensep.cli import app as tokensep

    parse(typer.main.get_command(tokensep), words)


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option: --systms"):
        parse(typer.main.get_command(app), ["run", "--systms", "mixture"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with ``~/musdb18hq`` (two songs) and, where one stands, estimates of your own."""
    track = load_dataset("clip").tracks()[0].load()
    parts = {"mixture": track.mixture, **track.stems}
    for number in range(2):
        for name, audio in parts.items():
            begin, end = (int(k * SECONDS * audio.rate) for k in (number, number + 1))
            cut = Audio(audio.samples[:, begin:end], audio.rate)
            write_audio(tmp_path / "musdb18hq" / "test" / f"Song {number}" / f"{name}.wav", cut)
            if name != "mixture":
                estimate = Audio(cut.samples * 0.9, cut.rate)
                write_audio(tmp_path / "my-estimates" / f"Song {number}" / f"{name}.wav", estimate)
    write_audio(tmp_path / "song.wav", Audio(track.mixture.samples[:, :44_100], 44_100))
    for name, gain in (("reference", 1.0), ("estimate", 0.9)):
        samples = track.stems["vocals"].samples[:, :66_150] * gain
        write_audio(tmp_path / f"{name}.wav", Audio(samples, 44_100))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_the_first_pages_run_in_their_order(page: str, home: Path) -> None:
    for words in commands(ROOT / page, "benchsep"):
        if " ".join(words[:2]) in ELSEWHERE:
            continue
        words = [word.replace("~", str(home)) for word in words]
        if words[0] == "run" and "--metrics" not in words:
            words += ["--metrics", "usdr"]  # the default metrics take minutes
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{' '.join(words)}\n{done.output}\n{done.exception}"


def test_the_notebook_runs(home: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(ROOT / "docs" / "guides" / "from-python.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # kept without outputs
    nbclient.NotebookClient(notebook, timeout=300).execute()
