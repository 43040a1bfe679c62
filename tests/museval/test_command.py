"""``python -m benchsep.museval REF EST``: museval's values and its file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from benchsep.audio import Audio, write_audio
from benchsep.museval import bss_eval, evaluate
from benchsep.museval.__main__ import main

RATE = 8_000


@pytest.fixture(scope="module")
def song(clip):
    """Stem -> its true samples and an estimate, ``[2, 2.5 s]`` at 8 kHz."""
    cut = slice(RATE, RATE * 7 // 2)
    truth = {s: clip.stems[s].resampled(RATE).samples[:, cut] for s in ("drums", "bass")}
    # Noise in the true stems too: without it their Gram matrix is singular above the cut-off.
    noise = 1e-3 * np.random.default_rng(0).standard_normal((3, 2, RATE * 5 // 2))
    truth = {s: (x + n).astype(np.float32) for (s, x), n in zip(truth.items(), noise, strict=False)}
    total, noise = sum(truth.values()), noise[2]
    return {s: (x, (0.8 * x + 0.2 * total + noise).astype(np.float32)) for s, x in truth.items()}


@pytest.fixture
def folders(song, tmp_path):
    for stem, pair in song.items():
        for side, samples in zip(("ref", "est"), pair, strict=True):
            write_audio(tmp_path / side / "song" / f"{stem}.wav", Audio(samples, RATE))
    return tmp_path / "ref", tmp_path / "est"


def test_the_file_holds_the_values_of_the_call(song, folders, capsys):
    out = folders[1].parent / "out"
    assert main([str(f / "song") for f in folders] + ["-o", str(out)]) == 0
    content = json.loads((out / "song.json").read_text())
    names = sorted(song)  # the files in order of their names
    sides = (np.stack([song[s][k].T for s in names]).astype(float) for k in (0, 1))
    expected = bss_eval(*sides, window=RATE, hop=RATE)
    assert [t["name"] for t in content["targets"]] == names
    for i, target in enumerate(content["targets"]):
        for t, frame in enumerate(target["frames"]):
            assert (frame["time"], frame["duration"]) == (t, 1)
            found = [frame["metrics"][n] for n in ("SDR", "ISR", "SIR", "SAR")]
            assert found == pytest.approx([e[i, t] for e in expected[:4]], abs=1e-5)
    assert f"SDR:{np.median(expected[0][0]):8.3f}" in capsys.readouterr().out


def test_the_mixture_of_musdb18_hq_is_no_target(song, folders):
    main([*(str(f) for f in folders), "-o", str(folders[1].parent / "alone")])
    total = sum(true for true, _ in song.values())
    write_audio(folders[0] / "song" / "mixture.wav", Audio(total, RATE))
    assert main([*(str(f) for f in folders), "-o", str(folders[1].parent / "with")]) == 0
    alone, beside = ((folders[1].parent / k / "song.json").read_bytes() for k in ("alone", "with"))
    assert alone == beside


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_museval_s_own_command_finds_the_same(folders):
    theirs = pytest.importorskip("museval", exc_type=Exception, reason="museval, ffmpeg")
    expected = theirs.eval_dir(*(str(f / "song") for f in folders)).scores["targets"]
    assert main([str(f) for f in folders]) == 0
    targets = json.loads((folders[1] / "song.json").read_text())["targets"]
    ours = {t["name"]: t["frames"] for t in targets}
    for target in expected:
        for a, b in zip(ours[target["name"].removesuffix(".wav")], target["frames"], strict=True):
            assert a["metrics"] == pytest.approx({k: float(v) for k, v in b["metrics"].items()},
                                                 abs=2e-5)  # fmt: skip


def test_folders_of_tracks_and_shorter_estimates(song, folders):
    short = Audio(song["drums"][1][:, :-100], RATE)
    write_audio(folders[1] / "song" / "drums.wav", short)
    assert main([*(str(f) for f in folders), "--hop", "0.5", "-m", "v3"]) == 0
    frames = json.loads((folders[1] / "song.json").read_text())["targets"][0]["frames"]
    assert [f["time"] for f in frames] == [0, 0.5, 1, 1.5]


def test_what_cannot_be_scored_is_said(folders, capsys, tmp_path):
    (folders[1] / "song" / "bass.wav").unlink()
    assert main([str(f) for f in folders]) == 1
    assert "no estimate of ['bass']" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), str(folders[1])]) == 1
    assert "is not a folder" in capsys.readouterr().err
    write_audio(folders[1] / "song" / "bass.wav", Audio(np.ones((1, 9)), RATE))
    assert main([str(f) for f in folders]) == 1
    assert "1 channel(s); expected" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_arrays_of_any_type_are_computed_in_double(song, kind):
    truth, heard = (np.stack([np.round(p[k].T * 32767) for p in song.values()]) for k in (0, 1))
    expected = bss_eval(truth, heard, window=RATE, hop=RATE)
    found = bss_eval(truth.astype(kind), heard.astype(kind), window=RATE, hop=RATE)
    np.testing.assert_allclose(found[:4], expected[:4], atol=1e-9)


def test_evaluate_pads_and_refuses_other_versions(song):
    truth, heard = (np.stack([p[k].T for p in song.values()]) for k in (0, 1))
    whole = evaluate(truth, heard, win=RATE, hop=RATE)
    longer = np.pad(heard, [(0, 0), (0, 50), (0, 0)])
    np.testing.assert_array_equal(evaluate(truth, longer, win=RATE, hop=RATE), whole)
    with pytest.raises(ValueError, match="'v3' or 'v4'"):
        evaluate(truth, heard, mode="v5")


def test_it_runs_without_torch(folders):
    code = f"""
import sys
from benchsep.museval.__main__ import main
assert main({[str(f) for f in folders]!r}) == 0
heavy = {{"torch", "pandas", "librosa", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("engine", ["visqol import VisqolApi", "museval import bss_eval"])
def test_an_import_takes_half_a_second_at_most(engine):
    code = f"""
import time
from benchsep.{engine}
print(time.process_time())
"""
    # The least of three: the first one may read cold files.
    command = [sys.executable, "-c", code]
    found = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    assert min(float(done.stdout) for done in found) < 0.5 * SLACK


SLACK = 2.0
"""Of a loaded or slower machine; 0.25 s were measured."""
