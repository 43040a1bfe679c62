"""What the output names of one system, or the files of one song, are as stems of any set.

Conventions
-----------
names     all names of a system or a data set (:func:`benchsep.stems.names.stem_map`)
stems     names of :mod:`benchsep.stems.sets`
``other``  what the other names leave of the song: beside vocals alone ``instrumental``, beside
          MUSDB18's three ``other``, beside guitar and piano too ``other6``. Alone it means nothing
sums      where instruments of MUSDB18's ``other`` have names of their own, ``other`` is their sum
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from benchsep.stems.names import StemMap, canonical, stem_map
from benchsep.stems.sets import FOUR, SONG, parts_of, stem_called, stem_of


def full_map(names: Iterable[str]) -> StemMap:
    """The meaning of a set of names, with the stems of every set as its sources.

    Raises
    ------
    ValueError
        two names mean the same stem.
    """
    given = list(names)
    return replace(stem_map(given), sources=stems_meant(given))


def stems_meant(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Stem to the names whose sum it is; the four of MUSDB18 first, then as the names come.

    Raises
    ------
    ValueError
        two names mean the same stem.
    """
    given = list(dict.fromkeys(names))
    four = stem_map(given)
    found = {stem: four.sources[stem] for stem in four.stems}
    single = {name: stem for name in given if (stem := stem_called(name)) and stem != "other"}
    for name, stem in single.items():
        found.setdefault(stem, (name,))
    # Accompaniments beside a rest are other names of it, no parts of the song of their own.
    parts = [parts_of(s) for s in single.values() if "rest" not in parts_of(s)]
    rest = SONG.difference(*parts)
    named_other = next((name for name in given if canonical(name) == "other"), None)
    if named_other is not None and parts and rest:
        found.setdefault(stem_of(rest), (named_other,))
    order = [*(s for s in FOUR if s in found), *(s for s in found if s not in FOUR)]
    return {stem: found[stem] for stem in order}
