"""How far each metric agrees with listeners: within a family of systems, and across.

Conventions
-----------
agreement  share of pairs of systems *on the same song* that the metric orders as the listeners
           do; .50 is a coin. Pairs whose mean ratings are equal are left out; a pair that the
           metric ties while listeners do not is a miss, as it did not find their order. The
           share is taken per song and then averaged over songs, the song being the unit
scope      ``discriminative``: both systems are; ``generative``: both are; ``across``: one of
           each. A correlation over all clips would mix the difficulty of songs with the quality
           of systems
interval   percentile bootstrap over songs, seeded
ratings    CSV with a row per clip (ratings averaged already) or per rating. Columns, first
           name found: song (``file_id``, ``song``, ``track``), system (``model_name``,
           ``system``), family (``model_type``, ``family``), rating (``DMOS``, ``rating``,
           ``score``), optionally ``stem``. Every other numeric column with a known direction
           is a metric
listening  conditions that are not systems (hidden reference, anchors) make no pairs: their
           family is neither generative nor discriminative

Functions
---------
read_ratings, clips, agreement, rating_differences, attach_metrics; of the built-in table: badge,
fails_across, warning
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util import text_table
from benchsep.errors import UsageError
from benchsep.metrics.catalog import columns_by_alias
from benchsep.stats import bootstrap as inference

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

FAMILIES = ("discriminative", "generative")
SCOPES = (*FAMILIES, "across")

NAMES = {
    "song": ("file_id", "song", "track"),
    "system": ("model_name", "system"),
    "family": ("model_type", "family"),
    "rating": ("DMOS", "rating", "score"),
}
"""Accepted column names, first found wins."""

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
"""Limits of a rating difference are read to the second decimal: fewer resamples move it."""


# --------------------------------------------------------------------- ratings


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
        system = _found(raw, "system", path)
        raw["family"] = [families.get(str(s), "unknown") for s in raw[system]]
    columns = {_found(raw, role, path): role for role in NAMES}
    table = raw.rename(columns=columns)
    try:
        table["rating"] = table["rating"].astype(float)
    except ValueError as error:
        raise UsageError(f"{path}: a rating is not a number: {error}") from error
    return clips(table.dropna(subset=["rating"]), path)


def _found(raw: pd.DataFrame, role: str, path: str | Path) -> str:
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
    odd = table.groupby("system")["family"].nunique()
    if bad := sorted(odd[odd > 1].index):
        raise UsageError(f"{path}: {bad[0]} is given two families; give each system one")
    numbers = [c for c in table.select_dtypes("number").columns if c not in keys]
    grouped = table.groupby([*keys, "family"], sort=True)[numbers].mean()
    return grouped.reset_index()


def attach_metrics(ratings: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The ratings with a run's scores beside them, matched by song, stem and system.

    Draws are averaged. Ratings without a ``stem`` column are matched where the run has one stem.

    Raises
    ------
    UsageError
        when no rating finds a score.
    """
    from benchsep.stats.core import song_values

    stems = sorted(set(frame["stem"]))
    if "stem" not in ratings.columns and len(stems) != 1:
        raise UsageError(
            f"the ratings have no stem and the run has {', '.join(stems)}: filter it to one"
        )
    found = song_values(frame)
    joined = ratings.copy()
    matched = 0
    for metric in sorted({key[2] for key in found}):
        stem_of = joined["stem"] if "stem" in joined.columns else [stems[0]] * len(joined)
        triples = zip(joined["song"], stem_of, joined["system"], strict=True)
        values = [
            found.get((system, stem, metric), {}).get(song, math.nan)
            for song, stem, system in triples
        ]
        joined[metric] = values
        matched += sum(not math.isnan(v) for v in values)
    if not matched:
        raise UsageError(
            "no rated clip is in the run: songs and systems must have the same names in both"
        )
    return joined


