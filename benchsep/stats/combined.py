"""The cells of combined metrics (:mod:`benchsep.metrics.combined`), from those of their parts.

Conventions
-----------
score     the mean of the parts' z scores, each with its direction: higher is better
z         ``(x - mean) / deviation`` on one song and stem, both over the song's systems with all
          parts; a system with several draws counts once, with its mean. 0 if all systems have the
          same value. Reference systems do not count but are placed on the same scale
missing   a cell whose parts are not all ``ok`` has the first part's reason; with fewer than
          :data:`FEWEST` systems on the song there is no scale, and the reason says so
meaning   0 is the mean of the compared systems, 1 their standard deviation. A value depends on the
          systems in the table and must not be compared with values of other tables
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.metrics.combined import (
    COMBINED,
    SIGN,
    Combined,
    combined_traits,
    parts_of,
    present,
)
from benchsep.metrics.metric import ValueTraits
from benchsep.metrics.names import column_named
from benchsep.metrics.status import Status
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 3
"""Fewest systems on a song; the z scores of two systems are always 1 and -1."""

SAME = 1e-9
"""A standard deviation below this share of the largest value counts as rounding."""

CELL = ["edition", "track", "stem", "system", "draw"]
SONG = ["edition", "track", "stem"]
OWN = ("frames", "seconds", "key", "metric_version", "metric_id")
"""Columns of computed cells that a combined cell does not have."""


def with_combined(
    frame: pd.DataFrame, traits: Mapping[str, ValueTraits], asked: Iterable[str] = ()
) -> tuple[pd.DataFrame, dict[str, ValueTraits]]:
    """Cells and traits with the combined metrics whose parts exist, and the requested ones.

    Parameters
    ----------
    frame, traits
        Cells of a run, and the traits of their columns; both are returned unchanged if there is
        nothing to combine.
    asked
        Names such as ``visqol+mrstft``.

    Raises
    ------
    UsageError
        see :func:`combination`.
    """
    import pandas as pd

    found = {**present(traits), **dict(combination(name, traits) for name in asked)}
    made = {
        name: _cells(frame, name, each, {p: traits[p].direction for p in each.parts})
        for name, each in found.items()
    }
    made = {name: cells for name, cells in made.items() if len(cells)}
    if not made:
        return frame, dict(traits)
    own = {name: _aggregated_as_parts(found[name], traits) for name in made}
    return pd.concat([frame, *made.values()], ignore_index=True), {**own, **traits}


def combination(name: str, traits: Mapping[str, ValueTraits]) -> tuple[str, Combined]:
    """The combined metric that ``visqol+mrstft`` means among the columns of ``traits``.

    Returns
    -------
    tuple
        The name with the columns that its parts mean, and the metric.

    Raises
    ------
    UsageError
        there are fewer than two metrics, or one is not a column or has no better direction.
    """
    if name in COMBINED:
        missing = [part for part in COMBINED[name].parts if part not in traits]
        if missing:
            raise UsageError(f"{name} needs {' and '.join(missing)}, which the run does not have")
        return name, COMBINED[name]
    parts = tuple(dict.fromkeys(column_named(part, traits) for part in parts_of(name)))
    if len(parts) < 2:
        raise UsageError(
            f"{name!r} is not a combination; expected two metrics, for example visqol+mrstft"
        )
    for part in parts:
        if not traits[part].direction:
            raise UsageError(
                f"{name}: for {part}, neither higher nor lower is better, so it cannot be combined"
            )
    return SIGN.join(parts), Combined(parts, _traits([traits[part] for part in parts], parts))


def _traits(values: list[ValueTraits], parts: tuple[str, ...]) -> ValueTraits:
    questions = {value.question for value in values}
    return combined_traits(
        " + ".join(v.display or part for v, part in zip(values, parts, strict=True)),
        questions.pop() if len(questions) == 1 else "other",
        min((value.rank for value in values if value.rank is not None), default=None),
        waveform_matching=any(value.waveform_matching for value in values),
        speech_model=any(value.speech_model for value in values),
    )


def _aggregated_as_parts(each: Combined, traits: Mapping[str, ValueTraits]) -> ValueTraits:
    kinds = {traits[part].aggregate for part in each.parts}
    return replace(each.traits, aggregate=kinds.pop() if len(kinds) == 1 else "mean")


def _cells(
    frame: pd.DataFrame, name: str, each: Combined, directions: Mapping[str, int]
) -> pd.DataFrame:
    """A cell for each system, song, stem and draw that has all parts."""
    parts = {part: frame[frame["metric"] == part].set_index(CELL) for part in each.parts}
    first, *others = parts.values()
    keys = first.index
    for other in others:
        keys = keys[keys.isin(other.index)]
    cells = first.loc[keys].reset_index()
    aligned = {part: table.loc[keys].reset_index() for part, table in parts.items()}
    usable = ~cells["value"].isna()
    for table in aligned.values():
        usable &= (table["status"] == "ok") & ~table["value"].isna()
    counted = usable & ~cells["family"].isin(REFERENCE_FAMILIES)
    systems = cells["system"].where(counted).groupby([cells[k] for k in SONG]).transform("nunique")
    groups = [cells[k] for k in SONG]
    scores = [
        directions[part] * z_scores(table["value"], groups, counted, cells["system"])
        for part, table in aligned.items()
    ]
    value = sum(scores[1:], scores[0]) / len(scores)
    cells["value"] = value.where(usable & (systems >= FEWEST))
    cells["status"] = _statuses(aligned, usable, systems)
    cells["metric"] = name
    for column in OWN:
        if column in cells:
            cells[column] = None if column in ("frames", "seconds") else ""
    return cells[list(frame.columns)].astype({"seconds": float} if "seconds" in frame else {})


def z_scores(
    values: pd.Series, groups: Sequence[pd.Series], counted: pd.Series, systems: pd.Series
) -> pd.Series:
    """``(x - mean) / deviation`` within groups, over the means of the systems ``counted``."""
    plain = values.astype(float).where(counted)
    means = plain.groupby([*groups, systems]).transform("mean")
    once = means.mask(means.to_frame("m").assign(g=_ids(groups), s=systems).duplicated(["g", "s"]))
    by_group = once.groupby(list(groups))
    spread = by_group.transform("std", ddof=0)
    rounding = SAME * once.abs().groupby(list(groups)).transform("max")
    z: pd.Series = (values.astype(float) - by_group.transform("mean")) / spread.where(
        spread > rounding, float("inf")
    )
    return z


def _ids(groups: Sequence[pd.Series]) -> pd.Series:
    ids: pd.Series = groups[0].groupby(list(groups)).ngroup()
    return ids


def _statuses(
    aligned: Mapping[str, pd.DataFrame], usable: pd.Series, systems: pd.Series
) -> list[str]:
    names = " and ".join(aligned)
    rows = zip(*(table["status"] for table in aligned.values()), usable, systems, strict=True)
    return [_status(tuple(aligned), [str(s) for s in row[:-2]], row[-2], row[-1], names)
            for row in rows]  # fmt: skip


def _status(
    parts: Sequence[str], statuses: Sequence[str], usable: bool, systems: int, names: str
) -> str:
    if usable:
        if systems >= FEWEST:
            return "ok"
        reason = f"z scores need {FEWEST} systems with {names} on the song; here {int(systems)}"
        return str(Status("unavailable", reason))
    part, status = next(
        ((p, s) for p, s in zip(parts, statuses, strict=True) if s != "ok"),
        (parts[0], "unavailable: no value"),
    )
    kind = Status.parse(status).kind
    if kind in ("ref_silent", "est_silent", "too_short"):
        return status
    may_come = kind in ("unavailable", "failed")
    return str(Status("unavailable" if may_come else "undefined", f"{part}: {status}"))
