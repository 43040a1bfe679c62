"""Ratings of clips by listeners, read from CSV.

Conventions
-----------
file     a row per rating, or per clip with its ratings averaged
columns  the first name found of :data:`NAMES` for song, system, family and rating; optionally
         ``stem``. Every other numeric column may be a metric
clip     one song (and stem) of one system; several ratings of a clip are averaged
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.stats.songs import song_values

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "song": ("file_id", "song", "track"),
    "system": ("model_name", "system"),
    "family": ("model_type", "family"),
    "rating": ("DMOS", "rating", "score"),
}
"""Accepted column names, first found wins."""


def read_ratings(path: str | Path, *, families: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Ratings as a table with a row per clip: ``song system family rating`` and metric columns.

    Parameters
    ----------
    families
        Family by system, for a file without such a column.

    Raises
    ------
    UsageError
        a file that cannot be read, a missing column, a rating that is not a number.
    """
    import pandas as pd

    try:
        raw = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read ratings from {path}: {error}") from error
    if families is not None and not set(NAMES["family"]) & set(raw.columns):
        system = _column(raw, "system", path)
        raw["family"] = [families.get(str(s), "unknown") for s in raw[system]]
    columns = {_column(raw, role, path): role for role in NAMES}
    table = raw.rename(columns=columns)
    try:
        table["rating"] = table["rating"].astype(float)
    except ValueError as error:
        raise UsageError(f"{path}: a rating is not a number: {error}") from error
    return clips(table.dropna(subset=["rating"]), path)


def _column(raw: pd.DataFrame, role: str, path: str | Path) -> str:
    """The first accepted name of a role that the file has."""
    for name in NAMES[role]:
        if name in raw.columns:
            return name
    raise UsageError(
        f"{path} has no column for the {role}: expected one of {', '.join(NAMES[role])}; "
        f"it has {', '.join(map(str, raw.columns[:12]))}"
    )


def clips(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """One row per clip: raters averaged.

    Parameters
    ----------
    table
        ``song system family rating``, optionally ``stem`` and metric columns; a row per rating.
    path
        Where it came from, for messages.

    Raises
    ------
    UsageError
        a system with two families.
    """
    table = table.copy()
    keys = ["song", *(["stem"] if "stem" in table.columns else []), "system"]
    for key in (*keys, "family"):
        table[key] = table[key].astype(str)
    counts = table.groupby("system")["family"].nunique()
    if several := sorted(counts[counts > 1].index):
        raise UsageError(f"{path}: {several[0]} is given two families; give each system one")
    numbers = [c for c in table.select_dtypes("number").columns if c not in keys]
    grouped = table.groupby([*keys, "family"], sort=True)[numbers].mean()
    return grouped.reset_index()


def attach_metrics(ratings: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The ratings with a run's scores in further columns, matched by song, stem and system.

    Draws are averaged. Ratings without a ``stem`` column are matched where the run has one stem.

    Raises
    ------
    UsageError
        when no rating finds a score.
    """
    stems = sorted(set(frame["stem"]))
    if "stem" not in ratings.columns and len(stems) != 1:
        raise UsageError(
            f"the ratings have no stem and the run has {', '.join(stems)}: filter it to one"
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
            "no rated clip is in the run: songs and systems must have the same names in both"
        )
    return joined
