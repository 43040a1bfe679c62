"""visqol-python's interface: its names, its scores, and no torch."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from benchsep.audio import Audio, write_audio
from benchsep.errors import AudioError
from benchsep.metrics.visqol.engine import Reference
from benchsep.visqol import VisqolApi
from benchsep.visqol.__main__ import main


@pytest.fixture(scope="module")
def pair(clip):
    """Two seconds of vocals and of the vocals in a little of the mixture, mono at 48 kHz."""
    vocals, mixture = (
        a.mono().resampled(48_000).samples[0][:96_000] for a in (clip.stems["vocals"], clip.mixture)
    )
    return vocals, (0.9 * vocals + 0.1 * mixture).astype(np.float32)


@pytest.fixture(scope="module")
def files(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("visqol")
    paths = [folder / "truth.wav", folder / "heard.wav"]
    for path, samples in zip(paths, pair, strict=True):
        write_audio(path, Audio.of(samples, 48_000))
    return [str(path) for path in paths]


@pytest.fixture
def api():
    made = VisqolApi()
    made.create(mode="audio")
    return made


def test_files_arrays_and_batches_have_the_engine_s_score(api, pair, files):
    expected = Reference(pair[0]).compare(pair[1])
    found = [api.measure(*files), api.measure_from_arrays(*pair, 48_000)]
    seen = []
    found += api.measure_batch([tuple(files)] * 3, progress_callback=lambda *n: seen.append(n))
    for result in found:
        assert (result.moslqo, result.vnsim) == (expected.score, expected.similarity)
        np.testing.assert_array_equal(result.fvnsim, expected.similarities)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_reference_of_equal_size_and_time_is_read_again(api, pair, tmp_path):
    """As rsync and tar leave it: the time of the content is set back."""
    truth, heard = tmp_path / "truth.wav", tmp_path / "heard.wav"
    write_audio(heard, Audio.of(pair[1], 48_000))
    scores = []
    for samples in pair:
        write_audio(truth, Audio.of(samples, 48_000))
        os.utime(truth, ns=(0, 0))
        scores.append(api.measure(str(truth), str(heard)).moslqo)
    assert scores[0] < scores[1]  # against itself


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_scores_and_details_are_near_visqol_python_s(api, files):
    theirs = pytest.importorskip("visqol").VisqolApi()
    theirs.create(mode="audio")
    expected, found = theirs.measure(*files), api.measure(*files)
    # Its envelope is not Google's: docs/metrics/visqol.md.
    assert found.moslqo == pytest.approx(expected.moslqo, abs=0.024)
    for name in ("fvnsim", "fvnsim10"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=0.05)
    np.testing.assert_allclose(found.center_freq_bands, expected.center_freq_bands, rtol=1e-6)


def test_a_changed_file_is_read_again(api, pair, tmp_path):
    path = tmp_path / "truth.wav"
    scores = []
    for samples in (pair[0], pair[1][:-1]):
        write_audio(path, Audio.of(samples, 48_000))
        scores.append(api.measure(path, path).moslqo)
    assert scores == pytest.approx([4.732] * 2, abs=1e-3)


def test_what_it_does_not_have_is_refused(api, files, tmp_path):
    for options in ({"mode": "speech"}, {"search_window": 5}, {"disable_realignment": True}):
        with pytest.raises(ValueError, match="visqol-python"):
            VisqolApi().create(**options)
    with pytest.raises(RuntimeError, match="create"):
        VisqolApi().measure(*files)
    with pytest.raises(ValueError, match=r"expected \[samples\]"):
        api.measure_from_arrays(np.zeros((2, 9)), np.zeros(9), 48_000)
    absent = str(tmp_path / "absent.wav")
    with pytest.raises(FileNotFoundError, match=r"absent\.wav"):
        api.measure(files[0], absent)
    found = api.measure_batch([(files[0], absent), tuple(files)], parallel=False)
    assert isinstance(found[0], FileNotFoundError) and found[1].moslqo > 1


def test_the_command_prints_the_score(files, capsys):
    assert main(["--reference", files[0], "--degraded", files[0]]) == 0
    assert float(capsys.readouterr().out.split(":")[1]) == pytest.approx(4.732, abs=1e-3)
    assert main(["-r", files[0], "-d", "absent.wav"]) == 1
    assert "absent.wav" in capsys.readouterr().err


def test_it_runs_without_torch(files):
    code = f"""
import sys
from benchsep.visqol import VisqolApi
api = VisqolApi()
api.create()
api.measure({files[0]!r}, {files[1]!r})
heavy = {{"torch", "pandas", "librosa", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arrays_in_another_scale_are_refused() -> None:
    """The score of the same sounds times 32768 is another one."""
    api = VisqolApi()
    api.create()
    sound = np.random.default_rng(0).normal(0, 0.1, 48_000)
    with pytest.raises(AudioError, match=r"deg_array: its largest sample is .*16-bit"):
        api.measure_from_arrays(sound, sound * 32768, 48_000)
    with pytest.raises(AudioError, match="samples are int16 up to"):
        api.measure_from_arrays((sound * 32768).astype(np.int16), sound, 48_000)


def test_a_silent_reference_has_no_score_and_a_silent_estimate_the_lowest(api, pair, tmp_path):
    silence = np.zeros_like(pair[0])
    with pytest.raises(ValueError, match="silent"):
        api.measure_from_arrays(silence, pair[1], 48_000)
    paths = [tmp_path / "truth.wav", tmp_path / "heard.wav"]
    for path, samples in zip(paths, (np.stack([pair[0], -pair[0]]), pair[1]), strict=True):
        write_audio(path, Audio.of(samples, 48_000))
    with pytest.raises(ValueError, match="silent"):  # its mean is
        api.measure(*map(str, paths))
    assert api.measure_from_arrays(pair[0], silence, 48_000).moslqo == 1.0
