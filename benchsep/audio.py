"""Audio: the signal type that all parts of benchsep use, and reading and writing of files.

Conventions
-----------
samples   float32, ``[channels, frames]``, C-contiguous, finite; nominal range [-1, 1]; integers
          other than -1, 0, 1 are an error, because their scale is unknown
rate      Hz, int
stems     always in the order of :data:`STEMS`

A file is decoded by :mod:`benchsep._util.decode`; all streams of a ``.stem.mp4`` are read in
:mod:`benchsep.datasets.musdb`. Resampling is soxr HQ, the same everywhere, since the
resampler is part of a ViSQOL or DNSMOS value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

STEMS = ("vocals", "drums", "bass", "other")
"""Stem order in every table, array and token sequence."""

MIN_RATE, MAX_RATE = 1_000, 768_000

PEAK_LIMIT = 100.0
"""Full scale is 1. A sum of stems may exceed it by some dB, never by 40 dB."""


@dataclass(frozen=True, eq=False)
class Audio:
    """A finite signal: ``samples`` float32 ``[channels, frames]`` at ``rate`` Hz.

    Raises
    ------
    AudioError
        if the samples are not ``[channels, frames]`` with 1 to 64 channels, are empty, not real
        numbers, masked, not finite, or integers beyond -1 to 1; if the rate is not a whole number
        from 1,000 to 768,000 Hz.
    """

    samples: NDArray[np.float32]
    rate: int

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(_real(self.samples), dtype=np.float32)
        if samples.ndim != 2:
            raise AudioError(
                f"samples have shape {samples.shape}, expected [channels, frames]; "
                "use Audio.of(array, rate) for a mono vector"
            )
        if samples.shape[0] == 0 or samples.shape[1] == 0:
            raise AudioError(f"no samples: shape {samples.shape}")
        if samples.shape[0] > 64:
            raise AudioError(
                f"{samples.shape[0]} channels of {samples.shape[1]} frames: the axes look "
                "swapped, expected [channels, frames]"
            )
        if not np.isfinite(samples).all():
            bad = int(np.size(samples) - np.isfinite(samples).sum())
            raise AudioError(
                f"{bad} of {samples.size} samples are NaN or infinite, expected finite numbers"
            )
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "rate", _whole_rate(self.rate))

    @classmethod
    def of(cls, array: ArrayLike, rate: int) -> Audio:
        """From a mono vector ``[frames]`` or an array ``[channels, frames]``, of NumPy or torch.

        Raises
        ------
        AudioError
            as :class:`Audio`.
        """
        samples = _real(array).astype(np.float32, copy=False)
        return cls(samples[None] if samples.ndim == 1 else samples, rate)

    def __repr__(self) -> str:
        return f"Audio({self.channels} channels, {self.seconds:.2f} s at {self.rate} Hz)"

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def frames(self) -> int:
        return int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    @property
    def silent(self) -> bool:
        """Whether every sample is exactly zero."""
        return not self.samples.any()

    def mono(self) -> Audio:
        """The mean over channels."""
        if self.channels == 1:
            return self
        mean = self.samples.sum(0, keepdims=True)
        mean /= self.channels  # as numpy's mean, in half of its time
        return Audio(mean, self.rate)

    def to_channels(self, channels: int) -> Audio:
        """With another number of channels: mono is repeated; other signals are averaged to mono
        first.
        """
        if self.channels == channels:
            return self
        return Audio(np.repeat(self.mono().samples, channels, 0), self.rate)

    def resampled(self, rate: int) -> Audio:
        """At ``rate`` Hz, soxr HQ; the length is ``round(frames * rate / self.rate)``."""
        if rate == self.rate:
            return self
        import soxr

        out = soxr.resample(self.samples.T, self.rate, rate, quality="HQ").T
        return Audio(fit_length(out, max(1, round(self.frames * rate / self.rate))), rate)

    def sha256(self) -> str:
        """Content hash over rate, shape and samples."""
        digest = hashlib.sha256(f"{self.rate}:{self.channels}:{self.frames}:".encode())
        digest.update(self.samples.tobytes())
        return digest.hexdigest()


def _real(array: ArrayLike) -> NDArray[np.generic]:
    """``array`` as a NumPy array, if it holds real numbers in full scale 1."""
    if hasattr(array, "detach"):  # a tensor of torch: numpy refuses one with a gradient or on a GPU
        tensor: Any = array.detach().cpu()
        array = (tensor.float() if tensor.dtype.itemsize == 2 else tensor).numpy()  # bfloat16
    try:
        samples = np.asanyarray(array)
    except (TypeError, ValueError) as error:  # lists of unequal lengths, (samples, rate)
        raise AudioError(
            f"samples are {type(array).__name__}, expected [channels, frames] ({error})"
        ) from error
    # float32 would drop an imaginary part, parse a text, and fill in what is masked.
    if samples.dtype.kind not in "fiub":
        raise AudioError(f"samples are {samples.dtype}, expected real numbers")
    if isinstance(samples, np.ma.MaskedArray) and np.ma.is_masked(samples):
        raise AudioError(
            "some samples are masked, expected a value for each sample; fill the masked ones first"
        )
    samples = np.asarray(samples)
    whole = samples.dtype.kind in "iu" and samples.size > 0
    peak = max(int(samples.max()), -int(samples.min())) if whole else 0
    if peak > 1:
        raise AudioError(
            f"samples are {samples.dtype} up to {peak}, expected about -1 to 1; divide by the "
            "full scale, e.g. int16 by 32768"
        )
    return samples


def _whole_rate(rate: float) -> int:
    """The rate as an int, if it is a whole number in the allowed range."""
    whole = isinstance(rate, (int, float, np.integer, np.floating)) and rate == rate // 1
    if not whole or not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"sample rate {rate!r} Hz, expected a whole number from {MIN_RATE} to {MAX_RATE}"
        )
    return int(rate)


def scale_fault(audio: Audio) -> str:
    """An error text if a sample exceeds :data:`PEAK_LIMIT` (full scale is 1), else ``""``."""
    peak = max(float(audio.samples.max()), -float(audio.samples.min()))
    if peak <= PEAK_LIMIT:
        return ""
    return (
        f"its largest sample is {peak:.4g}, expected about -1 to 1; divide samples of 16-bit "
        "integers by 32768"
    )


def fit_length(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Cut or zero-pad ``[channels, T]`` to ``frames``."""
    have = samples.shape[-1]
    if have >= frames:
        return np.ascontiguousarray(samples[..., :frames])
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, frames - have)])


