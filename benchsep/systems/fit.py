"""One rule for an estimate that does not have the rate, length or channels of its mixture.

=========  ==================================================================================
rate       resampled to the mixture's (soxr HQ)
length     cut, or padded with zeros at the end, where the lengths differ by at most
           :data:`LENGTH_SLACK_S` (encoders pad a fraction of a frame); otherwise an error
channels   mono is repeated; any other difference is an error: averaging would change the score
scale      a peak above :data:`~benchsep.audio.PEAK_LIMIT` is an error: samples in 16-bit scale, or
           a broken system
=========  ==================================================================================

Each conversion is a :class:`Change`. A run collects those of a separation (:func:`changes_noted`)
and reports at its end how many estimates were converted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np

from benchsep.audio import Audio, fit_length, scale_fault
from benchsep.errors import SeparatorError
from benchsep.systems.noted import Noted

LENGTH_SLACK_S = 0.1


class Change(NamedTuple):
    """The conversions that :func:`fitted` applies to a signal; 0 in a field: none."""

    rate: int = 0
    """The original rate in Hz, if it is resampled."""
    extra: int = 0
    """Number of samples cut at the end; negative: number of zeros added there."""
    mono: int = 0
    """1: a mono signal is repeated."""


_noted = Noted[Change]("changes of estimates")


def changes_noted() -> AbstractContextManager[dict[str, Change]]:
    """Inside, :func:`note_change` fills the dictionary: stem to its change."""
    return _noted.collected()


def note_change(stem: str, change: Change) -> None:
    """Record a change for :func:`changes_noted`; of several files of a stem, the largest change
    counts.
    """
    found = _noted.current
    if found is None or not any(change):
        return
    both = (change, found.get(stem, Change()))
    found[stem] = Change(*(max(each, key=abs) for each in zip(*both, strict=True)))


def change_of(audio: Audio, mixture: Audio) -> Change:
    """The conversions that :func:`fitted` applies to ``audio``, if it does not raise."""
    extra = round(audio.frames * mixture.rate / audio.rate) - mixture.frames
    return Change(
        rate=audio.rate if audio.rate != mixture.rate else 0,
        extra=extra if abs(extra) <= LENGTH_SLACK_S * mixture.rate else 0,
        mono=int(audio.channels == 1 < mixture.channels),
    )


def fitted(audio: Audio, mixture: Audio, name: str, other: str = "mixture") -> Audio:
    """``audio`` at the rate, length and channel count of ``mixture``.

    ``name`` (of ``audio``) and ``other`` (of ``mixture``) are used in messages.

    Raises
    ------
    SeparatorError
        wrong length, channels or scale; see the table at the top of the module.
    """
    audio = audio.resampled(mixture.rate)
    if abs(audio.frames - mixture.frames) > LENGTH_SLACK_S * mixture.rate:
        raise SeparatorError(
            f"{name}: {audio.seconds:.2f} s ({audio.frames} samples at {audio.rate} Hz), the "
            f"{other} has {mixture.seconds:.2f} s ({mixture.frames} samples); an estimate must be "
            f"as long as its {other}, within {LENGTH_SLACK_S} s"
        )
    check_channels(audio, mixture, name, other)
    check_scale(audio, name)
    same_length = Audio(fit_length(audio.samples, mixture.frames), mixture.rate)
    return same_length.to_channels(mixture.channels)


def check_channels(audio: Audio, mixture: Audio, name: str, other: str = "mixture") -> None:
    """Raise a :class:`SeparatorError` unless the channels are the mixture's, or one."""
    if audio.channels not in (1, mixture.channels):
        expected = "1" if mixture.channels == 1 else f"{mixture.channels} or 1"
        raise SeparatorError(
            f"{name}: {audio.channels} channels, the {other} has {mixture.channels}; expected "
            f"{expected}"
        )


def check_scale(audio: Audio, name: str) -> None:
    """Raise a :class:`SeparatorError` where :func:`~benchsep.audio.scale_fault` finds one."""
    if fault := scale_fault(audio):
        raise SeparatorError(f"{name}: {fault}")


def summed(parts: list[Audio]) -> Audio:
    """The sum of signals of one rate and shape, accumulated in float64; one part is itself."""
    if len(parts) == 1:
        return parts[0]
    total = np.stack([part.samples for part in parts]).sum(axis=0, dtype=np.float64)
    return Audio(total.astype(np.float32), parts[0].rate)
