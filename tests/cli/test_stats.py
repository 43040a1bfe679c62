"""The questions one can ask of a run from the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchsep.cli import app
from benchsep.cli import stats as cli_stats
from benchsep.errors import UsageError
from benchsep.imported.museval import import_runs
from tests.stats.test_stats import TRAITS, rows, table

RATINGS = "song,system,family,rating,visqol\n" + "".join(
    f"s{i},a,discriminative,{i % 3},{i % 5}\ns{i},g,generative,{(i + 1) % 3},{i % 4}\n"
    for i in range(12)
)


@pytest.fixture
def run(monkeypatch):
    """The program over a made-up run: what is loaded is checked elsewhere."""
    rng = np.random.default_rng(0)
    frame = table(
        rows("a", rng.normal(3.0, 1, 12)), rows("a", rng.normal(3.0, 1, 12), stem="drums"),
        rows("gen", rng.normal(2.0, 1, 12)), rows("gen", rng.normal(2.0, 1, 12), stem="drums"),
        rows("gen", rng.normal(2.0, 1, 12), draw=1),
        rows("gen", rng.normal(2.0, 1, 12), draw=1, stem="drums"),
        rows("a", rng.normal(1.0, 1, 12), metric="leak"),
    )  # fmt: skip

    def load(folder, metrics, **museval):
        wanted = (metrics or "visqol,leak").split(",")
        return frame[frame["metric"].isin(wanted)], TRAITS

    monkeypatch.setattr(cli_stats, "load_cells", load)

    def call(*words: str) -> str:
        found = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.stdout

    return call


def test_compare_prints_pairs_letters_and_how_to_read_them(run):
    text = run("compare", "RUN")
    assert "sign_conflict" in text and "letters" in text and "average" in text
    found = json.loads(run("compare", "RUN", "--metrics", "visqol", "--format", "json"))
    assert {row["stem"] for row in found} == {"vocals", "drums", "average"}
    assert all(row["a"] == "a" and row["b"] == "gen" for row in found)


def test_compare_of_one_system_says_what_to_do(run):
    done = CliRunner().invoke(app, ["compare", "RUN", "--metrics", "leak"])
    assert done.exit_code == 0 and not done.stdout
    assert "fewer than two systems to compare" in done.stderr and "--yardsticks" in done.stderr
    assert json.loads(run("compare", "RUN", "--metrics", "leak", "--format", "json")) == []


@pytest.mark.parametrize(
    ("songs", "systems", "text"),
    [
        (
            1,
            2,
            "1 song: too few for any verdict. A tie needs at least 5 songs, and a difference 6.",
        ),
        (4, 5, "a difference 9 (with one pair 6, see --against)."),
        (5, 2, ""),
    ],
)
def test_compare_says_how_many_songs_a_verdict_needs(songs, systems, text):
    from benchsep import stats

    rng = np.random.default_rng(0)
    frame = table(*(rows(f"s{i}", rng.normal(size=songs)) for i in range(systems)))
    said = stats.too_few_songs(stats.compare(frame, TRAITS))
    assert said.endswith(text) and bool(said) == bool(text)


def test_the_numbers_of_songs_are_the_fewest_with_a_small_enough_p():
    from benchsep.stats.compare import _songs_for_a_difference
    from benchsep.stats.significance import holm

    for pairs in range(1, 60):
        n = _songs_for_a_difference(pairs, 0.05)
        smallest = [2 / 2**m for m in (n, n - 1)]
        held = [holm([p] + [1.0] * (pairs - 1))[0] < 0.05 for p in smallest]
        assert held == [True, False]


def test_margins_are_metric_equals_value(run):
    found = json.loads(run("compare", "RUN", "--margin", "visqol=9", "--format", "json"))
    assert {row["verdict"] for row in found} == {"tied"}
    with pytest.raises(UsageError, match="METRIC=VALUE"):
        run("compare", "RUN", "--margin", "visqol")
    with pytest.raises(UsageError, match="no stem bass"):
        run("compare", "RUN", "--stems", "bass")


def test_power_draws_and_tails_answer(run):
    needed = json.loads(
        run("power", "RUN", "--effect", "0.2", "--metric", "visqol", "--format=json")
    )
    assert all(row["needed"] > 12 for row in needed)
    assert "var_seed" in run("draws", "RUN", "--metrics", "visqol")
    assert "song" in run("tails", "RUN", "--format", "md")
    with pytest.raises(UsageError, match="--draws 3"):
        run("draws", "RUN", "--metrics", "leak")


def test_validity_reads_a_file_of_ratings(run, tmp_path):
    (tmp_path / "r.csv").write_text(RATINGS)
    text = run("validity", str(tmp_path / "r.csv"))
    assert "visqol" in text and "paired by song" in text
    (line,) = run("validity", str(tmp_path / "r.csv"), "--format", "csv").splitlines()[1:]
    assert line.startswith("visqol,1,")


def test_noise_and_export_take_run_folders(run, monkeypatch, tmp_path):
    frame = table(rows("a", [1.0, 2.0], metric="bsseval.sdr"))
    frame = frame.assign(split="test", metric_version="1", frames=[[1.0]] * 2)
    monkeypatch.setattr("benchsep.runner.frame.load_run", lambda folder: frame)
    loaded = frame, pd.DataFrame({"system": []})
    monkeypatch.setattr("benchsep.runner.frame.load_cells_and_costs", lambda folder: loaded)
    monkeypatch.setattr("benchsep.runner.store.Store.manifest", lambda store: {})
    assert "worst" in run("noise", "one", "two")
    assert run("export-museval", "one", "-o", str(tmp_path)).startswith("2 files")
    assert len(import_runs(tmp_path)) == 8


def test_csv_and_json_hold_what_the_table_rounds():
    from benchsep._util.text_table import render

    frame = pd.DataFrame({"x": [1 / 3, np.nan], "songs": [["a|b", "c"], []], "ok": [True, False]})
    assert "0.333" in render(frame) and "a\\|b; c" in render(frame, "md")
    assert json.loads(render(frame, "json"))[1] == {"x": None, "songs": [], "ok": False}
    assert render(frame, "csv").splitlines()[1] == "0.3333333333333333,a|b; c,True"
    with pytest.raises(UsageError, match="md"):
        render(frame, "pdf")


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "RUN", "--margin", "visqol=0"),
        ("compare", "RUN", "--margin", "visqol=-1"),
        ("compare", "RUN", "--margin", "visqol=nan"),
        ("compare", "RUN", "--margin", "visqol=inf"),
        ("tails", "RUN", "--fraction", "-1"),
        ("tails", "RUN", "--fraction", "2"),
        ("tails", "RUN", "--fraction", "nan"),
        ("tails", "RUN", "--threshold", "visqol=nan"),
        *(
            ("power", "RUN", "--effect", "0.2", "--metric", "visqol", "--target", target)
            for target in ("0", "0.01", "1", "2", "nan")
        ),
        *(("validity", "r.csv", "--direction", f"x={value}") for value in ("0", "0.5", "2", "nan")),
    ],
)
def test_numbers_that_mean_nothing_are_refused(run, words):
    """A margin of 0 was the metric's own one, a fraction of -1 one song, a direction of .5 none."""
    with pytest.raises(UsageError, match=r"expected|positive|fraction|between"):
        run(*words)


def test_a_negative_seed_is_refused(run):
    from benchsep.stats.bootstrap import bootstrap

    with pytest.raises(UsageError, match="seed"):
        bootstrap([1.0] * 6, seed=-1)
    for words in (("compare", "RUN"), ("validity", "r.csv")):
        found = CliRunner().invoke(app, [*words, "--seed", "-1"])
        assert "--seed: found '-1', expected 0 or more" in str(found.exception)
