"""Joins a run's scores with the ratings of its clips.

Conventions
-----------
clip  one song (and stem) of one system; ratings are averaged over listeners
      (:mod:`benchsep.listeners.study`)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.stats.songs import song_values

if TYPE_CHECKING:
    import pandas as pd


def attach_metrics(ratings: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The ratings with a run's scores in further columns, matched by song, stem and system.

    Draws are averaged. Ratings without a ``stem`` column need a run with one stem.

    Raises
    ------
    UsageError
        no rating has a matching score.
    """
    stems = sorted(set(frame["stem"]))
    if "stem" not in ratings.columns and len(stems) != 1:
        raise UsageError(
            f"the ratings have no column for the stem, and the run has {', '.join(stems)}; add "
            "the column, or filter the run to one stem"
        )
    scores = song_values(frame)
    joined = ratings.copy()
    matched = 0
    for metric in sorted({key[2] for key in scores}):
        stem_of = joined["stem"] if "stem" in joined.columns else [stems[0]] * len(joined)
        triples = zip(joined["song"], stem_of, joined["system"], strict=True)
        values = [
            scores.get((system, stem, metric), {}).get(song, math.nan)
            for song, stem, system in triples
        ]
        joined[metric] = values
        matched += sum(not math.isnan(v) for v in values)
    if not matched:
        raise UsageError(
            "the run has none of the rated clips; songs and systems need the same names in both"
        )
    return joined
