"""The program ``benchsep``: its commands, ``--version``, shell completion and exit codes.

Exit codes: 0 success, 1 a negative result (the gate failed, too many jobs failed), 2 an error.
Results go to stdout, messages and progress to stderr.
"""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from benchsep._util.closed_pipe import quiet_if_nobody_reads
from benchsep._util.command import Command, example
from benchsep._util.version import __version__
from benchsep.cli import ablate, board, data, files, gate, info, listen, recommend, run, show, stats
from benchsep.cli.output import print_error
from benchsep.errors import BenchsepError

COMMANDS = {
    "run": run.run,
    "plan": run.plan,
    "show": show.show,
    "report": show.report,
    "explain": show.explain,
    "merge": board.merge,
    "board": board.board,
    "separate": files.separate,
    "score": files.score,
    "list": info.list_registered,
    "suites": info.suites,
    "docs": info.docs,
    "doctor": info.doctor,
    "data": data.data,
    "baseline": gate.baseline,
    "check": gate.check,
    "noise": gate.noise,
    "compare": stats.compare,
    "power": stats.power,
    "draws": stats.draws,
    "tails": stats.tails,
    "recommend": recommend.recommend,
    "export-museval": stats.export_museval,
    "webmushra": listen.webmushra,
    "ratings": listen.ratings,
    "validity": listen.validity,
    "ablate": ablate.ablate,
}
"""Every command by name, in the order of ``--help``."""

EXAMPLES = {
    "run": "--systems dir:my-estimates --dataset musdb18hq --root ~/musdb18hq -o runs/mine",
    "plan": "musdb18hq --root ~/musdb18hq",
    "show": "runs/mine",
    "report": "runs/mine",
    "explain": "runs/mine htdemucs@mini/visqol/drums",
    "merge": "runs/mine runs/theirs -o board",
    "board": "board -o page",
    "separate": "song.wav --system htdemucs -o stems",
    "score": "reference.wav estimate.wav --metrics visqol,usdr",
    "list": "metrics",
    "suites": "demo",
    "docs": "guides/score-my-folder",
    "doctor": "",
    "data": "musdb18hq --root ~/musdb18hq",
    "baseline": "runs/good -o baseline.json",
    "check": "runs/new --baseline baseline.json",
    "noise": "runs/first runs/second",
    "compare": "runs/mine --metrics visqol",
    "power": "runs/mine --metric visqol --effect 0.1",
    "draws": "runs/mine",
    "tails": "runs/mine --metrics visqol",
    "recommend": "runs/mine --stem vocals --budget 30s/song",
    "export-museval": "runs/mine -o museval",
    "webmushra": "runs/mine -o test --stem vocals",
    "ratings": "mushra.csv --key test/conditions.csv -o ratings.csv",
    "validity": "ratings.csv --run runs/mine",
    "ablate": "encoder --root ~/musdb18-7s --dry-run",
}
"""An example call of each command, for its help text and for errors on missing arguments."""

app = typer.Typer(
    name="benchsep",
    help="Benchmark generative and discriminative music separators on one table.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"benchsep {__version__}")
        raise typer.Exit()


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    # The docstring would replace the program's help text.
    pass


for _name, _command in COMMANDS.items():
    _call = example(f"benchsep {_name} {EXAMPLES[_name]}".rstrip())
    app.command(_name, cls=Command, epilog=_call)(_command)


def main() -> None:
    """Entry point; an error of benchsep or of the file system prints a message and has exit code
    2.
    """
    # The cells of a large run are millions of objects that live until the end of the command. By
    # default, the garbage collector traverses all of them repeatedly, which takes a tenth of the
    # time.
    gc.set_threshold(20_000, 50, 100)
    try:
        with quiet_if_nobody_reads():
            app(prog_name="benchsep")
    except (BenchsepError, OSError) as error:
        print_error(error)
        raise SystemExit(2) from None
