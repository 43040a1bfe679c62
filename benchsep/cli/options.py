"""Options that several commands share, and the options of a run, made from the fields of ``Suite``.

``Format``         ``--format``: the same values for every command
``suite_options``  a decorator: the command gets an option for each field of
                   :class:`benchsep.runner.suite.Suite` and is called with the resolved suite
"""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from benchsep._util.suggest import did_you_mean
from benchsep._util.text_table import ALIASES, FORMATS
from benchsep.errors import UsageError
from benchsep.runner.suite import Suite, load_suite
from benchsep.runner.suites import find_suite
from benchsep.systems.grammar import split_specs

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from benchsep.imported.join import Imports


def format_option(*more: str) -> Any:
    """The option ``--format``: the six formats, their aliases, and ``more`` values for one
    command.
    """
    words = [*FORMATS, *more]

    def parse(word: str) -> str:
        word = ALIASES.get(word, word)
        if word not in words:
            raise UsageError(
                f"unknown format {word!r}{did_you_mean(word, words)} (all formats: "
                f"{', '.join(words)})"
            )
        return word

    return typer.Option(
        "--format",
        parser=parse,
        metavar="FORMAT",
        help=f"{', '.join(words[:-1])} or {words[-1]}",
        autocompletion=_completion(words),
    )


def _completion(words: Iterable[str]) -> Callable[[str], list[str]]:
    choices = list(words)
    return lambda incomplete: [word for word in choices if word.startswith(incomplete)]


