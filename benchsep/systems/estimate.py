"""The one way to call a system, and the checks of what it returns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchsep._util.reason import bounded
from benchsep.audio import Audio
from benchsep.errors import AudioError, BenchsepError, SeparatorError, UsageError
from benchsep.systems.fit import Change, check_channels, check_scale, note_change

MAX_NAME = 64
MAX_STEMS = 64
"""Most stems that a system may return; far more than the largest stem set."""

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.systems.contract import SystemInfo


def estimate(
    system: Any,
    mixture: Audio,
    *,
    seed: int,
    references: dict[str, Audio] | None = None,
    track: Track | None = None,
    other: dict[str, Audio] | None = None,
) -> dict[str, Audio]:
    """The stems of :func:`estimate_or_error` that are usable.

    Raises
    ------
    BenchsepError
        no stem is usable: the error of the first one.
    """
    return usable(
        estimate_or_error(
            system, mixture, seed=seed, references=references, track=track, other=other
        )
    )


def estimate_or_error(
    system: Any,
    mixture: Audio,
    *,
    seed: int,
    references: dict[str, Audio] | None = None,
    track: Track | None = None,
    other: dict[str, Audio] | None = None,
    info: SystemInfo | None = None,
) -> dict[str, Audio | BenchsepError]:
    """The stems that a system estimates: each at the rate and the length of ``mixture``.

    Oracles need ``references`` (the true stems), systems that read files need ``track``, and a
    system with ``needs_other_song`` needs ``other`` (the true stems of another song); a separator
    gets none of these. A system gets copies, so changes in place do not affect later systems. For a
    stem that cannot be used, the result holds an error in place of audio. ``info``: the system's
    info at the time of the plan; it decides which arguments the system gets.

    Raises
    ------
    UsageError
        the system needs the true stems, a track or another song, and did not get it.
    SeparatorError
        what it returned breaks the contract; see :func:`checked_estimates`.
    """
    info = info or system.info
    if info.from_files:
        if track is None:
            raise UsageError(
                f"{info.label} reads stored estimates of a data set's tracks, so it cannot "
                "separate a file; use it in a run"
            )
        estimates = system.estimates(track, mixture)
    elif info.needs_references:
        if references is None:
            raise UsageError(
                f"{info.label} is an oracle and needs the true stems of the mixture; use it in a "
                "run"
            )
        given = {"references": all_copied(references)}
        if info.needs_other_song:
            if other is None:
                raise UsageError(f"{info.label} needs another song of a data set; use it in a run")
            given["other"] = all_copied(other)
        estimates = system.separate(copied(mixture), seed=seed, **given)
    else:
        estimates = system.separate(copied(mixture), seed=seed)
    return checked_estimates(estimates, info, mixture)


def copied(audio: Audio) -> Audio:
    """The same signal in memory of its own."""
    return Audio(audio.samples.copy(), audio.rate)


def all_copied(signals: Mapping[str, Audio]) -> dict[str, Audio]:
    """The same signals, each in memory of its own."""
    return {name: copied(audio) for name, audio in signals.items()}


def checked_estimates(
    estimates: dict[str, Audio | BenchsepError], info: SystemInfo, mixture: Audio
) -> dict[str, Audio | BenchsepError]:
    """The estimates; an estimate that violates the contract is replaced by an error.

    Raises
    ------
    SeparatorError
        there is no estimate at all.
    """
    if not isinstance(estimates, dict) or not estimates:
        raise SeparatorError(
            f"{info.label} returned {type(estimates).__name__}, expected a dictionary of stems"
        )
    checked: dict[str, Audio | BenchsepError] = {}
    for stem, audio in list(estimates.items())[:MAX_STEMS]:
        if is_stem_name(stem):
            checked[stem] = _checked(audio, f"{info.label}: {stem}", mixture)
            if isinstance(audio, Audio) and audio.channels == 1 < mixture.channels:
                note_change(stem, Change(mono=1))
        else:
            shown = bounded(repr(stem), 60)
            checked[f"({shown})"] = SeparatorError(
                f"{info.label}: {shown} is not a valid name of a stem; expected letters, digits, "
                f"spaces and ._-, at most {MAX_NAME} characters"
            )
    return checked


def is_stem_name(name: Any) -> bool:
    """Whether a name is valid for a stem and for its file on every operating system; never a
    path.
    """
    return (
        isinstance(name, str)
        and len(name) <= MAX_NAME
        and re.fullmatch(r"\w([\w .-]*[\w-])?", name) is not None
        and not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)
    )


def _checked(audio: Audio | BenchsepError, name: str, mixture: Audio) -> Audio | BenchsepError:
    if isinstance(audio, BenchsepError):
        return audio
    if not isinstance(audio, Audio):
        return SeparatorError(f"{name} is {type(audio).__name__}, expected Audio")
    try:
        audio = Audio(audio.samples, audio.rate)  # validate again: its samples may have changed
    except AudioError as error:
        return SeparatorError(f"{name}: {error}")
    if audio.rate != mixture.rate:
        return SeparatorError(
            f"{name} is at {audio.rate} Hz and the mixture at {mixture.rate} Hz; return estimates "
            "at the rate of the mixture"
        )
    if audio.frames != mixture.frames:
        return SeparatorError(
            f"{name} has {audio.frames} frames and the mixture {mixture.frames}; return estimates "
            "as long as the mixture"
        )
    try:
        check_channels(audio, mixture, name)
        check_scale(audio, name)
    except SeparatorError as error:
        return error
    return audio


def usable(estimates: dict[str, Audio | BenchsepError]) -> dict[str, Audio]:
    """The estimates that are audio.

    Raises
    ------
    BenchsepError
        no stem is usable: the first error.
    """
    good = {stem: audio for stem, audio in estimates.items() if isinstance(audio, Audio)}
    for error in estimates.values():
        if not good and isinstance(error, BenchsepError):
            raise error
    return good
