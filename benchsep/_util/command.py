"""A command of typer whose error for a missing argument or option says how to call it.

Typer's own says ``Missing option '--baseline'.`` and no more. Here the message names what is
missing, gives its help text, and an example of the whole call; ``--help`` ends with the example.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import typer.core

from benchsep.errors import UsageError


class Command(typer.core.TyperCommand):
    """For ``app.command(name, cls=Command, epilog=example(…))``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's.

        Raises
        ------
        UsageError
            something that is required was not given, or an option stands where the value of
            another is expected, or a value is empty, or an option that takes one value was given
            twice.
        """
        self._check_values(ctx, args)
        self._refuse_empty(ctx, args)
        self._refuse_repeated(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # By name: typer has moved the classes of click into a private package.
            if type(error).__name__ != "MissingParameter":
                raise
            raise UsageError(self._missing(ctx, getattr(error, "param", None))) from None

    def _check_values(self, ctx: Any, args: list[str]) -> None:
        """``--keep-estimates -o runs/a``: click takes ``-o`` as the value, and ``runs/a`` as the
        suite; the message was about a suite that nobody asked for.
        """
        options = [p for p in self.params if p.param_type_name == "option"]
        names = {name for p in options for name in (*p.opts, *p.secondary_opts)}
        valued = self._valued()
        for given, value in pairwise(_read_as_options(args)):
            if given in valued and value in names:
                form = valued[given].metavar or "VALUE"
                raise UsageError(
                    f"{given} needs a value; found the option {value} after it (expected: {given} "
                    f"{form}; all options: {ctx.command_path} --help)"
                )

    def _refuse_empty(self, ctx: Any, args: list[str]) -> None:
        """``-o "$OUT"`` with a variable that is not set: the empty path is the working folder, and
        an empty name a default.
        """
        valued = self._valued()
        for before, value in pairwise(["", *_read_as_options(args)]):
            name, sign, text = value.partition("=")
            if not value:
                what = f"the value of {before}" if before in valued else "an argument"
            elif sign and not text and name in valued:
                what = f"the value of {name}"
            else:
                continue
            raise UsageError(
                f"{what} is empty; is a variable of the shell not set? Give a value, or leave it "
                f"out (all options: {ctx.command_path} --help)"
            )

    def _refuse_repeated(self, ctx: Any, args: list[str]) -> None:
        """``--systems a --systems b``: click takes the last value and drops the others silently."""
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for param in self._valued().values():
            times = sum(other is param for other in given)
            if times > 1 and not param.multiple:
                name = max(param.opts, key=len)
                listed = "comma separated" in (param.help or "")
                what = f"all values in one, {name} A,B" if listed else "one value"
                raise UsageError(
                    f"{name} is given {times} times; give {what} (all options: "
                    f"{ctx.command_path} --help)"
                )

    def _valued(self) -> dict[str, Any]:
        """The options that take a value, by each of their names."""
        options = [p for p in self.params if p.param_type_name == "option"]
        return {name: p for p in options if not getattr(p, "is_flag", False) for name in p.opts}

    def _missing(self, ctx: Any, param: Any) -> str:
        is_option = param.param_type_name == "option"
        name = max(param.opts, key=len) if is_option else (param.metavar or param.name).upper()
        meaning = f": {param.help.rstrip('.')}" if getattr(param, "help", None) else ""
        return (
            f"{name.rstrip('.')} is missing{meaning}. {self.epilog or ''} "
            f"(all options: {ctx.command_path} --help)"
        )


def example(call: str) -> str:
    """The line that ends the help text and the message of a missing option."""
    return f"Example: {call}"


def _read_as_options(args: list[str]) -> list[str]:
    """The words before ``--``."""
    return args[: args.index("--")] if "--" in args else args
