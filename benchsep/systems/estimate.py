"""The one way to call a system, and the checks of what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.audio import Audio
from benchsep.errors import SeparatorError, UsageError

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
) -> dict[str, Audio]:
    """The stems that a system estimates: each at the rate and the length of ``mixture``.

    Oracles need ``references`` (the true stems), systems that read files need ``track``; a
    separator gets neither.

    Raises
    ------
    UsageError
        the system needs the true stems, or a track of a data set, and got none.
    SeparatorError
        what it returned breaks the contract; see :func:`checked_estimates`.
    """
    info: SystemInfo = system.info
    if info.from_files:
        if track is None:
            raise UsageError(f"{info.label} reads stored estimates: it needs a track, not a file")
        estimates = system.estimates(track, mixture)
    elif info.needs_references:
        if references is None:
            raise UsageError(f"{info.label} is an oracle: it needs the true stems of the mixture")
        estimates = system.separate(mixture, seed=seed, references=references)
    else:
        estimates = system.separate(mixture, seed=seed)
    return checked_estimates(estimates, info, mixture)


def checked_estimates(
    estimates: dict[str, Audio], info: SystemInfo, mixture: Audio
) -> dict[str, Audio]:
    """The estimates, if they keep the contract.

    Raises
    ------
    SeparatorError
        naming the stem and what was found when rate or length differ or no stem is there.
    """
    if not isinstance(estimates, dict) or not estimates:
        raise SeparatorError(f"{info.label} returned {type(estimates).__name__}, expected stems")
    for stem, audio in estimates.items():
        if not isinstance(audio, Audio):
            raise SeparatorError(f"{info.label}: {stem} is {type(audio).__name__}, expected Audio")
        if audio.rate != mixture.rate:
            raise SeparatorError(
                f"{info.label}: {stem} is at {audio.rate} Hz, the mixture at {mixture.rate}"
            )
        if audio.frames != mixture.frames:
            raise SeparatorError(
                f"{info.label}: {stem} has {audio.frames} frames, the mixture {mixture.frames}"
            )
    return estimates
