"""MUSDB18 in its editions: HQ wav folders, ``.stem.mp4`` files, the 7-second edition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchsep.audio import STEMS, Audio, round_to_16_bit
from benchsep.datasets.track import TrackAudio
from benchsep.errors import DatasetError

STREAMS = ("mixture", "drums", "bass", "other", "vocals")
"""Order of the audio streams in a ``.stem.mp4``."""


def load_stem_mp4(path: Path) -> TrackAudio:
    """Decode a ``.stem.mp4``; stems rounded to 16 bit, mixture = sum of the stems."""
    import av

    decoded: dict[str, Audio] = {}
    try:
        for index, stream_name in enumerate(STREAMS):
            if stream_name == "mixture":
                continue
            with av.open(str(path)) as container:
                stream = container.streams.audio[index]
                parts = [f.to_ndarray() for f in container.decode(stream)]
                samples = round_to_16_bit(np.concatenate(parts, axis=1))
                decoded[stream_name] = Audio(samples, int(stream.rate))
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        raise DatasetError(f"{path}: not a readable .stem.mp4 ({error})") from error
    stems = {name: decoded[name] for name in STEMS}
    total = np.sum([a.samples for a in stems.values()], axis=0, dtype=np.float64)
    mixture = Audio(total.astype(np.float32), stems["vocals"].rate)
    return TrackAudio(mixture, stems, "sum")
