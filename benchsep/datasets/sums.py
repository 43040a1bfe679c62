"""Whether a mixture is the sum of its stems.

If the mixture file is of another song, master or level, or if a stem is missing, the values look
normal but are wrong: metrics then compare estimates of one recording with stems of another.

Conventions
-----------
residue   energy of the mixture minus its stems, in dB relative to the mixture
expected  :data:`LIMIT_DB` at most. ``python -m benchmarks.mixture_sums --data FOLDER`` measures it:
          on 118 of 119 excerpts of the 7-second MUSDB18, whose mixtures are coded apart from the
          stems (AAC), the residue is -33.4 to -21.4 dB; on "PR - Oh No", a known error of the data
          set, -7.3 dB. A gain of 1 dB leaves -19.3 dB, a missing stem in the median -6.3 dB
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from benchsep.stems.names import ACCOMPANIMENT
from benchsep.stems.relations import all_of_song

if TYPE_CHECKING:
    from benchsep.audio import Audio
    from benchsep.datasets.track import TrackAudio

LIMIT_DB = -20.0
"""Above this residue, a mixture does not count as the sum of its stems."""
BLOCK = 1 << 14
"""Frames per block: the sum stays in the processor's cache."""


def residue_db(audio: TrackAudio) -> float | None:
    """The residue of a track in dB.

    ``None`` if the mixture was computed as the sum, if the stems are not the whole song, or if they
    differ from the mixture in rate or shape.
    """
    if audio.mixture_source == "sum" or not audio.stems:
        return None
    names = tuple(audio.stems) if ACCOMPANIMENT in audio.stems else all_of_song(audio.stems)
    stems = [audio.stems[name] for name in names]
    alike = {(stem.rate, stem.samples.shape) for stem in (audio.mixture, *stems)}
    return residue_of(audio.mixture, stems) if stems and len(alike) == 1 else None


def residue_of(mixture: Audio, stems: Iterable[Audio]) -> float:
    """Energy of the mixture minus its stems, in dB relative to the mixture; all have one shape.

    Samples are subtracted in float32; rounding errors are at about -140 dB of the mixture.
    """
    signals = [stem.samples for stem in stems]  # each [channels, frames]
    rest = whole = 0.0
    for samples, *others in zip(mixture.samples, *signals, strict=True):  # each [frames]
        for begin in range(0, mixture.frames, BLOCK):
            block = slice(begin, begin + BLOCK)
            left = samples[block].copy()
            whole += float(np.dot(left, left))
            for other in others:
                np.subtract(left, other[block], out=left)
            rest += float(np.dot(left, left))
    return 10 * math.log10((rest + 1e-12) / (whole + 1e-12))
