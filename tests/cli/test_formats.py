"""Every command on a small run: one ``--format``, the same words, each a text of that kind."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import benchsep
import benchsep.report.write
from benchsep._util.text_table import FORMATS
from benchsep.cli.app import COMMANDS
from benchsep.errors import UsageError
from benchsep.listeners.mushra import COLUMNS, HIDDEN

from .conftest import Call

GRID = Path(__file__).resolve().parents[2] / "configs" / "ablations" / "smoke.yaml"

CALLS = {
    "run": "run --dataset folder:SONGS --limit 1 --systems mixture --metrics usdr -j 1 -o NEW",
    "plan": "plan --dataset folder:SONGS --systems mixture --metrics usdr,bsseval -o NEW",
    "show": "show RUN",
    "report": "report RUN -o OUT --max-songs 0 --no-page",
    "explain": "explain RUN noisy/usdr/vocals",
    "merge": "merge RUN -o OUT/board",
    "board": "board RUN -o OUT",
    "separate": "separate SONG/bass.wav --system mixture -o OUT",
    "score": "score SONG OTHER --metrics usdr",
    "list": "list datasets",
    "suites": "suites",
    "docs": "docs",
    "doctor": "doctor",
    "data": "data",
    "baseline": "baseline RUN -o OUT/baseline.json",
    "check": "check RUN --baseline BASELINE",
    "noise": "noise RUN AGAIN",
    "compare": "compare RUN",
    "power": "power RUN --metric usdr --effect 0.5",
    "draws": "draws RUN",
    "tails": "tails RUN",
    "recommend": "recommend JUDGED --stem vocals --budget 1h/song",
    "export-museval": "export-museval WINDOWS -o OUT",
    "webmushra": "webmushra RUN -o OUT --max-songs 1 --seconds 1",
    "ratings": "ratings RATINGS",
    "validity": "validity CLIPS --metrics usdr",
    "ablate": f"ablate {GRID} --dry-run",
}
"""A call of each command; words in capitals are the files of :func:`files`."""

OBJECTS = ("run", "show", "plan", "explain", "check")
"""Commands whose JSON is an object; that of the others is a list of rows."""


@pytest.fixture(scope="module")
def files(
    finished_run: Path, songs: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """What stands for the words in capitals."""
    from benchsep.cli import gate

    folder = tmp_path_factory.mktemp("files")
    benchsep.run(
        out=folder / "windows", dataset=f"folder:{songs}", limit=1, systems=("mixture",),
        metrics=("bsseval",), stems=("vocals",), yardsticks=False, inline=True,
    )  # fmt: skip
    benchsep.run(
        out=folder / "judged", dataset=f"folder:{songs}", limit=2, systems=("noisy",),
        metrics=("mrstft",), stems=("vocals",), yardsticks=False, inline=True,
    )  # fmt: skip
    shutil.copytree(finished_run, folder / "again")
    gate.baseline(finished_run, folder / "baseline.json")
    (folder / "clips.csv").write_text(
        "song,system,family,rating,usdr\n"
        + "".join(f"s{i},a,discriminative,{i},{i}\ns{i},g,generative,{9 - i},{i - 1}\n"
                  for i in range(8))
    )  # fmt: skip
    (folder / "ratings.csv").write_text(
        f"{','.join(COLUMNS)}\n" + "".join(f"{','.join(row)}\n" for row in rated())
    )
    return {
        "RUN": finished_run, "SONGS": songs, "SONG": songs / "Band 0 - Song",
        "OTHER": songs / "Band 1 - Song", "NEW": folder / "new", "OUT": folder / "out",
        "BASELINE": folder / "baseline.json", "CLIPS": folder / "clips.csv",
        "RATINGS": folder / "ratings.csv", "WINDOWS": folder / "windows",
        "JUDGED": folder / "judged", "AGAIN": folder / "again",
    }  # fmt: skip


def rated() -> Iterator[list[str]]:
    """One rater, who hears the hidden reference, on two systems."""
    for system, family, kind, rating in (
        ("a", "discriminative", "system", 60),
        ("g", "generative", "system", 40),
        ("reference", "oracle", HIDDEN, 100),
    ):
        row = {"system": system, "family": family, "kind": kind, "rating": str(rating),
               "rater": "one", "song": "s", "stem": "vocals", "trial": "t"}  # fmt: skip
        yield [row.get(name, "-") for name in COLUMNS]


def words(command: str, files: dict[str, Path]) -> list[str]:
    return [filled(word, files) for word in CALLS[command].split()]


def filled(word: str, files: dict[str, Path]) -> str:
    for name in sorted(files, key=len, reverse=True):
        if name in word:
            return word.replace(name, str(files[name]))
    return word


def test_there_is_a_call_of_every_command() -> None:
    assert list(CALLS) == list(COMMANDS)


@pytest.mark.parametrize("command", CALLS)
def test_every_command_takes_the_same_words(
    command: str, files: dict[str, Path], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_once = functools.cache(benchsep.report.write.write_report)  # figures take seconds
    monkeypatch.setattr("benchsep.report.write.write_report", written_once)
    texts = {}
    for format in (*FORMATS, "table"):
        shutil.rmtree(files["OUT"], ignore_errors=True)
        said = call(*words(command, files), "--format", format)
        texts[format] = re.sub(r"in \d+ s; read", "in N s; read", said)  # of `report`
    assert texts["terminal"] == texts["table"] != ""
    assert is_json(texts["json"], command)
    assert is_csv(texts["csv"])
    assert is_html(texts["html"])
    assert r"\begin{tabular}" in texts["tex"] and r"\end{tabular}" in texts["tex"]
    assert any(line.startswith("| ") and line.endswith(" |") for line in texts["md"].splitlines())
    assert not {"html", "tex", "json"} & {k for k, v in texts.items() if v == texts["terminal"]}


def is_json(text: str, command: str) -> bool:
    content: Any = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
    return isinstance(content, dict) if command in OBJECTS else all(map(dict, content))


def is_csv(text: str) -> bool:
    head, *rows = csv.reader(io.StringIO(text.rstrip("\n")))
    return bool(rows) and {len(row) for row in rows} == {len(head)}


class Tags(HTMLParser):
    """Text, and elements that are open; an end tag must close the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def is_html(text: str) -> bool:
    tags = Tags()
    tags.feed(text)
    return not tags.open and {"table", "tr", "td"} <= tags.seen and not re.search("<[^/a-z]", text)


@pytest.mark.parametrize("command", CALLS)
def test_every_command_refuses_another_word_before_it_starts(
    command: str, files: dict[str, Path], call: Call
) -> None:
    shutil.rmtree(files["OUT"], ignore_errors=True)
    with pytest.raises(UsageError, match="unknown format 'htm'; did you mean 'html'"):
        call(*words(command, files), "--format", "htm")
    assert not files["OUT"].exists()


@pytest.mark.parametrize("form", ["junit", "github"])
def test_check_has_two_formats_of_its_own(form: str, files: dict[str, Path], call: Call) -> None:
    text = call(*words("check", files), "--format", form)
    assert text.startswith("<?xml" if form == "junit" else "::")
