"""The report's Jinja environment: autoescape everywhere, undefined names are errors."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def unbroken(text: str) -> str:
    """A column head with non-breaking spaces, so that no line begins with a unit, an arrow, a
    share, a version or half a name.
    """
    joined = re.sub(r" (?=\[|↑|↓|\(\.|v\d)", "\u00a0", text)
    return re.sub(r"(?<=\w)-(?=\w)", "\u2011", joined)


@cache
def jinja_environment() -> Environment:
    """Templates of this package; text has its control characters shown, then is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from benchsep._util.escape import json_for_script, visible

    environment = Environment(
        loader=PackageLoader("benchsep.report.site", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["script_json"] = json_for_script
    environment.filters["unbroken"] = unbroken
    return environment
