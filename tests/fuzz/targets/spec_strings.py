"""Lists of systems, specs, training data and templates of commands."""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchsep.errors import UsageError
from benchsep.systems.command import Command
from benchsep.systems.grammar import split_specs
from benchsep.systems.spec import Spec
from benchsep.systems.training import parse_training
from tests.fuzz.target import Target


def read(data: bytes, folder: Path) -> object:
    text = data.decode("utf-8", "surrogateescape")
    for part in (text, *_parts(text)):
        with contextlib.suppress(UsageError):
            spec = Spec.parse(part)
            again = Spec.parse(str(spec))
            assert again == spec, f"{part!r} is written as {str(spec)!r}, which is another system"
            assert split_specs(str(spec)) == (str(spec),), f"{str(spec)!r} is no single system"
            if spec.name == "cmd":
                Command(spec.text)
    return parse_training(text)


def _parts(text: str) -> tuple[str, ...]:
    try:
        return split_specs(text)
    except UsageError:
        return ()


TARGET = Target(
    read,
    (b"dir:", b"cmd:", b"folder:", b"htdemucs:", b"tokensep", b"::generative", b"::musdb18:train",
     b"checkpoint=", b"mode=", b"{mixture}", b"{out}", b"{rate}", b"\"", b"'", b"\\", b",", b"=",
     b"::", b"+"),
)  # fmt: skip
