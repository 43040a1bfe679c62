"""Options of `run` and `plan`: one for each field of ``Suite``, and what is typed is the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchsep.cli.app import app
from benchsep.cli.options import assignments, split_words, suite_options
from benchsep.errors import UsageError
from benchsep.runner.suite import Suite

NAMES_BEFORE = {
    "run": "--systems --dataset --root --split --tracks --limit --stems --metrics --all-stems "
    "--no-yardsticks --device -j --jobs --cluster --seed --draws --keep-estimates --overwrite "
    "--fail-on-error --timeout --nisqa-weights -o --out --improvement --format",
    "plan": "--systems --dataset --root --split --limit --metrics --device -j --jobs --draws "
    "--keep-estimates --no-yardsticks --rates -o --out --format",
}
"""The options as they were before they were made from the fields."""


def resolved(*words: str) -> tuple[Suite, Path]:
    """The suite and the run folder that a command with these words is called with."""
    seen: dict[str, Any] = {}
    program = typer.Typer()

    @program.command()
    @suite_options()
    def command(suite: Suite, out: Path, own: int = 0) -> None:
        seen.update(suite=suite, out=out, own=own)

    result = CliRunner().invoke(program, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen["suite"], seen["out"]


@pytest.mark.parametrize("command", NAMES_BEFORE)
def test_every_earlier_name_of_an_option_is_valid(command: str) -> None:
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    names = {name for p in parameters for name in (*p.opts, *p.secondary_opts)}
    assert set(NAMES_BEFORE[command].split()) <= names


def test_run_has_an_option_with_its_help_for_each_field() -> None:
    parameters = {p.name: p for p in typer.main.get_command(app).commands["run"].params}  # type: ignore[attr-defined]
    for name, field in Suite.model_fields.items():
        assert field.description and parameters[name].help.startswith(field.description)
        assert f"--{name.replace('_', '-')}" in parameters[name].opts


def test_nothing_typed_is_the_default_suite() -> None:
    assert resolved() == (Suite(), Path("runs/latest"))


def test_each_option_sets_its_field() -> None:
    suite, out = resolved(
        "--systems", "htdemucs:shifts=1,overlap=0.5,dir:x", "--metrics", "usdr, visqol",
        "--stems", "drums,vocals", "--tracks", "A, B - C", "--tracks", "D", "--no-yardsticks",
        "--all-stems", "--mixture", "sum", "--limit", "3", "-j", "2", "--timeout", "1.5",
        "--overwrite", "always", "-o", "here",
    )  # fmt: skip
    assert suite == Suite(
        systems=("htdemucs:shifts=1,overlap=0.5", "dir:x"), metrics=("usdr", "visqol"),
        stems=("vocals", "drums"), tracks=("A, B - C", "D"), yardsticks=False, all_stems=True,
        mixture="sum", limit=3, jobs=2, timeout=1.5, overwrite="always",
    )  # fmt: skip
    assert out == Path("here")


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("all_stems: true\nyardsticks: false\nlimit: 7\ntracks: [A]\n")
    assert resolved(str(path)) == (
        Suite(all_stems=True, yardsticks=False, limit=7, tracks=("A",)),
        Path("runs/mine"),
    )
    suite, _ = resolved(str(path), "--no-all-stems", "--yardsticks", "--limit", "2")
    assert (suite.all_stems, suite.yardsticks, suite.limit) == (False, True, 2)


def test_a_bad_value_names_the_option() -> None:
    with pytest.raises(UsageError, match="overwrite"):
        resolved("--overwrite", "sometimes")


def test_words_and_assignments_are_read_in_one_way() -> None:
    assert split_words(" a, ,b,") == ("a", "b")
    assert assignments(["visqol=0.1", "a=-2"]) == {"visqol": 0.1, "a": -2.0}
    for text in ("visqol", "=1", "visqol=x"):
        with pytest.raises(UsageError, match="METRIC=VALUE"):
            assignments([text])
