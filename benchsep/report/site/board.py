"""The page of a board: one ``index.html`` with all tables; the first table of each edition is open.

Style, tables and sorting are those of the listening page (:mod:`benchsep.report.site.build`). The
page requests nothing, which its content security policy enforces; text from outside is escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep._util.atomic import write_atomically
from benchsep.report.site.build import asset, badge_of, title
from benchsep.report.site.templates import jinja_environment
from benchsep.report.tables.model import format_value, head, shared_notes

if TYPE_CHECKING:
    from pathlib import Path

    from benchsep.report.run import RunData

START = """document.querySelectorAll("table.sortable").forEach(benchsep.tables.enhance);
document.querySelectorAll(".scroll").forEach(benchsep.tables.hint);"""


def write_board(run: RunData, out: Path) -> Path:
    """Write ``out/index.html``; the same run gives the same bytes.

    Raises
    ------
    StoreError
        the file cannot be written.
    """
    from markupsafe import Markup

    seen: set[str] = set()
    tables = []
    for table in run.tables:
        tables.append((table, table.edition in seen))
        seen.add(table.edition)
    script = "\n".join([asset("base.js"), asset("tables.js"), START])
    text = (
        jinja_environment()
        .get_template("board.html.j2")
        .render(
            title=title(run),
            tables=tables,
            notes=shared_notes(run.tables),
            head=head,
            badge_of=badge_of,
            format_value=format_value,
            # Our own files, without external text.
            style=Markup(asset("style.css")),
            script=Markup(script),
        )
    )
    page = out / "index.html"
    write_atomically(page, text)
    return page
