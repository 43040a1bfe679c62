"""A run out to a listening test, ratings back in, metrics judged: through the program itself."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from benchsep.cli.app import app
from benchsep.datasets.clip import ClipDataset
from benchsep.datasets.track import TrackAudio
from benchsep.errors import UsageError
from benchsep.runner.job import seed_of
from benchsep.runner.record import Record
from benchsep.runner.store import Store

FAMILIES = {"made@mini": "generative", "masked@mini": "discriminative"}
LEVELS = {"made@mini": 3.1, "masked@mini": 2.4}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems on the clip, with estimates kept."""
    from benchsep.audio import Audio, write_audio

    store = Store(tmp_path_factory.mktemp("listen") / "run")
    track = ClipDataset().tracks()[0]
    clip: TrackAudio = track.load()
    for system, family in FAMILIES.items():
        cells = [
            {"metric": "visqol", "metric_version": "1", "metric_id": "m", "stem": stem, "draw": 0,
             "value": LEVELS[system], "status": "ok", "frames": None, "seconds": 0.1,
             "key": f"{system}{stem}"}
            for stem in clip.stems
        ]  # fmt: skip
        store.write(Record.from_json(
            {"system": system, "family": family, "system_id": "x", "checkpoint_sha256": "",
             "track": track.name, "split": "test", "edition": "clip", "stamp": "",
             "mixture_source": "sum", "mixture_sha256": "", "reference_sha256": {},
             "audio_seconds": 6.0, "cells": cells,
             "draws": {"0": {"seed": seed_of(0, 0, track.name), "estimate_id": "", "seconds": 1.0,
                             "peak_memory_mb": 1.0, "error": ""}}}
        ))  # fmt: skip
        for stem, audio in clip.stems.items():
            path = store.estimate_folder(system, track.name, 0) / f"{stem}.flac"
            write_audio(path, Audio(audio.samples * 0.5, audio.rate))
    store.write_manifest(
        {"suite": {"dataset": "clip", "split": "test", "seed": 0},
         "dataset": {"name": "clip", "edition": "clip", "notes": []},
         "systems": {s: {"spec": s.split("@")[0], "stamp": ""} for s in FAMILIES},
         "metrics": {"visqol": {"version": "1"}}}
    )  # fmt: skip
    return store.root


def call(*words: object, code: int = 0) -> tuple[str, str]:
    found = CliRunner().invoke(app, [str(w) for w in words])
    if isinstance(found.exception, Exception) and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == code, found.output
    return found.stdout, found.stderr


def results(path: Path, raters: dict[str, int]) -> Path:
    """What webMUSHRA's write.php makes of raters who prefer C1; ``raters``: reference's rating."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["session_test_id", "rater", "trial_id", "rating_stimulus", "rating_score",
                         "rating_time", "rating_comment"])  # fmt: skip
        for rater, reference in raters.items():
            for name, score in (("C1", 70), ("C2", 50), ("reference", reference), ("anchor35", 9)):
                writer.writerow(["benchsep", rater, "trial1", name, score, 1200, ""])
    return path


def test_a_run_goes_out_and_comes_back_judged(run: Path, tmp_path: Path) -> None:
    out, _ = call("webmushra", run, "-o", tmp_path / "test", "--seconds", 2, "--name", "mine")
    assert str(tmp_path / "test" / "mine.yaml") in out
    config = yaml.safe_load((tmp_path / "test" / "mine.yaml").read_text())
    trial = config["pages"][1][1]
    assert trial["reference"] == "configs/resources/mine/sounds/trial1_ref.wav"
    assert "made@mini" not in (tmp_path / "test" / "mine.yaml").read_text()

    key = tmp_path / "test" / "conditions.csv"
    csv_ = results(tmp_path / "mushra.csv", {"careful": 100, "careless": 40})
    text, told = call("ratings", csv_, "--key", key)
    assert "kept 1 of 2 raters; left out: careless" in told
    assert "careless" not in text and "made@mini" in text

    table, told = call("validity", csv_, "--key", key, "--run", run)
    assert "left out: careless" in told
    assert "visqol" in table and "paired by song" in table
    found, _ = call("validity", csv_, "--key", key, "--run", run, "--format", "csv")
    (row,) = pd.read_csv(io.StringIO(found)).to_dict("records")
    # One pair, across: listeners and ViSQOL both prefer the generative one (C1).
    assert (row["metric"], row["across"], row["across_pairs"]) == ("visqol", 1.0, 1)


def test_a_stem_or_songs_that_are_not_there_are_an_error(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="the run has no stem 'piano'; there are: vocals, drums"):
        call("webmushra", run, "-o", tmp_path, "--stem", "piano")
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    store = Store(tmp_path / "run")
    shutil.copytree(run, store.root)
    manifest = store.manifest()
    store.write_manifest({**manifest, "suite": {**manifest["suite"], "dataset": "musdb18hq"}})
    with pytest.raises(UsageError, match=r"needs the songs of the run; .*--root"):
        call("webmushra", store.root, "-o", tmp_path)


def test_the_pages_own_csv_is_judged_like_any(run: Path, tmp_path: Path) -> None:
    call("webmushra", run, "-o", tmp_path, "--seconds", 2)
    out = tmp_path / "ratings.csv"
    raters = {"careful": 95}
    call("ratings", results(tmp_path / "m.csv", raters), "--key", tmp_path / "conditions.csv",
         "-o", out)  # fmt: skip
    found, told = call("validity", out, "--run", run, "--format", "csv")
    assert "visqol,1," in found and "kept 1 of 1 raters" in told


def test_ratings_alone_compare_systems_and_say_what_is_missing(run: Path, tmp_path: Path) -> None:
    call("webmushra", run, "-o", tmp_path, "--seconds", 2)
    csv_ = results(tmp_path / "m.csv", {"careful": 95})
    table, told = call("validity", csv_, "--key", tmp_path / "conditions.csv")
    assert "difference" in table and "--run RUN" in told
    with pytest.raises(UsageError, match="--run RUN"):
        call("validity", csv_, "--key", tmp_path / "conditions.csv", "--format", "csv")


def test_what_cannot_be_screened_or_exported_is_said(run: Path, tmp_path: Path) -> None:
    call("webmushra", run, "-o", tmp_path, "--seconds", 2)
    csv_ = results(tmp_path / "m.csv", {"careless": 10})
    with pytest.raises(UsageError, match="--no-screen"):
        call("validity", csv_, "--key", tmp_path / "conditions.csv")
    assert "made@mini" in call("ratings", csv_, "--key", tmp_path / "conditions.csv",
                               "--no-screen")[0]  # fmt: skip
    with pytest.raises(UsageError, match="no system nobody"):
        call("webmushra", run, "-o", tmp_path, "--systems", "nobody")
    with pytest.raises(UsageError, match="letters, digits"):
        call("webmushra", run, "-o", tmp_path, "--name", "../x")
