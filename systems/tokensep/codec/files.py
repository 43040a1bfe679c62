"""The files of a codec folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import weight_files

CODEC_FILES = ("codec.safetensors", "hubert.safetensors", "config.json")
"""Weights, those of the mini teacher if the codec has one, and the configuration."""


def codec_files(folder: Path) -> list[Path]:
    """The files that can change what a codec does.

    Those of :data:`CODEC_FILES` that exist, and those of a HuBERT if ``config.json`` names a
    folder. (The files of a HuBERT that it names by its repository are in the hub's cache.)
    """
    own = [path for name in CODEC_FILES if (path := folder / name).is_file()]
    return own + _teacher_files(folder / "config.json")


def _teacher_files(config: Path) -> list[Path]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        teacher = parse_json(config.read_bytes())["codec"]["teacher"]
        if teacher["kind"] == "hf":
            return weight_files(Path(teacher["name"]))
    return []
