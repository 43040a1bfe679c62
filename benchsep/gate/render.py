"""A drift report as a table (terminal, md, tex, html), CSV, JSON, JUnit XML or GitHub annotations.

Conventions
-----------
Every form except CSV has the verdict, the reasons and the number of compared cells. Tables list the
cells and means that moved and, per metric, the minimum detectable shift (the largest over systems
and stems). CSV has every cell, JSON every cell and every mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as xml

from benchsep._util import text_table
from benchsep._util.escape import printable
from benchsep._util.words import amount
from benchsep.errors import UsageError

if TYPE_CHECKING:
    from benchsep.gate.cells import Group
    from benchsep.gate.check import DriftReport, GroupRow, Row
    from benchsep.gate.tolerance import Noise

FORMS = (*text_table.FORMATS, "junit", "github")
LISTED = 50
"""Most cells listed in a table; JSON has all."""
WHY = 60
"""Most characters of a cell's reason in a table."""
ANNOTATED = 10
"""GitHub shows at most ten annotations of a kind per step."""

FOOT = """\
means: mean paired differences, one per system and stem; detects: smallest shift of a mean found
"""
CERTAIN = """\
with certainty. No noise was measured: tolerances are declared or given. To measure the noise of
systems that sample: benchsep baseline RUN --repeat RUN2."""


def render(report: DriftReport, form: str = "terminal") -> str:
    """The report in one of :data:`FORMS`.

    Raises
    ------
    UsageError
        an unknown form.
    """
    form = text_table.ALIASES.get(form, form)
    writers: dict[str, Callable[[], str]] = {
        **{name: partial(_text, report, name) for name in text_table.ESCAPES},
        "csv": lambda: _csv(report),
        "json": lambda: _json(report),
        "junit": lambda: _junit(report),
        "github": lambda: _github(report),
    }
    if form not in writers:
        raise UsageError(f"unknown format {form!r}, expected one of {', '.join(FORMS)}")
    return writers[form]()


def headline(report: DriftReport) -> str:
    """One line: the verdict and how much was measured."""
    verdict = "FAILED" if report.failed else "passed"
    return (
        f"drift gate {verdict}: {report.compared} of {len(report.rows)} cells compared, "
        f"{amount(len(report.reasons), 'reason')} to fail, "
        f"{amount(len(report.improvements), 'improvement')}"
    )


def _text(report: DriftReport, format: str) -> str:
    verdict = headline(report)
    lines = [f"**{verdict}**" if format == "md" else text_table.paragraph(verdict, format), ""]
    for title, items in (
        ("Reasons", report.reasons),
        ("Improved", report.improvements),
        ("Notes", report.notes),
    ):
        if items:
            # A track's name or a system's message may contain line ends.
            listed = text_table.bullets([printable(item, " ") for item in items], format)
            lines += [text_table.paragraph(f"{title}:", format), *listed, ""]
    odd = [row for row in report.rows if row.verdict != "ok"]
    if odd:
        lines += _table(ODD_CELLS, [_cells(row) for row in odd[:LISTED]], format)
        more = f"... and {len(odd) - LISTED} more" if len(odd) > LISTED else ""
        lines += [text_table.paragraph(more, format) if more else "", ""]
    moved = [group for group in report.groups if group.verdict != "ok"]
    head = ["system", "stem", "metric", "songs", "mean shift", "allowed", "detects", "tolerance"]
    lines += [*_table(head, [_group(group) for group in moved], format), ""] if moved else []
    head = ["metric", "means", "largest shift", "allowed", "detects", "tolerance"]
    lines += [*_table(head, _by_metric(report.groups), format), ""]
    foot = FOOT + _certainty(report)
    foot = foot if format in ("terminal", "md") else foot.replace("\n", " ")
    return "\n".join([*lines, text_table.paragraph(foot, format)]) + "\n"


def _certainty(report: DriftReport) -> str:
    """The explanation of the detectable shift, with measured noise only if there is any."""
    measured = sum(group.source == "measured" for group in report.groups)
    if not measured:
        return CERTAIN
    return (
        "with 80 % power (measured noise) or with certainty (others). Noise was measured\n"
        f"for {measured} of {len(report.groups)} means: false-alarm rate of the whole check "
        f"{report.alpha:g}."
    )


