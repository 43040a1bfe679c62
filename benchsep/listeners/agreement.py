"""Agreement of metrics with listeners: how often they order two systems on a song equally.

Conventions
-----------
agreement  share of pairs of systems *on the same song* that the metric and the listeners order
           equally; .50 is chance. Pairs with equal mean ratings are left out; a tie of the metric
           only is a miss. The share is computed per song and then averaged over songs. A
           correlation over all clips would mix the difficulty of songs with the quality of systems
scope      :data:`benchsep.listeners.scopes.SCOPES`. Conditions that are not systems (hidden
           reference, anchors) are in no pair: their family is neither generative nor discriminative
interval   percentile bootstrap over songs, seeded

Functions
---------
agreement           a row per metric, with the share in each scope
song_shares         the shares of one metric, song by song
judged_columns      the columns with a direction
rating_differences  differences between systems in the ratings
render              the agreement table for a terminal
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from benchsep._util import text_table
from benchsep.errors import UsageError
from benchsep.listeners.scopes import FAMILIES, SCOPES, share_text
from benchsep.stats.bootstrap import FEWEST, bootstrap
from benchsep.stats.signflip import sign_flip
from benchsep.stats.significance import holm

if TYPE_CHECKING:
    import pandas as pd

DIRECTIONS: dict[str, int] = {
    **dict.fromkeys(("sdr", "isr", "sir", "sar", "sisdr", "visqol", "xls_r_sqa", "singmos"), 1),
    **dict.fromkeys(("pam", "ops", "tps", "ips", "aps"), 1),
    **dict.fromkeys(("meta_audiobox_aes_PQ", "meta_audiobox_aes_CU"), 1),
    **dict.fromkeys(("multi_res_loss", "emb_mse_clap_music_df", "emb_mse_clap_audio_df"), -1),
    **dict.fromkeys(("emb_mse_mert_df", "emb_mse_music2latent_df"), -1),
    **dict.fromkeys(("fad_song2song_mert_df", "fad_song2song_music2latent_df"), -1),
    **dict.fromkeys(("fad_song2song_clap_music_df", "fad_song2song_clap_audio_df"), -1),
}
"""Directions of the columns of the public data set (pablebe/gensvs_eval, 2025)."""

RESAMPLES = 9999
RATING_RESAMPLES = 99_999
"""Enough resamples for two stable decimals of the limits."""


def agreement(
    ratings: pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    directions: Mapping[str, int] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Same-song pair agreement with listeners, a row per metric.

    Parameters
    ----------
    ratings
        Clips of a :class:`benchsep.listeners.study.Study`, with or without ``attach_metrics``.
    metrics
        Columns to judge; ``None``: every numeric column with a known direction.
    directions
        +1 or -1 by column; overrides :data:`DIRECTIONS` and the traits of registered metrics.

    Returns
    -------
    DataFrame
        ``metric direction`` and for each scope ``{scope} {scope}_low {scope}_high
        {scope}_pairs``; best across first. ``attrs["skipped"]`` lists numeric columns without a
        known direction.

    Raises
    ------
    UsageError
        a requested metric is missing or has no direction, or there is no pair.
    """
    import pandas as pd

    known = known_directions(ratings, directions)
    numeric = _numeric_columns(ratings)
    chosen = list(metrics) if metrics is not None else judged_columns(ratings, directions)
    _check_metrics(chosen, numeric, known)
    pairs = _pairs(ratings, chosen)
    if not pairs:
        raise UsageError(
            "the ratings have no usable pair; expected two systems of the families generative or "
            "discriminative on one song, with different ratings"
        )
    rows = [_row(name, known[name], pairs, level, resamples, seed) for name in chosen]
    columns = [f"{scope}{end}" for scope in SCOPES for end in ("", "_low", "_high", "_pairs")]
    table = pd.DataFrame(rows, columns=["metric", "direction", *columns])
    table = table.sort_values(["across", "metric"], ascending=[False, True], ignore_index=True)
    table.attrs["skipped"] = [c for c in numeric if c not in known] if metrics is None else []
    return table


def _check_metrics(chosen: Sequence[str], numeric: Sequence[str], known: Mapping[str, int]) -> None:
    if not chosen:
        raise UsageError(
            "the ratings have no column of a metric; give the run of these systems (--run RUN), "
            "or a direction for a numeric column (--direction COLUMN=+1)"
        )
    for name in chosen:
        if name not in numeric or known.get(name) not in (1, -1):
            state = "has no known direction" if name in numeric else "is not a numeric column"
            raise UsageError(f"metric {name!r} {state}; columns: {', '.join(numeric)}")


def judged_columns(ratings: pd.DataFrame, directions: Mapping[str, int] | None = None) -> list[str]:
    """Numeric columns of the ratings with a known direction: what :func:`agreement` judges."""
    known = known_directions(ratings, directions)
    return [c for c in _numeric_columns(ratings) if c in known]


def _numeric_columns(ratings: pd.DataFrame) -> list[str]:
    return [str(c) for c in ratings.select_dtypes("number").columns if c != "rating"]


def known_directions(ratings: pd.DataFrame, given: Mapping[str, int] | None) -> dict[str, int]:
    """Direction of columns: given, of a registered metric, or of the published data."""
    return {**DIRECTIONS, **_registered(ratings.columns), **(given or {})}


