"""The report's Jinja environment: autoescape everywhere, undefined names are errors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


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
    return environment
