"""LaTeX tables to paste: they need booktabs alone, and the caption is one line."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchsep._util import escape
from benchsep.errors import UsageError
from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.build import tables
from benchsep.report.tables.latex import latex_document
from benchsep.report.tables.latex_short import PREAMBLE, latex_short
from benchsep.report.tables.latex_width import GAP, PAGE, lines, parts
from benchsep.report.tables.model import Table
from benchsep.report.tables.render import render
from tests.helpers.sample_run import SYSTEMS, TRACKS, make_rows

LATIN = "".join(chr(c) for c in range(0xC0, 0x180))
BOOKTABS = {"toprule", "midrule", "bottomrule"}
KERNEL = {
    "begin", "end", "centering", "footnotesize", "scriptsize",
    "raggedright", "allowbreak", "setlength", "tabcolsep", "caption",
    "label", "multicolumn", "itshape", "textbf", "texttt", "dagger", "uparrow", "downarrow",
    "Delta", "textbackslash", "textasciicircum", "textless", "textgreater", "ldots", "S",
    "ddagger", "shortstack", "textbar", "textasciitilde", "textasciigrave", "cdot", "pm", "times",
}  # fmt: skip


@pytest.fixture
def made(
    costs: pd.DataFrame, manifest: dict[str, Any], traits: dict[str, ValueTraits]
) -> list[Table]:
    systems = {**SYSTEMS, "evil_{}\\x $^ 漢 – “q” %&#~<>|": "generative", LATIN: "discriminative"}
    rows = pd.DataFrame(make_rows(systems, tracks=(*TRACKS, "D", "E")))
    lost = (rows.system == "bs_roformer@mini") & (rows.track == "D")
    rows.loc[lost, ["status", "value"]] = ["failed", None]
    return tables(rows, costs, manifest, traits, improvement=True, intervals=True)


def test_a_table_is_balanced_and_of_the_kernel_and_booktabs(made: list[Table]) -> None:
    text = latex_short(made)
    commands = text.split("\n", 1)[1].replace(r"\\", " ")
    assert set(re.findall(r"\\([A-Za-z]+)", commands)) <= KERNEL | BOOKTABS
    blocks = re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.S)
    labels = re.findall(r"\\label\{tab:benchsep-(t\d+)([b-z]?)\}", text)
    assert [number for number, part in labels if not part] == [table.id for table in made]
    assert len(blocks) == len(labels) > len(made), "the overview has parts"
    for block in blocks:
        block = block.replace(r"\allowbreak{}", "").replace(r"\raggedright ", "")
        open_: list[str] = []
        for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", block):
            assert kind == "begin" or open_.pop() == name
            open_ += [name] * (kind == "begin")
        assert open_ == []
        plain = re.sub(r"\\[{}%&#$_\\]", "", block)
        assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
        caption = next(line for line in block.splitlines() if line.startswith(r"\caption"))
        assert caption.endswith("}") and len(caption) < 200 and "Warning" not in block
        columns = len(re.sub(r"p\{5[25]mm\}", "p", block.split("@{}")[1]))
        for line in block.splitlines():
            if line.endswith(r"\\") and "itshape" not in line:
                assert len(re.findall(r"(?<!\\)&", line)) == columns - 1, line


def test_numbers_and_bold_are_those_of_the_table(made: list[Table]) -> None:
    text, table = latex_short(made[1:2]), made[1]
    bold = re.findall(r"\\textbf\{([^}]*)\}", text)
    best = [c for row in table.rows for c in row.cells if c.best]
    assert len(bold) == len(best)
    assert sorted(float(b.replace("$", "")) for b in bold) == pytest.approx(
        sorted(c.value for c in best), abs=0.006
    )
    assert "4/5" in text or "n/N" not in text


def test_short_is_for_latex(made: list[Table]) -> None:
    assert render(made, "tex", "short") == latex_short(made)
    with pytest.raises(UsageError, match="--format tex"):
        render(made, "md", "short")
    with pytest.raises(UsageError, match="full or short"):
        render(made, "tex", "tiny")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
@pytest.mark.parametrize("form", ["short", "document"])
def test_pdflatex_takes_it(made: list[Table], tmp_path: Path, form: str) -> None:
    head = rf"\documentclass[twoside]{{article}}{PREAMBLE}\begin{{document}}"
    short = f"{head}\n{latex_short(made)}\n\\end{{document}}\n"
    text = short if form == "short" else latex_document(made)
    (tmp_path / "t.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    if b"siunitx.sty' not found" in done.stdout:
        pytest.skip("no siunitx")
    assert done.returncode == 0, done.stdout[-2000:]
    assert form != "short" or b"Overfull" not in done.stdout, "wider than the text"


@pytest.mark.parametrize("seed", range(5))
def test_parts_fit_the_page_and_keep_every_column_in_order(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(50):
        first, others = draw.uniform(20, 200), [draw.uniform(10, 90) for _ in range(seed * 4 + 1)]
        found = parts(first, others)
        assert [i for part in found for i in part] == list(range(len(others)))
        totals = [first + sum(others[i] + GAP for i in part) for part in found]
        assert max(totals) <= PAGE
        assert len(found) == 1 or sum(totals[:2]) - first > PAGE, "no more parts than needed"


def test_a_head_has_as_few_lines_as_its_column_needs() -> None:
    assert lines("uSDR [dB] ↑", 100.0) == ["uSDR [dB] ↑"]
    assert lines("MR-STFT ↓", 10.0) == ["MR-STFT ↓"], "an arrow stays with its word"
    assert lines("SDR (BSSEval v4) [dB] ↑", 20.0) == ["SDR", "(BSSEval", "v4) [dB] ↑"]


def test_letters_that_no_latex_font_has_are_written_out() -> None:
    assert escape.latex("Ħé") == r"\texttt{U+0126}é"
