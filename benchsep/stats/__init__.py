"""Statistics over the cells of a run.

``frame`` is the long table of :func:`benchsep.load_run`; ``traits`` are the traits of its columns.

=================  ==============================================================================
``with_average``   the frame with the mean over stems as a further stem
``without_bass``   the same mean over the stems other than bass, alone
``aggregate``      one number per (system, stem, metric) with coverage, interval and rank
``compare``        every pair of systems, paired by song: difference, interval, p, Holm, tie
``too_few_songs``  why no pair of ``compare`` can get a verdict
``groups``         compact letters of systems that are not shown to differ
``draws``          mean, best and worst of k, and where a score's variance comes from
``tails``          the worst songs, named, and the failure rate
``power``          songs needed to see an effect
``improvement``    values as gains over a reference system
``reaggregated``   another statistic over songs and windows
``with_combined``  the frame with the scores that combine two of its metrics
=================  ==============================================================================

Modules: :mod:`~benchsep.stats.songs` (one value per song), :mod:`~benchsep.stats.average`,
:mod:`~benchsep.stats.aggregate`, :mod:`~benchsep.stats.compare`, :mod:`~benchsep.stats.spread`,
:mod:`~benchsep.stats.power`, :mod:`~benchsep.stats.keys` (groups of rows), and the mathematics over
arrays of songs in :mod:`~benchsep.stats.bootstrap`, :mod:`~benchsep.stats.significance` and
:mod:`~benchsep.stats.letters`. The reasons for the choices are in ``docs/design/statistics.md``.
"""

from benchsep.stats.aggregate import Summary, aggregate
from benchsep.stats.average import with_average, without_bass
from benchsep.stats.combined import with_combined
from benchsep.stats.compare import compare, groups, too_few_songs, with_comparisons
from benchsep.stats.power import power
from benchsep.stats.songs import (
    AVERAGE,
    from_frames,
    improvement,
    reaggregated,
    song_values,
)
from benchsep.stats.spread import draws, tails

__all__ = [
    "AVERAGE",
    "Summary",
    "aggregate",
    "compare",
    "draws",
    "from_frames",
    "groups",
    "improvement",
    "power",
    "reaggregated",
    "song_values",
    "tails",
    "too_few_songs",
    "with_average",
    "with_combined",
    "with_comparisons",
    "without_bass",
]
