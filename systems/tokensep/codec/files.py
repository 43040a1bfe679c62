"""The files of a codec folder."""

from __future__ import annotations

from pathlib import Path

CODEC_FILES = ("codec.safetensors", "hubert.safetensors", "config.json")
"""Weights, those of the mini teacher if the codec has one, and the configuration."""


def codec_files(folder: Path) -> list[Path]:
    """Those of :data:`CODEC_FILES` that exist: each of them can change what the codec does."""
    return [path for name in CODEC_FILES if (path := folder / name).is_file()]
