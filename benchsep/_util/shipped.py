"""Folders of the checkout that the wheel ships inside the package (``configs``, ``docs``)."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder(name: str) -> Path:
    """The folder in the installed package, or in the checkout of an editable installation."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
