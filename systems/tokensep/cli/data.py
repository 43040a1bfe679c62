"""``tokensep tokenize``, ``synth`` and ``pseudo-label``: what the models are trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tokensep.cli.configs import configs_of
from tokensep.cli.folders import check_output
from tokensep.errors import UsageError


def tokenize(
    codec: Annotated[Path, typer.Option(help="Folder of the frozen codec.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the token shards.")],
    shards: Annotated[
        list[Path] | None, typer.Option(help="Folder of pseudo-label shards; repeatable.")
    ] = None,
    musdb: Annotated[
        list[Path] | None,
        typer.Option(help="Train folder of MUSDB, or folder of tokensep synth; repeatable."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Songs of --musdb: 'train', 'valid' (the 14 of musdb) or 'all'.")
    ] = "train",
    config: Annotated[
        str, typer.Option(help="Configuration of the LM: mini, small, paper or a file.")
    ] = "mini",
    variants: Annotated[
        int, typer.Option(help="Augmented encodings of each piece (speed, level, EQ, polarity).")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Random seed of the variants.")] = 0,
    mixture: Annotated[
        str,
        typer.Option(help="Mixture: 'sum' of the stems, or 'recorded' (the labelled recording)."),
    ] = "sum",
    stem_audio: Annotated[
        bool,
        typer.Option(
            help="Keep the audio of the stems for remixing; this needs 5 times the disk space."
        ),
    ] = True,
    workers: Annotated[
        int, typer.Option("-j", "--workers", help="Number of processes on this machine.")
    ] = 1,
    rank: Annotated[int, typer.Option(help="Number of this machine, counted from 0.")] = 0,
    world: Annotated[int, typer.Option(help="Number of machines that share the work.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Encode stems into token shards for `tokensep train lm --tokens`. Run again to continue."""
    from tokensep.train.tokenizing import run

    separator, _ = configs_of(config)
    settings = {
        "variants": variants, "seed": seed, "mixture": mixture, "stem_audio": stem_audio
    }  # fmt: skip
    options = run.Options(
        shards=shards or [],
        codec=codec,
        out=check_output(out, "-o"),
        config=separator,
        settings=settings,
        workers=workers,
        rank=rank,
        world=world,
        device=device,
        musdb=musdb or [],
        split=split,
    )
    typer.echo(json.dumps(run.run(options)))


def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the songs, in the layout of MUSDB18-HQ.")],
    source: Annotated[
        str, typer.Option(help="mma: random songs; lmms: rendered LMMS projects.")
    ] = "mma",
    songs: Annotated[int, typer.Option(help="mma: number of songs.")] = 50,
    seconds: Annotated[float, typer.Option(help="mma: length of each song.")] = 30.0,
    seed: Annotated[
        int, typer.Option(help="Random seed; it is part of the names of the songs.")
    ] = 0,
    vocals: Annotated[
        Path | None,
        typer.Option(
            help="MUSDB train folder, or folder of recordings of voices (default: silent vocals)."
        ),
    ] = None,
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(help="mma: sound fonts to use; default: those installed. Repeatable."),
    ] = None,
    projects: Annotated[
        list[Path] | None,
        typer.Option(help="lmms: project files or folders; default: LMMS's demos."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", help="Number of songs made in parallel.")
    ] = 1,
) -> None:
    """Make songs with exact stems, with MMA and FluidSynth or with LMMS. Run again to continue."""
    from tokensep.train.synth import lmms, midi_songs
    from tokensep.train.synth import songs as folder

    check_output(out, "OUT")
    maker: folder.Source
    if source == "mma":
        fonts = tuple(soundfont or ())
        maker = midi_songs.MidiSongs(midi_songs.Settings(songs, seconds, seed, vocals, fonts))
    elif source == "lmms":
        maker = lmms.LmmsSongs(lmms.Settings(seed, vocals, tuple(projects or ())))
    else:
        raise UsageError(f"--source: found {source}, expected mma or lmms")
    typer.echo(json.dumps(folder.run(out, maker, jobs)))


def pseudo_label(
    audio: Annotated[Path, typer.Argument(help="Folder of recordings without stems.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the shards.")],
    teacher: Annotated[str, typer.Option(help="Any benchsep system, e.g. bs_roformer.")],
    vocals: Annotated[
        str | None,
        typer.Option(
            help="Another system for vocals, e.g. spleeter; --teacher separates the other stems."
        ),
    ] = None,
    shard_minutes: Annotated[float, typer.Option(help="Minutes of music per shard.")] = 30.0,
    rank: Annotated[int, typer.Option(help="Number of this process, counted from 0.")] = 0,
    world: Annotated[int, typer.Option(help="Number of processes that share the work.")] = 1,
    min_residual_db: Annotated[
        float,
        typer.Option(
            help="Leave out pieces whose stems add up to the mixture with a lower SNR (dB)."
        ),
    ] = 10.0,
    plan_only: Annotated[bool, typer.Option("--plan", help="Print the plan and stop.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Separate recordings with a teacher into tar shards of FLAC. Run again to continue."""
    from tokensep.integration.teachers import teacher as load
    from tokensep.train import pseudo_labels

    check_output(out, "-o")
    settings = pseudo_labels.Settings(
        shard_seconds=60 * shard_minutes, min_residual_db=min_residual_db, rank=rank, world=world
    )
    name = f"{teacher}, vocals by {vocals}" if vocals else teacher
    summary = pseudo_labels.run(
        audio, out, lambda: load(teacher, device, vocals), name, settings, plan_only=plan_only
    )
    typer.echo(json.dumps(summary))
