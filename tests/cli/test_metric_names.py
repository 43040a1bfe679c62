"""Each command that takes a metric takes what the field calls it, and means the same by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from benchsep.ablation.grid import load
from benchsep.audio import Audio, write_audio
from benchsep.cli import app
from benchsep.errors import UsageError
from benchsep.runner.suite import load_suite
from tests.cli.conftest import SONGS, Call

SPELLINGS = ("usdr", "uSDR", "USDR", "u-sdr", "MDX SDR")
COMMANDS = {
    "compare": "compare RUN --yardsticks --metrics NAME",
    "margin": "compare RUN --yardsticks --margin NAME=99",
    "tails": "tails RUN --metrics NAME",
    "threshold": "tails RUN --threshold NAME=99",
    "draws": "draws RUN --metrics NAME",
    "power": "power RUN --effect 1 --metric NAME",
    "validity": "validity RATINGS --metrics NAME",
    "direction": "validity RATINGS --direction NAME=-1",
    "validity of a run": "validity RATED --run RUN --metrics NAME",
    "check": "check RUN --baseline BASELINE --metrics NAME",
    "score": "score WAV WAV --metrics NAME",
}
"""Of each option for metrics, a command."""


@pytest.fixture(scope="session")
def files(finished_run: Path, songs: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("names")
    rows = [
        f"{song},{system},vocals,{family},{i % 3 + j},{i % 5 + j}"
        for i, song in enumerate(SONGS)
        for j, (system, family) in enumerate((("a", "discriminative"), ("noisy", "generative")))
    ]
    text = "song,system,stem,family,rating,usdr\n" + "\n".join(rows)
    (folder / "ratings.csv").write_text(text)
    (folder / "rated.csv").write_text(text.replace(",usdr", ",other").replace(",a,", ",songs,"))
    baseline = folder / "baseline.json"
    made = CliRunner().invoke(app, ["baseline", str(finished_run), "-o", str(baseline)])
    assert made.exit_code == 0, made.output
    return {
        "RUN": finished_run, "RATINGS": folder / "ratings.csv", "RATED": folder / "rated.csv",
        "BASELINE": baseline, "WAV": songs / SONGS[0] / "vocals.wav",
    }  # fmt: skip


def words(command: str, name: str, files: dict[str, Path]) -> list[str]:
    swapped = [word.replace("NAME", name) for word in COMMANDS[command].split()]
    return [str(files.get(word, word)) for word in swapped] + ["--format", "json"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_spelling_gives_the_same_answer(
    command: str, files: dict[str, Path], call: Call
) -> None:
    answers = {call(*words(command, name, files)) for name in SPELLINGS}
    assert len(answers) == 1
    assert command == "power" or "usdr" in answers.pop()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "direction"])
@pytest.mark.parametrize(
    ("name", "says"), [("sdr", r"ambiguous.*bsseval.*usdr"), ("usdrr", "did you mean 'usdr'")]
)
def test_every_command_asks_alike(
    command: str, name: str, says: str, files: dict[str, Path], call: Call
) -> None:
    with pytest.raises(UsageError, match=says):
        call(*words(command, name, files))


def test_margins_and_thresholds_by_an_alias_have_an_effect(
    files: dict[str, Path], call: Call
) -> None:
    for command, column in (("margin", "margin"), ("threshold", "threshold")):
        rows = json.loads(call(*words(command, "u-SDR", files)))
        assert {row[column] for row in rows} == {99.0}


def test_tolerances_are_stored_by_canonical_name(files: dict[str, Path], tmp_path: Path) -> None:
    given = ["--tolerance", "u SDR=9/8", "--tolerance", "noisy SI-SDR=3"]
    out = tmp_path / "b.json"
    made: Result = CliRunner().invoke(app, ["baseline", str(files["RUN"]), "-o", str(out), *given])
    assert made.exit_code == 0, made.output
    assert set(json.loads(out.read_text())["tolerances"]) == {"usdr", "noisy sisdr"}


def test_a_column_is_shown_alone_and_its_metric_is_run(tmp_path: Path, call: Call) -> None:
    suite = load_suite(metrics="SI-SDR.sir,ViSQOL,si_sdr,bsseval.sdr")
    assert suite.metrics == ("sisdr", "visqol", "bsseval")
    with pytest.raises(UsageError, match=r"metrics: metric 'sdr' is ambiguous"):
        load_suite(metrics=["sdr"])
    wav = tmp_path / "a.wav"
    samples = [[0.1, -0.2, 0.3, 0.05] * 12_000] * 2
    write_audio(wav, Audio(np.asarray(samples, np.float32), 44_100))
    rows = json.loads(call("score", wav, wav, "--metrics", "SISDR.SIR,si-sdr", "--format", "json"))
    assert [row["metric"] for row in rows] == ["sisdr", "sisdr.sir", "sisdr.sar"]


GRID = "title: t\nsystem: oracle-irm\nvariants: {a: {}, b: {spec.x: 1}}\n"


def test_an_ablation_names_columns_as_the_field_does(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{GRID}headline: SI-SDR\ncolumns: [BSSEval SDR/vocals, NISQA MOS/average]\n")
    found = load(path)
    assert found.headline == "sisdr"
    assert found.columns == ("bsseval.sdr/vocals", "nisqa.mos/average")
    for line, says in (
        ("headline: sdr", "ambiguous"),
        ("headline: bsseval", "more than one column"),
        ("columns: [visqol]", "METRIC/STEM"),
        ("columns: [visqoll/vocals]", "did you mean 'visqol'"),
    ):
        path.write_text(f"{GRID}{line}\n")
        with pytest.raises(UsageError, match=says):
            load(path)