# ------------------------------------------------------------------- agreement


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
        From :func:`read_ratings`, with or without :func:`attach_metrics`.
    metrics
        Columns to judge; ``None`` takes every numeric column whose direction is known.
    directions
        +1 or -1 by column, over :data:`DIRECTIONS` and the registered metrics' traits.

    Returns
    -------
    DataFrame
        ``metric direction`` and for each scope ``{scope} {scope}_low {scope}_high
        {scope}_pairs``; best across first. ``attrs["skipped"]`` lists numeric columns without a
        known direction.

    Raises
    ------
    UsageError
        an asked metric that is absent or has no direction, or no pair to judge by.
    """
    import pandas as pd

    known = _directions(ratings, directions)
    numeric = [c for c in ratings.select_dtypes("number").columns if c != "rating"]
    chosen = list(metrics) if metrics is not None else judged(ratings, directions)
    if not chosen:
        raise UsageError(
            "no metric stands beside the ratings; give the run that they belong to (--run RUN), or "
            "a direction for a numeric column (--direction COLUMN=+1)"
        )
    for name in chosen:
        if name not in numeric or known.get(name) not in (1, -1):
            state = "has no known direction" if name in numeric else "is not a numeric column"
            raise UsageError(f"metric {name!r} {state}; columns: {', '.join(numeric)}")
    pairs = _pairs(ratings, chosen)
    if not pairs:
        raise UsageError(
            "no pair to judge by: expected two systems of the families generative or "
            "discriminative on one song, with different ratings"
        )
    rows = [_row(name, known[name], pairs, level, resamples, seed) for name in chosen]
    columns = [f"{scope}{end}" for scope in SCOPES for end in ("", "_low", "_high", "_pairs")]
    found = pd.DataFrame(rows, columns=["metric", "direction", *columns])
    found = found.sort_values(["across", "metric"], ascending=[False, True], ignore_index=True)
    found.attrs["skipped"] = [c for c in numeric if c not in known] if metrics is None else []
    return found


def judged(ratings: pd.DataFrame, directions: Mapping[str, int] | None = None) -> list[str]:
    """Numeric columns of the ratings with a known direction: what :func:`agreement` judges."""
    known = _directions(ratings, directions)
    numeric = ratings.select_dtypes("number").columns
    return [c for c in numeric if c != "rating" and c in known]


def _directions(ratings: pd.DataFrame, given: Mapping[str, int] | None) -> dict[str, int]:
    return {**DIRECTIONS, **_registered(ratings.columns), **(given or {})}


def _registered(columns: Iterable[str]) -> dict[str, int]:
    """Directions of those columns that registered metrics yield."""
    from benchsep import registry
    from benchsep.metrics.catalog import traits_of

    names = {str(c).split(".")[0] for c in columns} & set(registry.names("metric"))
    return {c: t.direction for c, t in traits_of(tuple(sorted(names))).items() if t.direction}


@dataclass(frozen=True)
class _Pair:
    """Two systems on one song: the listeners' order and each metric's difference."""

    song: str
    scope: str
    order: float
    differences: Mapping[str, float]


def _pairs(ratings: pd.DataFrame, metrics: Sequence[str]) -> list[_Pair]:
    clips: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in ratings.to_dict("records"):
        if row["family"] in FAMILIES:
            clip = {str(k): v for k, v in row.items()}
            clips.setdefault((clip["song"], clip.get("stem", "")), []).append(clip)
    found = []
    for (song, _), rows in sorted(clips.items()):
        rows.sort(key=lambda row: row["system"])
        for i, one in enumerate(rows):
            for other in rows[i + 1 :]:
                # Means of the same ratings in another order differ in the last bit.
                order = round(one["rating"] - other["rating"], 9)
                if order:
                    scope = one["family"] if one["family"] == other["family"] else "across"
                    moves = {m: float(one[m]) - float(other[m]) for m in metrics}
                    found.append(_Pair(song, scope, order, moves))
    return found


def _row(
    metric: str, direction: int, pairs: Sequence[_Pair], level: float, resamples: int, seed: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": metric, "direction": direction}
    for scope in SCOPES:
        songs: dict[str, list[bool]] = {}
        for pair in pairs:
            move = pair.differences[metric]
            if pair.scope == scope and not math.isnan(move):
                songs.setdefault(pair.song, []).append(direction * move * pair.order > 0)
        shares = [sum(hits) / len(hits) for _, hits in sorted(songs.items())]
        row |= _interval(scope, shares, level, resamples, seed)
        row[f"{scope}_pairs"] = sum(map(len, songs.values()))
    return row


def _interval(
    scope: str, shares: Sequence[float], level: float, resamples: int, seed: int
) -> dict[str, float]:
    if not shares:
        return dict.fromkeys((scope, f"{scope}_low", f"{scope}_high"), math.nan)
    found = inference.bootstrap(
        shares, method="percentile", level=level, resamples=resamples, seed=seed, expand=False
    )
    low = math.nan if found.low is None else found.low
    high = math.nan if found.high is None else found.high
    return {scope: found.estimate, f"{scope}_low": low, f"{scope}_high": high}


def rating_differences(
    ratings: pd.DataFrame, *, resamples: int = RATING_RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """What listeners say of each pair of systems, paired by song.

    Returns
    -------
    DataFrame
        ``a b songs difference low high p p_holm``: mean rating of a minus that of b.
    """
    import pandas as pd

    table = ratings.groupby(["song", "system"])["rating"].mean().unstack()
    rows: list[dict[str, Any]] = []
    for a, b in inference.pairs(sorted(table.columns, key=str)):
        x = (table[a] - table[b]).dropna().to_numpy()
        if len(x) >= inference.FEWEST:
            found = inference.bootstrap(
                x, method="percentile", resamples=resamples, seed=seed, expand=False
            )
            row = {"a": a, "b": b, "songs": len(x), "difference": found.estimate}
            row |= {"low": found.low, "high": found.high}
            rows.append(row | {"p": inference.sign_flip(x, seed=seed)})
    adjusted = inference.holm([float(row["p"]) for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row["p_holm"] = p
    return pd.DataFrame(
        rows, columns=["a", "b", "songs", "difference", "low", "high", "p", "p_holm"]
    )


def render(found: pd.DataFrame) -> str:
    """The agreement table for a terminal: ``.87 [.82, .93]`` per scope."""
    head = ["metric", *SCOPES, "pairs"]
    records: list[Any] = found.to_dict("records")
    body = [
        [
            f"{row['metric']}{'' if row['direction'] > 0 else ' (lower is better)'}",
            *(_share(row[s], row[f"{s}_low"], row[f"{s}_high"]) for s in SCOPES),
            "/".join(str(row[f"{s}_pairs"]) for s in SCOPES),
        ]
        for row in records
    ]
    skipped = found.attrs.get("skipped") or []
    note = [f"direction unknown, left out: {', '.join(skipped)}"] if skipped else []
    foot = "share of same-song pairs ordered as by listeners (.50 is a coin), 95 % song bootstrap"
    return "\n".join([*text_table.lines(head, body), "", foot, *note]) + "\n"


def _share(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "-"
    limits = "" if math.isnan(low) else f" [{_short(low)}, {_short(high)}]"
    return _short(value) + limits


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if 0 <= value < 0.995 else f"{value:.2f}"


# ---------------------------------------------------------------------- badges


@dataclass(frozen=True)
class Share:
    """One scope of a badge."""

    share: float
    low: float
    high: float

    @property
    def short(self) -> str:
        """``.84``."""
        return _short(self.share)

    def __str__(self) -> str:
        return _share(self.share, self.low, self.high)


@dataclass(frozen=True)
class Badge:
    """Agreement of one of benchsep's columns with listeners, as published data give it."""

    column: str
    source: str
    discriminative: Share
    generative: Share
    across: Share

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``unclear`` across families: the interval against a coin."""
        if self.across.high < 0.5:
            return "fails"
        return "holds" if self.across.low > 0.5 else "unclear"

    def __str__(self) -> str:
        return (
            f"{self.discriminative} within discriminative, {self.generative} within generative, "
            f"{self.across} across"
        )


@cache
def badges() -> dict[str, Badge]:
    """The built-in table by column (``validity_badges.json``; figures only, no ratings)."""
    text = resources.files("benchsep.listeners").joinpath("validity_badges.json").read_text("utf-8")
    content = json.loads(text)
    return {
        column: Badge(column, content["source"], **{s: Share(*row[s]) for s in SCOPES})
        for column, row in content["columns"].items()
    }


def badge(column: str) -> Badge | None:
    """The badge of a column; ``None`` where no listening data judge it."""
    return badges().get(column)


def fails_across(column: str, traits: ValueTraits) -> bool:
    """Whether comparing families by this metric is known to mislead, or is built to.

    Listening data decide where there are any; elsewhere a metric that matches waveforms counts
    as failing, since generated audio is not sample-aligned.
    """
    found = badge(column)
    return found.verdict == "fails" if found else traits.waveform_matching


def warning(
    columns: Sequence[str], traits: Mapping[str, ValueTraits], families: Iterable[str]
) -> str:
    """The line that a table needs which compares families by metrics that fail across them.

    Empty where the table holds one family, or every metric holds or is unjudged.
    """
    failing = [c for c in columns if c in traits and fails_across(c, traits[c])]
    if not failing or not set(FAMILIES) <= set(families):
        return ""
    names = ", ".join(traits[c].display or c for c in failing)
    shares = sorted({_short(found.across.share) for c in failing if (found := badge(c))})
    span = " to ".join(dict.fromkeys((shares[0], shares[-1]))) if shares else ""
    measured = f" (listeners agree on {span} of such pairs; .50 is a coin)" if span else ""
    return (
        f"{names} cannot compare generative with discriminative systems{measured}: waveforms are "
        "matched, and generated audio is not sample-aligned. Read within a family."
    )


def write_badges(found: pd.DataFrame, path: str | Path, source: str) -> None:
    """Write the badge table from :func:`agreement`, for the columns that benchsep has."""
    rows = {row["metric"]: row for row in found.to_dict("records")}
    columns = {}
    for name, column in sorted(columns_by_alias().items(), key=lambda item: item[1]):
        if row := rows.get(name):
            columns[column] = {
                scope: [round(float(row[f"{scope}{end}"]), 3) for end in ("", "_low", "_high")]
                for scope in SCOPES
            }
    lines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in columns.items())
    head = f'{{\n  "source": {json.dumps(source)},\n  "columns": {{\n'
    Path(path).write_text(f"{head}{lines}\n  }}\n}}\n", "utf-8")
