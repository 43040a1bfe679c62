"""The recorded history of speed: a row a case, appended."""

from __future__ import annotations

import csv
from unittest import mock

from benchmarks import history, whole_song

FIGURES = {
    "machine": "two cores",
    "rows": [
        {
            "audio seconds": 30.0,
            "systems": ["a", "b", "c"],
            "benchsep": {"seconds": {"mrstft": [2.0, 1.0, 3.0], "usdr": [0.5, 0.4, 0.4]}},
            "auraloss": {"seconds": {"mrstft": 20.0}},
        }
    ],
}


def test_a_case_has_its_ratio_against_upstream_in_the_same_run(tmp_path):
    path = tmp_path / "history.csv"
    for commit in ("aaa", "bbb"):
        history.append(path, history.rows(FIGURES, commit, "2026-11-28"))
    with path.open() as handle:
        found = list(csv.DictReader(handle))
    assert [row["commit"] for row in found] == ["aaa"] * 4 + ["bbb"] * 4
    assert {row["case"]: (row["cpu_s"], row["ratio"]) for row in found} == {
        "mrstft first 30 s": ("2.000", "10.00"),
        "mrstft further 30 s": ("2.000", "10.00"),
        "usdr first 30 s": ("0.500", ""),
        "usdr further 30 s": ("0.400", ""),
    }


def test_the_command_measures_and_appends(tmp_path, monkeypatch):
    path, measure = tmp_path / "history.csv", mock.create_autospec(whole_song.measure)
    measure.return_value = FIGURES["rows"][0]
    monkeypatch.setattr(whole_song, "measure", measure)
    monkeypatch.setattr(history, "HISTORY", path)
    monkeypatch.setattr(history, "head", lambda: "aaa")
    monkeypatch.setattr("sys.argv", ["history", "--data", str(tmp_path)])
    history.main()
    assert len(path.read_text().splitlines()) == 5


def test_the_recorded_history_has_these_columns():
    with history.HISTORY.open() as handle:
        assert tuple(next(csv.reader(handle))) == history.COLUMNS
