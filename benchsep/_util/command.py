"""A typer command whose errors for missing arguments or options show how to call it.

typer's own message is only ``Missing option '--baseline'.``. Here the message has the name and help
text of the missing option, and an example of the whole call; ``--help`` ends with the example.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import typer.core

from benchsep._util import invalid
from benchsep.errors import UsageError


class Command(typer.core.TyperCommand):
    """For ``app.command(name, cls=Command, epilog=example(…))``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As in typer.

        Raises
        ------
        UsageError
            a required argument or option is missing, an option stands in place of another one's
            value, a value is empty or invalid, or an option for one value is given twice.
        """
        self._check_values(ctx, args)
        self._refuse_empty(ctx, args)
        self._refuse_repeated(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # By name, because typer has moved click's classes into a private package.
            param = getattr(error, "param", None)
            if type(error).__name__ == "MissingParameter":
                raise UsageError(self._missing(ctx, param)) from None
            if type(error).__name__ == "BadParameter" and param is not None:
                raise UsageError(_invalid(ctx, param, error)) from None
            raise

    def _check_values(self, ctx: Any, args: list[str]) -> None:
        """Example: ``--keep-estimates -o runs/a``. click would take ``-o`` as the value and
        ``runs/a`` as the suite, and the error would be about a suite.
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
        """Example: ``-o "$OUT"`` with an unset variable. An empty path would mean the working
        folder, and an empty name a default.
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
                f"{what} is empty; is a shell variable unset? Give a value, or leave it out (all "
                f"options: {ctx.command_path} --help)"
            )

    def _refuse_repeated(self, ctx: Any, args: list[str]) -> None:
        """Example: ``--systems a --systems b``. click would take the last value and ignore the
        others.
        """
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
        """All names of the options that take a value."""
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


def _invalid(ctx: Any, param: Any, error: Any) -> str:
    """Newer versions of typer check values by pydantic; other errors have their own message."""
    cause = error.__cause__
    said = next(iter(invalid.settings(cause).values())) if _by_pydantic(cause) else error.message
    name = max(param.opts, key=len) if param.param_type_name == "option" else param.name.upper()
    return f"{name}: {said.rstrip('.')} (all options: {ctx.command_path} --help)"


def _by_pydantic(cause: Any) -> bool:
    return type(cause).__name__ == "ValidationError" and hasattr(cause, "errors")


def example(call: str) -> str:
    """The last line of the help text and of the message for a missing option."""
    return f"Example: {call}"


def _read_as_options(args: list[str]) -> list[str]:
    """The words before ``--``."""
    return args[: args.index("--")] if "--" in args else args
