"""The documentation that ships with benchsep: ``benchsep docs report#how-to-read-a-table``.

Pages are the Markdown files of ``docs/``. The wheel has a copy in ``benchsep/docs``; an editable
installation reads the folder of the checkout. Tables and messages name a page as
``docs/report.md#draws-and-tails``, which is a link in the repository.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchsep._util.shipped import shipped_folder
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError

_LINK = re.compile(r"docs/([\w/-]+)\.md(#[\w-]+)?")


def pages() -> dict[str, Path]:
    """Name and file of every page; the name is the path below ``docs`` without ``.md``."""
    folder = shipped_folder("docs")
    files = sorted(folder.rglob("*.md"), key=lambda path: (path.parent != folder, path))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}


def title(text: str) -> str:
    """The first heading of a page."""
    return next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), "")


def read_page(name: str) -> str:
    """The text of a page or of one section: ``report``, ``docs/report.md#how-to-read-a-table``.

    Raises
    ------
    UsageError
        There is no such page or section.
    """
    wanted, _, anchor = name.partition("#")
    key, found = wanted.removeprefix("docs/").removesuffix(".md"), pages()
    if key not in found:
        raise UsageError(
            f"unknown page {key!r}{did_you_mean(key, list(found))} (all pages: benchsep docs)"
        )
    text = found[key].read_text(encoding="utf-8")
    return _section(text, anchor, key) if anchor else text


def _section(text: str, anchor: str, page: str) -> str:
    """The section from the heading ``anchor`` to the next heading of its level."""
    lines, marks = text.splitlines(keepends=True), _headings(text)
    names = [name for _, _, name in marks]
    if anchor not in names:
        near = did_you_mean(anchor, names)
        raise UsageError(f"page {page!r} has no section {anchor!r}{near}")
    at = names.index(anchor)
    first, level, _ = marks[at]
    end = next((line for line, other, _ in marks[at + 1 :] if other <= level), len(lines))
    return "".join(lines[first:end])


def _headings(text: str) -> list[tuple[int, int, str]]:
    """Line, level and anchor of every heading outside code."""
    found, in_code = [], False
    for number, line in enumerate(text.splitlines()):
        in_code ^= line.startswith("```")
        if match := re.match(r"(#+) (.*)", line) if not in_code else None:
            words = re.sub(r"[^\w\s-]", "", match[2].lower()).strip()
            found.append((number, len(match[1]), re.sub(r"\s", "-", words)))
    return found


def as_commands(text: str) -> str:
    """``docs/report.md#draws-and-tails`` → ``benchsep docs report#draws-and-tails``."""
    return _LINK.sub(lambda match: f"benchsep docs {match[1]}{match[2] or ''}", text)