def _registered(columns: Iterable[str]) -> dict[str, int]:
    """Directions of the columns of registered metrics."""
    from benchsep import registry
    from benchsep.metrics.catalog import traits_of

    names = {str(c).split(".")[0] for c in columns} & set(registry.names("metric"))
    return {c: t.direction for c, t in traits_of(tuple(sorted(names))).items() if t.direction}


@dataclass(frozen=True)
class _Pair:
    """Two systems on one song: the difference in the ratings and in each metric."""

    song: str
    scope: str
    rating: float
    metrics: Mapping[str, float]

    def agrees(self, metric: str, direction: int) -> bool:
        """Whether metric and listeners order the pair equally; False for a tie of the metric."""
        return direction * self.metrics[metric] * self.rating > 0


def _pairs(ratings: pd.DataFrame, metrics: Sequence[str]) -> list[_Pair]:
    """Every two systems on one song (and stem) that listeners rate differently."""
    clips: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in ratings.to_dict("records"):
        if row["family"] in FAMILIES:
            clip = {str(k): v for k, v in row.items()}
            clips.setdefault((clip["song"], clip.get("stem", "")), []).append(clip)
    pairs = [
        _pair(song, one, other, metrics)
        for (song, _), rows in sorted(clips.items())
        for one, other in combinations(sorted(rows, key=lambda row: str(row["system"])), 2)
    ]
    return [pair for pair in pairs if pair.rating]


def _pair(
    song: str, one: Mapping[str, Any], other: Mapping[str, Any], metrics: Sequence[str]
) -> _Pair:
    scope = one["family"] if one["family"] == other["family"] else "across"
    # Rounded, because means of the same ratings in another order differ in the last bit.
    rating = round(one["rating"] - other["rating"], 9)
    return _Pair(song, scope, rating, {m: float(one[m]) - float(other[m]) for m in metrics})


def _row(
    metric: str, direction: int, pairs: Sequence[_Pair], level: float, resamples: int, seed: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": metric, "direction": direction}
    for scope, songs in _hits(metric, direction, pairs).items():
        shares = [sum(hits) / len(hits) for _, hits in sorted(songs.items())]
        share, low, high = _mean_share(shares, level, resamples, seed)
        row |= {scope: share, f"{scope}_low": low, f"{scope}_high": high}
        row[f"{scope}_pairs"] = sum(map(len, songs.values()))
    return row


def _hits(metric: str, direction: int, pairs: Sequence[_Pair]) -> dict[str, dict[str, list[bool]]]:
    """Scope to song to a list: whether the metric agrees on each pair."""
    found: dict[str, dict[str, list[bool]]] = {scope: {} for scope in SCOPES}
    for pair in pairs:
        if not math.isnan(pair.metrics[metric]):
            songs = found[pair.scope]
            songs.setdefault(pair.song, []).append(pair.agrees(metric, direction))
    return found


def song_shares(ratings: pd.DataFrame, metric: str, direction: int) -> dict[str, dict[str, float]]:
    """Scope to song to the share of pairs on which the metric agrees."""
    found = _hits(metric, direction, _pairs(ratings, [metric]))
    return {
        scope: {song: sum(hits) / len(hits) for song, hits in sorted(songs.items())}
        for scope, songs in found.items()
    }


def _mean_share(
    shares: Sequence[float], level: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Mean over songs ``[songs]`` and its limits; NaN without a song."""
    if not shares:
        return math.nan, math.nan, math.nan
    interval = bootstrap(
        shares, method="percentile", level=level, resamples=resamples, seed=seed, expand=False
    )
    return interval.estimate, *interval.limits


def rating_differences(
    ratings: pd.DataFrame, *, resamples: int = RATING_RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """The differences between systems in the ratings, paired by song.

    Returns
    -------
    DataFrame
        ``a b songs difference low high p p_holm``: mean rating of a minus that of b.
    """
    import pandas as pd

    table = ratings.groupby(["song", "system"])["rating"].mean().unstack()
    rows: list[dict[str, Any]] = []
    for a, b in combinations(sorted(table.columns, key=str), 2):
        x = (table[a] - table[b]).dropna().to_numpy()
        if len(x) >= FEWEST:
            interval = bootstrap(
                x, method="percentile", resamples=resamples, seed=seed, expand=False
            )
            row = {"a": a, "b": b, "songs": len(x), "difference": interval.estimate}
            row |= {"low": interval.low, "high": interval.high}
            rows.append(row | {"p": sign_flip(x)})
    adjusted = holm([float(row["p"]) for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row["p_holm"] = p
    return pd.DataFrame(
        rows, columns=["a", "b", "songs", "difference", "low", "high", "p", "p_holm"]
    )


def render(table: pd.DataFrame) -> str:
    """The agreement table for a terminal: ``.87 [.82, .93]`` per scope."""
    head = ["metric", *SCOPES, "pairs"]
    records: list[Any] = table.to_dict("records")
    body = [
        [
            f"{row['metric']}{'' if row['direction'] > 0 else ' (lower is better)'}",
            *(share_text(row[s], row[f"{s}_low"], row[f"{s}_high"]) for s in SCOPES),
            "/".join(str(row[f"{s}_pairs"]) for s in SCOPES),
        ]
        for row in records
    ]
    skipped = table.attrs.get("skipped") or []
    note = [f"direction unknown, left out: {', '.join(skipped)}"] if skipped else []
    foot = "share of same-song pairs ordered as by listeners (.50 is chance), 95 % song bootstrap"
    return "\n".join([*text_table.lines(head, body), "", foot, *note]) + "\n"
