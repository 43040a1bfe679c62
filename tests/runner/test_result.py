"""What ``benchsep.run`` returns: cells, a table, short texts."""

from __future__ import annotations

import numpy as np
import pytest

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.runner.run import RunResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("result")
    rng = np.random.default_rng(0)
    for song in ("a", "b"):
        for stem in STEMS:
            samples = rng.normal(0, 0.1, (2, 8000)).astype(np.float32)
            write_audio(folder / "songs" / song / f"{stem}.wav", Audio(samples, 8000))
    return benchsep.run(
        out=folder / "run", dataset=f"folder:{folder / 'songs'}", systems=("mixture",),
        metrics=("usdr",), yardsticks=False, inline=True,
    )  # fmt: skip


def test_the_useful_columns_come_first_and_hold_their_values(result: RunResult) -> None:
    cells = result.cells()
    first = ["system", "track", "stem", "metric", "value", "status", "draw", "family"]
    assert list(cells.columns[:8]) == first
    assert cells.equals(result.cells()) and cells.equals(benchsep.load_run(result.root))
    row = cells.iloc[0]
    assert (row.system, row.track, row.metric, row.status) == ("mixture", "a", "usdr", "ok")
    assert (row.family, row.draw) == ("mixture", 0) and np.isfinite(row.value)


def test_the_table_is_the_mean_over_songs_and_stems(result: RunResult) -> None:
    table, cells = result.table(), result.cells()
    assert list(table.index) == ["mixture"]
    assert list(table.columns) == [("usdr", s) for s in (*STEMS, "average")]
    for stem in STEMS:
        expected = cells.value[cells.stem == stem].mean()
        assert table.loc["mixture", ("usdr", stem)] == pytest.approx(expected)
    assert table.loc["mixture", ("usdr", "average")] == pytest.approx(cells.value.mean())


def test_texts_are_short_and_a_notebook_shows_the_table(result: RunResult) -> None:
    assert "1 systems, 2 jobs" in repr(result) and len(repr(result)) < 300
    html = result._repr_html_()
    assert html.startswith("<p>&lt;RunResult") and "<table" in html and "usdr" in html
    sound = Audio(np.zeros((2, 4000), np.float32), 8000)
    assert repr(sound) == "Audio(2 channels, 0.50 s at 8000 Hz)"
