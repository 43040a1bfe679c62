"""Maps the output names of one system, or the file names of one song, to stems of any set.

Conventions
-----------
names     all names of a system or a data set (:func:`benchsep.stems.names.stem_map`)
stems     names of :mod:`benchsep.stems.sets`
``other``  the rest of the song after the other names: with vocals alone ``instrumental``, with
          MUSDB18's three stems ``other``, with these and guitar and piano ``other6``. Alone it is
          undefined
sums      if instruments of MUSDB18's ``other`` have their own names, ``other`` is their sum
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
    # An accompaniment is another name of the rest, not a further part of the song.
    parts = [parts_of(s) for s in single.values() if "rest" not in parts_of(s)]
    rest = SONG.difference(*parts)
    named_other = next((name for name in given if canonical(name) == "other"), None)
    if named_other is not None and parts and rest:
        found.setdefault(stem_of(rest), (named_other,))
    order = [*(s for s in FOUR if s in found), *(s for s in found if s not in FOUR)]
    return {stem: found[stem] for stem in order}
