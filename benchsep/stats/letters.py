"""Compact letter display: systems that share a letter are not shown to differ.

Source: Piepho 2004, J. Comput. Graph. Stat. 13, 456 (insert and absorb).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def compact_letters(names: Sequence[str], differ: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Letters of each name; two names share one exactly when their pair is not in ``differ``.

    A letter is a set of names (a column of the display). It starts with one set of all names.
    *Insert*: a pair that differs splits every set that holds both into the set without the one and
    the set without the other. *Absorb*: a set inside another is removed, as the larger one already
    shows that its names do not differ.

    Parameters
    ----------
    names
        Best first; the best gets ``a``.
    differ
        Pairs that differ (order within a pair does not matter).
    """
    sets: list[set[str]] = [set(names)]
    for one, other in sorted({tuple(sorted(pair, key=names.index)) for pair in differ}):
        for both in [s for s in sets if one in s and other in s]:
            sets.remove(both)
            sets += [both - {one}, both - {other}]
        unique = [s for i, s in enumerate(sets) if s not in sets[:i]]
        sets = [s for s in unique if not any(s < larger for larger in unique)]
    sets.sort(key=lambda group: sorted(names.index(name) for name in group))
    return {
        name: "".join(_letter(i) for i, group in enumerate(sets) if name in group) for name in names
    }


def _letter(index: int) -> str:
    """A to z, then a1 to z1, a2 ..."""
    return chr(ord("a") + index % 26) + (str(index // 26) if index >= 26 else "")
