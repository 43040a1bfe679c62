"""webMUSHRA out and ratings in."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchsep.audio import Audio, read_audio
from benchsep.errors import UsageError
from benchsep.listeners.mushra import RATERS, ratings_csv, read_ratings, screen
from benchsep.report.excerpts import Song
from benchsep.report.loudness import loudness
from benchsep.report.mushra import export_run, export_webmushra

NAME = "=A <b>song</b>"


def tone(level: float) -> Audio:
    wave = level * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
    return Audio(np.stack([wave, wave]), 44_100)


@pytest.fixture
def exported(tmp_path: Path) -> list[Path]:
    songs = [
        Song(NAME, tone(0.5), {"vocals": tone(0.1)}, {"a@mini": {"vocals": tone(0.4)}}),
        Song("no estimates", tone(0.5), {"vocals": tone(0.1)}, {}),
        Song(
            "two", tone(0.5), {"vocals": tone(0.1)},
            {"a@mini": {"vocals": tone(0.2)}, "b@mini": {"vocals": tone(0.05)}},
        ),
    ]  # fmt: skip
    families = {"a@mini": "generative", "b@mini": "discriminative"}
    return export_webmushra(songs, families, tmp_path)


def test_the_yaml_is_a_mushra_test_that_names_no_system(exported: list[Path]) -> None:
    text = exported[0].read_text()
    assert "a@mini" not in text and NAME not in text
    config = yaml.safe_load(text)
    kind, *trials = config["pages"][1]
    assert kind == "random" and [t["type"] for t in trials] == ["mushra", "mushra"]
    assert config["pages"][-1]["questionnaire"][0]["name"] in RATERS
    assert trials[1]["createAnchor35"] and trials[1]["createAnchor70"]
    assert list(trials[1]["stimuli"]) == ["C1", "C2"]
    for trial in trials:
        for address in (trial["reference"], *trial["stimuli"].values()):
            name = address.rsplit("/", 1)[1]
            assert (exported[0].parent / "sounds" / name).is_file()


def test_sounds_are_level_matched(exported: list[Path]) -> None:
    sounds = sorted((exported[0].parent / "sounds").glob("trial2_*.wav"))
    levels = [loudness(read_audio(path)) for path in sounds]
    assert len(levels) == 3 and max(levels) - min(levels) < 0.1


def _webmushra(path: Path, rater: str, reference: int) -> None:
    rows = [("trial1", "C1", 60), ("trial1", "reference", reference), ("trial1", "anchor35", 10)]
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(
            ["session_test_id", "session_uuid", "trial_id", "rating_stimulus", "rating_score"]
        )
        writer.writerows(["benchsep", rater, *row] for row in rows)


def test_results_come_back_under_their_names(exported: list[Path], tmp_path: Path) -> None:
    _webmushra(tmp_path / "mushra.csv", "r1", 95)
    found = read_ratings(tmp_path / "mushra.csv", exported[1])
    assert list(found["system"]) == ["a@mini", "reference", "anchor35"]
    assert list(found["kind"]) == ["system", "hidden_reference", "anchor"]
    assert set(found["song"]) == {NAME} and list(found["rating"]) == [60, 95, 10]


def test_raters_who_miss_the_hidden_reference_are_left_out_and_named() -> None:
    def trials(rater: str, ratings: list[int]) -> list[dict[str, object]]:
        return [{"rater": rater, "kind": "hidden_reference", "rating": r} for r in ratings]

    rows = trials("good", [100] * 17 + [80] * 3) + trials("bad", [100] * 16 + [80] * 4)
    rows.append({"rater": "never", "kind": "system", "rating": 50})
    kept, out = screen(pd.DataFrame(rows))
    assert out == ["bad", "never"] and set(kept["rater"]) == {"good"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected the columns"),
        ("", "no rows"),
        ("rating_stimulus,rating_score,trial_id\nC1,3,trial1\n", "need the conditions.csv"),
        ("rater,trial,song,stem,system,family,kind,rating\nr,1,s,v,x,f,system,101\n", "0 to 100"),
        ("rater,trial,song,stem,system,family,kind,rating\nr,1,s,v,x,f,system,nan\n", "0 to 100"),
        (
            "rater,trial,song,stem,system,family,kind,rating\n,1,s,v,x,f,system,9\n",
            "without a rater",
        ),
        (
            "rater,trial,song,stem,system,family,kind,rating\n" + "r,1,s,v,x,f,system,9\n" * 2,
            "'r' rated 'x' of '1' twice",
        ),
    ],
)
def test_what_is_no_ratings_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_ratings(path)


def test_an_unknown_condition_is_refused(exported: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("rating_stimulus,rating_score,trial_id\nC9,3,trial1\n")
    with pytest.raises(UsageError, match="C9"):
        read_ratings(path, exported[1])


def test_a_key_with_two_meanings_of_a_condition_is_refused(
    exported: list[Path], tmp_path: Path
) -> None:
    """The last one was taken: ratings of one system counted as those of another."""
    _webmushra(tmp_path / "mushra.csv", "r1", 95)
    lines = exported[1].read_text().splitlines()
    twice = lines[1].replace("a@mini", "b@mini")
    (tmp_path / "key.csv").write_text("\n".join([*lines, twice, ""]))
    with pytest.raises(UsageError, match="same condition twice"):
        read_ratings(tmp_path / "mushra.csv", tmp_path / "key.csv")


def test_raters_that_cannot_be_told_apart_are_refused(exported: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("session_test_id,trial_id,rating_stimulus,rating_score\nx,trial1,C1,50\n")
    with pytest.raises(UsageError, match="without a rater"):
        read_ratings(path, exported[1])
    # What the shipped write.php makes of the questionnaire.
    path.write_text(
        "session_test_id,rater,trial_id,rating_stimulus,rating_score\nx,9,trial1,C1,50\n"
    )
    assert list(read_ratings(path, exported[1])["rater"]) == ["9"]


def test_a_trial_has_no_more_signals_than_the_recommendation(tmp_path: Path) -> None:
    sounds = {f"s{i}": {"vocals": tone(0.2)} for i in range(10)}
    songs = [Song("x", tone(0.5), {"vocals": tone(0.1)}, sounds)]
    with pytest.raises(UsageError, match="--systems"):
        export_webmushra(songs, {}, tmp_path)
    with pytest.raises(UsageError, match="expected at most 12,"):
        export_run(tmp_path, tmp_path / "out", seconds=13)


def test_screened_ratings_come_back_from_the_csv_that_they_go_into(
    exported: list[Path], tmp_path: Path
) -> None:
    _webmushra(tmp_path / "mushra.csv", "=r1", 95)
    table = read_ratings(tmp_path / "mushra.csv", exported[1])
    text = ratings_csv(table)
    assert "\n=" not in text and ",=" not in text
    (tmp_path / "ratings.csv").write_text(text)
    pd.testing.assert_frame_equal(read_ratings(tmp_path / "ratings.csv"), table)


def test_nothing_to_export_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no song"):
        export_webmushra([], {}, tmp_path)
