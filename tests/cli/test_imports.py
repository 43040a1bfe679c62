"""``--import``: rows that others computed, in ``show``, ``compare``, ``report`` and ``explain``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchsep.cli import app
from benchsep.errors import UsageError
from benchsep.imported.join import Imports
from benchsep.report.run import load
from tests.cli.conftest import SONGS, Call

ROW = "theirs (csv)"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV: uSDR on four songs of the run and one other, and a metric that nobody knows."""
    lines = ["system,track,stem,metric,value"]
    for i, song in enumerate([*SONGS[:4], "elsewhere"]):
        lines += [f"theirs,{song},{s},usdr,{i}" for s in ("vocals", "drums")]
        lines += [f"theirs,{song},{s},loveliness,7" for s in ("vocals", "drums")]
    file = tmp_path / "theirs.csv"
    file.write_text("\n".join(lines))
    return file


def cells(text: str) -> dict[tuple[str, str, str], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {(r["system"], r["metric"], r["stem"]): r for r in rows if r["kind"] != "tail"}


def test_show_has_the_row_with_its_source_and_what_it_lacks(
    finished_run: Path, call: Call, table: Path
) -> None:
    found = cells(call("show", finished_run, "--import", table, "--format", "csv"))
    vocals = found[ROW, "usdr", "vocals"]
    assert (float(vocals["value"]), vocals["n"], vocals["total"]) == (1.5, "4", "5")
    assert vocals["source"] == str(table)
    assert found[ROW, "rtf", ""]["note"] == "absent"
    own = found[ROW, "imported:loveliness", "vocals"]
    assert float(own["value"]) == 7 and own["direction"] == "0" and own["best"] == "0"
    assert found["noisy", "usdr", "vocals"]["source"] == ""
    text = call("show", finished_run, "--import", table, "--all")
    assert "Imported, not computed here" in text and "loveliness (imported)" in text


def test_without_imports_tables_keep_their_bytes(finished_run: Path, call: Call) -> None:
    text = call("show", finished_run, "--format", "csv")
    assert "source" not in text.splitlines()[0] and "absent" not in text


def test_a_line_says_what_was_imported(finished_run: Path, table: Path) -> None:
    result = CliRunner().invoke(app, ["show", str(finished_run), "--import", str(table)])
    (line,) = result.stderr.splitlines()
    assert f"{table}: {ROW}" in line and "1 of its 5 songs are not in the run: 'elsewhere'" in line
    assert "--import-family 'theirs'" in line


def test_compare_pairs_it_song_by_song(finished_run: Path, call: Call, table: Path) -> None:
    words = ("--metrics", "usdr", "--import-family", "theirs=discriminative", "--format", "csv")
    text = call("compare", finished_run, "--import", table, *words)
    rows = [r for r in csv.DictReader(io.StringIO(text)) if ROW in (r["a"], r["b"])]
    assert rows and {r["n"] for r in rows} == {"4"}


def test_report_has_its_row_and_no_audio_of_it(
    finished_run: Path, call: Call, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    call("report", finished_run, "-o", out, "--import", table, "--max-songs", 0, "--no-page")
    assert cells((out / "tables.csv").read_text())[ROW, "usdr", "vocals"]["n"] == "4"
    assert ROW in (out / "tables.html").read_text()
    run = load(finished_run, intervals=False, imports=Imports((str(table),)))
    assert ROW in run.families and {*run.families} - {*run.computed} == {ROW}


def test_explain_names_the_songs_behind_an_imported_number(
    finished_run: Path, call: Call, table: Path
) -> None:
    text = call("explain", finished_run, f"{ROW}/usdr/vocals", "--import", table)
    assert f"imported from {table}, not computed here" in text and SONGS[0] in text


def test_options_without_a_path_are_refused(finished_run: Path, call: Call) -> None:
    with pytest.raises(UsageError, match="need --import"):
        call("show", finished_run, "--import-family", "a=oracle")
