"""Benchsep systems as teachers of pseudo-labels: ``(samples [C, T], rate) → stems``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchsep.audio import STEMS, Audio
from benchsep.errors import UsageError
from benchsep.systems.estimate import estimate
from benchsep.systems.spec import load_system

Label = Callable[[Any, int], dict[str, Any]]


def teacher(spec: str, device: str = "cpu", vocals: str | None = None) -> Label:
    """A registered system as a teacher.

    Parameters
    ----------
    vocals
        Another system, which may know two stems only (Spleeter): it gives the vocals, and the
        first one separates the rest. What the first one takes for vocals in the rest is then part
        of ``other``, so that the stems still add up as the two systems' do.

    Raises
    ------
    UsageError
        a system that needs the true stems or reads files; ``vocals`` does not give vocals.
    """
    label = _separator(spec, device)
    if vocals is None:
        return label
    singer = _separator(vocals, device)

    def both(samples: Any, rate: int) -> dict[str, Any]:
        found = singer(samples, rate)
        if "vocals" not in found:
            raise UsageError(
                f"{vocals!r} gives {', '.join(found)}, expected vocals among its stems"
            )
        rest = np.asarray(samples - found["vocals"], np.float32)
        stems = label(rest, rate)
        if set(stems) != set(STEMS):
            raise UsageError(f"{spec!r} gives {', '.join(stems)}, expected {', '.join(STEMS)}")
        other = stems["other"] + stems["vocals"]
        return {**stems, "other": other, "vocals": found["vocals"]}

    both.label = f"{label.label}, vocals by {singer.label}"  # type: ignore[attr-defined]
    return both


def _separator(spec: str, device: str) -> Label:
    system = load_system(spec, device=device)
    if system.info.from_files or system.info.needs_references:
        raise UsageError(
            f"{spec!r} needs true stems, so it cannot label songs without stems; choose a separator"
        )

    def label(samples: Any, rate: int) -> dict[str, Any]:
        estimates = estimate(system, Audio(samples, rate), seed=0)
        return {s: audio.samples for s, audio in estimates.items() if s in STEMS}

    label.label = system.info.label  # type: ignore[attr-defined]
    return label
