r"""Width of text in LaTeX's ``\footnotesize``, and the split of columns into pages.

Conventions
-----------
unit    TeX points, for ``\footnotesize`` of a document of 10 points: Computer Modern at 8 points
widths  measured with pdflatex, rounded up to a tenth of a point; letters not listed count as ``W``

Functions
---------
width  of a text
lines  a head on as few lines as its column needs
parts  columns, split where a row of them would be wider than the page
"""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = 345.0
r"""``\textwidth`` of the class ``article`` with 10 points."""
GAP = 6.0
r"""Space between two columns: twice ``\tabcolsep``, which the table sets to 3 points."""
BOLD = 1.16
"""Width of bold text relative to upright text."""
LARGEST = 8.8

_WIDTHS = {
    2.4: " !',.:;[]`il|", 2.6: "fj", 2.8: "-", 3.1: "I_", 3.4: "()rst", 3.8: "cez", 4.0: "?†",
    4.3: '"$*/0123456789\\^ago{}~↑↓', 4.5: "Jkqvxy–", 4.8: "Sbdhnpu", 5.3: "ZL", 5.5: "F",
    5.8: "EP", 6.1: "BCTw", 6.4: "RAHNUVXY", 6.7: "D&+<=>@KOQG−", 7.1: "#%mΔ", 7.8: "M",
}  # fmt: skip
_WIDTH_OF = {letter: points for points, letters in _WIDTHS.items() for letter in letters}


def width(text: str) -> float:
    """Width of a line of plain text in points."""
    return sum(_WIDTH_OF.get(letter, LARGEST) for letter in text)


def lines(text: str, room: float) -> list[str]:
    """A head on one to three lines: as few lines as fit ``room``, else the narrowest layout."""
    words = re.sub(r" (?=[↑↓])", "\N{NO-BREAK SPACE}", text).split(" ")
    best = [text]
    for cuts in range(1, min(3, len(words))):
        if max(map(width, best)) <= room:
            return best
        best = min(
            (_cut(words, places) for places in combinations(range(1, len(words)), cuts)),
            key=lambda found: max(map(width, found)),
        )
    return best


def _cut(words: Sequence[str], places: Sequence[int]) -> list[str]:
    edges = [0, *places, len(words)]
    joined = [" ".join(words[a:b]) for a, b in pairwise(edges)]
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in joined]


def parts(first: float, others: Sequence[float], page: float = PAGE) -> list[list[int]]:
    """Indices of the columns of each part: as few parts as possible, of similar width.

    Parameters
    ----------
    first
        Width of the column of names, which each part has.
    others
        Width of each other column.
    page
        Largest width of a part. A wider column gets its own part.
    """
    room = page - first - GAP
    count = len(_filled(others, room))
    narrow = room / 2
    while len(_filled(others, narrow)) > count:
        narrow += 1.0
    return _filled(others, min(narrow, room))


def _filled(widths: Sequence[float], room: float) -> list[list[int]]:
    found: list[list[int]] = [[]]
    taken = 0.0
    for index, points in enumerate(widths):
        if found[-1] and taken + points > room:
            found.append([])
            taken = 0.0
        found[-1].append(index)
        taken += points + GAP
    return found
