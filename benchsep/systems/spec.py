"""Spec strings, which name a system and its options, and the systems that they name.

``htdemucs:checkpoint=mini,overlap=0.1`` is a name with options; ``dir:PATH`` and
``cmd:"program {mixture} {out}"`` are a name with one text, which is not split. A label may come
before the spec, family and training data after it:
``mine=dir:PATH::generative::musdb18:train``. The grammar is in
:mod:`benchsep.systems.grammar`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchsep import registry
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError
from benchsep.systems import grammar
from benchsep.systems.contract import SystemInfo
from benchsep.systems.grammar import FAMILIES, WHOLE_TEXT
from benchsep.systems.reference import REFERENCE_SYSTEMS, WRONG_SONG
from benchsep.systems.training import UNKNOWN, parse_training

LONGEST_NAME = 100
"""Most characters of a label."""


@dataclass(frozen=True)
class Spec:
    """A parsed spec string; ``str(Spec.parse(text))`` round-trips up to option order and quotes."""

    name: str
    """Name of the registered system."""
    options: dict[str, str] = field(default_factory=dict)
    text: str = ""
    """The argument of ``dir:`` and ``cmd:``, unsplit."""
    label: str = ""
    """The label: the system's name in every output; empty: the name of the system itself."""
    family: str = ""
    """One of :data:`FAMILIES`; empty: what the system declares."""
    training_data: str = ""
    """Training data in the syntax of :func:`benchsep.systems.training.parse_training`; empty: what
    the system declares."""

    @property
    def reads_folder(self) -> bool:
        """Whether :attr:`text` is a folder of estimates."""
        return self.name in ("dir", "folder")

    @classmethod
    def parse(cls, spec: str) -> Spec:
        """Parse ``[name=]spec[::family][::training]``: see :mod:`benchsep.systems.grammar`.

        Raises
        ------
        UsageError
            if a name is empty, an option has no ``=`` or is repeated, a label is not allowed, or
            the training data are not data sets.
        """
        if not isinstance(spec, str):
            raise UsageError(
                f"a system is given as {type(spec).__name__}, expected a text, e.g. 'htdemucs'"
            )
        label, rest = _split_label(spec.strip())
        name, _, argument = rest.partition(":")
        if name.strip() in WHOLE_TEXT:
            parsed = _parse_text(name.strip(), argument.strip())
        else:
            parsed = _parse_options(spec, rest)
        if not parsed.name or set(parsed.name) & set("\"',="):
            raise UsageError(f"the system {spec!r} has no name; expected for example 'htdemucs'")
        if label is not None:
            parsed = replace(parsed, label=checked_label(label, parsed.name))
        if parsed.training_data:
            parse_training(parsed.training_data)
        return parsed

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Spec:
        """The spec of a mapping with ``spec`` and any of ``name``, ``family``, ``training_data``.

        Raises
        ------
        UsageError
            an unknown key, a value that is not a text, and all errors of :meth:`parse`.
        """
        known = ("spec", "name", "family", "training_data")
        for key, value in entry.items():
            if key not in known:
                raise UsageError(f"{dict(entry)}: unknown key {key!r}{did_you_mean(key, known)}")
            texts = value if key == "training_data" and isinstance(value, list | tuple) else [value]
            if not texts or not all(isinstance(text, str) and text for text in texts):
                raise UsageError(f"{dict(entry)}: {key} is {value!r}, expected a text")
        spec = cls.parse(entry["spec"])
        family, training = entry.get("family", spec.family), entry.get("training_data")
        if family and family not in FAMILIES:
            hint = did_you_mean(family, FAMILIES)
            raise UsageError(f"unknown family {family!r}{hint} (families: {', '.join(FAMILIES)})")
        label = checked_label(entry["name"], spec.name) if "name" in entry else spec.label
        text = "+".join([training] if isinstance(training, str) else training or ())
        if text:
            parse_training(text)
        return replace(spec, label=label, family=family, training_data=text or spec.training_data)

    def __str__(self) -> str:
        label = f"{_written_label(self.label)}=" if self.label else ""
        declared = f"::{self.family}" if self.family or self.training_data else ""
        declared += f"::{self.training_data}" if self.training_data else ""
        return f"{label}{self.bare}{declared}"

    @property
    def bare(self) -> str:
        """The spec alone, without its label and what it declares."""
        if self.text:
            return f"{self.name}:{grammar.quoted_if_needed(self.text)}"
        if not self.options:
            return self.name
        pairs = (f"{k}={_written_value(v)}" for k, v in sorted(self.options.items()))
        return f"{self.name}:{','.join(pairs)}"

    def described(self, info: SystemInfo) -> SystemInfo:
        """``info`` with the family and the training data of the spec.

        Raises
        ------
        UsageError
            the system declares another family or other training data.
        """
        if self.family and info.family not in (UNKNOWN, self.family):
            raise UsageError(
                f"{self}: the family of {info.name} is {info.family}; leave out ::{self.family}"
            )
        if self.family:
            info = replace(info, family=self.family)  # type: ignore[arg-type]  # one of FAMILIES
        if not self.training_data:
            return info
        declared = parse_training(self.training_data)
        if info.trained_on not in ((UNKNOWN,), declared):
            raise UsageError(
                f"{self}: {info.name} was trained on {'+'.join(info.trained_on) or 'nothing'}; "
                f"leave out {self.training_data}"
            )
        return replace(info, training_data=self.training_data, trained_on=declared)


