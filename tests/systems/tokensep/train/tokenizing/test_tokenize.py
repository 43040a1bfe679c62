"""Token shards: their content, and that kills and numbers of processes change no byte."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tokensep.codec.model import HCodec
from tokensep.errors import DataError
from tokensep.lm.config import InferenceConfig
from tokensep.train.pseudo_labels import shards_in, stream
from tokensep.train.pseudo_labels.reading import folder_mark
from tokensep.train.stream.archive import Archive
from tokensep.train.tokenizing import run as module
from tokensep.train.tokenizing.job import check_codec, common_job, read_job

from tests.helpers.codec_dummies import TINY
from tests.helpers.environment import environment
from tests.helpers.labelled import labelled
from tests.helpers.lm_dummies import HOP, RATE, DummyCodec, tiny_config
from tests.helpers.token_shards import tokenized

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("labels"), clips=7)


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards_in(folder)}


def wave_of(archive, clip, part):
    gain = json.loads(archive.read(clip, "json"))["gain"]
    samples, rate = soundfile.read(io.BytesIO(archive.read(clip, f"{part}.flac")))
    assert rate == RATE
    return samples / gain


def test_codes_are_those_of_the_stems_at_the_set_loudness(shards, tmp_path):
    out = tokenized(shards, tmp_path / "out")
    archive = Archive(shards_in(out)[0])
    sample = next(stream(shards_in(shards)))
    assert archive.keys[0] == f"{folder_mark(shards)}-{sample.key}-v0"
    mono = np.stack([sample.stems[s].mean(0) for s in STEMS])
    mono *= 0.1 / np.sqrt(np.mean(mono.sum(0) ** 2))  # -20 dBFS
    codes = np.load(io.BytesIO(archive.read(0, "codes.npy")))
    assert codes.dtype == np.int16 and codes.shape == (4, 5, 16000 // HOP)
    expected = DummyCodec().encode(torch.from_numpy(mono.astype(np.float32))).stack().numpy()
    assert (codes == expected).mean() > 0.999
    np.testing.assert_allclose(wave_of(archive, 0, "bass"), mono[2], atol=1e-4)
    np.testing.assert_allclose(wave_of(archive, 0, "mixture"), mono.sum(0), atol=1e-4)


def test_the_mixture_is_the_recording_if_asked_for(shards, tmp_path):
    archives = {
        mixture: Archive(shards_in(tokenized(shards, tmp_path / mixture, mixture=mixture))[0])
        for mixture in ("sum", "recorded")
    }
    for mixture, share in (("sum", 1.0), ("recorded", 0.9)):
        whole = wave_of(archives[mixture], 0, "mixture")
        stems = sum(wave_of(archives[mixture], 0, stem) for stem in STEMS)
        np.testing.assert_allclose(stems, share * whole, atol=5e-4)
        assert np.sqrt(np.mean(whole**2)) == pytest.approx(0.1, abs=1e-4)  # levelled as it is heard


def test_variants_and_audio_are_kept_as_asked_for(shards, tmp_path):
    out = tokenized(shards, tmp_path / "out", variants=3, stem_audio=False)
    archive = Archive(shards_in(out)[0])
    assert len(archive.keys) == 9 and [key[-3:] for key in archive.keys[:3]] == [
        "-v0",
        "-v1",
        "-v2",
    ]
    assert archive.parts(0) == {"codes.npy", "mixture.flac", "json"}
    one, two = (np.load(io.BytesIO(archive.read(clip, "codes.npy"))) for clip in (0, 1))
    assert one.shape != two.shape or (one != two).mean() > 0.1
    index = json.loads((out / "index.json").read_text())
    assert index["clips"] == 21 and len(index["shards"]) == 3 and len(index["job"]) == 64


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it closes no file
def test_webdataset_reads_what_is_written(shards, tmp_path):
    wds = pytest.importorskip("webdataset")
    out = tokenized(shards, tmp_path / "out")
    paths = [str(path) for path in shards_in(out)]
    samples = list(wds.WebDataset(paths, shardshuffle=False, empty_check=False).decode())
    assert len(samples) == 7
    archive = Archive(Path(paths[0]))
    for clip, sample in enumerate(samples[:3]):
        assert sample["__key__"] == archive.keys[clip]
        assert sample["codes.npy"].shape == (4, 5, 50) and sample["json"]["variant"] == 0
        assert sample["mixture.flac"] == archive.read(clip, "mixture.flac")


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    torch.manual_seed(0)
    HCodec(TINY).eval().save_checkpoint(folder)
    return folder


def options(shards, codec, out, **more):
    return module.Options([shards], codec, out, tiny_config(), {"variants": 2}, **more)


def test_processes_and_machines_change_no_byte(shards, codec, tmp_path):
    one = module.run(options(shards, codec, tmp_path / "one"))
    assert one == {"shards": 3, "skipped": 0, "written": 3, "clips": 14, "frames": one["frames"]}
    for rank in (1, 0):
        module.run(options(shards, codec, tmp_path / "two", rank=rank, world=2))
    assert tars(tmp_path / "one") == tars(tmp_path / "two")
    index = (tmp_path / "one" / "index.json").read_text()
    assert (tmp_path / "two" / "index.json").read_text() == index
    again = module.run(options(shards, codec, tmp_path / "one", workers=2))
    assert again["written"] == 0 and again["skipped"] == 3
    next(iter(shards_in(tmp_path / "two"))).unlink()
    shards_in(tmp_path / "two")[0].unlink()
    assert module.run(options(shards, codec, tmp_path / "two", workers=2))["written"] == 2
    assert tars(tmp_path / "one") == tars(tmp_path / "two")


def test_a_folder_of_silence_gives_no_tokens_and_says_so(codec, tmp_path):
    for stem in STEMS:
        path = tmp_path / "songs" / "A" / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(str(path), np.zeros((3 * RATE, 2)), RATE)
    settings = {"variants": 1}
    songs = [tmp_path / "songs"]
    silent = module.Options([], codec, tmp_path / "out", tiny_config(), settings, musdb=songs)
    with pytest.raises(DataError, match=r"found no clip in 1 shards, expected music of 2 s"):
        module.run(silent)


def test_options_of_inference_are_no_matter_of_tokens(shards, codec, tmp_path):
    """Those of the preset ``mini``, the default, hold a dict: stems that are refined."""
    module.run(options(shards, codec, tmp_path / "plain"))
    inference = InferenceConfig(overlap_frames=2, render="consensus", refine={"vocals": "blend"})
    config = tiny_config(inference=inference)
    module.run(module.Options([shards], codec, tmp_path / "refined", config, {"variants": 2}))
    assert tars(tmp_path / "refined") == tars(tmp_path / "plain")


def test_a_killed_run_continues_to_the_same_bytes(shards, codec, tmp_path):
    """SIGKILL as soon as the first shard is there."""
    config = tmp_path / "lm.json"
    config.write_text(tiny_config().model_dump_json())
    command = [sys.executable, "-m", "tokensep", "tokenize", "--shards", str(shards)]
    command += ["--codec", str(codec), "--config", str(config), "--variants", "2", "-o"]
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*command, str(out)], env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("shard 1/3")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(tars(out)) < 3
    subprocess.run([*command, str(out)], env=environment(), check=True, capture_output=True)
    module.run(options(shards, codec, tmp_path / "whole"))
    assert tars(out) == tars(tmp_path / "whole") and len(tars(out)) == 3
    assert [p.name for p in out.iterdir() if "partial" in p.name] == []


def test_what_does_not_fit_is_refused(shards, codec, tmp_path):
    out = tokenized(shards, tmp_path / "out")
    other = tokenized(shards, tmp_path / "other", mixture="recorded")
    with pytest.raises(DataError, match="differ in mixture"):
        common_job([out, other])
    with pytest.raises(DataError, match=r"made with \{'loudness': -20\.0\}"):
        check_codec(read_job(out), DummyCodec(), tiny_config(loudness=-18.0))
    with pytest.raises(DataError, match="does not describe token shards"):
        read_job(shards)
    module.run(options(shards, codec, tmp_path / "run"))
    changed = module.Options([shards], codec, tmp_path / "run", tiny_config(), {"variants": 3})
    with pytest.raises(DataError, match=r"made with other settings \(variants\)"):
        module.run(changed)
    with pytest.raises(DataError, match="rank 2 of 2"):
        module.run(options(shards, codec, out, rank=2, world=2))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no shards"):
        module.run(options(tmp_path / "empty", codec, tmp_path / "new"))


def test_songs_with_stems_are_tokenized_in_pieces(codec, tmp_path, monkeypatch):
    """65 s of two songs are pieces of 30, 30 and 5 s; a silent one is left out."""
    from tokensep.train.tokenizing import inputs
    from tokensep.train.tokenizing.inputs import find_inputs

    rng = np.random.default_rng(0)
    for song in ("A - loud", "B - held out"):
        folder = tmp_path / "musdb" / song
        folder.mkdir(parents=True)
        for stem in STEMS:
            wave = rng.normal(0, 0.05, (65 * RATE, 2))
            wave[30 * RATE : 60 * RATE] *= song != "A - loud"
            soundfile.write(str(folder / f"{stem}.wav"), wave, RATE)
    monkeypatch.setattr(inputs, "validation_songs", lambda: ["B - held out"])
    found = {s: find_inputs([], [tmp_path / "musdb"], s) for s in ("train", "valid", "all")}
    assert [song.title for song in found["train"]] == ["A - loud"]
    assert [song.title for song in found["valid"]] == ["B - held out"]
    assert len(found["all"]) == 2
    samples = [list(song.samples(RATE)) for song in found["all"]]
    assert [[s.facts["start"] / RATE for _, s in song] for song in samples] == [
        [0, 60],
        [0, 30, 60],
    ]
    names = [name for song in samples for name, _ in song]
    assert len(set(names)) == 5
    sample = samples[0][1][1]
    assert sample.mixture.shape == (2, 5 * RATE)
    np.testing.assert_allclose(sample.mixture, sum(sample.stems.values()), atol=1e-6)
    expected, _ = soundfile.read(str(tmp_path / "musdb/A - loud/bass.wav"), start=60 * RATE)
    np.testing.assert_allclose(sample.stems["bass"], expected.T, atol=1e-4)


def test_calls_that_mean_nothing_are_errors(tmp_path):
    from tokensep.errors import ConfigError
    from tokensep.train.tokenizing.inputs import find_inputs
    from tokensep.train.tokenizing.job import new_job

    with pytest.raises(ConfigError, match="no input was given"):
        find_inputs([], [], "train")
    with pytest.raises(ConfigError, match="unknown split 'test', expected train, valid, all"):
        find_inputs([], [tmp_path], "test")
    for wrong in ({"mixture": "both"}, {"variants": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            new_job(DummyCodec(), tiny_config(), **wrong)
    (tmp_path / "musdb").mkdir()
    with pytest.raises(DataError, match=r"no songs with stems, found nothing"):
        find_inputs([], [tmp_path / "musdb"], "valid")
