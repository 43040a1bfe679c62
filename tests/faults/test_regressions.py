"""One small test for each fault that the long campaign found and no other test covers.

The list of all of them, with their fixes, is :mod:`tests.faults.faults`.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
import soundfile
from benchsep_baselines import msst, safe_load
from tokensep.errors import ConfigError, DataError
from tokensep.train import pseudo_labels

import benchsep
from benchsep._util.digest import digest
from benchsep.audio import STEMS
from benchsep.errors import CheckpointError, DriftError, StoreError, UsageError
from benchsep.gate.baseline import read_baseline
from benchsep.imported.museval import import_runs
from benchsep.runner.store import Store
from benchsep.runner.suite import load_suite
from tests.faults.faults import FAULTS
from tests.faults.wrong_values import WRONG_VALUES
from tests.helpers.noise import noise_songs

ROOT = Path(__file__).parents[2]


@cache
def functions(path: str) -> dict[str, ast.FunctionDef]:
    """Functions of a module below ``tests/``, by name."""
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    "fault", (*FAULTS, *WRONG_VALUES), ids=lambda fault: fault.test.split("::")[1]
)
def test_the_regression_test_of_each_fault_is_one_that_pytest_collects_and_it_asserts(fault):
    path, name = fault.test.split("::")
    assert Path(path).name.startswith("test_") and name.startswith("test_")
    test = functions(path)[name]
    assert "skip" not in map(ast.unparse, test.decorator_list)
    checks = [n for n in ast.walk(test) if isinstance(n, ast.Assert)]
    raises = [n for n in ast.walk(test) if isinstance(n, ast.Attribute) and n.attr == "raises"]
    assert checks or raises or "check" in ast.unparse(test)


def test_a_record_with_a_true_checksum_and_false_content_is_set_aside(tmp_path, capsys):
    """By a run, that is: who reads leaves it out and leaves it where it is."""
    songs = noise_songs(tmp_path / "songs", ("one",))
    run = tmp_path / "run"
    asked = {"dataset": f"folder:{songs}", "systems": ("mixture",), "metrics": ("usdr",),
             "yardsticks": False, "inline": True}  # fmt: skip
    benchsep.run(out=run, **asked)
    whole, path = benchsep.load_run(run), next((run / "cells").rglob("*.json"))
    good = path.read_text()
    record = {k: v for k, v in json.loads(good).items() if k != "checksum"}
    for change in (
        {"cells": [1]}, {"cells": record["cells"] * 2}, {"draws": {"0": None}}, {"track": None},
        {"reference_sha256": []}, {"cells": [{**record["cells"][0], "draw": "0"}]},
    ):  # fmt: skip
        body = {**record, **change}
        path.write_text(json.dumps({**body, "checksum": digest(body)}))
        assert Store(run).records() == [], change
        assert path.name in capsys.readouterr().err
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        benchsep.run(out=run, **asked)
        path.with_suffix(".json.corrupt").unlink()
        assert benchsep.load_run(run)["value"].equals(whole["value"])
    path.write_text(good)
    (path.parent / "copy.json").write_text(good)
    assert benchsep.load_run(run).equals(whole)
    assert "copy.json is a copy" in capsys.readouterr().err


BASELINE = {
    "format": "benchsep-baseline/1", "run": {}, "edition": "hq", "metric_versions": {},
    "checkpoints": {}, "mixtures": {}, "references": {}, "directions": {"usdr": 1},
    "tolerances": {}, "noise": [],
    "cells": [{"system": "s", "track": "t", "stem": "vocals", "draw": 0, "values": {"usdr": 1.0}}],
}  # fmt: skip


def test_a_damaged_baseline_is_a_drift_error(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(BASELINE))
    assert read_baseline(path)["cells"]
    row = BASELINE["cells"][0]
    for change in (
        {"cells": {}}, {"cells": [{**row, "values": []}]}, {"cells": [{**row, "draw": "0"}]},
        {"cells": [{**row, "values": {"usdr": [1]}}]}, {"cells": [{**row, "system": 3}]},
        {"cells": [{**row, "values": {"usdr": 10**400}}]}, {"directions": {}}, {"noise": [{}]},
        {"cells": [{**row, "values": {"sisdr": 1}}]}, {"directions": {"usdr": "up"}},
        {"tolerances": {"usdr": {"cell": -1, "mean": 0, "reason": ""}}}, {"references": {"t": 1}},
        {"mixtures": {"t": 1}}, {"edition": None},
    ):  # fmt: skip
        path.write_text(json.dumps({**BASELINE, **change}))
        with pytest.raises(DriftError, match=r"baseline\.json"):
            read_baseline(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DriftError, match=r"baseline\.json"):
        read_baseline(path)


def test_an_absurd_header_is_an_unreadable_recording(tmp_path):
    """9 EB of music in 13 KB, a sample rate of 1 Hz, and a file whose end is missing."""
    music = noise_songs(tmp_path, ("song",), seconds=2.5) / "song"
    soundfile.write(str(music / "vocals.flac"), soundfile.read(music / "vocals.wav")[0], 8000)
    data = bytearray((music / "vocals.flac").read_bytes())
    data[21:26] = b"\xff\xff\xff\xff\xff"  # STREAMINFO's 36 bits of total samples
    (music / "vocals.flac").write_bytes(data)
    slow = bytearray((music / "drums.wav").read_bytes())
    slow[24:28] = (1).to_bytes(4, "little")
    (music / "drums.wav").write_bytes(slow)
    began = time.process_time()
    pieces, unreadable = pseudo_labels.find_pieces(music, pseudo_labels.Settings())
    assert time.process_time() - began < 5
    assert [u.split(":")[0] for u in unreadable] == ["drums.wav", "vocals.flac"]
    assert {p.path.name for p in pieces} == {"vocals.wav", "bass.wav", "other.wav"}
    piece = next(p for p in pieces if p.path.name == "bass.wav")
    longer = pseudo_labels.Piece(piece.path, 0, piece.frames + 1, piece.rate)
    with pytest.raises(DataError, match="cut short"):
        pseudo_labels.read_piece(longer)
    stems = pseudo_labels.write_shard(
        tmp_path / "s.tar", [longer, piece], music, _quarters, pseudo_labels.Settings(), "x"
    )
    assert [d["reason"].split(":")[0] for d in stems["dropped"]] == ["cut short"]


def _quarters(mixture, rate):
    return dict.fromkeys(STEMS, mixture / 4)


def test_a_second_labeller_of_the_same_rank_is_told_of_the_first(tmp_path):
    with (
        pseudo_labels.alone(tmp_path, 0),
        pytest.raises(DataError, match="another process is working as rank 0"),
        pseudo_labels.alone(tmp_path, 0),
    ):
        pass
    with pseudo_labels.alone(tmp_path, 0), pseudo_labels.alone(tmp_path, 1):
        pass
    assert not list(tmp_path.iterdir())


def test_deep_yaml_is_refused_at_once(tmp_path):
    from tokensep.config import CodecConfig, load

    path = tmp_path / "deep.yaml"
    path.write_text("systems: " + "[" * 100_000)
    began = time.process_time()
    for read, error in (
        (lambda: load_suite(path), UsageError),
        (lambda: msst.read_yaml(path), CheckpointError),
        (lambda: load(CodecConfig, path), ConfigError),
    ):
        with pytest.raises(error, match=r"deep\.yaml.*100 levels"):
            read()
    assert time.process_time() - began < 2


def test_damaged_weights_and_configurations_are_named(tmp_path):
    from benchsep_training import checkpoint
    from tokensep.config import CodecConfig, load
    from tokensep.train.data import decode

    broken = tmp_path / "broken.th"
    for content in (b"\x80\x02Q.", b"\x80\x02.", b"PK\x03\x04", b"", b"\x80\x02}q\x00h\x09."):
        broken.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"broken\.th"):
            safe_load.load_pickle(broken, admitted={}, trust_pickle=False)
    import torch
    from safetensors.torch import save_file

    save_file({"no-slash": torch.zeros(1)}, tmp_path / "tensors.safetensors")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a complete training checkpoint"):
        checkpoint.load(tmp_path)
    for name, content in (("a.json", b"\xff\xfe"), ("a.yaml", b"a: [1"), ("b.json", b"[" * 9999)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=name):
            load(CodecConfig, tmp_path / name)
    (tmp_path / "song.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(DataError, match=r"song\.wav"):
        decode(tmp_path / "song.wav")


def test_museval_files_beyond_any_number_are_named(tmp_path):
    path = tmp_path / "method" / "test" / "song.json"
    path.parent.mkdir(parents=True)
    frame = '{"targets": [{"name": %s, "frames": [{"metrics": {"SDR": %s}}]}]}'
    for text in ("[" * 100_000, frame % ('"x"', "1" + "0" * 400), frame % ('"\\ud800"', "1")):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"song\.json is not museval"):
            import_runs(tmp_path / "method")


def test_an_error_of_the_system_is_one_line_with_its_path(tmp_path):
    """An OSError that nobody expected still ends in the path and not in a traceback."""
    folder = tmp_path / "song.wav"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "benchsep", "validity", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "song.wav" in done.stderr and "Traceback" not in done.stderr
