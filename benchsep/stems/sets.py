"""Stem sets as data: the parts of a song in each stem, and the stems in each set.

Conventions
-----------
part      an instrument that no stem here divides further; a song is the sum of all parts
stem      a name for some of the parts (:data:`STEM_PARTS`); stems with no common part add up
rest      ``other`` is MUSDB18's: all but vocals, drums and bass. ``other6`` lacks guitar and piano
          as well, ``other11`` is what MoisesDB calls other. Any other rest is written as a
          difference: ``other-guitar``, ``instrumental-drums``
``no_x``  all but ``x``; ``no_vocals`` is ``instrumental``
set       stems without a common part that together are the song (:data:`STEM_SETS`). The stems of
          one run belong to one set: interference is measured against the other stems of the set

A stem that is not offered by its name is derived from others by :mod:`benchsep.stems.relations`.

Sources: MUSDB18, whose ``accompaniment`` is drums + bass + other; ``htdemucs_6s`` of demucs;
``moisesdb/defaults.py`` of moises-ai/moises-db (taxonomy, ``mix_4_stems``, ``mix_6_stems``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchsep._util.suggest import did_you_mean
from benchsep.audio import STEMS
from benchsep.stems.names import ACCOMPANIMENT, PARTS_OF_OTHER, canonical

Parts = frozenset[str]

_SINGLE = tuple(name.replace(" ", "_") for name in PARTS_OF_OTHER if name != "guitar")
SONG: Parts = frozenset((*STEMS[:3], *_SINGLE, "rest"))
"""All parts; ``rest`` is everything without a name here."""

STEM_PARTS: dict[str, Parts] = {name: frozenset({name}) for name in (*STEMS[:3], *_SINGLE)}
"""Stem to its parts, in the order of lookup."""
STEM_PARTS["guitar"] = frozenset({"acoustic_guitar", "electric_guitar"})


def _rest_of(*stems: str) -> Parts:
    return SONG - frozenset[str]().union(*(STEM_PARTS[stem] for stem in stems))


MOISES_BEFORE_OTHER = ("vocals", "bass", "drums")
MOISES_AFTER_OTHER = (
    "guitar",
    "other_plucked",
    "percussion",
    "piano",
    "other_keys",
    "bowed_strings",
    "wind",
)
STEM_PARTS |= {
    "other": _rest_of("vocals", "drums", "bass"),
    "other6": _rest_of("vocals", "drums", "bass", "guitar", "piano"),
    "other11": _rest_of(*MOISES_BEFORE_OTHER, *MOISES_AFTER_OTHER),
    "instrumental": _rest_of("vocals"),
    **{f"no_{stem}": SONG - parts for stem, parts in STEM_PARTS.items() if stem != "vocals"},
}
STEM_PARTS["no_other"] = _rest_of("other")


@dataclass(frozen=True)
class StemSet:
    """Stems that share no part and together are the song, in table order."""

    stems: tuple[str, ...]
    what: str


STEM_SETS = {
    "vdbo": StemSet(STEMS, "MUSDB18's four stems"),
    "vi": StemSet(("vocals", "instrumental"), "vocals, and all the rest"),
    "vdbogp": StemSet(
        ("vocals", "drums", "bass", "other6", "guitar", "piano"),
        "the six stems of htdemucs_6s; other6 is other without guitar and piano",
    ),
    "moises": StemSet(
        (*MOISES_BEFORE_OTHER, "other11", *MOISES_AFTER_OTHER),
        "MoisesDB's eleven stems; other11 is what it calls other",
    ),
}
"""Name to set, in the order of lookup."""

FOUR = STEM_SETS["vdbo"].stems


# -- names ---------------------------------------------------------------------------------------


def parts_of(stem: str) -> Parts:
    """The parts of a stem, or of a difference of stems; empty for any other name."""
    base, *less = stem.split("-")
    whole = STEM_PARTS.get(base, Parts())
    taken = [STEM_PARTS.get(name, Parts()) for name in less]
    return whole.difference(*taken) if all(taken) else Parts()


def stem_of(parts: Parts) -> str:
    """The name of the stem with these parts: one of the table, else a difference.

    Raises
    ------
    ValueError
        there is no name: the parts are empty, or the whole song.
    """
    for name, own in STEM_PARTS.items():
        if own == parts:
            return name
    around = [name for name, own in STEM_PARTS.items() if parts < own]
    if not parts or not around:
        raise ValueError(f"no stem holds {sorted(parts)}")
    base = min(around, key=lambda name: len(STEM_PARTS[name]))
    left, less = STEM_PARTS[base] - parts, []
    for name in sorted(STEM_PARTS, key=lambda name: -len(STEM_PARTS[name])):
        if STEM_PARTS[name] <= left:
            less.append(name)
            left -= STEM_PARTS[name]
    return "-".join((base, *sorted(less, key=list(STEM_PARTS).index)))


def stem_called(name: str) -> str | None:
    """The stem that a name means on its own, in any spelling; ``None`` if it is not a stem.

    ``Vocal`` is ``vocals``, ``accompaniment`` is ``instrumental``, ``other-guitar-piano`` is
    ``other6``.
    """
    exact = name.strip().casefold()
    if parts := parts_of(exact):
        return stem_of(parts)
    text = canonical(name).replace(" ", "_")
    text = "instrumental" if text == ACCOMPANIMENT else text
    return stem_of(parts) if (parts := parts_of(text)) else None


# -- the set of a run ----------------------------------------------------------------------------


def stems_asked_for(names: Iterable[str], stem_set: str | None = None) -> tuple[str, ...]:
    """The stems that names on the command line mean, in the order of their set.

    ``other`` is the rest of the set that the names belong to: ``guitar,other`` asks for two stems
    of ``vdbogp``, whose other is ``other6``.

    Raises
    ------
    ValueError
        a name is not a stem (with a suggestion), is not in ``stem_set``, or overlaps with another.
    """
    given = list(dict.fromkeys(names))
    meanings = {name: stem_called(name) for name in given}
    for name, stem in meanings.items():
        if stem is None:
            known = [*FOUR, *(n for n in STEM_PARTS if n not in FOUR)]
            raise ValueError(f"unknown stem {name!r}{did_you_mean(name, known)}")
    stems = [str(stem) for stem in meanings.values()]
    for each in [stem_set] if stem_set else STEM_SETS:
        members = STEM_SETS[each].stems
        found = [_in_set(stem, members) for stem in stems]
        if all(found):
            return tuple(m for m in members if m in found)
        if stem_set:
            lost = given[found.index("")]
            raise ValueError(f"{lost!r} is not of the set {each}: {', '.join(members)}")
    _refuse_overlap(stems)
    return tuple(dict.fromkeys(stems))


def _in_set(stem: str, members: tuple[str, ...]) -> str:
    """The member of a set that a name means there; empty if none."""
    if stem in members:
        return stem
    rests = [m for m in members if m.startswith("other") and m not in _SINGLE]
    return rests[0] if stem == "other" and rests else ""


def _refuse_overlap(stems: list[str]) -> None:
    for i, one in enumerate(stems):
        for two in stems[:i]:
            if one != two and parts_of(one) & parts_of(two):
                raise ValueError(
                    f"{two} and {one} overlap: the stems of one run must be different parts of the "
                    "song; make two runs"
                )


def whole_set(stems: tuple[str, ...], stem_set: str | None = None) -> tuple[str, ...]:
    """All stems of the set that ``stems`` belong to: a named set, else ``stems`` and their rest."""
    if stem_set:
        return STEM_SETS[stem_set].stems
    for each in STEM_SETS.values():
        if set(stems) <= set(each.stems):
            return each.stems
    if not all(map(parts_of, stems)):
        return stems  # of a third party
    rest = SONG.difference(*map(parts_of, stems))
    return (*stems, stem_of(rest)) if rest else stems


def in_order(stems: Iterable[str]) -> tuple[str, ...]:
    """Stems in the order of the first set that has them all. Without such a set: the four stems,
    then other known stems, then unknown ones by name.
    """
    names = set(stems)
    for each in STEM_SETS.values():
        if names <= set(each.stems):
            return tuple(stem for stem in each.stems if stem in names)
    known = dict.fromkeys((*FOUR, *STEM_PARTS))
    return (*(s for s in known if s in names), *sorted(names - known.keys()))


def disjoint(stems: Iterable[str]) -> tuple[str, ...]:
    """``stems`` without those that overlap with an earlier one; unknown names are left out."""
    found: list[str] = []
    for stem in in_order(stems):
        parts = parts_of(stem)
        if parts and not any(parts & parts_of(other) for other in found):
            found.append(stem)
    return tuple(found)


def set_name(stems: Iterable[str]) -> str:
    """The name of a stem set; if it has none, the list of its stems."""
    wanted = set(stems)
    named = (name for name, each in STEM_SETS.items() if set(each.stems) == wanted)
    return next(named, ",".join(stems))
