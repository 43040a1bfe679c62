r"""How specs are written in a list, and where quotes protect what would end them.

Grammar
-------
::

    systems = system { "," system }
    system  = [ name "=" ] spec [ "::" family ] [ "::" training ]
    spec    = word [ ":" option { "," option } ]  |  ( "dir" | "folder" | "cmd" ) ":" text
    option  = key "=" value

name      the system's name in every output
family    ``generative``, ``discriminative``, ``oracle`` or ``unknown``; may be empty before a
          training (``dir:x::::musdb18:train``)
training  data sets and splits (:mod:`benchsep.systems.training`)
quotes    ``"…"`` and ``'…'`` protect commas and ``::`` inside. A quote opens at the start of a word
          only (first, or after a space, ``,``, ``:`` or ``=``), so an apostrophe inside a word is a
          letter. A name, value or text that is one quoted piece loses its quotes; in double quotes
          ``\"`` is a quote and ``\\`` a backslash
commas    a part with ``=`` before any ``:`` continues the options or the text before it, unless a
          registered system follows the ``=``: ``a:x=1,y=2`` is one system, ``a:x=1,b=dir:p`` two.
          Nothing continues a system that has a family or a training
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from benchsep.errors import UsageError

WHOLE_TEXT = ("dir", "cmd", "folder")
"""Names whose argument is a path or a command and is not split into options."""

FAMILIES = ("generative", "discriminative", "oracle", "unknown")
"""Families that a spec may declare."""

_QUOTES = "\"'"
_BEFORE_A_QUOTE = " \t\n,:="
_HIDDEN = "\0"

_DECLARED = re.compile(
    rf"::(?P<family>{'|'.join(FAMILIES)}|)(?:::(?P<training>[^\s,:\"'\0]+(?::[^\s,:\"'\0]+)*))?$"
)
"""Family and training at the end of a spec."""


def split_specs(text: str, systems: Collection[str] | None = None) -> tuple[str, ...]:
    """Split ``a,b:x=1,y=2,c`` into ``a``, ``b:x=1,y=2``, ``c``.

    ``systems``: names that begin a system after ``NAME=``; by default all that are registered.

    Raises
    ------
    UsageError
        a quote that is never closed.
    """
    found: list[str] = []
    for part in split(text, ","):
        if not part.strip():
            continue
        if found and _continues(part, found[-1], systems):
            found[-1] += f",{part.strip()}"
        else:
            found.append(part.strip())
    return tuple(found)


def _continues(part: str, last: str, systems: Collection[str] | None) -> bool:
    hidden = hide_quoted(last)
    if ":" not in hidden or _DECLARED.search(hidden):
        return False
    head, equals, value = hide_quoted(part).partition("=")
    return bool(equals) and ":" not in head and not _is_system(value, systems)


def _is_system(text: str, systems: Collection[str] | None) -> bool:
    return text.partition(":")[0].strip() in (registered() if systems is None else systems)


def registered() -> frozenset[str]:
    """All names that may begin a spec."""
    from benchsep import registry

    return frozenset((*registry.names("system"), *WHOLE_TEXT))


def split_declared(spec: str) -> tuple[str, str, str]:
    """A spec as ``(rest, family, training)``; the last two are empty where none is declared."""
    found = _DECLARED.search(spec)
    if found is None:
        return spec, "", ""
    return spec[: found.start()], found["family"], found["training"] or ""


def looks_declared(text: str) -> bool:
    """Whether the end of a text would be parsed as a family or training data."""
    return _DECLARED.search(text) is not None


# -- quotes -------------------------------------------------------------------------------------


def hide_quoted(text: str) -> str:
    """The text with every quoted character, and the quotes, as NUL: its length does not change.

    Raises
    ------
    UsageError
        a quote that is never closed.
    """
    out, start = list(text), 0
    while start < len(text):
        if text[start] in _QUOTES and (start == 0 or text[start - 1] in _BEFORE_A_QUOTE):
            end = closing(text, start)
            if end is None:
                raise UsageError(
                    f"{text!r}: the quote {text[start]} at character {start + 1} is not closed; "
                    "close it, or put the whole path or command in the other kind of quotes"
                )
            out[start : end + 1] = _HIDDEN * (end + 1 - start)
            start = end
        start += 1
    return "".join(out)


def closing(text: str, start: int) -> int | None:
    """Where the quote that opens at ``start`` closes."""
    place = start + 1
    while place < len(text):
        if text[place] == "\\" and text[start] == '"':
            place += 1
        elif text[place] == text[start]:
            return place
        place += 1
    return None


def split(text: str, separator: str) -> list[str]:
    """The parts between the separators that are not quoted."""
    parts, start = [], 0
    hidden = hide_quoted(text)
    for place, character in enumerate(hidden):
        if character == separator:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def quoted_piece(text: str) -> int:
    """Length of the quoted piece at the start of the text; 0 where there is none."""
    end = closing(text, 0) if text[:1] and text[0] in _QUOTES else None
    return 0 if end is None else end + 1


def unquoted(text: str) -> str:
    """The text without its quotes where it is one quoted piece."""
    if not text or quoted_piece(text) != len(text):
        return text
    inner = text[1:-1]
    return re.sub(r'\\(["\\])', r"\1", inner) if text[0] == '"' else inner


def quoted(text: str) -> str:
    """The text as one quoted piece."""
    if "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def quoted_if_needed(text: str, separators: Iterable[str] = ",") -> str:
    """The text, in quotes if a list of specs would otherwise split or change it."""
    needed = (
        text != text.strip()
        or not text
        or any(separator in text for separator in separators)
        or looks_declared(text)
        or any(
            quote in text and (place == 0 or text[place - 1] in _BEFORE_A_QUOTE)
            for place, quote in enumerate(text)
            if quote in _QUOTES
        )
        or _is_system(text, None)
    )
    return quoted(text) if needed else text
