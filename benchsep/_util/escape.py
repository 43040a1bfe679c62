r"""Escapes external text (track names, system labels, failure reasons) for each output format.

Conventions
-----------
Every function takes any string and returns one line. No character is silently dropped; active
characters are shown in visible form, so a song named ``<img onerror=…>`` is harmless.

Functions
---------
visible          control and direction-changing characters as ``\x1b`` (terminal, and the first
                 step of all others)
html             for element text and quoted attributes
markdown         for GitHub-flavoured table cells
latex            for text; compiles under pdfLaTeX whatever the string holds
csv_cell         for text cells; prevents formulas in spreadsheets
from_csv_cell    the text of such a cell
json_for_script  for JSON inside ``<script>``
printable        for messages and XML: control characters are replaced, not shown
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "'": "'", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "-": "{-}",
    "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}",
    "\u00a0": "~", "±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "∞": r"$\infty$",
    "≤": r"$\leq$", "≥": r"$\geq$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "Δ": r"$\Delta$",
    "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"\S{}",
    "·": r"$\cdot$", "²": r"$^2$", "³": r"$^3$", "°": r"$^\circ$",
}  # fmt: skip

_FORMULA = re.compile(r"\s*[=+\-@\t\r]")

_LATEX_LACKS = frozenset("ĦħĸĿŀŉŦŧſ")
"""Latin letters that LaTeX's T1 fonts do not have: an error in pdfLaTeX."""

_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories of invisible characters, which may change the display or the terminal."""


def visible(text: str) -> str:
    r"""Control, bidirectional and unassigned characters written out: ``\x1b``, ``\u202e``."""
    return "".join(_shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _ACTING:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def html(text: str) -> str:
    """For element text and for attributes in quotes."""
    return "".join(_HTML.get(c, c) for c in visible(text))


def markdown(text: str) -> str:
    """For a table cell: no formatting, links, HTML or cell separators."""
    escaped = re.sub(r"([\\`*\[\]|~])", r"\\\1", visible(text))
    # An underscore inside a word is literal in every dialect, so it is not escaped.
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # GitHub makes links of addresses and mentions; a zero-width entity would be invisible.
    return re.sub(r"(?i)(https?|ftp|mailto):|www\.", lambda m: m[0][:-1] + _entity(m[0]), escaped)


def _entity(matched: str) -> str:
    return "&#58;" if matched.endswith(":") else "&#46;"


def latex(text: str) -> str:
    """For text mode; a letter without a glyph in pdfLaTeX becomes ``U+6F22``."""
    return "".join(_latex_character(c) for c in visible(text))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    latin = 0xC0 <= ord(character) <= 0x17F and character.isalpha()
    if ord(character) < 0x80 or (latin and character not in _LATEX_LACKS):
        return character
    return rf"\texttt{{U+{ord(character):04X}}}"


def csv_cell(text: str) -> str:
    """Puts an apostrophe before text that a spreadsheet would interpret as a formula.

    Only for *text*: a number such as ``-3.47`` must be written unchanged. The CSV writer quotes
    commas.
    """
    return f"'{visible(text)}" if is_formula(text) else visible(text)


def from_csv_cell(text: str) -> str:
    """The inverse of :func:`csv_cell`."""
    return text[1:] if text.startswith("'") and is_formula(text[1:]) else text


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would interpret the text as a formula."""
    return _FORMULA.match(text) is not None


def json_for_script(value: Any) -> str:
    """Strict JSON that cannot close the ``<script>`` element around it."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}", *, keep: str = "") -> str:
    """Text in which ``instead`` replaces each character that cannot be printed, except ``keep``."""
    return "".join(c if c.isprintable() or c in keep else instead for c in text)