Format = Annotated[str, format_option()]
RunFolder = Annotated[Path, typer.Argument(help="a run folder", metavar="RUN")]
Root = Annotated[str | None, typer.Option(help="folder of the data set")]
Metrics = Annotated[str | None, typer.Option(help="only these metrics or columns, comma separated")]
Stems = Annotated[
    str | None,
    typer.Option(help="only these stems, comma separated; 'average' is the mean over stems"),
]
Improvement = Annotated[
    bool, typer.Option("--improvement", help="also show the gain over the mixture")
]
ExcludeSeen = Annotated[
    bool,
    typer.Option(
        "--exclude-seen", help="leave out a system's values on songs that it was trained on"
    ),
]
Import = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        "--museval",
        metavar="[NAME=]PATH",
        help="add results of others as rows: a museval folder or a CSV file; repeat the option "
        "for more",
    ),
]
ImportEdition = Annotated[
    str | None,
    typer.Option(
        "--import-edition",
        "--museval-edition",
        help="edition (hq, aac, ...) of imported results that do not name one",
    ),
]
ImportFamily = Annotated[
    list[str] | None,
    typer.Option(
        "--import-family",
        "--museval-family",
        help="family of an imported system: NAME=generative, discriminative or oracle",
    ),
]
Combine = Annotated[
    list[str] | None,
    typer.Option(
        "--combine",
        help="also show the mean of two metrics' z scores, e.g. visqol+mrstft; repeat the option "
        "for more",
    ),
]
Aggregation = Annotated[
    str | None,
    typer.Option(
        help="mean or median over songs and windows; default: each metric's own",
        autocompletion=_completion(("mean", "median")),
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(help="for webMUSHRA's results: the conditions.csv of `benchsep webmushra`"),
]
Screen = Annotated[
    bool,
    typer.Option(
        "--screen/--no-screen", help="leave out unreliable raters (post-screening of BS.1534)"
    ),
]


def split_words(text: str) -> tuple[str, ...]:
    """``a, b,c`` as ``a``, ``b``, ``c``."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def named(pairs: Iterable[str]) -> dict[str, str]:
    """``NAME=TEXT`` options as a dictionary.

    Raises
    ------
    UsageError
        a text has no ``=``, or an empty side.
    """
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            raise UsageError(f"{pair!r}: expected NAME=VALUE")
        found[name] = text
    return found


def assignments(items: Iterable[str]) -> dict[str, float]:
    """``METRIC=VALUE`` texts as a dict.

    Raises
    ------
    UsageError
        no ``=``, no name, or a value that is not a finite number.
    """
    values = {}
    for item in items:
        name, equals, value = item.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name or not math.isfinite(values[name]):
            raise UsageError(f"{item!r}: expected METRIC=VALUE, e.g. visqol=0.1")
    return values


def pairs_of_words(items: Iterable[str]) -> dict[str, str]:
    """``NAME=WORD`` texts as a dict; the name may hold ``=``.

    Raises
    ------
    UsageError
        no ``=``, no name or no word.
    """
    words = {}
    for item in items:
        name, _, word = item.rpartition("=")
        if not name or not word:
            raise UsageError(f"{item!r}: expected NAME=FAMILY, e.g. IRM1=oracle")
        words[name] = word
    return words


def imports_of(
    paths: list[str] | None, edition: str | None, families: list[str] | None
) -> Imports | None:
    """The import that the three options describe; ``None`` without a path.

    Raises
    ------
    UsageError
        an edition or a family without a path; a family that is not ``NAME=FAMILY``.
    """
    from benchsep.imported.join import Imports

    if paths:
        return Imports(tuple(paths), edition, pairs_of_words(families or ()))
    if edition or families:
        raise UsageError("--import-edition and --import-family need --import PATH")
    return None


# -- the options of a suite ----------------------------------------------------------------------

SHORT = {"jobs": "-j"}
REPEATED = ("tracks",)
"""Fields whose values may contain commas; the option is repeated for each value."""

SuiteFile = Annotated[
    Path | None,
    typer.Argument(help="a suite: a YAML file, or a name of `benchsep suites`", metavar="[SUITE]"),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="run folder; otherwise runs/NAME of the suite's file"),
]


def suite_options(*, without: Iterable[str] = ()) -> Callable[[Callable[..., None]], Any]:
    """Decorator that gives a command an option for each field of ``Suite``, and passes it a
    resolved ``Suite``.

    The command takes ``suite: Suite`` and ``out: Path``, its run folder; other parameters remain
    separate options. Without an option, the value of the suite's file or the field's default is
    used.

    Parameters
    ----------
    without : fields that the command does not need.
    """
    names = [name for name in Suite.model_fields if name not in set(without)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(suite: Path | None, out: Path | None, **options: Any) -> None:
            given = {name: _value(name, options.pop(name)) for name in names}
            file = find_suite(suite) if suite else None
            resolved = load_suite(file, **given)
            command(suite=resolved, out=out or run_folder(file), **options)

        _set_parameters(called, command, names)
        return called

    return decorate


def run_folder(suite: Path | None) -> Path:
    """``runs/NAME`` for the suite ``NAME.yaml``, ``runs/latest`` without one."""
    return Path("runs") / (suite.stem if suite else "latest")


def _set_parameters(
    called: Callable[..., None], command: Callable[..., None], names: Iterable[str]
) -> None:
    """Set the signature that typer reads: the suite's file, the fields, ``--out``, and the
    command's own parameters.
    """
    types_ = {"suite": SuiteFile, **{name: _option(name) for name in names}, "out": OutFolder}
    given = inspect.signature(command, eval_str=True).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(n, keyword, default=None, annotation=t) for n, t in types_.items()]
    own = [p.replace(kind=keyword) for p in given if p.name not in types_]
    signature = inspect.Signature([*shared, *own])
    called.__signature__ = signature  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}


def _option(name: str) -> Any:
    """The typer annotation for a field: type, names and help."""
    field = Suite.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    kind = _typed(name, field)
    flags = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [*_short(name), flag]
    choices = _choices(field)
    option = typer.Option(
        *flags,
        help=_help(name, field),
        metavar=f"[{'|'.join(choices)}]" if choices else None,
        autocompletion=_completion(choices) if choices else None,
    )
    return Annotated[kind | None, option]


def _short(name: str) -> list[str]:
    return [SHORT[name]] if name in SHORT else []


def _types(annotation: Any) -> tuple[Any, ...]:
    """The members of a union without ``None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(t for t in get_args(annotation) if t is not type(None))
    return (annotation,)


def _choices(field: FieldInfo) -> tuple[str, ...]:
    (kind,) = _types(field.annotation)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _typed(name: str, field: FieldInfo) -> Any:
    """The type of the option: text for a list (see :func:`_value`) or a choice."""
    (kind,) = _types(field.annotation)
    if name in REPEATED:
        return list[str]
    return str if get_origin(kind) in (tuple, Literal) else kind


def _help(name: str, field: FieldInfo) -> str:
    (kind,) = _types(field.annotation)
    text = field.description or ""
    if name in REPEATED:
        return f"{text}; repeat the option for more"
    return f"{text}, comma separated" if get_origin(kind) is tuple else text


def _value(name: str, given: Any) -> Any:
    """The typed value as a value of the field; ``None``: not given."""
    if given is None or (name in REPEATED and not given):
        return None
    if name in REPEATED:
        return tuple(given)
    if name == "systems":
        return split_specs(given)
    (kind,) = _types(Suite.model_fields[name].annotation)
    return split_words(given) if get_origin(kind) is tuple else given
