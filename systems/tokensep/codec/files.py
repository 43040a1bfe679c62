"""The files of a codec folder."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

CODEC_FILES = ("codec.safetensors", "hubert.safetensors", "config.json")
"""Weights, those of the mini teacher if the codec has one, and the configuration."""
TEACHER_ENDS = (".safetensors", ".bin", ".json")
"""Ends of the names of a HuBERT's weights and configuration."""


def codec_files(folder: Path) -> list[Path]:
    """The files that can change what a codec does.

    Those of :data:`CODEC_FILES` that exist, and those of a HuBERT if ``config.json`` names a
    folder. (The files of a HuBERT that it names by its repository are in the hub's cache.)
    """
    own = [path for name in CODEC_FILES if (path := folder / name).is_file()]
    return own + _teacher_files(folder / "config.json")


def _teacher_files(config: Path) -> list[Path]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        teacher = json.loads(config.read_text(encoding="utf-8"))["codec"]["teacher"]
        if teacher["kind"] == "hf":
            files = (p for p in Path(teacher["name"]).iterdir() if p.suffix in TEACHER_ENDS)
            return sorted(path for path in files if path.is_file())
    return []
