"""Safetensors files as checkpoints: header, metadata, and the model that they describe.

An input that begins with ``{`` is a header; its length and some data are put around it.
"""

from __future__ import annotations

import struct
from pathlib import Path

from benchsep_baselines.htdemucs import load_model
from benchsep_baselines.msst import Found, read_pair
from benchsep_baselines.msst import load_model as build
from benchsep_training.checkpoint import load as load_step
from tokensep.codec.hcodec2.weights import read_state

from benchsep._util.tensors import read_tensors
from benchsep.errors import BenchsepError
from tests.fuzz.target import Target

DATA = bytes(4096)


def read(data: bytes, folder: Path) -> object:
    if data[:1] == b"{":
        data = struct.pack("<Q", len(data)) + data + DATA[: _claimed(data)]
    path = folder / "x.safetensors"
    (folder / "step-1").mkdir(exist_ok=True)
    (folder / "step-1" / "state.json").write_text("{}")
    for target in (path, folder / "step-1" / "tensors.safetensors"):
        target.write_bytes(data)
    return [_one(reader, path) for reader in READERS]


def _claimed(header: bytes) -> int:
    """Bytes of data that a header claims, if it can be read; else all there are."""
    import json

    try:
        tree = json.loads(header)
        return int(max(e["data_offsets"][1] for k, e in tree.items() if k != "__metadata__"))
    except (
        ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
    ):  # fmt: skip
        return len(DATA)


def _one(reader: object, path: Path) -> str:
    try:
        reader(path)  # type: ignore[operator]
    except BenchsepError as error:
        return str(error)
    return "read"


def _msst(path: Path) -> object:
    found = Found("x", path, None, "", "")
    return build(read_pair(found, trust_pickle=False), found, "", {})


READERS = (
    load_model,
    _msst,
    read_tensors,
    read_state,
    lambda path: load_step(path.parent / "step-1"),
)

TARGET = Target(
    read,
    (b'"__metadata__"', b'"dtype"', b'"shape"', b'"data_offsets"', b'"F32"', b'"F16"', b'"I64"',
     b'"BOOL"', b'"klass"', b'"demucs.htdemucs.HTDemucs"', b'"demucs.hdemucs.HDemucs"', b'"args"',
     b'"kwargs"', b'"config"', b'"[]"', b'"{}"', b'\\"', b'\\"channels\\"', b'\\"sources\\"',
     b'\\"model\\"', b'\\"audio\\"', b'\\"training\\"', b'\\"instruments\\"', b"[0,0]", b"[]",
     b"18446744073709551615", b"4294967296"),
)  # fmt: skip
