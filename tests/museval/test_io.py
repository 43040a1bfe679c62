"""Museval's files: strict JSON out, anything that museval ever wrote in."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import StoreError, UsageError
from benchsep.imported.museval import VALUES, import_runs
from benchsep.museval import io as museval_io
from benchsep.runner.frame import COLUMNS

upstream = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="museval cannot be imported without ffmpeg on PATH"
)

FRAMES = {
    ("vocals", "sdr"): [1.0, None, 3.123456789],
    ("vocals", "isr"): [4.0, None, 5.0],
    ("vocals", "sir"): [None, None, None],
    ("vocals", "sar"): [7.0, None, 8.0],
    ("drums", "sdr"): [2.0, None, math.inf],
    ("drums", "isr"): [2.0, 2.0, 2.0],
    ("drums", "sir"): [None, None, None],
    ("drums", "sar"): [2.0, 2.0, 2.0],
}


def a_run(tracks=("AM Contra - Heart", "Zeno - Signs"), draws=1) -> pd.DataFrame:
    rows = [
        {
            "system": "htdemucs@mini", "family": "discriminative", "track": track, "stem": stem,
            "metric": f"bsseval.{name}", "draw": draw, "value": 2.0, "status": "ok",
            "edition": "hq", "frames": frames, "metric_version": "1", "split": "test",
        }
        for track in tracks
        for draw in range(draws)
        for (stem, name), frames in FRAMES.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def strict(path):
    return json.loads(path.read_text("utf-8"), parse_constant=lambda name: pytest.fail(name))


def test_the_files_are_strict_json_where_museval_looks_for_them(tmp_path):
    paths = museval_io.export_run(a_run(), tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in paths] == [
        "htdemucs@mini/test/AM Contra - Heart.json",
        "htdemucs@mini/test/Zeno - Signs.json",
    ]
    vocals = next(t for t in strict(paths[0])["targets"] if t["name"] == "vocals")["frames"]
    assert vocals[0] == {
        "time": 0.0,
        "duration": 1.0,
        "metrics": {"SDR": 1.0, "ISR": 4.0, "SIR": None, "SAR": 7.0},
    }
    assert vocals[1]["metrics"] == {"SIR": None}  # a silent window: no key, not NaN
    assert vocals[2]["metrics"]["SDR"] == 3.12346


@pytest.mark.parity
@upstream
def test_museval_validates_and_reads_them(tmp_path):
    museval = pytest.importorskip("museval")
    jsonschema = pytest.importorskip("jsonschema")
    frame = a_run()
    full = frame.copy()
    full["frames"] = [[1.0, None, 3.0]] * len(full)
    schema = museval.TrackStore("x").schema
    for path in museval_io.export_run(full, tmp_path / "full"):
        jsonschema.validate(strict(path), schema)
    museval_io.export_run(frame, tmp_path / "gaps")
    store = museval.EvalStore()
    store.add_eval_dir(tmp_path / "gaps" / "htdemucs@mini")
    scores = store.agg_frames_scores()
    assert scores["Zeno - Signs", "vocals", "SDR"] == pytest.approx(np.median([1, 3.12346]))
    assert math.isnan(scores["Zeno - Signs", "vocals", "SIR"])


def test_import_gives_back_what_export_wrote(tmp_path):
    frame = a_run()
    museval_io.export_run(frame, tmp_path)
    back = import_runs(tmp_path, families={"htdemucs@mini": "discriminative"})
    assert list(back.columns) == list(COLUMNS)
    assert len(back) == len(frame)
    one = back.query("track == 'Zeno - Signs' and stem == 'vocals'").set_index("metric")
    assert one.loc["bsseval.sdr", "frames"] == [1.0, None, 3.12346]
    assert one.loc["bsseval.sdr", "value"] == pytest.approx((1 + 3.12346) / 2)
    assert one.loc["bsseval.sir", "status"] == "not_finite"
    assert set(back["family"]) == {"discriminative"}


@pytest.mark.parity
@upstream
def test_a_file_that_museval_wrote_is_read_with_its_literal_nan(tmp_path):
    museval = pytest.importorskip("museval")
    track = museval.TrackStore("Old - Song")
    values = {name: [1.0, np.nan, np.inf, 2.0] for name in VALUES}
    track.add_target("vocals", values)
    (tmp_path / "UMX" / "test").mkdir(parents=True)
    track.save(tmp_path / "UMX" / "test" / "Old - Song.json")
    assert "NaN" in (tmp_path / "UMX" / "test" / "Old - Song.json").read_text()
    for path in (tmp_path, tmp_path / "UMX"):
        frame = import_runs(path, edition="aac")
        assert set(frame["system"]) == {"UMX"} and set(frame["edition"]) == {"aac"}
        assert frame["frames"].tolist() == [[1.0, None, None, 2.0]] * 4
        assert frame["value"].tolist() == [1.5] * 4


def test_names_that_no_file_may_bear_survive_the_round_trip(tmp_path):
    names = ("AC/DC - A", "..", "AC:DC <img>", " lead", "ünï – ok")
    paths = museval_io.export_run(a_run(names), tmp_path)
    assert all(p.parent == tmp_path / "htdemucs@mini" / "test" for p in paths)
    assert "ünï – ok.json" in {p.name for p in paths}
    assert set(import_runs(tmp_path)["track"]) == set(names)


def test_draws_do_not_overwrite_each_other(tmp_path):
    paths = museval_io.export_run(a_run(draws=2), tmp_path)
    assert {p.relative_to(tmp_path).parts[1] for p in paths} == {"draw0", "draw1"}


def test_ill_conditioned_values_are_marked(tmp_path):
    frame = a_run()
    frame.loc[frame["metric"] == "bsseval.sar", "status"] = "ill_conditioned"
    (path, _) = museval_io.export_run(frame, tmp_path)
    marked = strict(path)["benchsep"]["ill_conditioned"]
    assert marked == ["drums bsseval.sar", "vocals bsseval.sar"]


def test_nothing_to_export_or_import_is_said(tmp_path):
    with pytest.raises(UsageError, match="no BSSEval"):
        museval_io.export_run(a_run().assign(metric="visqol"), tmp_path)
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(StoreError, match="no museval file"):
            import_runs(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"targets": 3}', '{"targets": [{"name": "v"}]}'])
def test_a_file_that_is_not_musevals_is_named(tmp_path, text):
    (tmp_path / "M" / "test").mkdir(parents=True)
    (tmp_path / "M" / "test" / "bad.json").write_text(text)
    with pytest.raises(StoreError, match=r"bad\.json is not museval's JSON"):
        import_runs(tmp_path)


def test_a_target_without_frames_is_a_row(tmp_path):
    (tmp_path / "M" / "test").mkdir(parents=True)
    content = {"targets": [{"name": "vocals", "frames": []}], "museval_version": "0.2"}
    (tmp_path / "M" / "test" / "t.json").write_text(json.dumps(content))
    frame = import_runs(tmp_path)
    assert len(frame) == 4 and set(frame["status"]) == {"failed: no frames"}
