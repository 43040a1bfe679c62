from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile
import torch
from tokensep import cli
from tokensep.cli import configs
from tokensep.lm.config import STEMS
from tokensep.lm.model import TokenLM
from tokensep.separator import TokenSep
from typer.testing import CliRunner

from benchsep.errors import AudioError
from tests.helpers.hcodec2 import publish
from tests.helpers.lm_dummies import RATE, DummyCodec, tiny_config

runner = CliRunner()


def test_info_prints_the_paper_and_its_step_counts():
    """paper.md §3.3: 1,060 steps for 10 s of the interleaved 16-layer delay."""
    result = runner.invoke(cli.app, ["info", "--config", "paper", "--json"])
    facts = json.loads(result.stdout)
    assert facts["lm_steps"]["interleaved-delay"] == 1060
    assert facts["tokens_per_second"] == 1600 and facts["bits_per_second_per_stem"] == 4000
    for name in ("mini", "small"):
        text = runner.invoke(cli.app, ["info", "--config", name]).stdout
        assert "parameters" in text and "cache_bytes_fp32" in text and "lm_gflop" in text


def test_info_counts_what_the_model_has():
    from tokensep.lm.config import PRESETS

    facts = json.loads(runner.invoke(cli.app, ["info", "--json"]).stdout)
    model = TokenLM(PRESETS["mini"])
    assert facts["parameters"]["total"] == sum(p.numel() for p in model.parameters())
    assert 2 * facts["parameters"]["total"] <= 12e6, "the mini LM must fit 12 MB in fp16"


@pytest.mark.parametrize("name", ["mini", "small", "paper"])
def test_info_is_what_counting_every_tensor_gives(name):
    """Part by part on meta tensors, and the codec against its own list of tensors."""
    from tokensep import config, describe
    from tokensep.codec.model import HCodec
    from tokensep.lm.config import PRESETS

    facts = json.loads(runner.invoke(cli.app, ["info", "--config", name, "--json"]).stdout)
    with torch.device("meta"):
        model = TokenLM(PRESETS[name])
        codec = HCodec(config.PRESETS[name], teacher=describe.NoTeacher(config.PRESETS[name]))
    parts = facts["parameters"]
    assert parts["encoder"] == sum(p.numel() for p in model.encoder.parameters())
    assert parts["tables"] == model.tables.numel()
    assert parts["total"] == sum(v for k, v in parts.items() if k != "total")
    kept = [p.numel() for n, p in codec.named_parameters() if not n.startswith("teacher.")]
    books = [b.numel() for n, b in codec.named_buffers() if n.endswith(".entries")]
    assert facts["codec_parameters"]["total"] == sum(kept) + sum(books)
    # a block by hand: attention 4 d^2, SwiGLU 3 d f, two norms
    lm = PRESETS[name].lm
    block = 4 * lm.dim**2 + 3 * lm.dim * lm.ffn + 2 * lm.dim
    assert parts["decoder"] == lm.layers * block + lm.dim


def test_info_of_the_paper_is_near_its_published_codec():
    """paper.md: encoder 413 M, decoder 578 M, semantic branch 177 M, codebooks 17 M."""
    parts = json.loads(runner.invoke(cli.app, ["info", "--config", "paper", "--json"]).stdout)
    codec = parts["codec_parameters"]
    assert codec["encoder"] == pytest.approx(413e6, rel=0.01)
    assert codec["decoder"] == pytest.approx(578e6, rel=0.03)
    assert codec["codebooks"] == 2 * 16 * 1024 * 512
    assert codec["semantic_encoder"] + codec["semantic_decoder"] == pytest.approx(177e6, rel=0.06)


