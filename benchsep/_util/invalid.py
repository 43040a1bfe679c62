"""The errors of a pydantic validation in words: the setting, what was found, what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep._util.reason import bounded

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

LONGEST_VALUE = 60
UNKNOWN = "no such setting"

EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "string": "a text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
}
"""The expected type for pydantic's kinds of errors (``bool_parsing``, ``tuple_type`` ...)."""

BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}
"""The bound that a number has not kept, for pydantic's kinds of errors."""


def settings(error: ValidationError, whole: str = "") -> dict[str, str]:
    """The fault of each setting by the setting's name, such as ``sampling.top_k``.

    A value that fits none of several allowed types is one fault, although pydantic reports an error
    for each type. ``whole`` is the name for errors that do not concern a single setting.
    """
    found: dict[str, list[ErrorDetails]] = {}
    for each in error.errors():
        # A part such as "literal['none','mask']" names an allowed type, not a setting.
        name = ".".join(part for part in map(str, each["loc"]) if "[" not in part)
        found.setdefault(name or whole, []).append(each)
    return {
        name: in_words(errors)
        for name, errors in found.items()
        if not any(other.startswith(f"{name}.") for other in found if name)
    }


def in_words(errors: list[ErrorDetails]) -> str:
    """``found 'many', expected a whole number`` for the errors of one value."""
    expected = [_expected(each) for each in errors]
    if not all(expected):
        return "; ".join(text or _plain(each) for each, text in zip(errors, expected, strict=True))
    value = bounded(repr(errors[0]["input"]), LONGEST_VALUE)
    return f"found {value}, expected {', or '.join(dict.fromkeys(expected))}"


def _expected(error: ErrorDetails) -> str:
    """What was expected; empty where the error is not about the type or the range of a value."""
    kind = error["type"].partition("_")[0]
    if kind in EXPECTED and error["type"].endswith(("_type", "_parsing", "_from_float")):
        return EXPECTED[kind]
    if error["type"] in BOUNDS:
        key, words = BOUNDS[error["type"]]
        return words.format(f"{error['ctx'][key]:g}")
    message = error["msg"]
    beginning = "Input should be "
    return message.removeprefix(beginning) if message.startswith(beginning) else ""


def _plain(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return UNKNOWN
    if error["type"] == "missing":
        return "is missing"
    return error["msg"].removeprefix("Value error, ")
