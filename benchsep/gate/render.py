"""A drift report as a terminal or Markdown table, JSON, JUnit XML or GitHub annotations.

Conventions
-----------
Every form says: passed or failed, why, and how many cells were compared. Tables list the cells
and means that moved, and for each metric the minimum detectable shift (the widest over systems
and stems); the JSON has every cell and every mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as xml

from benchsep.errors import UsageError

if TYPE_CHECKING:
    from benchsep.gate.check import DriftReport, Group, GroupRow, Noise, Row

FORMS = ("table", "md", "json", "junit", "github")
LISTED = 50
"""Cells listed one by one in a table; the JSON has them all."""
ANNOTATED = 10
"""GitHub shows at most ten annotations of a kind per step."""

FOOT = """\
means: mean paired differences, one per system and stem; detects: smallest shift of a mean found
with 80 % power (measured noise) or with certainty (declared tolerance)."""


def render(report: DriftReport, form: str = "table") -> str:
    """The report in one of :data:`FORMS`.

    Raises
    ------
    UsageError
        an unknown form.
    """
    writers = {
        "table": lambda: _text(report, markdown=False),
        "md": lambda: _text(report, markdown=True),
        "json": lambda: _json(report),
        "junit": lambda: _junit(report),
        "github": lambda: _github(report),
    }
    if form not in writers:
        raise UsageError(f"unknown format {form!r}; expected one of {', '.join(FORMS)}")
    return writers[form]()


def headline(report: DriftReport) -> str:
    """One line: the verdict and how much was measured."""
    verdict = "FAILED" if report.failed else "passed"
    return (
        f"drift gate {verdict}: {report.compared} of {len(report.rows)} cells compared, "
        f"{len(report.reasons)} reasons to fail, {len(report.improvements)} improvements"
    )


def _text(report: DriftReport, *, markdown: bool) -> str:
    lines = [f"**{headline(report)}**" if markdown else headline(report), ""]
    for title, items in (
        ("Reasons", report.reasons),
        ("Improved", report.improvements),
        ("Notes", report.notes),
    ):
        lines += [f"{title}:", *(f"- {item}" for item in items), ""] if items else []
    odd = [row for row in report.rows if row.verdict != "ok"]
    if odd:
        head = ["system", "track", "stem", "metric", "baseline", "run", "moved", "allowed", "why"]
        lines += [*_table(head, [_cells(row) for row in odd[:LISTED]], markdown)]
        lines += [f"... and {len(odd) - LISTED} more" if len(odd) > LISTED else "", ""]
    moved = [group for group in report.groups if group.verdict != "ok"]
    head = ["system", "stem", "metric", "songs", "mean shift", "allowed", "detects", "tolerance"]
    lines += [*_table(head, [_group(group) for group in moved], markdown), ""] if moved else []
    head = ["metric", "means", "largest shift", "allowed", "detects", "tolerance"]
    lines += [*_table(head, _by_metric(report.groups), markdown), ""]
    return "\n".join([*lines, FOOT, f"False-alarm rate: {report.alpha:g} (measured).\n"])


def _group(group: GroupRow) -> list[str]:
    return [
        group.system,
        group.stem,
        group.metric,
        str(group.songs),
        f"{group.difference:+.4f}",
        _number(group.tolerance),
        _number(group.detectable),
        f"{group.source}: {group.verdict}",
    ]


def _by_metric(groups: Sequence[GroupRow]) -> list[list[str]]:
    """A line per metric and source of tolerance: the largest shift and the widest limits."""
    parts: dict[tuple[str, str], list[GroupRow]] = {}
    for group in groups:
        parts.setdefault((group.metric, group.source), []).append(group)
    return [
        [
            metric,
            str(len(part)),
            f"{max((g.difference for g in part), key=abs):+.4f}",
            _number(max(g.tolerance for g in part)),
            _number(max(g.detectable for g in part)),
            source,
        ]
        for (metric, source), part in sorted(parts.items())
    ]


def _cells(row: Row) -> list[str]:
    return [
        row.system,
        row.track,
        row.stem,
        row.metric,
        _number(row.baseline),
        _number(row.value),
        "" if row.difference is None else f"{row.difference:+.4f}",
        _number(row.tolerance),
        row.verdict + (f": {row.why}" if row.why else ""),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]], markdown: bool) -> list[str]:
    if not body:
        return []
    rows = [[_clean(cell, " ") for cell in row] for row in body]
    if markdown:
        rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *rows]) for i in range(len(head))]
    edge = "| " if markdown else ""
    gap = " | " if markdown else "  "
    end = " |" if markdown else ""

    def line(row: Sequence[str]) -> str:
        text = gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return (edge + text + end).rstrip()

    rule = gap.join("-" * width for width in widths)
    return [line(head), edge + rule + end, *(line(row) for row in rows)]


def _json(report: DriftReport) -> str:
    content: dict[str, Any] = {
        "failed": report.failed,
        "reasons": report.reasons,
        "improvements": report.improvements,
        "notes": report.notes,
        "compared": report.compared,
        "alpha": report.alpha,
        "groups": [vars(group) for group in report.groups],
        "cells": [vars(row) for row in report.rows],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _junit(report: DriftReport) -> str:
    """One case per group, one per odd cell, one for the reasons as a whole."""
    root = xml.Element("testsuites", name="benchsep check")
    suite = xml.SubElement(root, "testsuite", name="benchsep check")
    case = xml.SubElement(suite, "testcase", classname="benchsep.check", name="gate")
    if report.failed:
        _failure(case, headline(report), "\n".join(report.reasons))
    failures = int(report.failed)
    for group in report.groups:
        name = f"{group.stem} {group.metric}"
        case = xml.SubElement(suite, "testcase", classname=_clean(group.system), name=_clean(name))
        if group.verdict == "drifted":
            failures += 1
            moved = f"moved {group.difference:+.4g}, tolerance {group.tolerance:.3g}"
            _failure(case, moved, f"mean of {group.songs} songs; {group.source} tolerance")
    for row in report.rows:
        if row.verdict in ("ok", "improved"):
            continue
        failures += 1
        name = _clean(f"{row.track} / {row.stem} / {row.metric}")
        case = xml.SubElement(suite, "testcase", classname=_clean(row.system), name=name)
        _failure(case, " ".join(filter(None, (row.verdict, row.why))), "  ".join(_cells(row)))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _failure(case: xml.Element, message: str, text: str) -> None:
    xml.SubElement(case, "failure", message=_clean(message)).text = "\n".join(
        map(_clean, text.splitlines())
    )


def _clean(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Text without control characters: they break a table, and XML 1.0 cannot hold them."""
    return "".join(c if c.isprintable() else instead for c in text)


def _github(report: DriftReport) -> str:
    lines = [
        *(_annotation("error", reason) for reason in report.reasons[:ANNOTATED]),
        *(_annotation("notice", text) for text in report.improvements[:ANNOTATED]),
        _annotation("error" if report.failed else "notice", headline(report)),
    ]
    return "\n".join(lines) + "\n"


def _annotation(level: str, text: str) -> str:
    # The three characters that end or split a workflow command, as the runner expects them.
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=benchsep check::{escaped}"


def render_noise(measured: Mapping[Group, Noise]) -> str:
    """The noise of each (system, stem, metric) as a table."""
    head = ["system", "stem", "metric", "runs", "df", "sd", "worst"]
    body = [
        [*group, str(found.runs), str(found.df), f"{found.sd:.3g}", f"{found.worst:.3g}"]
        for group, found in sorted(measured.items())
    ]
    foot = "sd: of a cell between runs, pooled over songs; worst: largest difference of two runs"
    return "\n".join([*_table(head, body, markdown=False), "", foot]) + "\n"
