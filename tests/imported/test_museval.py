"""Museval's files in every layout; values of another stem set or window are never mixed in."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchsep.errors import StoreError
from benchsep.imported.museval import VALUES, as_frame, import_runs, of_set, read_results
from benchsep.stems.sets import FOUR

VI = ("vocals", "instrumental")


def content(targets: dict[str, list[float | None]], **more: Any) -> str:
    """A file in which each value of a target is the same: a number a window."""

    def frames(values: list[float | None]) -> list[dict[str, Any]]:
        return [
            {"time": float(i), "duration": 1.0, "metrics": dict.fromkeys(VALUES, value)}
            for i, value in enumerate(values)
        ]

    named = [{"name": name, "frames": frames(values)} for name, values in targets.items()]
    return json.dumps({"targets": named, "museval_version": "0.4.1", **more})


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


ONE = content({"vocals": [1.0, 3.0], "drums": [2.0, 2.0]})


@pytest.mark.parametrize(
    ("file", "read", "method", "split"),
    [
        ("UMX/test/A - B.json", "", "UMX", "test"),
        ("UMX/test/A - B.json.gz", "UMX", "UMX", "test"),
        ("UMX/test/A - B.json.gz", "UMX/test", "UMX", "test"),
        ("UMX/A - B.json.gz", "", "UMX", ""),
        ("UMX/A - B.json", "UMX", "UMX", ""),
        ("UMX/A - B.json", "UMX/A - B.json", "UMX", ""),
        ("old/UMX/train/A - B.json", "", "old/UMX", "train"),
    ],
)
def test_every_layout_is_read(
    tmp_path: Path, file: str, read: str, method: str, split: str
) -> None:
    written(tmp_path / file, ONE)
    (result,) = read_results(tmp_path / read)
    assert (result.method, result.split, result.track) == (method, split, "A - B")
    assert result.targets["vocals"]["SDR"] == [1.0, 3.0]


def test_a_folder_of_draws_gives_draws(tmp_path: Path) -> None:
    for draw in range(2):
        written(tmp_path / f"M/draw{draw}/test/song.json", ONE)
    assert sorted((r.method, r.draw) for r in read_results(tmp_path)) == [("M", 0), ("M", 1)]


def test_of_several_splits_the_one_asked_for_is_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        written(tmp_path / "M" / split / f"{split} song.json", ONE)
    assert set(import_runs(tmp_path, split="train")["track"]) == {"train song"}
    assert len(read_results(tmp_path)) == 2


def test_two_files_of_one_track_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "M/test/song.json", ONE)
    written(tmp_path / "M/test/song.json.gz", ONE)
    with pytest.raises(
        StoreError, match=r"song\.json\.gz and .*song\.json are both results of 'song'"
    ):
        read_results(tmp_path)


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(ONE.encode())[:-9], b"\x1f\x8b\x08"])
def test_a_damaged_archive_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "song.json.gz").write_bytes(data)
    with pytest.raises(StoreError, match=r"song\.json\.gz is not museval's JSON"):
        read_results(tmp_path)


def kept(targets: dict[str, list[float | None]], stems: tuple[str, ...], tmp_path: Path) -> Any:
    """``(stem, value) -> number`` of what means the same in a run of ``stems``."""
    (result,) = read_results(written(tmp_path / "song.json", content(targets)))
    found = as_frame([of_set(result, stems)[0]])
    return {
        (stem, column.removeprefix("bsseval.")): value
        for stem, column, value in zip(found["stem"], found["metric"], found["value"], strict=True)
    }


def test_with_accompaniment_museval_scores_the_vocals_in_a_pair(tmp_path: Path) -> None:
    """SIR and SAR have other references; the drums show which windows four stems have."""
    targets: dict[str, list[float | None]] = {
        "drums": [1.0, None, 3.0], "bass": [1.0, None, 3.0], "other": [1.0, None, 3.0],
        "vocals": [5.0, 100.0, 7.0], "accompaniment": [9.0, 9.0, 9.0],
    }  # fmt: skip
    four = kept(targets, FOUR, tmp_path)
    assert four["vocals", "sdr"] == four["vocals", "isr"] == 6.0
    assert ("vocals", "sir") not in four and ("vocals", "sar") not in four
    assert four["drums", "sir"] == 2.0
    pair = kept(targets, VI, tmp_path)
    assert pair["vocals", "sir"] == 7.0 and pair["instrumental", "sar"] == 9.0


def test_in_a_run_of_two_stems_four_stem_values_need_every_window(tmp_path: Path) -> None:
    whole = kept({stem: [1.0, 3.0] for stem in FOUR}, VI, tmp_path)
    assert whole["vocals", "sdr"] == 2.0 and ("vocals", "sir") not in whole
    gaps = kept({stem: [1.0, None] for stem in FOUR}, VI, tmp_path)
    assert not any(stem == "vocals" for stem, _ in gaps)


def test_two_stems_say_nothing_of_four(tmp_path: Path) -> None:
    assert not any(
        s == "vocals" for s, _ in kept({"vocals": [1.0], "accompaniment": [1.0]}, FOUR, tmp_path)
    )


def test_other_windows_are_another_column(tmp_path: Path) -> None:
    text = ONE.replace('"duration": 1.0', '"duration": 2.0').replace('"time": 1.0', '"time": 2.0')
    (result,) = read_results(written(tmp_path / "song.json", text))
    assert set(as_frame([result])["metric"]) == {f"imported:{v} of 2000-ms windows" for v in VALUES}


@pytest.mark.parity
def test_museval_itself_gives_the_values_that_of_set_keeps(tmp_path: Path) -> None:
    """Its four-stem evaluation, against what is kept of its evaluation with accompaniment."""
    museval = pytest.importorskip("museval")
    from types import SimpleNamespace

    rng = np.random.default_rng(0)
    audio = {
        stem: rng.normal(0, 0.1, (3 * 4000, 1)) for stem in ("drums", "bass", "other", "vocals")
    }
    audio["drums"][4000:8000] = 0  # a window that four stems do not have
    audio["accompaniment"] = audio["drums"] + audio["bass"] + audio["other"]
    estimates = {stem: x + rng.normal(0, 0.05, x.shape) for stem, x in audio.items()}
    targets = {stem: SimpleNamespace(audio=x) for stem, x in audio.items()}
    track = SimpleNamespace(name="song", subset="test", rate=4000, targets=targets)
    museval.eval_mus_track(track, estimates, output_dir=str(tmp_path / "five"))
    del estimates["accompaniment"]
    museval.eval_mus_track(track, estimates, output_dir=str(tmp_path / "four"))
    frames = {}
    for name in ("five", "four"):
        (result,) = read_results(tmp_path / name)
        frames[name] = of_set(result, FOUR)[0].targets
    for stem in FOUR:
        for value in frames["five"][stem]:
            np.testing.assert_array_equal(
                np.array(frames["five"][stem][value], float),
                np.array(frames["four"][stem][value], float),
            )
    assert frames["four"]["vocals"]["SDR"][1] is None and "SIR" not in frames["five"]["vocals"]
    assert not math.isnan(frames["five"]["vocals"]["SDR"][0])
