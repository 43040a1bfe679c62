"""``tokensep tokenize``, ``synth`` and ``pseudo-label``: what the models are trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tokensep.cli.configs import configs_of
from tokensep.errors import UsageError


def tokenize(
    codec: Annotated[Path, typer.Option(help="Folder of the frozen codec.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of token shards.")],
    shards: Annotated[
        list[Path] | None, typer.Option(help="Folder of pseudo-label shards; any number.")
    ] = None,
    musdb: Annotated[
        list[Path] | None, typer.Option(help="MUSDB train folder, or of synth; any number.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Songs of --musdb: 'train', 'valid' (the 14 of musdb) or 'all'.")
    ] = "train",
    config: Annotated[str, typer.Option(help="Preset or file of the separator.")] = "mini",
    variants: Annotated[
        int, typer.Option(help="Augmented encodings of each piece (speed, level, EQ, polarity).")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the variants.")] = 0,
    mixture: Annotated[
        str, typer.Option(help="'sum' of the stems, or 'recorded': what was labelled.")
    ] = "sum",
    stem_audio: Annotated[
        bool, typer.Option(help="Keep the stems' audio: remixing needs it; 5 times the bytes.")
    ] = True,
    workers: Annotated[int, typer.Option("-j", "--workers", help="Processes here.")] = 1,
    rank: Annotated[int, typer.Option(help="This machine of --world.")] = 0,
    world: Annotated[int, typer.Option(help="Machines that share the folder.")] = 1,
    device: Annotated[str, typer.Option()] = "cpu",
) -> None:
    """Encode labelled shards into token shards for train lm --tokens; run again to continue."""
    from tokensep.train.tokenizing import run

    separator, _ = configs_of(config)
    settings = {
        "variants": variants, "seed": seed, "mixture": mixture, "stem_audio": stem_audio
    }  # fmt: skip
    options = run.Options(
        shards=shards or [],
        codec=codec,
        out=out,
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
    out: Annotated[Path, typer.Argument(help="Folder of songs, each as MUSDB18-HQ has them.")],
    source: Annotated[
        str, typer.Option(help="mma: random songs; lmms: composed projects, track by track.")
    ] = "mma",
    songs: Annotated[int, typer.Option(help="mma: how many there shall be.")] = 50,
    seconds: Annotated[float, typer.Option(help="mma: length of each.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of everything; it is in the songs' names.")] = 0,
    vocals: Annotated[
        Path | None,
        typer.Option(help="MUSDB train folder, or recordings of voices (default: silent vocals)."),
    ] = None,
    soundfont: Annotated[
        list[Path] | None, typer.Option(help="mma: instead of the banks found here; any number.")
    ] = None,
    projects: Annotated[
        list[Path] | None, typer.Option(help="lmms: files or folders; default: the demos.")
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Songs at once.")] = 1,
) -> None:
    """Make songs with exact stems by mma and fluidsynth, or by lmms; run again to continue."""
    from tokensep.train.synth import lmms, midi_songs
    from tokensep.train.synth import songs as folder

    maker: folder.Source
    if source == "mma":
        fonts = tuple(soundfont or ())
        maker = midi_songs.MidiSongs(midi_songs.Settings(songs, seconds, seed, vocals, fonts))
    elif source == "lmms":
        maker = lmms.LmmsSongs(lmms.Settings(seed, vocals, tuple(projects or ())))
    else:
        raise UsageError(f"--source {source}: expected mma or lmms")
    typer.echo(json.dumps(folder.run(out, maker, jobs)))


def pseudo_label(
    audio: Annotated[Path, typer.Argument(help="Folder of recordings without stems.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of shards.")],
    teacher: Annotated[str, typer.Option(help="Any benchsep system, e.g. bs_roformer.")],
    vocals: Annotated[
        str | None,
        typer.Option(help="Another system for the vocals, e.g. spleeter; the first gets the rest."),
    ] = None,
    shard_minutes: Annotated[float, typer.Option(help="Music per shard.")] = 30.0,
    rank: Annotated[int, typer.Option(help="This process of --world.")] = 0,
    world: Annotated[int, typer.Option(help="Processes that share the folder.")] = 1,
    min_residual_db: Annotated[
        float, typer.Option(help="Drop pieces whose stems miss the mixture by more than this.")
    ] = 10.0,
    plan_only: Annotated[bool, typer.Option("--plan", help="Print the plan and stop.")] = False,
    device: Annotated[str, typer.Option()] = "cpu",
) -> None:
    """Label recordings with a teacher's stems, as tar shards of FLAC; run again to continue."""
    from tokensep.integration.teachers import teacher as load
    from tokensep.train import pseudo_labels

    settings = pseudo_labels.Settings(
        shard_seconds=60 * shard_minutes, min_residual_db=min_residual_db, rank=rank, world=world
    )
    name = f"{teacher}, vocals by {vocals}" if vocals else teacher
    summary = pseudo_labels.run(
        audio, out, lambda: load(teacher, device, vocals), name, settings, plan_only=plan_only
    )
    typer.echo(json.dumps(summary))