def round_to_16_bit(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """As if written to a 16-bit file and read back: multiples of 1/32768, clipped.

    Why: references decoded from AAC to float make museval's ISR, SIR and SAR rounding
    noise; see ``docs/metrics/bsseval.md``.
    """
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.float32) / np.float32(
        32768
    )


def read_audio(path: str | Path) -> Audio:
    """Decode a file: wav, flac, ogg and aiff with libsndfile, all other formats with FFmpeg.

    Of a file with several audio streams (``.stem.mp4``) the first one is read.

    Raises
    ------
    AudioError
        if the file is absent, not audio, cut short, or holds no finite samples.
    """
    from benchsep._util.decode import decode

    path = Path(path)
    if not path.is_file():
        is_folder = path.is_dir()
        raise AudioError(
            f"{path}: {'a folder, not an audio file' if is_folder else 'no such file'}"
        )
    try:
        samples, rate = decode(path)
    except (RuntimeError, MemoryError, ValueError, OSError) as error:
        raise AudioError(f"{path}: not readable as audio ({error})") from error
    try:
        return Audio(samples, rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from None


def seconds_in(path: str | Path) -> float:
    """Length in seconds of what :func:`read_audio` returns, without decoding; see
    :func:`benchsep._util.decode.duration`.

    Raises
    ------
    AudioError
        if the file is absent, not audio, or cut short.
    """
    from benchsep._util.decode import duration

    try:
        return duration(Path(path))
    except (RuntimeError, MemoryError, ValueError, OSError) as error:
        raise AudioError(f"{path}: not readable as audio ({error})") from error


def write_audio(path: str | Path, audio: Audio, *, subtype: str = "FLOAT") -> None:
    """Write atomically; the suffix chooses the container (``.wav`` or ``.flac``).

    ``subtype`` is libsndfile's: ``FLOAT`` (wav only), ``PCM_16``, ``PCM_24``.

    Raises
    ------
    AudioError
        if the file cannot be written; the message names the path, and an existing file is
        unchanged.
    """
    import soundfile

    from benchsep._util.atomic import replacing
    from benchsep.errors import StoreError

    path = Path(path)
    if path.suffix.lower() == ".flac" and subtype == "FLOAT":
        subtype = "PCM_24"
    try:
        with replacing(path) as partial:
            soundfile.write(str(partial), audio.samples.T, audio.rate, subtype=subtype)
            _check_written(partial, audio.frames)
    except StoreError as error:
        raise AudioError(str(error)) from error
    except (RuntimeError, AssertionError) as error:
        # libsndfile says "System error" for a full disk; soundfile asserts that all was written.
        raise AudioError(
            f"{path}: cannot be written ({error or 'samples were refused'}); free some space or "
            "fix the permissions"
        ) from error


def _check_written(path: Path, frames: int) -> None:
    """Raise if the end of a file is missing: libsndfile reports no error for FLAC on a full
    disk.
    """
    import soundfile

    with soundfile.SoundFile(str(path)) as handle:
        if handle.frames != frames or handle.seek(frames - 1) < 0 or len(handle.read(1)) != 1:
            raise RuntimeError("the end of the file is missing")
