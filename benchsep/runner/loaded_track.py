"""A track's audio in memory, decoded once for all systems and metrics of a batch of jobs."""

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
    """A track's audio, decoded once for all systems of a batch of jobs; or the error."""

    audio: TrackAudio | None
    error: str = ""
    references: References = field(init=False)

    def __post_init__(self) -> None:
        stems = self.audio.stems if self.audio else {}
        self.references = References(stems, self.audio.mixture if self.audio else None)

    def references_of(self, job: Job) -> References:
        """The references for a metric; for a song without stems, only the names of the job's
        stems.
        """
        if self.references.stems:
            return self.references
        return replace(self.references, expected=job.stem_set)

    def facts(self, track: Track) -> TrackFacts:
        """The facts on this track for the record of a job."""
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
        """Level of the mixture minus its stems in dB if it is above the limit, else ``None``."""
        found = residue_db(self.audio) if self.audio else None
        return None if found is None or found <= LIMIT_DB else round(found, 1)


def load_track(track: Track) -> LoadedTrack:
    """Decode a track; for an unusable one, the result holds the error (it is not raised)."""
    try:
        return LoadedTrack(_in_full_scale(track.load()))
    except BaseException as error:
        return LoadedTrack(None, failure(error))


def _in_full_scale(audio: TrackAudio) -> TrackAudio:
    """The audio of a track; raises if a signal is not in full scale 1."""
    for name, signal in {**audio.stems, "mixture": audio.mixture}.items():
        if fault := scale_fault(signal):
            raise DatasetError(f"{name}: {fault}")
    return audio
