"""How a stem is derived from others: the relations between the stems of a song.

Conventions
-----------
offered   stems that a data set or a system provides; the mixture is always available
relation  ``stem = sum of stems - sum of stems``, exact where the stems sum to the mixture

Rules, the first one that applies
---------------------------------
1. The stem itself.
2. A sum of offered stems with exactly its parts: ``instrumental = drums + bass + other``,
   ``other = other6 + guitar + piano``. The fewest stems are taken.
3. The mixture minus the complement of the stem, if the complement is one offered stem or, by rule
   2, one stem of the run's set: ``instrumental = mixture - vocals``,
   ``drums = mixture - no_drums``. Several stems are never subtracted, because the
   result would contain the errors of all.

Rule 2 comes before rule 3, as in MUSDB18's ``accompaniment``. If the stems do not sum to the
mixture (mastering, AAC), a reference is then a sum of stems. An estimate that is derived by rule 3
contains the difference between the mixture and the sum of the stems.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchsep.audio import Audio
from benchsep.stems.sets import SONG, Parts, parts_of, stem_of

MIXTURE = "mixture"


@dataclass(frozen=True)
class Relation:
    """``stem = plus - minus``; as text ``instrumental = mixture - vocals``."""

    stem: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()

    @property
    def is_itself(self) -> bool:
        """Whether the stem is offered under its own name."""
        return self.plus == (self.stem,) and not self.minus

    @property
    def needs(self) -> tuple[str, ...]:
        """The stems that the relation needs in addition to the mixture."""
        return tuple(name for name in (*self.plus, *self.minus) if name != MIXTURE)

    def __str__(self) -> str:
        return f"{self.stem} = " + " - ".join((" + ".join(self.plus), *self.minus))


def relation(
    stem: str,
    offered: Iterable[str],
    *,
    stem_set: Iterable[str] = (),
    absent: Iterable[str] = (),
) -> Relation | None:
    """How ``stem`` is derived from the offered stems, or ``None``: see the rules of the module.

    Parameters
    ----------
    stem_set
        All stems of the run. A third-party name that is not known here has rule 1 only.
    absent
        Stems that are known to be absent from the song: no relation needs them.
    """
    names = [name for name in offered if name != MIXTURE]
    if stem in names:
        return Relation(stem, (stem,))
    silent = Parts().union(*map(parts_of, absent))
    wanted = parts_of(stem) - silent
    parts = {name: own for name in names if (own := parts_of(name) - silent)}
    if not wanted:
        return None
    if found := _sum(wanted, parts):
        return Relation(stem, found)
    rest = SONG - parts_of(stem)
    is_one = {stem_of(rest)} & {*names, *stem_set} if rest else set()
    minus = _sum(rest - silent, parts) if is_one else ()
    return Relation(stem, (MIXTURE,), minus) if minus else None


def all_of_song(stems: Iterable[str]) -> tuple[str, ...]:
    """The fewest stems that together are the whole song; empty if there are none."""
    return _sum(SONG, {name: parts_of(name) for name in stems if parts_of(name)})


def finest(stems: Iterable[str]) -> tuple[str, ...]:
    """``stems`` without those that are sums of others of them: no part of the song occurs twice."""
    given = tuple(stems)
    parts = {name: parts_of(name) for name in given}

    def is_sum(stem: str) -> bool:
        return bool(_sum(parts[stem], {n: p for n, p in parts.items() if n != stem and p}))

    return tuple(stem for stem in given if not is_sum(stem))


def _sum(wanted: Parts, parts: Mapping[str, Parts]) -> tuple[str, ...]:
    """The fewest stems without common parts that are exactly ``wanted``; empty if there are none.

    If several sums have equally few stems, the first offered ones are taken.
    """
    if not wanted:
        return ()
    usable = {name: own for name, own in parts.items() if own <= wanted}
    first = min(wanted)
    best: tuple[str, ...] = ()
    for name, own in usable.items():
        if first not in own:
            continue
        left = wanted - own
        others = _sum(left, usable) if left else ()
        if (others or not left) and (not best or 1 + len(others) < len(best)):
            best = (name, *others)
    return tuple(name for name in parts if name in best)


def combined(how: Relation, signals: Mapping[str, Audio], mixture: Audio) -> Audio:
    """The signal of a relation: float32 ``[channels, frames]``, accumulated in float64.

    A stem that is offered by its name is returned unchanged; mono parts are repeated.
    """
    if len(how.plus) == 1 and not how.minus and how.plus != (MIXTURE,):
        return signals[how.plus[0]]
    named = {**signals, MIXTURE: mixture}
    channels = max(named[name].channels for name in (*how.plus, *how.minus))

    shape = named[how.plus[0]].to_channels(channels).samples.shape
    samples = np.zeros(shape)  # [channels, frames]
    for sign, names in ((1, how.plus), (-1, how.minus)):
        for name in names:
            samples += sign * named[name].to_channels(channels).samples
    return Audio(samples.astype(np.float32), named[how.plus[0]].rate)
