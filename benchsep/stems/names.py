"""Maps the stem names of a system to MUSDB's four stems.

Conventions
-----------
name      any name that a model, a folder or a program uses for an output (``Vocals``, ``guitar``)
set       all names that one system outputs (for a single-target checkpoint: all instruments of its
          configuration). The meaning of ``other`` depends on the set, not on the name
stem      one of :data:`benchsep.audio.STEMS`

Rules
-----
1. Names are compared without case, accents' encoding (NFC) and surrounding space; synonyms count
   (``vocal`` = ``vocals``).
2. Instruments beyond the four (guitar, piano, ...) are part of MUSDB's ``other``: if the set holds
   them, ``other`` is the sum of ``other`` and these instruments. If the set also holds ``guitar``,
   acoustic and electric guitar are parts of it and are not added again.
3. ``other`` is MUSDB's ``other`` only if the set also holds vocals, drums and bass. In a set such
   as ``{vocals, other}`` it is everything except vocals: an *accompaniment*. ``instrumental``,
   ``accompaniment`` and ``no_vocals`` are accompaniments too. An accompaniment is not one of the
   four stems. :mod:`benchsep.stems.meaning` has the rules for other stem sets.
4. Any other name is unknown. It is listed but never scored.

:func:`stem_map` applies these rules for all callers: folders, programs, checkpoints,
``benchsep score`` and pseudo-label teachers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from benchsep.audio import STEMS

T = TypeVar("T")

SYNONYMS = {
    "vocal": "vocals",
    "voice": "vocals",
    "voices": "vocals",
    "singing": "vocals",
    "vox": "vocals",
    "drum": "drums",
    "drum kit": "drums",
    "drumkit": "drums",
    "drum set": "drums",
    "bass guitar": "bass",
    "electric bass": "bass",
    "others": "other",
    "guitars": "guitar",
    "keyboard": "keys",
    "keyboards": "keys",
    "synths": "synth",
    "synthesizer": "synth",
    "instrumental": "accompaniment",
    "instrumentals": "accompaniment",
    "instrum": "accompaniment",
    "inst": "accompaniment",
    "backing": "accompaniment",
    "backing track": "accompaniment",
    "karaoke": "accompaniment",
}
"""Other spellings of a name."""

PARTS_OF_OTHER = (
    "guitar",
    "acoustic guitar",
    "electric guitar",
    "piano",
    "keys",
    "organ",
    "synth",
    "strings",
    "bowed strings",
    "wind",
    "winds",
    "brass",
    "other plucked",
    "other keys",
    "percussion",
)
"""Instruments that MUSDB18 puts into ``other``; the last three are MoisesDB's names."""

WITHIN = {"acoustic guitar": "guitar", "electric guitar": "guitar"}
"""Instruments that are part of another one: with both in a set, the part would count twice."""

ACCOMPANIMENT = "accompaniment"
MIXTURE = ("mixture", "mix")
NO = tuple(f"no {name}" for name in (*STEMS[1:], *PARTS_OF_OTHER))
"""Names of all but one stem; ``no vocals`` is an accompaniment."""
RESTS = ("other6", "other11")
"""``other`` of six stems and of MoisesDB's eleven (:mod:`benchsep.stems.sets`)."""
KNOWN = (*STEMS, *PARTS_OF_OTHER, ACCOMPANIMENT, *NO, *MIXTURE)


def normalized(name: str) -> str:
    """The name in NFC, case folded, words separated by one space."""
    text = unicodedata.normalize("NFC", name).casefold()
    return re.sub(r"[\s_-]+", " ", text).strip()


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """The name without synonyms: ``Instrumental`` and ``no_vocals`` are ``accompaniment``."""
    text = normalized(name)
    if found := re.fullmatch(r"(no|minus|without) (.+)", text):
        inner = SYNONYMS.get(found[2], found[2])
        return ACCOMPANIMENT if inner == STEMS[0] else f"no {inner}"
    return SYNONYMS.get(text, text)


@lru_cache(maxsize=4096)
def is_known(name: str) -> bool:
    """Whether the name is a stem, a part of ``other``, an accompaniment or the mixture."""
    return canonical(name) in KNOWN or is_rest(name)


def is_rest(name: str) -> bool:
    """Whether the name itself defines what is left out: ``other6``, ``other-guitar``."""
    base, *less = name.strip().split("-")
    is_difference = less and canonical(base) in ("other", ACCOMPANIMENT, *NO) and " " not in name
    return canonical(name) in RESTS or bool(is_difference and all(map(is_known, less)))


@dataclass(frozen=True)
class StemMap:
    """Which names make up each stem; see the rules at the top of the module.

    ``sources``: stem to the names whose sum it is. ``accompaniment``: names that mean "everything
    except" a stem. ``unknown``: all other names.
    """

    sources: dict[str, tuple[str, ...]]
    accompaniment: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), compare=False)

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that are offered: :data:`benchsep.audio.STEMS` in their order, then others."""
        four = tuple(s for s in STEMS if s in self.sources)
        return (*four, *(s for s in self.sources if s not in STEMS))

    @property
    def folded(self) -> str:
        """``other=guitar+other+piano`` where a stem is a sum, else an empty text."""
        return ",".join(
            f"{stem}={'+'.join(sorted(map(canonical, names)))}"
            for stem, names in self.sources.items()
            if len(names) > 1
        )

    def gather(self, outputs: Mapping[str, T]) -> dict[str, list[T]]:
        """The outputs whose sum is each stem; a stem with a missing part is left out."""
        return {
            stem: [outputs[name] for name in names]
            for stem, names in self.sources.items()
            if all(name in outputs for name in names)
        }


def stem_map(names: Iterable[str]) -> StemMap:
    """The meaning of a set of names.

    Raises
    ------
    ValueError
        if two names of the set mean the same stem (``vocals`` and ``Vocal``).
    """
    given = tuple(dict.fromkeys(names))
    by_meaning: dict[str, str] = {}
    for name in given:
        meaning = canonical(name)
        if meaning in by_meaning and meaning in (*STEMS, *PARTS_OF_OTHER):
            raise ValueError(f"{by_meaning[meaning]!r} and {name!r} both mean {meaning}")
        by_meaning[meaning] = name
    sources: dict[str, tuple[str, ...]] = {
        s: (by_meaning[s],) for s in STEMS[:3] if s in by_meaning
    }
    accompaniment = tuple(n for n in given if canonical(n) in (ACCOMPANIMENT, *NO))
    parts = tuple(
        by_meaning[part]
        for part in ("other", *PARTS_OF_OTHER)
        if part in by_meaning and WITHIN.get(part) not in by_meaning
    )
    parts = parts[:1] if any(map(is_rest, given)) else parts
    if all(s in by_meaning for s in STEMS[:3]) and "other" in by_meaning:
        sources["other"] = parts
    elif "other" in by_meaning:
        accompaniment += (by_meaning["other"],)
    unknown = tuple(n for n in given if not is_known(n))
    return StemMap(sources, accompaniment, unknown, given)
