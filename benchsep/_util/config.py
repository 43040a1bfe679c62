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
    """The mapping that a YAML file holds; an empty file is an empty mapping.

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

    What is no mapping has no keys: :func:`validated` says so of it.
    """
    if not isinstance(values, Mapping):
        return
    known = list(model.model_fields)
    for key in values:
        if key not in known:
            raise UsageError(f"{source}: unknown key {key!r}{where}{did_you_mean(str(key), known)}")


def validated(model: type[Model], values: Mapping[str, Any], source: str, whole: str = "") -> Model:
    """The model of ``values``.

    ``source`` is the file or the command line, for messages; ``whole`` names what an error that
    concerns no single key is about.

    Raises
    ------
    UsageError
        naming each key with a bad value.
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
"""What pydantic's kinds of error (``bool_parsing``, ``tuple_type`` ...) expected."""


def _in_words(error: ErrorDetails) -> str:
    """An error of pydantic: what was found and what was expected."""
    kind = error["type"].partition("_")[0]
    if kind in EXPECTED and error["type"].endswith(("_type", "_parsing", "_from_float")):
        return f"found {error['input']!r}, expected {EXPECTED[kind]}"
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be "):
        return f"found {error['input']!r}, expected {message.removeprefix('Input should be ')}"
    return message
