"""``tokensep separate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tokensep.cli.configs import override


def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(
            help="Audio files (wav, flac, ogg, mp3, m4a; of a .stem.mp4 file, the mixture is read)."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for <song>/<stem>.wav.")] = Path(
        "separated"
    ),
    checkpoint: Annotated[str, typer.Option(help="Checkpoint: 'mini' or a folder.")] = "mini",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")] = "cpu",
    overwrite: Annotated[bool, typer.Option(help="Overwrite existing stems.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("-O", help="Inference option, e.g. refine=mask, sampling.temperature=0.7."),
    ] = None,
) -> None:
    """Separate songs; write four stems of each as float wav files."""
    from benchsep._util.device import torch_device
    from benchsep.audio import read_audio
    from tokensep import songs as files
    from tokensep.lm.config import RENDERINGS
    from tokensep.separator import TokenSep

    folders = files.folders(songs, out, overwrite=overwrite)
    torch_device(device)
    model = TokenSep.from_checkpoint(checkpoint, device)
    base, given = model.config.inference, option or []
    for how in RENDERINGS:
        base = base.rendered_as(how) if f"render={how}" in given else base
    options = override(base, given)
    options.refine_of(model.config.stems)  # names only stems that there are
    with files.bar(len(songs)) as begin:
        for song, folder in zip(songs, folders, strict=True):
            mixture, progress = read_audio(song), begin(song.name)
            stems = model.separate(
                mixture.samples, mixture.rate, seed=seed, options=options, progress=progress
            )
            files.write_stems(folder, stems, mixture.rate)
            typer.echo(str(folder))
