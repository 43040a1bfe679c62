"""What a separator is, to benchsep.

A system is a class (or a function that returns an instance) registered under the entry
point group ``benchsep.systems``; it is called with the options of its spec string as
keyword arguments, plus ``device``. It needs two members::

    class Halves:
        info = SystemInfo(name="halves", family="discriminative", stems=STEMS)

        def separate(self, mixture, *, seed):
            return {stem: Audio(mixture.samples / 4, mixture.rate) for stem in STEMS}

A spec string names a system and its options: ``htdemucs:checkpoint=mini,overlap=0.1``.
``dir:PATH`` and ``cmd:"program {mixture} {out}"`` keep their text whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from benchsep.audio import STEMS, Audio
from benchsep.errors import SystemError_, UsageError

if TYPE_CHECKING:
    from benchsep.datasets.track import Track

Family = Literal["generative", "discriminative", "oracle", "mixture", "unknown"]

WHOLE_TEXT = ("dir", "cmd", "folder")
"""Names whose argument is a path or a command and is not split into options."""


@dataclass(frozen=True)
class SystemInfo:
    """What a system declares; all of it ends in the manifest and in ``benchsep list``.

    ``checkpoint`` is the short name in the label (``mini``, ``official``, a file's stem), or
    empty for systems without weights. ``needs_references`` marks oracles, whose ``separate``
    also receives ``references: dict[str, Audio]``.
    """

    name: str
    family: Family
    stems: tuple[str, ...] = STEMS
    rate: int = 44_100
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    training_data: str = "undeclared"
    licence: str = "undeclared"
    deterministic: bool = True
    needs_references: bool = False
    version: str = "1"
    options: dict[str, Any] = field(default_factory=dict)
    """Every option that moves an output, as resolved (defaults included)."""

    @property
    def label(self) -> str:
        """``name@checkpoint``: what the system is called in every output."""
        return f"{self.name}@{self.checkpoint}" if self.checkpoint else self.name


@runtime_checkable
class System(Protocol):
    """The contract: same length and rate as the mixture, channels as the mixture."""

    @property
    def info(self) -> SystemInfo: ...

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]: ...


class Oracle(Protocol):
    """A system that is shown the true stems, to bound what the others can reach."""

    @property
    def info(self) -> SystemInfo: ...

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]: ...


class FromTrack(Protocol):
    """A system whose estimates exist already and are looked up by track (``dir:PATH``)."""

    @property
    def info(self) -> SystemInfo: ...

    def estimates(self, track: Track) -> dict[str, Audio]: ...


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
    SystemError_
        if the system cannot be loaded (weights missing or unsafe, package absent).
    """
    from benchsep import registry

    parsed = Spec.parse(spec)
    factory = registry.resolve("system", parsed.name)
    arguments: dict[str, Any] = dict(parsed.options)
    if parsed.text:
        arguments["text"] = parsed.text
    _check_options(factory, parsed, arguments)
    return factory(**arguments, device=device)


def _check_options(factory: Any, parsed: Spec, arguments: dict[str, Any]) -> None:
    import inspect

    from benchsep.registry import did_you_mean

    parameters = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [name for name in parameters if name not in ("device", "self")]
    for option in arguments:
        if option not in known:
            raise UsageError(
                f"system {parsed.name!r} has no option {option!r}{did_you_mean(option, known)}"
            )


def checked_estimates(
    estimates: dict[str, Audio], info: SystemInfo, mixture: Audio
) -> dict[str, Audio]:
    """The estimates, if they keep the contract.

    Raises
    ------
    SystemError_
        naming the stem and what was found when rate or length differ or no stem is there.
    """
    if not isinstance(estimates, dict) or not estimates:
        raise SystemError_(f"{info.label} returned {type(estimates).__name__}, expected stems")
    for stem, audio in estimates.items():
        if not isinstance(audio, Audio):
            raise SystemError_(f"{info.label}: {stem} is {type(audio).__name__}, expected Audio")
        if audio.rate != mixture.rate:
            raise SystemError_(
                f"{info.label}: {stem} is at {audio.rate} Hz, the mixture at {mixture.rate}"
            )
        if audio.frames != mixture.frames:
            raise SystemError_(
                f"{info.label}: {stem} has {audio.frames} frames, the mixture {mixture.frames}"
            )
    return estimates
