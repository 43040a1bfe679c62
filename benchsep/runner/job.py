"""A job: one system on one track, with everything a worker on any machine needs."""

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
    """All stems of the stem set of ``stems``; these have references."""
    align: bool = False
    """Remove the lag of late estimates before scoring."""
    overwrite: Literal["never", "missing", "always"] = "missing"
    """``never``: keep all stored cells; ``missing``: compute missing or outdated cells; ``always``:
    compute all again."""
    other: Track | None = None
    """The next song of the data set, for a system that needs it."""
    input_stamp: str = ""
    """See :func:`benchsep.runner.stamps.input_stamp`."""
    metric_device: str = "cpu"
    """Device of the metrics, see :mod:`benchsep.metrics.device`."""
    session: str = ""
    """Id of the call of ``run``, stored with timings."""

    @property
    def overwrite_all(self) -> bool:
        """Whether every cell is computed again, even if it is stored."""
        return self.overwrite == "always"

    @property
    def draws_to_run(self) -> range:
        """Numbers of the draws; only the first for a deterministic system."""
        return range(1 if self.info.deterministic else self.draws)

    def seed_for(self, draw: int) -> int:
        """The seed of a draw; it depends on (seed, draw, track) and is the same for every
        system.
        """
        return seed_of(self.seed, draw, self.track.name)


def seed_of(seed: int, draw: int, track: str) -> int:
    """The seed of a draw of a track, derived from the suite's seed; 32 bits."""
    return int(digest(seed, draw, track)[:8], 16)


@dataclass(frozen=True)
class Outcome:
    """The short report of a finished job; workers return it instead of the cells."""

    label: str
    track: str
    cells: int
    failed: int
    message: str = ""
    """The status of the first failed cell."""

    @classmethod
    def of(cls, record: Record) -> Outcome:
        """The outcome of the job that wrote a record."""
        failed = record.failed
        return cls(
            record.system.label,
            record.track.name,
            len(record.cells),
            len(failed),
            str(failed[0].status) if failed else "",
        )
