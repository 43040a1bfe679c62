"""The program ``tokensep``: its commands and exit codes.

Exit codes: 0 good, 1 the work could not be done, 2 the call was wrong. Results go to stdout,
progress to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from tokensep.cli import data, model, train
from tokensep.cli.separate import separate
from tokensep.errors import BenchsepError, UsageError

COMMANDS: dict[str, Callable[..., None]] = {
    "separate": separate,
    "info": model.info,
    "plan": model.plan,
    "import-hcodec": model.import_hcodec,
    "tokenize": data.tokenize,
    "synth": data.synth,
    "pseudo-label": data.pseudo_label,
}
TRAIN_COMMANDS: dict[str, Callable[..., None]] = {
    "codec": train.train_codec,
    "hubert": train.train_hubert,
    "lm": train.train_lm,
    "guided": train.train_guided,
}
"""Both in the order of ``--help``."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Music source separation by a language model over codec tokens.",
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(
    no_args_is_help=True, help="Train the codec, its teacher, the LM, or the guided decoder."
)
app.add_typer(train_app, name="train")
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
for _name, _command in TRAIN_COMMANDS.items():
    train_app.command(_name)(_command)


def main() -> None:
    """Entry point: an error raised on purpose ends in one line, not in a traceback."""
    try:
        app()
    except BenchsepError as error:
        typer.echo(f"tokensep: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"tokensep: {where}{error.strerror or error}", err=True)
        sys.exit(1)
