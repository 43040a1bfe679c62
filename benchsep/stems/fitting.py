"""Which stems to ask for, where those of a system do not fit the set of a run."""

from __future__ import annotations

from collections.abc import Iterable

from benchsep.stems.relations import all_of_song, relation
from benchsep.stems.sets import STEM_SETS, parts_of, stems_asked_for


def fitting_option(offered: Iterable[str], stem_set: tuple[str, ...]) -> str:
    """The option that asks for a set which the stems ``offered`` fill: ``--stem-set vi``.

    Of the known sets with a stem that ``stem_set`` has not: one whose stems are all offered by
    name, else one whose stems follow. Without such a set ``--stems drums,no_drums``, if some of the
    stems are the whole song. Empty if there is none.
    """
    given = tuple(offered)
    new = {stem for stem in given if parts_of(stem) and stem not in stem_set}
    full = [
        name
        for name, each in STEM_SETS.items()
        if new & set(each.stems)
        and all(relation(stem, given, stem_set=each.stems) for stem in each.stems)
    ]
    if full:
        named = (name for name in full if set(STEM_SETS[name].stems) <= set(given))
        return f"--stem-set {next(named, full[0])}"
    whole = all_of_song(given)
    return f"--stems {','.join(whole)}" if new & set(whole) else ""


def stems_of_option(option: str) -> tuple[str, ...]:
    """The stems that :func:`fitting_option` asks for."""
    flag, _, value = option.partition(" ")
    if flag == "--stem-set":
        return STEM_SETS[value].stems
    return stems_asked_for(value.split(",")) if value else ()
