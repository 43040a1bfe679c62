"""The program ``tokensep``: its commands and exit codes.

Exit codes: 0 success, 1 the work failed, 2 wrong arguments. Results go to stdout, progress to
stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from benchsep._util.closed_pipe import quiet_if_nobody_reads
from benchsep._util.command import Command, example
from benchsep._util.escape import printable
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
EXAMPLES = {
    "separate": "song.wav -o stems",
    "info": "--config paper",
    "plan": "paper --hours 1000 --gpus 8",
    "import-hcodec": "large_12.5hz_weights.pt large_12.5hz_config.yaml codecs/hcodec-2",
    "tokenize": "--codec codecs/mini --musdb ~/musdb18hq/train -o tokens",
    "synth": "songs --songs 50",
    "pseudo-label": "recordings --teacher bs_roformer -o shards",
    "codec": "--config configs/tokensep/mini-codec.yaml --musdb ~/musdb18hq/train --work work "
    "-o codecs/mine",
    "hubert": "--musdb ~/musdb18hq/train --work work -o hubert",
    "lm": "--codec codecs/mine --musdb ~/musdb18hq/train -o lm",
    "guided": "--musdb ~/musdb18hq/train -o guided",
}
"""An example call of each command, for its help text and for errors on missing arguments."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Music source separation by a language model over codec tokens.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
train_app = typer.Typer(
    no_args_is_help=True,
    help="Train the codec, its teacher, the LM, or the guided decoder.",
    rich_markup_mode=None,
)
app.add_typer(train_app, name="train")
for _name, _command in COMMANDS.items():
    _call = example(f"tokensep {_name} {EXAMPLES[_name]}")
    app.command(_name, cls=Command, epilog=_call)(_command)
for _name, _command in TRAIN_COMMANDS.items():
    _call = example(f"tokensep train {_name} {EXAMPLES[_name]}")
    train_app.command(_name, cls=Command, epilog=_call)(_command)


def _print(text: str) -> None:
    """A message on stderr; a name of a file in it cannot control the terminal."""
    typer.echo(f"tokensep: {printable(text, keep=chr(10))}", err=True)


def main() -> None:
    """Entry point; known errors are printed in one line, without a traceback."""
    try:
        with quiet_if_nobody_reads():
            app()
    except BenchsepError as error:
        _print(str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _print(f"{where}{error.strerror or error}")
        sys.exit(1)
