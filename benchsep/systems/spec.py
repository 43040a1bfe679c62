"""Spec strings, which name a system and its options, and the systems that they name.

``htdemucs:checkpoint=mini,overlap=0.1`` is a name and options; ``dir:PATH`` and
``cmd:"program {mixture} {out}"`` are a name and one text, which is not split.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from benchsep import registry
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError

WHOLE_TEXT = ("dir", "cmd", "folder")
"""Names whose argument is a path or a command and is not split into options."""


@dataclass(frozen=True)
class Spec:
    """A parsed spec string; ``str(Spec.parse(text))`` round-trips up to option order."""

    name: str
    options: dict[str, str] = field(default_factory=dict)
    text: str = ""
    """The argument of ``dir:`` and ``cmd:``, unsplit."""

    @classmethod
    def parse(cls, spec: str) -> Spec:
        """Parse ``name``, ``name:key=value,key=value``, ``dir:PATH`` or ``cmd:TEMPLATE``.

        Raises
        ------
        UsageError
            on an empty name, an option without ``=``, or a repeated option.
        """
        name, colon, rest = spec.strip().partition(":")
        name = name.strip()
        if not name:
            raise UsageError(f"system spec {spec!r} has no name; expected e.g. 'htdemucs'")
        if name in WHOLE_TEXT:
            text = _unquoted(rest.strip())
            if not text:
                raise UsageError(f"{name!r} needs an argument: '{name}:…'")
            return cls(name, {}, text)
        options: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in rest.split(","))) if colon else ():
            key, equals, value = part.partition("=")
            if not equals or not key.strip():
                if len(options) == 0 and not equals:
                    # `tokensep:oracle-tokens` is short for `tokensep:mode=oracle-tokens`.
                    options["mode"] = part
                    continue
                raise UsageError(f"option {part!r} in {spec!r}: expected key=value")
            if key.strip() in options:
                raise UsageError(f"option {key.strip()!r} is given twice in {spec!r}")
            options[key.strip()] = value.strip()
        return cls(name, options)

    def __str__(self) -> str:
        if self.text:
            return f"{self.name}:{self.text}"
        if not self.options:
            return self.name
        return self.name + ":" + ",".join(f"{k}={v}" for k, v in sorted(self.options.items()))


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def load_system(spec: str, *, device: str = "cpu") -> Any:
    """The system that a spec string names, loaded and ready.

    Raises
    ------
    UsageError
        if the name or an option is unknown.
    SeparatorError
        if the system cannot be loaded (weights missing or unsafe, package absent).
    """
    parsed = Spec.parse(spec)
    factory = registry.resolve("system", parsed.name)
    arguments: dict[str, Any] = dict(parsed.options)
    if parsed.text:
        arguments["text"] = parsed.text
    _check_options(factory, parsed, arguments)
    return factory(**arguments, device=device)


def _check_options(factory: Any, parsed: Spec, arguments: dict[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [name for name in parameters if name not in ("device", "self")]
    for option in arguments:
        if option not in known:
            raise UsageError(
                f"system {parsed.name!r} has no option {option!r}{did_you_mean(option, known)}"
            )
