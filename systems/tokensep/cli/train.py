"""``tokensep train``: codec, its teacher, LM and guided decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tokensep.cli.configs import lm_configs, lm_training, override
from tokensep.cli.folders import check_output

RunFolder = Annotated[
    Path, typer.Option("-o", "--out", help="Run folder. Give it again to resume.")
]
TrainingOption = Annotated[
    list[str] | None, typer.Option("-O", help="Training option, e.g. cpu_minutes=40, lr=5e-4.")
]


def train_codec(
    config: Annotated[
        Path, typer.Option(help="Settings of the codec, e.g. configs/tokensep/mini-codec.yaml.")
    ],
    work: Annotated[
        Path, typer.Option(help="Folder of checkpoints, logs and cache. Give it again to resume.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the trained codec.")],
    musdb: Annotated[
        Path | None,
        typer.Option(help="Train folder of MUSDB; with --shards, it is used for validation only."),
    ] = None,
    shards: Annotated[
        list[str] | None,
        typer.Option(help="Folder or address of pseudo-label shards; repeatable."),
    ] = None,
    valid_shards: Annotated[
        list[str] | None, typer.Option(help="Folder of shards for validation; repeatable.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read shards; default: the value in --config.")
    ] = None,
    extra: Annotated[
        Path | None, typer.Option(help="Folder of other recordings to train on.")
    ] = None,
    hubert: Annotated[Path | None, typer.Option(help="Folder with hubert.safetensors.")] = None,
    semantic: Annotated[
        Path | None,
        typer.Option(
            help="Codec folder from which a codec of the design 'bands' takes the semantic branch."
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained codec, whose shape is used; only its decoder is trained, "
            "and tokens stay the same."
        ),
    ] = None,
    cpu_minutes: Annotated[
        float | None, typer.Option(help="Budget in CPU minutes; default: the value in --config.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Budget in steps; default: the value in --config.")
    ] = None,
) -> None:
    """Train the codec."""
    from tokensep.train import codec_command
    from tokensep.train.codec_sources import Options
    from tokensep.train.stream.remote import place

    options = Options(
        config=config,
        musdb=musdb,
        work=check_output(work, "--work"),
        out=check_output(out, "-o"),
        extra=extra,
        hubert=hubert,
        semantic=semantic,
        init=init,
        cpu_minutes=cpu_minutes,
        max_steps=max_steps,
        shards=[place(text) for text in shards or []],
        valid_shards=[place(text) for text in valid_shards or []],
        workers=workers,
    )
    print_once(codec_command.main(options))


def train_hubert(
    musdb: Annotated[Path, typer.Option(help="Train folder of MUSDB.")],
    work: Annotated[Path, typer.Option(help="Folder of the audio cache.")],
    out: RunFolder,
    cpu_minutes: Annotated[float, typer.Option(help="Budget in CPU minutes.")] = 4.0,
    max_steps: Annotated[
        int | None, typer.Option(help="Budget in steps instead: the training is then repeatable.")
    ] = None,
) -> None:
    """Train hubert-mini, the codec's semantic teacher."""
    from tokensep.train import hubert

    work, out = check_output(work, "--work"), check_output(out, "-o")
    options = hubert.Options(musdb, work, out, cpu_minutes, max_steps)
    typer.echo(json.dumps(hubert.main(options)))


def train_lm(
    codec: Annotated[Path, typer.Option(help="Folder of the frozen codec.")],
    out: RunFolder,
    musdb: Annotated[
        list[Path] | None,
        typer.Option(
            "--musdb",
            "--data",
            help="Train folder of MUSDB (wav or stem.mp4), or of synth; repeatable.",
        ),
    ] = None,
    shards: Annotated[
        list[Path] | None, typer.Option(help="Folder of pseudo-label shards (tar); repeatable.")
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of token shards (tokensep tokenize), or an address (https:, gs:, "
            "'pipe:COMMAND {}'); repeatable."
        ),
    ] = None,
    valid_tokens: Annotated[
        list[str] | None, typer.Option(help="Folder of token shards for validation; repeatable.")
    ] = None,
    config: Annotated[
        str, typer.Option(help="Configuration of the LM: mini, small, paper or a file.")
    ] = "mini",
    settings: Annotated[
        Path | None,
        typer.Option(
            help="Training settings, e.g. configs/tokensep/mini-lm.yaml; default: the preset's."
        ),
    ] = None,
    option: TrainingOption = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an exported LM from which the training starts; its shape is used."
        ),
    ] = None,
) -> None:
    """Train the LM and its conditioner on the codec's tokens of stems."""
    from tokensep.train import lm
    from tokensep.train.stream.remote import place

    separator, _ = lm_configs(str(init) if init else config)
    base = lm_training("mini" if init else config, settings)
    train = override(base, option or [])
    options = lm.Options(
        codec=codec,
        out=check_output(out, "-o"),
        config=separator,
        train=train,
        musdb=musdb or [],
        shards=shards or [],
        init=init,
        tokens=[place(text) for text in tokens or []],
        valid_tokens=[place(text) for text in valid_tokens or []],
    )
    print_once(lm.main(options))


def train_guided(
    musdb: Annotated[
        list[Path],
        typer.Option(
            "--musdb",
            "--data",
            help="Train folder of MUSDB (wav or stem.mp4), or of synth; repeatable.",
        ),
    ],
    out: RunFolder,
    checkpoint: Annotated[
        str, typer.Option(help="Checkpoint of LM and codec: 'mini' or a folder.")
    ] = "mini",
    option: TrainingOption = None,
    init: Annotated[
        Path | None, typer.Option(help="Folder of a guided decoder from which the training starts.")
    ] = None,
) -> None:
    """Train the guided decoder, which also gets the mixture (render=guided)."""
    from tokensep.separator import checkpoint_folder
    from tokensep.train import guided

    train = override(guided.GuidedTrainConfig(), option or [])
    folder = checkpoint_folder(checkpoint)
    options = guided.Options(folder, check_output(out, "-o"), train, musdb, init)
    print_once(guided.main(options))


def print_once(result: dict[str, Any]) -> None:
    """As JSON, by one of several processes."""
    from benchsep_training.once import launched

    if launched()[0] == 0:
        typer.echo(json.dumps(result))