CSV_COLUMNS = (
    "system", "track", "stem", "metric", "baseline", "value", "difference", "tolerance", "verdict",
    "why",
)  # fmt: skip
ODD_CELLS = ["system", "track", "stem", "metric", "baseline", "run", "moved", "allowed", "why"]


def _csv(report: DriftReport) -> str:
    rows = [[getattr(row, name) for name in CSV_COLUMNS] for row in report.rows]
    return text_table.render_rows(CSV_COLUMNS, rows, "csv")


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
        _shown(f"{row.verdict}: {row.why}" if row.why else row.verdict),
    ]


def _shown(why: str) -> str:
    """A reason, shortened for a cell of a table; the list of reasons has the complete text."""
    return why if len(why) <= WHY else f"{why[: WHY - 1]}…"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]], format: str) -> list[str]:
    if not body:
        return []
    cells = [[_cell(text, format) for text in row] for row in body]
    return text_table.lines(head, cells, format)


def _cell(text: str, format: str) -> str:
    text = printable(text, " ")
    if format in ("tex", "html"):
        return text_table.ESCAPES[format](text)
    return text.replace("|", "\\|") if format == "md" else text


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
    """One test case per group, one per cell that is not ok, and one for all reasons."""
    root = xml.Element("testsuites", name="benchsep check")
    suite = xml.SubElement(root, "testsuite", name="benchsep check")
    case = xml.SubElement(suite, "testcase", classname="benchsep.check", name="gate")
    if report.failed:
        _failure(case, headline(report), "\n".join(report.reasons))
    failures = int(report.failed)
    for group in report.groups:
        name = f"{group.stem} {group.metric}"
        case = xml.SubElement(
            suite, "testcase", classname=printable(group.system), name=printable(name)
        )
        if group.verdict == "drifted":
            failures += 1
            moved = f"moved {group.difference:+.4g}, tolerance {group.tolerance:.3g}"
            _failure(case, moved, f"mean of {group.songs} songs; {group.source} tolerance")
    for row in report.rows:
        if row.verdict in ("ok", "improved"):
            continue
        failures += 1
        name = printable(f"{row.track} / {row.stem} / {row.metric}")
        case = xml.SubElement(suite, "testcase", classname=printable(row.system), name=name)
        _failure(case, " ".join(filter(None, (row.verdict, row.why))), "  ".join(_cells(row)))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _failure(case: xml.Element, message: str, text: str) -> None:
    xml.SubElement(case, "failure", message=printable(message)).text = "\n".join(
        map(printable, text.splitlines())
    )


def _github(report: DriftReport) -> str:
    lines = [
        *(_annotation("error", reason) for reason in report.reasons[:ANNOTATED]),
        *(_annotation("notice", text) for text in report.improvements[:ANNOTATED]),
        _annotation("error" if report.failed else "notice", headline(report)),
    ]
    return "\n".join(lines) + "\n"


def _annotation(level: str, text: str) -> str:
    # Escapes of the three special characters of workflow commands.
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=benchsep check::{escaped}"


def render_noise(measured: Mapping[Group, Noise], format: str = "terminal") -> str:
    """The noise of each (system, stem, metric), in one of the formats of ``text_table``."""
    head = ["system", "stem", "metric", "runs", "df", "sd", "worst"]
    groups = sorted(measured.items())
    if format in ("csv", "json"):
        rows = [[*group, n.runs, n.df, n.sd, n.worst] for group, n in groups]
        return text_table.render_rows(head, rows, format)
    body = [
        [*group, str(n.runs), str(n.df), f"{n.sd:.3g}", f"{n.worst:.3g}"] for group, n in groups
    ]
    foot = "sd: of a cell between runs, pooled over songs; worst: largest difference of two runs"
    return "\n".join([*_table(head, body, format), "", text_table.paragraph(foot, format)]) + "\n"
