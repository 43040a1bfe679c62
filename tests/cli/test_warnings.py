"""What must be known of a run is said by each command that uses its values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep.audio import STEMS, write_audio
from benchsep.cli.app import app
from benchsep.datasets.load import load_dataset
from benchsep.runner.notes.sessions import sessions_of, timed_apart
from benchsep.runner.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unfinished run of the clip with estimates of an inverted sign."""
    root = tmp_path_factory.mktemp("runs")
    (track,) = load_dataset("clip").tracks()
    for stem, audio in track.load().stems.items():
        inverted = replace(audio, samples=-0.5 * audio.samples)
        write_audio(root / "est" / track.name / f"{stem}.wav", inverted)
    benchsep.run(
        out=root / "run",
        dataset="clip",
        systems=(f"est=dir:{root / 'est'}::discriminative", "mixture"),
        metrics=("bsseval", "bleedless"),
        yardsticks=False,
        inline=True,
    )
    store = Store(root / "run")
    store.write_manifest({**store.manifest(), "finished": False})
    return root / "run"


@pytest.mark.parametrize(
    "words",
    [
        "compare RUN --yardsticks",
        "tails RUN",
        "power RUN --effect 1 --metric bleedless.bleedless",
        "recommend RUN --question interference",
        "baseline RUN -o OUT",
        "export-museval RUN -o OUT",
        "show RUN --all",
    ],
)
def test_an_unfinished_run_and_an_inverted_sign_are_said(
    run: Path, tmp_path: Path, words: str
) -> None:
    called = words.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out"))
    done = CliRunner().invoke(app, called.split(" "))
    text = " ".join(done.output.split())
    assert "This run is not finished" in text
    assert "inverted sign" in text
    assert set(STEMS) <= set(text.replace(",", " ").replace("(", " ").replace(")", " ").split())


def test_the_gate_says_it_too(run: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "b.json")
    assert CliRunner().invoke(app, ["baseline", str(run), "-o", out]).exit_code == 0
    done = CliRunner().invoke(app, ["check", str(run), "--baseline", out])
    assert "This run is not finished" in done.output


def test_systems_that_were_timed_apart_are_named() -> None:
    rows = [("a", "one"), ("b", "one"), ("c", "two"), ("mixture", "one")]
    costs = pd.DataFrame(rows, columns=["system", "session"]).assign(rtf=1.0)
    sessions = sessions_of(costs, {"a", "b", "c"})
    (line,) = timed_apart(sessions, ["a", "b", "c"])
    assert "measured in one call: a, b; c." in line and "to compare RTF" in line
    assert timed_apart(sessions, ["a", "b"]) == []


def test_a_run_beside_itself_has_no_noise(run: Path, tmp_path: Path) -> None:
    for words in (["noise", str(run), f"{run}/"], ["baseline", str(run), "--repeat", str(run)]):
        out = ["-o", str(tmp_path / "b.json")] if words[0] == "baseline" else []
        done = CliRunner().invoke(app, [*words, *out])
        assert done.exit_code != 0
        assert "are the same run" in (done.output + str(done.exception))


def test_files_of_an_earlier_export_are_named(run: Path, tmp_path: Path) -> None:
    call = ["export-museval", str(run), "-o", str(tmp_path)]
    assert "of other songs" not in CliRunner().invoke(app, call).output
    assert "of other songs" not in CliRunner().invoke(app, call).output
    (tmp_path / "est" / "test" / "Another.json").write_text("{}")
    assert "holds 1 file of other songs" in CliRunner().invoke(app, call).output
