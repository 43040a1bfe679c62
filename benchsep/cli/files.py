"""``benchsep separate`` and ``benchsep score``: one file, or one folder of stems, without a run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep.cli.options import Format, split_words
from benchsep.cli.output import message, print_files, print_table
from benchsep.metrics.status import IN_WORDS, Status

if TYPE_CHECKING:
    import pandas as pd


def separate(
    file: Annotated[Path, typer.Argument(help="an audio file")],
    system: Annotated[
        str, typer.Option("--system", help="a system, e.g. htdemucs (benchsep list systems)")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the stems")],
    device: Annotated[str, typer.Option(help="device: cpu, cuda, cuda:1 or mps")] = "cpu",
    seed: Annotated[int, typer.Option(help="seed of systems that sample")] = 0,
    format: Format = "terminal",
) -> None:
    """Separate one audio file with one system; write a wav file for each stem."""
    from benchsep._util.digest import file_name
    from benchsep.audio import read_audio, write_audio
    from benchsep.stems.relations import finest
    from benchsep.systems.estimate import estimate
    from benchsep.systems.named import names_noted
    from benchsep.systems.spec import load_system
    from benchsep.systems.surroundings import own_surroundings

    mixture = read_audio(file)
    folder = out.absolute()  # a system may change the working folder
    with own_surroundings(system):
        loaded = load_system(system, device=device)
        with names_noted() as names:
            stems = estimate(loaded, mixture, seed=seed)
    for stem, name in sorted(names.items()):
        message(
            f"the file {name} was read as {stem}, by the end of its name; check that it has the "
            "whole stem"
        )
    written = []
    for stem in finest(stems):
        written.append(folder / f"{file_name(stem)}.wav")
        write_audio(written[-1], stems[stem])
    print_files([out / path.name for path in written], format)


def score(
    reference: Annotated[Path, typer.Argument(help="a file, or a folder of stems")],
    estimate: Annotated[Path, typer.Argument(help="a file, or a folder of stems")],
    metrics: Annotated[
        str, typer.Option(help="metrics of `benchsep list metrics`, comma separated")
    ] = "visqol,usdr,sisdr",
    mixture: Annotated[
        Path | None, typer.Option(help="the mixture, for metrics that need it")
    ] = None,
    metric_device: Annotated[
        str, typer.Option(help="device of BSSEval, MR-STFT and ViSQOL: cpu, cuda or cuda:1")
    ] = "cpu",
    format: Format = "terminal",
) -> None:
    """Score an estimate (one file, or a folder of stems) against its reference."""
    from benchsep.runner.score import score as score_pair

    if look_swapped(reference, estimate):
        message(
            f"the two may be swapped: the first argument is the reference ({reference}), the "
            f"second the estimate ({estimate})"
        )
    if estimate.suffix.lower() in LOSSY:
        message(
            f"{estimate}: the losses of this format lower the scores, and its encoder may have "
            "added a delay; save estimates as wav or flac"
        )
    scores = score_pair(
        reference,
        estimate,
        metrics=split_words(metrics),
        mixture=mixture,
        metric_device=metric_device,
    )
    _print_scores(scores.drop(columns=["frames"]), format)
    if all(Status.parse(status).kind in IN_WORDS for status in scores["status"]):
        print(
            "benchsep: no value was computed; the column status gives the reasons", file=sys.stderr
        )
        raise typer.Exit(1)


LOSSY = frozenset((".mp3", ".m4a", ".aac", ".ogg", ".opus", ".wma"))

_TRUE = re.compile(r"(^|[^a-z])(ref|reference|references|truth|true|target|targets|gt)([^a-z]|$)")
_ESTIMATED = re.compile(
    r"(^|[^a-z])(est|estimate|estimates|pred|predicted|output|separated)([^a-z]|$)"
)


def look_swapped(reference: Path, estimate: Path) -> bool:
    """Whether the file names suggest the opposite order: an estimate first, or a reference
    second.
    """
    first, second = str(reference).lower(), str(estimate).lower()
    as_given = bool(_TRUE.search(first)) + bool(_ESTIMATED.search(second))
    swapped = bool(_ESTIMATED.search(first)) + bool(_TRUE.search(second))
    return swapped > as_given


def _print_scores(scores: pd.DataFrame, format: str) -> None:
    if format == "terminal":
        print(scores.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.3f}"))
    elif format == "json":
        print(scores.to_json(orient="records", indent=1))  # ten decimals
    else:
        print_table(scores, format)
