"""A whole report from a run folder, and where its numbers come from."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchsep.audio import Audio, write_audio
from benchsep.datasets.track import TrackAudio
from benchsep.errors import StoreError, UsageError
from benchsep.metrics.metric import ValueTraits
from benchsep.report import excerpts
from benchsep.report.figures.choose import better_first, is_off_scale
from benchsep.report.tables.build import tables
from benchsep.report.tables.explain import explain, explained
from benchsep.report.tables.published import PUBLISHED, published_table
from benchsep.report.tables.render import render
from benchsep.report.write import write_report
from benchsep.runner.info import info_to_json
from benchsep.runner.record import Record
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo

STEMS = ("vocals", "drums", "bass", "other")
FAMILIES = {"mixture": "mixture", "reference": "oracle", "kept@mini": "discriminative"}


def _cell(system: str, metric: str, stem: str, value: float) -> dict[str, Any]:
    return {
        "metric": metric, "metric_version": "1", "metric_id": "m", "stem": stem, "draw": 0,
        "value": value, "status": "ok", "frames": None, "seconds": 0.1,
        "key": hashlib.sha256(f"{system}{metric}{stem}".encode()).hexdigest()[:32],
    }  # fmt: skip


@pytest.fixture
def run_folder(tmp_path: Path, clip: TrackAudio) -> Path:
    """A run on the embedded clip, whose one real system kept its estimates."""
    from benchsep.datasets.clip import ClipDataset

    track = ClipDataset().tracks()[0].name
    store = Store(tmp_path / "run")
    for system, family in FAMILIES.items():
        level = {"mixture": 2.0, "reference": 4.7, "kept@mini": 3.3}[system]
        cells = [
            _cell(system, metric, stem, level + 0.1 * i)
            for metric in ("visqol", "usdr")
            for i, stem in enumerate(STEMS)
        ]
        store.write(Record.from_json(
            {
                "system": system, "family": family, "system_id": "x", "checkpoint_sha256": "",
                "track": track, "split": "test", "edition": "clip", "stamp": "",
                "mixture_source": "sum", "mixture_sha256": "", "reference_sha256": {},
                "audio_seconds": clip.mixture.seconds, "cells": cells,
                "draws": {"0": {"seed": 1, "estimate_id": "", "seconds": 1.2,
                                "peak_memory_mb": 10.0, "error": ""}},
            }
        ))  # fmt: skip
    for stem, audio in clip.stems.items():
        write_audio(store.estimate_folder("kept@mini", track, 0) / f"{stem}.flac", audio)
    systems = {
        s: {
            "spec": s.split("@")[0],
            "stamp": "",
            "info": info_to_json(SystemInfo(name=s, family=family)),
        }
        for s, family in FAMILIES.items()
    }
    store.write_manifest(
        {
            "suite": {"dataset": "clip", "split": "test", "seed": 0, "device": "cpu"},
            "dataset": {"name": "clip", "edition": "clip", "notes": []},
            "systems": systems,
            "metrics": {"visqol": {"version": "1"}, "usdr": {"version": "1"}},
        }
    )
    return tmp_path / "run"


def digests(paths: list[Path], root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def test_a_report_is_whole_and_the_same_bytes_again(run_folder: Path, tmp_path: Path) -> None:
    written = write_report(run_folder, tmp_path / "a", pdf=True)
    names = {str(p.relative_to(tmp_path / "a")) for p in written}
    assert {f"tables.{f}" for f in ("md", "tex", "csv", "json", "html")} <= names
    assert "index.html" in names and "figures/cost.png" in names
    assert sum(name.endswith("vocals.pdf") for name in names) == 1
    assert "page/s0/vocals.js" in names and all(p.stat().st_size for p in written)
    page = (tmp_path / "a" / "index.html").read_text()
    assert 'src="figures/cost.png"' in page and 'src="/' not in page
    json.loads((tmp_path / "a" / "tables.json").read_text())
    again = write_report(run_folder, tmp_path / "b", pdf=True)
    assert digests(written, tmp_path / "a") == digests(again, tmp_path / "b")


def test_a_report_into_the_same_folder_encodes_only_new_sounds(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchsep.report.site import audio

    encoded, flac = [], audio.flac
    monkeypatch.setattr(audio, "flac", lambda sound: encoded.append(sound) or flac(sound))
    first = digests(write_report(run_folder, tmp_path / "out", pdf=False), tmp_path / "out")
    assert not any(name.endswith(".pdf") for name in first)
    assert len(encoded) == 1 + 2 * len(STEMS), "the mixture, the true stems and one system's"
    encoded.clear()
    (bass,) = run_folder.glob("estimates/**/bass.flac")
    kept = bass.read_bytes()
    write_audio(bass, Audio(np.full((2, 44_100 * 6), 0.1, np.float32), 44_100))
    write_report(run_folder, tmp_path / "out")
    assert [sound.samples.max() for sound in encoded] == [pytest.approx(0.1, abs=1e-4)]
    bass.write_bytes(kept)
    script = tmp_path / "out" / "page" / "s0" / "vocals.js"
    script.write_text('// [1]\nbenchsep.audioFile(,JSON.parse("{}"));\n')  # of something else
    again = digests(write_report(run_folder, tmp_path / "out"), tmp_path / "out")
    assert first == again


def test_without_songs_no_audio_is_touched(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excerpts.Source, "songs", lambda *_: pytest.fail("audio was asked for"))
    written = write_report(run_folder, tmp_path / "out", max_songs=0)
    assert not any(p.suffix == ".js" for p in written)


def test_a_system_that_cannot_be_heard_is_left_out_and_named(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in run_folder.glob("estimates/**/*.flac"):
        path.unlink()
    written = write_report(run_folder, tmp_path / "out")
    assert "kept@mini is left out" in capsys.readouterr().err
    assert any(p.name == "vocals.js" for p in written)


def test_a_data_set_that_is_not_here_is_named_once(
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    store = Store(run_folder)
    manifest = {**store.manifest(), "command": "benchsep run --dataset musdb18hq --root ~/hq"}
    store.write_manifest({**manifest, "suite": {**manifest["suite"], "dataset": "musdb18hq"}})
    written = write_report(run_folder, tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "no audio: musdb18hq needs its folder" in lines[0]
    assert "--root ~/hq" in lines[0]
    assert not any(p.suffix == ".js" for p in written)


def test_kept_estimates_are_what_is_heard(run_folder: Path, clip: TrackAudio) -> None:
    track = pd.Series([r.track.name for r in Store(run_folder).records()]).iloc[0]
    song = next(excerpts.Source(Store(run_folder)).songs([track], ["kept@mini"]))
    difference = song.estimates["kept@mini"]["bass"].samples - clip.stems["bass"].samples
    assert abs(difference).max() < 2**-15


def test_an_excerpt_is_taken_where_all_stems_play() -> None:
    rate, total = 8000, 40
    stems = {}
    for name, (start, stop) in {"vocals": (20, 35), "drums": (0, 32), "bass": (22, 40)}.items():
        wave = np.zeros(rate * total, np.float32)
        wave[start * rate : stop * rate] = 0.5
        stems[name] = Audio.of(wave, rate)
    assert excerpts.most_active_excerpt(stems, 8.0) == (22 * rate, 8 * rate)
    assert excerpts.most_active_excerpt(stems, 60.0) == (0, 40 * rate)


def test_an_excerpt_is_the_same_for_every_signal(run_folder: Path, clip: TrackAudio) -> None:
    track = Store(run_folder).records()[0].track.name
    source = excerpts.Source(Store(run_folder), seconds=2.0)
    song = next(source.songs([track], ["kept@mini"]))
    begin = round(song.start * 44_100)
    assert song.mixture.seconds == pytest.approx(2.0)
    for signal, whole in (
        (song.mixture, clip.mixture),
        (song.references["drums"], clip.stems["drums"]),
        (song.estimates["kept@mini"]["drums"], clip.stems["drums"]),
    ):
        expected = whole.samples[:, begin : begin + signal.frames]
        assert abs(signal.samples - expected).max() < 2**-15


def test_the_truth_does_not_flatten_the_systems() -> None:
    songs = {"a": [1.0, 3.0], "b": [2.0, 5.0], "reference": [104.0, 110.0]}
    assert is_off_scale(songs, "reference")
    assert not is_off_scale({**songs, "reference": [7.0, 8.0]}, "reference")
    assert not is_off_scale({"reference": [1.0]}, "reference")


def test_a_pair_is_drawn_with_the_better_one_first() -> None:
    record = {"a": "x", "b": "y", "difference": -2.0, "low": -3.0, "high": -1.0}
    assert better_first(record, 1) == ("y − x", 2.0, 1.0, 3.0)
    assert better_first(record, -1) == ("x − y", 2.0, 1.0, 3.0), "lower is better"


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"seconds": np.nan}, {"max_songs": -1}])
def test_no_excerpts_of_no_seconds_nor_less_than_no_songs(run_folder, tmp_path, wrong) -> None:
    with pytest.raises(UsageError, match=r"expected (more than 0|a whole)"):
        write_report(run_folder, tmp_path / "report", page=False, **wrong)


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run folder"):
        write_report(tmp_path, tmp_path / "out")


# -- explain ------------------------------------------------------------------------------------


def test_every_number_resolves_to_its_cells(run_folder: Path, tmp_path: Path) -> None:
    write_report(run_folder, tmp_path / "out", max_songs=0, page=False)
    with (tmp_path / "out" / "tables.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        if not row["value"]:
            continue
        text = explain(run_folder, row["id"])
        assert row["system"] in text
        if row["family"] == "published":
            assert "2604.09371" in text
        elif row["kind"] == "score":
            lines = text.split("\n\n", 1)[1].splitlines()
            values = [float(line.split()[0]) for line in lines]
            assert sum(values) / len(values) == pytest.approx(float(row["value"]), abs=1e-5)


def test_explain_takes_a_name_and_refuses_nonsense(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> None:  # fmt: skip
    made = tables(frame, costs, manifest, traits, improvement=True)
    text = explained(made, frame, traits, "htdemucs@mini/visqol/bass")
    assert text.count("draw 0") == 3 and "3 of 3 songs" in text
    gain = next(
        cell.id
        for row in made[1].rows
        for column, cell in zip(made[1].columns, row.cells, strict=True)
        if column.kind == "gain" and row.system == "htdemucs@mini"
    )
    assert "[mixture]" in explained(made, frame, traits, gain)
    with pytest.raises(UsageError, match="did you mean"):
        explained(made, frame, traits, "htdemucs@mini/visqol/bas")
    with pytest.raises(UsageError, match="SYSTEM/METRIC/STEM, for example 'htdemucs@mini/visqol/"):
        explained(made, frame, traits, "htdemucs/visqol")
    with pytest.raises(UsageError, match="rows 1 to 6"):
        explained(made, frame, traits, "t2.r99c1")


# -- published values ---------------------------------------------------------------------------


def test_published_values_stand_apart_and_are_never_best(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> None:  # fmt: skip
    made = tables(frame, costs, manifest, traits)
    table = published_table(made, "aac-7s")
    assert table is not None
    ours = {r.system: r for r in table.rows if r.group != "published"}
    published = {r.system: r for r in table.rows if r.group == "published"}
    assert published["proposed"].cells[4].value == 3.55
    assert published["proposed"].cells[1].value == 3.44
    assert published["HTDemucs"].cells[0].note == "not seen"
    assert not any(c.best for r in table.rows for c in r.cells)
    # ViSQOL never stands without an interference measure.
    assert table.columns[-1].metric in ("bsseval.sdr", "usdr")
    assert published["proposed"].cells[-1].note == "not reported"
    assert ours["htdemucs@mini"].cells[-1].value is not None
    mine = made[1].cell("htdemucs@mini", "visqol", "average")
    assert mine is not None and ours["htdemucs@mini"].cells[4].value == mine.value
    text = render([table], "md")
    assert "2604.09371" in text and "MUSDB18-HQ, 50 songs" in text


def test_nothing_published_without_a_common_quantity(
    frame: pd.DataFrame, costs: pd.DataFrame, manifest: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> None:  # fmt: skip
    made = tables(frame[frame.metric == "mrstft"], costs, manifest, traits)
    assert published_table(made, "aac-7s") is None


def test_nothing_published_was_guessed() -> None:
    # The only values seen of the paper. A new one needs its source here.
    assert sorted({p.value for p in PUBLISHED if p.value}) == [2.5, 3.37, 3.44, 3.55, 3.71]
