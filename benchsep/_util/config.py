"""Configuration files: a YAML mapping, checked by a pydantic model.

Every function raises :class:`~benchsep.errors.UsageError` with the name of the file and of the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchsep._util import invalid, yamlfile
from benchsep._util.reason import without_path
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError

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
        raise UsageError(f"{path}: cannot be read ({without_path(error)})") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML ({without_path(error)})") from error
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
        faults = invalid.settings(error, whole).items()
        lines = [f"{name}: {fault}" for name, fault in faults]
        raise UsageError(f"{source}: " + "; ".join(lines)) from error
