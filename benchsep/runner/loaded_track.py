"""A track's audio in memory, decoded once for all systems and metrics of a unit of work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from benchsep.audio import scale_fault
from benchsep.datasets.sums import LIMIT_DB, residue_db
from benchsep.errors import DatasetError
from benchsep.metrics.metric import References
from benchsep.runner.failure import failure
from benchsep.runner.record import TrackFacts

if TYPE_CHECKING:
    from benchsep.datasets.track import Track, TrackAudio
    from benchsep.runner.job import Job


@dataclass
class LoadedTrack:
    """A track's audio, decoded once for all systems of a unit of work; or why there is none."""

    audio: TrackAudio | None
    error: str = ""
    references: References = field(init=False)

    def __post_init__(self) -> None:
        stems = self.audio.stems if self.audio else {}
        self.references = References(stems, self.audio.mixture if self.audio else None)

    def references_of(self, job: Job) -> References:
        """What a metric compares with; of a song without stems: the names of the job's set."""
        if self.references.stems:
            return self.references
        return replace(self.references, expected=job.stem_set)

    def facts(self, track: Track) -> TrackFacts:
        """What the record of a job on this track says of it."""
        audio = self.audio
        return TrackFacts(
            name=track.name,
            split=track.split,
            edition=track.edition,
            mixture_source=audio.mixture_source if audio else "",
            mixture_sha256=audio.mixture.sha256() if audio else "",
            reference_sha256={s: a.sha256() for s, a in audio.stems.items()} if audio else {},
            audio_seconds=audio.mixture.seconds if audio else None,
            residue_db=self.residue_db,
        )

    @cached_property
    def residue_db(self) -> float | None:
        """How far the mixture is from the sum of its stems, where it is too far to be that."""
        found = residue_db(self.audio) if self.audio else None
        return None if found is None or found <= LIMIT_DB else round(found, 1)


def load_track(track: Track) -> LoadedTrack:
    """Decode a track; an unusable one is remembered with the reason, not raised."""
    try:
        return LoadedTrack(_in_full_scale(track.load()))
    except BaseException as error:
        return LoadedTrack(None, failure(error))


def _in_full_scale(audio: TrackAudio) -> TrackAudio:
    """The audio of a track of any data set, unless a signal is in another scale."""
    for name, signal in {**audio.stems, "mixture": audio.mixture}.items():
        if fault := scale_fault(signal):
            raise DatasetError(f"{name}: {fault}")
    return audio
