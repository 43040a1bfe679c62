"""Common parts of the wrapped models: signal conversion and option parsing.

Conventions
-----------
inside    models work on float32 ``[2, T]``, at 44.1 kHz unless stated otherwise
outside   the caller's rate, channels and length, restored exactly

Special inputs: for silence, the result is silence without a call of the model (some models return
noise for zeros); mono is converted to stereo, and its estimate is averaged back; a single sample is
padded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchsep.audio import Audio, fit_length
from benchsep.errors import CheckpointError, SeparatorError, UsageError
from benchsep.stems.meaning import full_map
from benchsep.stems.names import StemMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.systems.contract import SystemInfo

RATE = 44_100

TRUE = ("true", "yes", "1", "on")
FALSE = ("false", "no", "0", "off", "")


class Separator(ABC):
    """A model as a system; subclasses implement :meth:`_estimate` in the model's signal domain."""

    info: SystemInfo
    stems: StemMap
    """The meaning of the model's own stem names."""
    rate = RATE
    """Sample rate of the model in Hz."""
    minimum_frames = 2
    """Shorter inputs are zero-padded to one second, because a standard deviation needs two
    samples."""

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        """Estimates at the mixture's rate, channels and length, in the order of ``info.stems``.

        Raises
        ------
        SeparatorError
            the model fails or returns samples that are not finite.
        """
        if mixture.silent:
            return {stem: mixture for stem in self.info.stems}
        inside = mixture.resampled(self.rate).to_channels(2)
        samples = inside.samples
        if inside.frames < self.minimum_frames:
            samples = fit_length(samples, self.rate)
        parts = self.stems.gather(self._estimate(samples, seed))
        return {
            stem: self._outside(_sum(parts[stem]), inside.frames, stem, mixture)
            for stem in self.info.stems
        }

    @abstractmethod
    def _estimate(self, mixture: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
        """Outputs ``[2, T]`` by the model's own names, of a mixture ``[2, T]`` at :attr:`rate`.

        The mixture is not silent.
        """

    def _outside(
        self, samples: NDArray[np.float32], frames: int, stem: str, mixture: Audio
    ) -> Audio:
        """An output converted to the mixture's rate, channels and length; ``frames`` is the model's
        length.
        """
        if not np.isfinite(samples).all():
            raise SeparatorError(f"{self.info.label}: {stem} has NaN or infinite samples")
        audio = Audio(fit_length(samples, frames), self.rate).to_channels(mixture.channels)
        audio = audio.resampled(mixture.rate)
        return Audio(fit_length(audio.samples, mixture.frames), mixture.rate)


def _sum(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def offered_stems(names: list[str], outputs: list[str], where: object) -> StemMap:
    """The stems of a model: ``names`` are all its instruments, ``outputs`` those that it returns.

    A single-target model returns one of its instruments, whose meaning depends on the others:
    ``other`` of ``[vocals, other]`` is ``instrumental``; of the four stems, it is MUSDB18's
    ``other``.

    Raises
    ------
    CheckpointError
        no output is a stem.
    """
    try:
        stems = full_map(names)
    except ValueError as error:
        raise CheckpointError(f"{where}: its stems are {names}: {error}") from error
    sources = {s: parts for s, parts in stems.sources.items() if set(parts) <= set(outputs)}
    if not sources:
        raise CheckpointError(
            f"{where}: it returns {outputs} of {names}, expected vocals, drums, bass, guitar, "
            "instrumental or another stem among them. 'other' alone is ambiguous: it may be "
            "everything but the vocals, or less"
        )
    return replace(stems, sources=sources)


def number(name: str, value: str | float, *, low: float, high: float) -> float:
    """An option as a number between ``low`` and ``high``.

    Raises
    ------
    UsageError
        the value is not in the range; the message has option, value and range.
    """
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"option {name}={value!r}: expected a number") from None
    if not low <= result <= high:
        raise UsageError(f"option {name}={value}: expected {low:g} to {high:g}")
    return result


def whole(name: str, value: str | int, *, low: int, high: int) -> int:
    """An option as an integer between ``low`` and ``high``."""
    result = number(name, value, low=low, high=high)
    if result != int(result):
        raise UsageError(f"option {name}={value}: expected a whole number")
    return int(result)


def switch(name: str, value: str | bool) -> bool:
    """An option as true or false."""
    text = str(value).strip().lower()
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise UsageError(f"option {name}={value!r}: expected true or false")


def package_version(name: str) -> str:
    """The installed version of a distribution, for the identity of an estimate."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