def test_separate_writes_four_stems(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = TokenSep(TokenLM(tiny_config()), DummyCodec())
    monkeypatch.setattr(TokenSep, "from_checkpoint", lambda *_: model)
    audio = np.random.default_rng(0).normal(0, 0.1, (5000, 2))
    soundfile.write(str(tmp_path / "song.wav"), audio, RATE)
    command = ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out")]
    result = runner.invoke(cli.app, [*command, "-O", "refine=mask", "-O", "sampling.temperature=1"])
    assert result.exit_code == 0, result.output
    written = {p.stem: soundfile.read(str(p))[0] for p in (tmp_path / "out" / "song").glob("*.wav")}
    assert set(written) == set(STEMS)
    np.testing.assert_allclose(sum(written.values()), audio, atol=1e-3)


@pytest.fixture
def small(monkeypatch):
    torch.manual_seed(0)
    model = TokenSep(TokenLM(tiny_config()), DummyCodec())
    monkeypatch.setattr(TokenSep, "from_checkpoint", lambda *_: model)
    return model


def write_mp4(path, waves, rate: int) -> None:
    """One AAC stream for each of ``waves [2, T]``."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        streams = [container.add_stream("aac", rate=rate) for _ in waves]
        for stream, wave in zip(streams, waves, strict=True):
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            frame.sample_rate = rate
            container.mux([packet for f in (frame, None) for packet in stream.encode(f)])


@pytest.mark.parametrize(("name", "streams"), [("a song.m4a", 1), ("a song.stem.mp4", 5)])
def test_songs_in_mp4_are_read_and_of_stems_the_mixture(tmp_path, small, name, streams):
    time = np.arange(16_000) / 16_000
    waves = [
        np.stack([0.3 * np.sin(2 * np.pi * f * time)] * 2).astype(np.float32)
        for f in (440, 600, 700, 800, 900)
    ]
    write_mp4(tmp_path / name, waves[:streams], 16_000)
    out = tmp_path / "out"
    result = runner.invoke(
        cli.app, ["separate", str(tmp_path / name), "-o", str(out), "-O", "refine=mask"]
    )
    assert result.exit_code == 0, result.output
    stems = [soundfile.read(str(path))[0] for path in sorted((out / "a song").glob("*.wav"))]
    spectrum = np.abs(np.fft.rfft(sum(stems)[2_000:14_000, 0]))
    loudest = np.fft.rfftfreq(12_000, 1 / 16_000)[spectrum.argmax()]
    assert len(stems) == 4 and loudest == pytest.approx(440, abs=3)


def test_stems_that_are_there_are_replaced_only_when_asked(tmp_path, small):
    soundfile.write(str(tmp_path / "song.wav"), np.zeros((2000, 1)), RATE)
    folder = tmp_path / "out" / "song"
    folder.mkdir(parents=True)
    (folder / "vocals.wav").write_text("precious")
    (folder / "notes.txt").write_text("mine")
    command = ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out")]
    refused = runner.invoke(cli.app, command)
    assert "--overwrite" in str(refused.exception) and refused.exit_code
    assert (folder / "vocals.wav").read_text() == "precious"
    assert runner.invoke(cli.app, [*command, "--overwrite"]).exit_code == 0
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*(f"{stem}.wav" for stem in STEMS), "notes.txt"]
    )
    assert soundfile.read(str(folder / "vocals.wav"))[0].shape == (2000,)
    assert [p.name for p in folder.parent.iterdir()] == ["song"]


def test_two_songs_of_one_name_are_refused(tmp_path, small):
    songs = [str(tmp_path / "a.wav"), str(tmp_path / "a.flac")]
    result = runner.invoke(cli.app, ["separate", *songs, "-o", str(tmp_path / "out")])
    assert "would both be written" in str(result.exception)


def test_a_song_that_fails_leaves_no_stems(tmp_path, small, monkeypatch):
    """The second stem cannot be written: the first is not left alone."""
    from tokensep import songs

    written = []

    def full(path, audio):
        written.append(path)
        if len(written) == 2:
            raise AudioError("disk full")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    monkeypatch.setattr(songs, "write_audio", full)
    soundfile.write(str(tmp_path / "song.wav"), np.zeros((2000, 1)), RATE)
    result = runner.invoke(
        cli.app, ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out")]
    )
    assert "disk full" in str(result.exception)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_device_is_checked_before_the_model_is_loaded(tmp_path, small):
    result = runner.invoke(cli.app, ["separate", "song.wav", "--device", "tpu"])
    assert "expected cpu, cuda or mps" in str(result.exception)


@pytest.mark.parametrize(("render", "draws"), [("tokens", 1), ("consensus", 2)])
def test_progress_rises_to_the_end(small, render, draws):
    from tokensep.lm.config import InferenceConfig

    seen = []
    options = InferenceConfig(render=render, draws=draws, overlap_frames=2, batch=2)
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 3 * RATE)).astype(np.float32)
    small.separate(audio, RATE, options=options, progress=seen.append)
    assert len(seen) > 2 and seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["separate", "absent.wav"], 1, "no such file"),
        (["separate", "a\x1b[31mb.wav"], 1, "a\N{REPLACEMENT CHARACTER}[31mb.wav: no such file"),
        (["separate", "absent.wav", "--checkpoint", "nowhere"], 1, "no such folder"),
        (["separate", "."], 1, "a folder, not an audio file"),
        (["separate", "a.wav", "-o", "a file"], 2, "is a file, expected a folder for the stems"),
        (["separate", "a.wav", "-O", "sampling.cfg=1", "-O", "sampling.cfg=2"], 2, "given twice"),
        (["separate", "a.wav", "-O", "refine.mode=1"], 2, "refine is a single value"),
        (["info", "--config", "huge"], 2, "expected one of"),
        (["train", "lm", "--codec", "x", "-o", "y"], 2, "no training data was given"),
    ],
)
def test_errors_are_one_line(arguments, code, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    torch.manual_seed(0)
    model = TokenSep(TokenLM(tiny_config()), DummyCodec())
    if "nowhere" not in arguments:
        monkeypatch.setattr(TokenSep, "from_checkpoint", lambda *_: model)
    monkeypatch.setattr(sys, "argv", ["tokensep", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_help_needs_no_torch():
    import subprocess

    code = (
        "import sys\nfrom tokensep import cli\n"
        "assert not {'torch', 'scipy', 'pandas'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_header_that_claims_more_than_the_file_can_hold_is_an_error(tmp_path):
    """Found by the fuzzer: a small FLAC whose header asks for 512 GiB."""
    path = tmp_path / "song.flac"
    soundfile.write(path, np.zeros((4000, 2)), 44_100)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # STREAMINFO's 36-bit number of samples
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    result = runner.invoke(cli.app, ["separate", str(path), "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, AudioError)
    assert "the header claims 68719476735 samples" in str(result.exception)


def test_the_published_codec_is_imported_and_described(tmp_path):
    weights, config = map(str, publish(tmp_path))
    out = str(tmp_path / "codec")
    result = runner.invoke(cli.app, ["import-hcodec", weights, config, out])
    made = json.loads(result.stdout)
    assert made["folder"] == out and made["tensors"] == 224
    facts = json.loads(runner.invoke(cli.app, ["info", "--config", out, "--json"]).stdout)
    books = 2 * 4 * 32 * 16
    assert list(facts) == ["codec_parameters"]
    # info counts a teacher of 768 features, HuBERT base's; the tiny one has 12
    semantic = 2 * (768 - 12) * 24 * 3
    assert facts["codec_parameters"]["total"] == made["parameters"] + books + semantic
    refused = runner.invoke(cli.app, ["train", "lm", "--codec", out, "-o", out, "--config", out])
    assert "has a codec but no LM" in str(refused.exception)


def test_info_knows_the_published_configuration():
    facts = json.loads(runner.invoke(cli.app, ["info", "--config", "hcodec-2", "--json"]).stdout)
    assert facts["codec_parameters"]["decoder"] == 615_623_042
    assert facts["bits_per_second_per_stem"] == 4000


def test_an_exported_lm_alone_is_a_configuration(tmp_path):
    """``train lm --init FINAL``: the folder ``final`` of a training holds no codec."""
    from tokensep.lm.weights import save_lm

    save_lm(tmp_path, TokenLM(tiny_config()))
    separator, codec = configs.lm_configs(str(tmp_path))
    assert separator == tiny_config() and codec is None