# -- parsing ------------------------------------------------------------------------------------


def _split_label(spec: str) -> tuple[str | None, str]:
    """Name and rest of ``NAME=rest``; the name is ``None`` if there is none."""
    piece = grammar.quoted_piece(spec)
    head = spec[piece:].partition(":")[0]
    if "=" not in head:
        return None, spec
    place = piece + head.index("=")
    return grammar.unquoted(spec[:place].strip()), spec[place + 1 :].strip()


def _parse_text(name: str, argument: str) -> Spec:
    """Parse ``dir:PATH`` or ``cmd:TEMPLATE``, with or without family and training data."""
    piece = grammar.quoted_piece(argument)
    if piece and argument[piece:] in ("", "::"):
        text, family, training = argument[:piece], "", ""
    elif piece and grammar.split_declared(argument[piece:])[0] == "":
        text, (_, family, training) = argument[:piece], grammar.split_declared(argument[piece:])
    else:
        text, family, training = grammar.split_declared(argument)
    text = grammar.unquoted(text.strip())
    if not text:
        raise UsageError(f"{name!r} needs an argument: '{name}:…'")
    name = "dir" if name == "folder" else name
    return Spec(name, {}, text, family=family, training_data=training)


def _parse_options(spec: str, rest: str) -> Spec:
    """Parse a registered system with options, with or without family and training data."""
    hidden = grammar.hide_quoted(rest)
    length = len(grammar.split_declared(hidden)[0])
    _, family, training = grammar.split_declared(hidden)
    name, _, listed = rest[:length].partition(":")
    options: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in grammar.split(listed, ","))):
        key, equals, value = part.partition("=")
        if part.startswith(":"):
            raise UsageError(
                f"{spec!r}: {part.strip(':')!r} is not a family; expected {', '.join(FAMILIES)}"
            )
        if not equals or not key.strip() or set(key) & set("\"':"):
            if len(options) == 0 and not equals:
                # `tokensep:oracle-tokens` is short for `tokensep:mode=oracle-tokens`.
                options["mode"] = grammar.unquoted(part)
                continue
            raise UsageError(f"option {part!r} in {spec!r}: expected key=value")
        if key.strip() in options:
            raise UsageError(f"option {key.strip()!r} is given twice in {spec!r}")
        options[key.strip()] = grammar.unquoted(value.strip())
    return Spec(name.strip(), options, family=family, training_data=training)


def checked_label(label: str, system: str) -> str:
    """The label, if it is allowed.

    Raises
    ------
    UsageError
        the label is empty or too long, has spaces around it or non-printable characters, or is the
        name of a reference system (tables treat these rows in a special way).
    """
    kind = label.split("@")[0].split(":")[0].strip()
    if not label or label != label.strip() or not label.isprintable() or len(label) > LONGEST_NAME:
        raise UsageError(
            f"the name of a system is {label!r}, expected 1 to {LONGEST_NAME} printable "
            "characters without spaces around them, as in mine=dir:PATH"
        )
    if kind in (*REFERENCE_SYSTEMS, WRONG_SONG) and kind != system:
        raise UsageError(
            f"the name {label!r} is the name of a reference system; choose another name"
        )
    return label


def _written_label(label: str) -> str:
    return grammar.quoted_if_needed(label, separators=(",", ":", "="))


def _written_value(value: str) -> str:
    return value if not value else grammar.quoted_if_needed(value)


# -- systems ------------------------------------------------------------------------------------


class Declared:
    """A wrapper of a system whose ``info`` has the declarations of the spec."""

    def __init__(self, system: Any, info: SystemInfo) -> None:
        self._system = system
        self.info = info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)


def load_system(spec: str, *, device: str = "cpu") -> Any:
    """Load the system of a spec string, for example ``"htdemucs:checkpoint=mini"``. The result has
    the members of :class:`~benchsep.systems.contract.System`. ``device``: ``cpu``, ``cuda``,
    ``cuda:1``, ....

    Raises
    ------
    UsageError
        if the name or an option is unknown; if the spec contradicts what the system declares.
    SeparatorError
        if the system cannot be loaded (weights missing or unsafe, package absent).
    """
    parsed = Spec.parse(spec)
    factory = registry.resolve("system", parsed.name)
    arguments: dict[str, Any] = dict(parsed.options)
    if parsed.text:
        arguments["text"] = parsed.text
    _check_options(factory, parsed, arguments)
    system = factory(**arguments, device=device)
    if not parsed.family and not parsed.training_data:
        return system
    return Declared(system, parsed.described(system.info))


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
