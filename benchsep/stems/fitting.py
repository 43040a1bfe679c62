"""Suggests another stem set if the stems of a system do not fit the set of a run."""

from __future__ import annotations

from collections.abc import Iterable

from benchsep.stems.relations import all_of_song, relation
from benchsep.stems.sets import STEM_SETS, parts_of, stems_asked_for


def fitting_option(offered: Iterable[str], stem_set: tuple[str, ...]) -> str:
    """The option for a stem set that the stems ``offered`` provide: ``--stem-set vi``.

    Only known sets with a stem that is not in ``stem_set`` are considered: first a set whose stems
    are all offered by name, then a set whose stems can be derived. If there is no such set and some
    of the stems sum to the whole song, the option lists them (``--stems drums,no_drums``). Empty if
    nothing fits.
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
