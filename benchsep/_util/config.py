"""Configuration files: a YAML mapping, checked by a pydantic model.

Every function raises :class:`~benchsep.errors.UsageError` with the name of the file and of the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchsep._util import yamlfile
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises
    ------
    UsageError
        no such file, not YAML, or not a mapping.
    """
    try:
        values = yamlfile.read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML ({error})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected a mapping of keys, found {type(values).__name__}")
    return values


def refuse_unknown(
    values: Mapping[str, Any], model: type[BaseModel], source: str, where: str = ""
) -> None:
    """Raise UsageError for the first key that the model does not have, with a suggestion.

    Values that are not a mapping are ignored here; :func:`validated` reports them.
    """
    if not isinstance(values, Mapping):
        return
    known = list(model.model_fields)
    for key in values:
        if key not in known:
            raise UsageError(f"{source}: unknown key {key!r}{where}{did_you_mean(str(key), known)}")


def validated(model: type[Model], values: Mapping[str, Any], source: str, whole: str = "") -> Model:
    """Validate ``values`` and return the model.

    For messages: ``source`` is the file or the command line; ``whole`` is the subject of errors
    that do not concern a single key.

    Raises
    ------
    UsageError
        a value is invalid; the message names each such key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or whole}: {_in_words(e)}" for e in error.errors()]
        raise UsageError(f"{source}: " + "; ".join(lines)) from error


EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
}
"""The expected type for pydantic's kinds of errors (``bool_parsing``, ``tuple_type`` ...)."""


def _in_words(error: ErrorDetails) -> str:
    """An error of pydantic: what was found and what was expected."""
    kind = error["type"].partition("_")[0]
    if kind in EXPECTED and error["type"].endswith(("_type", "_parsing", "_from_float")):
        return f"found {error['input']!r}, expected {EXPECTED[kind]}"
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be "):
        return f"found {error['input']!r}, expected {message.removeprefix('Input should be ')}"
    return message
