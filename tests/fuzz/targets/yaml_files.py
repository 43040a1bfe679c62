"""Suites, ablations, studies, published values, configurations of checkpoints and of tokensep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchsep_baselines.msst_config import read_yaml, settings_of
from tokensep.config import CodecTrainConfig
from tokensep.config import load as load_config
from tokensep.lm.config import TokenSepConfig

from benchsep._util.config import read_mapping, validated
from benchsep.ablation import grid
from benchsep.errors import BenchsepError
from benchsep.listeners.study import read_study
from benchsep.report.published.entries import Source
from benchsep.runner.suite import load_suite
from tests.fuzz.target import Target


def read(data: bytes, folder: Path) -> object:
    path = folder / "input.yaml"
    path.write_bytes(data)
    (folder / "ratings.csv").write_text("song,system,family,rating\na,b,generative,1\n")
    return [_one(reader, path) for reader in READERS]


def _one(reader: Any, path: Path) -> str:
    try:
        reader(path)
    except BenchsepError as error:
        return str(error)
    return "read"


READERS = (
    load_suite,
    lambda path: grid.expand(grid.load(path)),
    read_study,
    lambda path: validated(Source, read_mapping(path), path.name),
    lambda path: settings_of(read_yaml(path), path),
    lambda path: load_config(TokenSepConfig, path),
    lambda path: load_config(CodecTrainConfig, path),
)

TARGET = Target(
    read,
    (b"systems: ", b"metrics: ", b"tracks: ", b"axes: ", b"variants: ", b"base: ", b"suite: ",
     b"name: ", b"ratings: ", b"columns: ", b"where: ", b"wide: ", b"families: ", b"values: ",
     b"model: ", b"audio: ", b"training: ", b"inference: ", b"chunk_size: ", b"instruments: ",
     b"&a", b"*a", b"<<: ", b"!!binary ", b"!!timestamp ", b"!!set ", b"!!omap ",
     b"!!python/tuple ",
     b"? ", b"- ", b"{", b"[", b"1e999", b".inf", b".nan", b"0x", b"~", b"\n  "),
)  # fmt: skip
