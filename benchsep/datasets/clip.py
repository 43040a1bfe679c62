"""The embedded clip: six seconds of a real song with four stems, part of every installation.

The PyPI package ``stempeg`` ships one MUSDB18-style ``.stem.mp4`` ("The Easton Ellises -
Falcon 69", CC BY-NC-SA 3.0). The package itself raises at import where ffmpeg is absent, so
the file is found without importing it and decoded with PyAV.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

from benchsep.datasets.track import Edition, Track
from benchsep.errors import DatasetError


def clip_path() -> Path:
    """The path of the clip.

    Raises
    ------
    DatasetError
        if ``stempeg`` is not installed or ships no clip.
    """
    spec = importlib.util.find_spec("stempeg")
    if spec is None or spec.origin is None:
        raise DatasetError(
            "the embedded clip is a file of the package stempeg, which is not installed: pip "
            "install stempeg"
        )
    clips = sorted((Path(spec.origin).parent / "data").glob("*.stem.mp4"))
    if not clips:
        raise DatasetError(
            f"{Path(spec.origin).parent}: found no .stem.mp4 file; reinstall stempeg"
        )
    return clips[0]


class ClipDataset:
    """A dataset of one real track; the default where no data root is set."""

    name = "clip"
    edition: Edition = "clip"
    notes = (
        "one 6-second real excerpt (CC BY-NC-SA 3.0, from the stempeg package)",
        "mixture = sum of stems",
        "decoded from AAC, rounded to 16 bit",
    )

    def tracks(self) -> list[Track]:
        from benchsep.datasets.musdb import load_stem_mp4

        path = clip_path()
        name = path.name.removesuffix(".stem.mp4")
        return [Track(name, "test", "clip", partial(load_stem_mp4, path), (str(path),))]
