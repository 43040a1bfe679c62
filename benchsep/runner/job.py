"""A job: one system on one track, with all that is needed to do it anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchsep._util.digest import digest
from benchsep.stems.sets import FOUR

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.runner.record import Record
    from benchsep.systems.contract import SystemInfo


@dataclass(frozen=True)
class Job:
    """One (system, track) of a run."""

    spec: str
    label: str
    info: SystemInfo
    track: Track
    stems: tuple[str, ...]
    metrics: tuple[str, ...]
    all_stems: bool = False
    seed: int = 0
    draws: int = 1
    device: str = "cpu"
    keep_estimates: str = "none"
    stem_set: tuple[str, ...] = FOUR
    """All stems of the set that ``stems`` are of: those with references."""
    align: bool = False
    """Remove the lag of late estimates before scoring."""
    overwrite: Literal["never", "missing", "always"] = "missing"
    """What is computed again: nothing that has a cell, what is missing or stale, everything."""
    other: Track | None = None
    """The next song of the data set, for a system that needs it."""
    input_stamp: str = ""
    """See :func:`benchsep.runner.stamps.input_stamp`."""
    metric_device: str = "cpu"
    """Where metrics compute, see :mod:`benchsep.metrics.device`."""
    session: str = ""
    """The call of ``run`` that the job belongs to, for its timings."""

    @property
    def overwrite_all(self) -> bool:
        """Compute every cell again, whatever the store holds."""
        return self.overwrite == "always"

    @property
    def draws_to_run(self) -> range:
        """Numbers of the draws: only the first where seeds change nothing."""
        return range(1 if self.info.deterministic else self.draws)

    def seed_for(self, draw: int) -> int:
        """The seed of a draw: one for each (seed, draw, track), the same for every system."""
        return seed_of(self.seed, draw, self.track.name)


def seed_of(seed: int, draw: int, track: str) -> int:
    """The seed of a draw of a track, from the seed of the suite; 32 bits."""
    return int(digest(seed, draw, track)[:8], 16)


@dataclass(frozen=True)
class Outcome:
    """What a finished job reports: a few words, which travel instead of its cells."""

    label: str
    track: str
    cells: int
    failed: int
    message: str = ""
    """The status of the first failed cell."""

    @classmethod
    def of(cls, record: Record) -> Outcome:
        """The outcome of the job that made a record."""
        failed = record.failed
        return cls(
            record.system.label,
            record.track.name,
            len(record.cells),
            len(failed),
            str(failed[0].status) if failed else "",
        )
