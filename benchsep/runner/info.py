"""The info of a system as JSON, for the manifest."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from benchsep.systems.contract import SystemInfo


def info_to_json(info: SystemInfo) -> dict[str, Any]:
    """The fields of a system's description, tuples as lists."""
    return {
        **asdict(info),
        "stems": list(info.stems),
        "options_in_name": list(info.options_in_name),
        "trained_on": list(info.trained_on),
    }


def info_from_json(entry: dict[str, Any]) -> SystemInfo:
    """The inverse of :func:`info_to_json`.

    Raises
    ------
    TypeError, KeyError
        the entry is not the info of a system.
    """
    info = SystemInfo(**entry)
    info = replace(
        info,
        stems=tuple(info.stems),
        options_in_name=tuple(info.options_in_name),
        trained_on=tuple(info.trained_on),
    )
    texts = (
        info.name,
        info.family,
        info.checkpoint,
        info.checkpoint_sha256,
        info.version,
        info.unavailable,
        info.remark,
    )
    flags = (
        info.deterministic,
        info.needs_references,
        info.needs_other_song,
        info.needs_accelerator,
        info.from_files,
        info.from_program,
    )
    if (
        not all(
            isinstance(text, str)
            for text in (*texts, *info.stems, *info.options_in_name, *info.trained_on)
        )
        or not all(isinstance(flag, bool) for flag in flags)
        or not isinstance(info.options, dict)
    ):
        raise TypeError("not a system's description")
    return info
