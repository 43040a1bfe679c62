"""Decodes audio files and checks the length in their headers.

Conventions
-----------
samples   float32 ``[channels, samples]``, nominal range [-1, 1]
reader    libsndfile for uncompressed and lossless files and Ogg; PyAV (FFmpeg) for everything else
          (mp3, m4a, mp4, ``.stem.mp4``, aac, ...). An mp3 is decoded to its end by FFmpeg: without
          a Xing header, libsndfile estimates the length from the bit rate and stops there
streams   of a file with several audio streams, the first is read (the mixture of a ``.stem.mp4``)
cut       a file that is shorter than its header declares is an error. A wav header without a length
          (0 or 0xFFFFFFFF, written to a pipe) is allowed; the file is read to its end

Functions raise ``ValueError`` with the reason; :mod:`benchsep.audio` adds the path.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SNDFILE = (".wav", ".flac", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".w64", ".caf")
"""Suffixes that libsndfile reads; FFmpeg reads all other files."""

UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFF000)
"""Placeholders for an unknown data size in wav headers."""

DECLARED_SLACK_S = 0.1
"""Seconds by which a compressed stream may be shorter than its container declares (encoder
padding)."""


def decode(path: Path) -> tuple[NDArray[np.float32], int]:
    """All samples of the first audio stream, ``[channels, samples]``, and the rate in Hz."""
    if path.suffix.lower() in SNDFILE:
        return _by_sndfile(path)
    return _by_ffmpeg(path)


def duration(path: Path) -> float:
    """Length in seconds of the output of :func:`decode`, without decoding if possible.

    Exact for files that libsndfile reads. For compressed files the packets are counted without
    decoding; encoder padding may make the result some hundredths of a second too long.
    """
    if path.suffix.lower() not in SNDFILE:
        return _seconds_of_packets(path)
    import soundfile

    with soundfile.SoundFile(str(path)) as handle:
        _check_length(path, handle.frames, handle.channels)
        return float(handle.frames / handle.samplerate)


def _by_sndfile(path: Path) -> tuple[NDArray[np.float32], int]:
    import soundfile

    with soundfile.SoundFile(str(path)) as handle:
        declared, rate = handle.frames, handle.samplerate
        _check_length(path, declared, handle.channels)
        samples = handle.read(dtype="float32", always_2d=True)  # [samples, channels]
    if 0 <= declared != len(samples):
        raise ValueError(f"cut short, {len(samples)} samples of {declared} declared")
    return samples.T, rate


def _check_length(path: Path, declared: int, channels: int) -> None:
    """Raise if a header declares more samples than the file can hold.

    No lossless codec stores more than 10,000 samples per byte. libsndfile silently reduces the
    length of a truncated wav, so the size in the header is read again here.
    """
    size = path.stat().st_size
    if declared * channels > max(size, 1) * 10_000:
        raise ValueError(
            f"the header claims {declared} samples of {channels} channels in {size} bytes"
        )
    if path.suffix.lower() == ".wav":
        missing = _missing_bytes(path, size)
        if missing:
            raise ValueError(f"cut short, {missing} bytes of its audio are missing")


def _missing_bytes(path: Path, size: int) -> int:
    """Bytes that are missing in the ``data`` chunk of a RIFF file; 0 if it is complete."""
    with path.open("rb") as handle:
        head = handle.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return 0  # RF64, W64, raw: libsndfile checks the length
        while len(chunk := handle.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                return 0 if length in UNKNOWN_LENGTHS else max(0, handle.tell() + length - size)
            handle.seek(length + (length & 1), 1)  # chunks start at even offsets
    return 0


def _by_ffmpeg(path: Path) -> tuple[NDArray[np.float32], int]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = _first_audio(container)
            rate = int(stream.rate)
            # fltp converts any sample format to float32 [channels, samples].
            convert = av.AudioResampler(format="fltp", rate=rate)
            parts = [
                part.to_ndarray()
                for frame in container.decode(stream)
                for part in convert.resample(frame)
            ]
            parts += [part.to_ndarray() for part in convert.resample(None)]
            declared = _declared_seconds(container, stream)
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error
    if not parts:
        raise ValueError("no audio could be decoded")
    samples = np.concatenate(parts, axis=1).astype(np.float32, copy=False)
    if declared is not None and samples.shape[1] / rate < declared - DECLARED_SLACK_S:
        raise ValueError(f"cut short, {samples.shape[1] / rate:.2f} s of {declared:.2f} s declared")
    return samples, rate


def _first_audio(container: Any) -> Any:
    if not container.streams.audio:
        raise ValueError("the file has no audio stream")
    return container.streams.audio[0]


def _declared_seconds(container: Any, stream: Any) -> float | None:
    """The length in the container in seconds, or ``None`` if FFmpeg only estimates it.

    An mp3 has its length only in a Xing, Info or VBRI header; without one, FFmpeg divides the file
    size by the bit rate of the first frame.
    """
    if container.format.name == "mp3" and not stream.frames and not _has_xing(container.name):
        return None
    if stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _has_xing(name: str) -> bool:
    with Path(name).open("rb") as handle:
        head = handle.read(1 << 16)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def _seconds_of_packets(path: Path) -> float:
    import av

    try:
        with av.open(str(path)) as container:
            stream = _first_audio(container)
            ticks = sum(p.duration or 0 for p in container.demux(stream) if p.size)
            return float(ticks * stream.time_base)
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error
