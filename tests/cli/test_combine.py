"""``--combine``: the score of two metrics as a column of tables, and behind a number."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

import benchsep
from benchsep.errors import UsageError
from tests.cli.conftest import Call

PAIR = "usdr+sisdr"


@pytest.fixture
def run(finished_run: Path, songs: Path, tmp_path: Path) -> Path:
    """The finished run with a second metric."""
    folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    benchsep.run(
        out=folder, dataset=f"folder:{songs}", systems=("noisy", f"dir:{songs}", "mixture"),
        metrics=("usdr", "sisdr"), stems=("vocals", "drums"), draws=2, inline=True,
        yardsticks=False,
    )  # fmt: skip
    return folder


def test_show_report_and_explain_have_the_pair_that_was_asked_for(
    run: Path, call: Call, tmp_path: Path
) -> None:
    assert PAIR not in call("show", run, "--format", "csv")
    text = call("show", run, "--combine", "uSDR+SI-SDR", "--format", "csv")
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["metric"] == PAIR]
    assert rows and {row["direction"] for row in rows} == {"1"}
    # two systems at most: no scale, and the reason instead of a number; the perfect reference has
    # no finite SI-SDR
    notes = {row["note"] for row in rows if row["kind"] == "score"}
    assert notes == {"unavailable", "undefined"}
    out = tmp_path / "report"
    call("report", run, "-o", out, "--combine", PAIR, "--max-songs", 0, "--no-page")
    assert (out / "tables.csv").read_text().count(PAIR) == len(rows)
    first = next(row["id"] for row in rows)
    shown = call("explain", run, first, "--combine", PAIR)
    assert "z scores need 3 systems with usdr and sisdr on the song; here" in shown


@pytest.mark.parametrize("name", ["usdr", "usdr+nisqa", "quality2"])
def test_what_cannot_be_combined_is_said(run: Path, call: Call, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected two|nisqa|quality2 needs"):
        call("show", run, "--combine", name)
