"""Files written by hand to exhaust a reader: sizes that lie, models that are too large, depth."""

from __future__ import annotations

import io
import json
import resource
import struct
import tarfile
import time

import demucs.htdemucs  # noqa: F401 -- takes longer to import than an attack may take
import pytest
import torch
from benchsep_baselines import htdemucs, msst
from benchsep_training import checkpoint, logs
from safetensors.torch import save_file
from tokensep.codec.hcodec2.weights import read_state
from tokensep.codec.model import HCodec
from tokensep.lm.model import TokenLM
from tokensep.lm.weights import load_lm, save_lm
from tokensep.train import cache, data, pseudo_labels, token_files
from tokensep.train.stream.archive import Archive
from tokensep.train.tokenizing.job import read_job

from benchsep._util.tensors import read_tensors
from benchsep.datasets.moisesdb import moisesdb
from benchsep.errors import BenchsepError, CheckpointError
from tests.helpers.lm_dummies import tiny_config

SECONDS, MB = 6.0, 400.0
"""1.3 s are needed, three times that with coverage on a busy machine; belief costs minutes."""


@pytest.fixture(autouse=True)
def bounded():
    """Every attack ends within 6 s of CPU time and 400 MB."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MB


def entry(shape, begin, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


DEMUCS = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]",
          "kwargs": '{"sources": ["a"], "channels": 6000}'}  # fmt: skip
MSST = {"config": json.dumps({"model": {"dim": 6000, "depth": 6000, "freqs_per_bands": [513] * 2},
                              "audio": {"chunk_size": 9}, "model_type": "bs_roformer",
                              "training": {"instruments": ["vocals"]}})}  # fmt: skip
HEADERS = {
    "100,000 entries": {f"t{n}": [] for n in range(100_000)},
    "overlapping offsets": {"a": entry([2], 0, 8), "b": entry([2], 4, 12)},
    "no size, many numbers": {"a": entry([1 << 40, 0], 0, 0), "b": entry([1 << 62, 4], 0, 0)},
    "a shape beyond 64 bits": {"a": entry([1 << 32, 1 << 32], 0, 0)},
    "a shape that wraps": {"a": entry([1 << 62, 4], 0, 16)},
    "6,000 channels": {"a": entry([1], 0, 4)},
    "deep JSON": {"a": entry([1], 0, 4)},
}


def _msst(path):
    found = msst.Found("x", path, None, "", "")
    return msst.load_model(msst.read_pair(found, trust_pickle=False), found, "", {})


def _step(path):
    (path.parent / "state.json").write_text("{}")
    (path.parent / "tensors.safetensors").write_bytes(path.read_bytes())
    return checkpoint.load(path.parent)


@pytest.mark.parametrize("read", [htdemucs.load_model, _msst, _step])
@pytest.mark.parametrize("attack", HEADERS)
def test_no_safetensors_header_is_believed(tmp_path, attack, read):
    metadata = {**DEMUCS, **MSST}
    if attack == "deep JSON":
        metadata = {**DEMUCS, "kwargs": "[" * 100_000, "config": '{"a":' * 100_000}
    header = json.dumps({"__metadata__": metadata, **HEADERS[attack]}).encode()
    if attack == "100,000 entries":
        header = header.replace(b": []", b": " + json.dumps(entry([0], 0, 0)).encode())
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(CheckpointError):
        read(path)


@pytest.mark.parametrize("read", [read_tensors, read_state, htdemucs.load_model, _msst, _step])
def test_a_large_header_is_refused_before_it_is_read(tmp_path, read):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 99_000_000) + b"{}" + b" " * 99_999)
    with pytest.raises(CheckpointError, match=r"99,000,000 bytes"):
        read(path)


LM_ATTACKS = (
    {"lm": {"dim": 6000, "heads": 4}}, {"lm": {"layers": 1_000_000}}, {"lm": {"ffn": 2**40}},
    {"codebook_size": 10**9}, {"encoder": {"mels": 2**20, "n_fft": 2**20}},
    {"encoder": {"layers": 10**30}}, {"lm": {"heads": 0}}, {"rate": 0}, {"acoustic_layers": -1},
)  # fmt: skip


@pytest.mark.parametrize("change", LM_ATTACKS, ids=str)
def test_a_language_model_is_no_larger_than_its_weights(tmp_path, change):
    save_lm(tmp_path, TokenLM(tiny_config()))
    stored = json.loads((tmp_path / "lm.json").read_text())
    for key, value in change.items():
        stored[key] = {**stored[key], **value} if isinstance(value, dict) else value
    (tmp_path / "lm.json").write_text(json.dumps(stored))
    with pytest.raises(BenchsepError):
        load_lm(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"latent_dim": 6000 * 40}, {"codebook_size": 2**20}, {"acoustic_layers": 10**9}, {"hop": 0},
     {"channels": 6000}],
    ids=str,
)  # fmt: skip
def test_a_codec_is_no_larger_than_its_weights(tmp_path, change):
    (tmp_path / "config.json").write_text(json.dumps({"codec": change}))
    for name in ("codec", "hubert"):
        save_file({"a": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(BenchsepError):
        HCodec.from_checkpoint(tmp_path)


DEEP = (b"[" * 100_000, b'{"a":' * 100_000)


def _in(folder, name, read):
    def reader(content):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(folder)

    return reader


def _token_files(folder):
    import numpy as np

    for name in ("waves", "codes"):
        np.save(folder / f"{name}.npy", np.zeros(1))
    return token_files.read_clips(folder, tiny_config())


@pytest.mark.parametrize("content", DEEP, ids=["arrays", "objects"])
def test_depth_is_refused_by_every_reader_of_json(tmp_path, content):
    save_lm(tmp_path / "lm", TokenLM(tiny_config()))
    (tmp_path / "cache").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "cache" / cache.INDEX).write_text("{}")
    for folder, name, read in (
        ("moises", "song/data.json", lambda folder: list(moisesdb(folder).tracks())),
        ("lm", "lm.json", load_lm),
        ("codec", "config.json", HCodec.from_checkpoint),
        ("job", "job.json", read_job),
        ("cache", cache.SOURCE, lambda folder: cache.is_ready(folder, {"a": 1})),
        ("store", cache.INDEX, data.StemStore),
        ("tokens", "index.json", _token_files),
        ("training", "valid.jsonl", lambda f: logs.JsonLog(f / "valid.jsonl").rows()),
    ):
        with pytest.raises(BenchsepError):
            _in(tmp_path / folder, name, read)(content + b"\n")


# -- tar ----------------------------------------------------------------------------------------


def _tar(path, *entries):
    with tarfile.open(path, "w") as tar:
        for name, kind, link, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            tar.addfile(info, io.BytesIO(content))


def _sparse(path, size):
    """A member in GNU's old sparse format that claims ``size`` bytes and holds 512."""
    info = tarfile.TarInfo("a.json")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
    path.write_bytes(bytes(block) + bytes(512) + bytes(1024))


def _use(path):
    archive = Archive(path)
    try:
        for clip in range(len(archive.keys)):
            for part in archive.parts(clip):
                archive.read(clip, part)
    finally:
        archive.close()


def test_hostile_members_of_a_shard_are_not_followed_and_not_believed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = tmp_path / "s.tar"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
                 tarfile.FIFOTYPE, tarfile.DIRTYPE):  # fmt: skip
        for name in ("a.json", "../../a.json", "/a.json"):
            _tar(path, (name, kind, str(secret), b""))
            with pytest.raises(BenchsepError):
                list(pseudo_labels.stream([path]))
            assert Archive(path).keys == []
    _sparse(path, 1 << 62)
    for read in (lambda: list(pseudo_labels.stream([path])), lambda: _use(path)):
        with pytest.raises(BenchsepError):
            read()
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1
    path.write_bytes((long.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 3000)
    for read in (lambda: list(pseudo_labels.stream([path])), lambda: _use(path)):
        with pytest.raises(BenchsepError):
            read()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.tar", "secret"]
