"""``tokensep``: separate a song, look at a configuration, train, make pseudo-labels.

Exit codes: 0 good, 1 the work could not be done, 2 the call was wrong. Results go to stdout,
progress to stderr. Torch is imported by the commands that need it, so ``--help`` is quick.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchsep._util.strict_json import parse_json
from tokensep.errors import BenchsepError, ConfigError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Music source separation by a language model over codec tokens.",
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(no_args_is_help=True, help="Train the codec, its teacher, or the LM.")
app.add_typer(train_app, name="train")


def _override(base: Any, pairs: list[str]) -> Any:
    """``key=value`` texts onto a pydantic model; ``sampling.`` reaches inside."""
    data = base.model_dump()
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{pair!r}: expected key=value")
        target = data
        *outer, last = key.split(".")
        for name in outer:
            target = target.setdefault(name, {})
        target[last] = None if value == "none" else value
    from tokensep import config

    return config.load(type(base), data)


@app.command()
def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(help="Audio files (wav, flac, ogg, mp3, m4a; of .stem.mp4 the mixture)."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of <song>/<stem>.wav.")] = Path(
        "separated"
    ),
    checkpoint: Annotated[str, typer.Option(help="'mini' or a folder.")] = "mini",
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")] = "cpu",
    overwrite: Annotated[bool, typer.Option(help="Replace stems that are there.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("-O", help="Inference option, e.g. refine=mask, sampling.temperature=0.7."),
    ] = None,
) -> None:
    """Write the four stems of each song as float wav files of its rate and length."""
    from benchsep._util.device import torch_device
    from benchsep.audio import read_audio
    from tokensep import songs as files
    from tokensep.lm.config import UNREFINED
    from tokensep.separator import TokenSep

    folders = files.folders(songs, out, overwrite=overwrite)
    torch_device(device)
    model = TokenSep.from_checkpoint(checkpoint, device)
    base, given = model.config.inference, option or []
    for how in UNREFINED:
        base = base.rendered_as(how) if f"render={how}" in given else base
    options = _override(base, given)
    options.refine_of(model.config.stems)  # names only stems that there are
    with files.bar(len(songs)) as begin:
        for song, folder in zip(songs, folders, strict=True):
            mixture, progress = read_audio(song), begin(song.name)
            stems = model.separate(
                mixture.samples, mixture.rate, seed=seed, options=options, progress=progress
            )
            files.write_stems(folder, stems, mixture.rate)
            typer.echo(str(folder))


@app.command()
def info(
    config: Annotated[
        str,
        typer.Option(
            help="paper, hcodec-2, small, mini, a checkpoint or codec folder or a JSON/YAML file."
        ),
    ] = "mini",
    seconds: Annotated[float, typer.Option(help="Length the costs are given for.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Parameters per part, tokens per second, LM steps per layout, cache bytes, FLOPs."""
    from tokensep import describe

    separator, codec = _configs(config)
    facts = describe.describe(separator, seconds) if separator is not None else {}
    if codec is not None:
        facts["codec_parameters"] = describe.codec_counts(codec)
        facts["codec_parameters"]["total"] = sum(facts["codec_parameters"].values())
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, number in value.items():
                typer.echo(f"  {name:<22} {number:>16,}")
        else:
            text = f"{value:>16,.2f}" if isinstance(value, float) else f"{value:>16}"
            typer.echo(f"{key:<24} {text}")


def _configs(name: str) -> tuple[Any, Any]:
    """Separator and codec configurations of a preset, a folder, or a file.

    ``hcodec-2`` is the published codec under the paper's LM. A folder may hold a codec alone, or an
    LM alone as ``train lm`` exports it: the other is None then.
    """
    from tokensep import config as configs
    from tokensep.lm.config import PRESETS, TokenSepConfig
    from tokensep.lm.weights import CONFIG

    if name in PRESETS or name in configs.PRESETS:
        return PRESETS.get(name, PRESETS["paper"]), configs.PRESETS.get(name)
    path = Path(name)
    if path.is_dir():
        lm, codec = path / CONFIG, path / "config.json"
        separator = configs.load(TokenSepConfig, lm) if lm.is_file() else None
        if separator is not None and not codec.is_file():
            return separator, None
        try:
            data = parse_json(codec.read_bytes())["codec"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{codec} is not a codec's configuration ({error!r})") from error
        return separator, configs.load(configs.CodecConfig, data)
    if not path.is_file():
        known = ", ".join(sorted({*PRESETS, *configs.PRESETS}))
        raise ConfigError(f"{name!r}: expected one of {known}, a folder or a file")
    return configs.load(TokenSepConfig, path), None


def _lm_configs(name: str) -> tuple[Any, Any]:
    """As :func:`_configs`; a folder without an LM is an error."""
    separator, codec = _configs(name)
    if separator is None:
        raise ConfigError(f"{name} holds a codec and no LM: give --config a preset")
    return separator, codec


def _print_once(result: dict[str, Any]) -> None:
    """As JSON, by one of several processes."""
    from benchsep_training.once import launched

    if launched()[0] == 0:
        typer.echo(json.dumps(result))


def _lm_training(name: str, settings: Path | None) -> Any:
    """The settings of a file; else those of a preset; else the defaults, which are the mini's."""
    from tokensep.config import load
    from tokensep.lm.config import LMTrainConfig
    from tokensep.lm.training_presets import TRAINING

    if settings is not None:
        return load(LMTrainConfig, settings)
    return TRAINING.get("paper" if name == "hcodec-2" else name, LMTrainConfig())


@app.command()
def plan(
    config: Annotated[
        str, typer.Argument(help="paper, small, mini, a checkpoint folder or a JSON/YAML file.")
    ],
    hours: Annotated[float, typer.Option(help="Music to train on.")],
    gpus: Annotated[int, typer.Option(help="GPUs that train together.")] = 1,
    gpu: Annotated[str, typer.Option(help="h100, h200, a100, l40s, rtx4090.")] = "h100",
    utilisation: Annotated[
        float, typer.Option(help="Share of the GPU's peak that a training reaches.")
    ] = 0.4,
    teacher: Annotated[
        float, typer.Option(help="GPU seconds per second of music to pseudo-label.")
    ] = 0.05,
    epochs: Annotated[
        float | None, typer.Option(help="Of the LM, instead of the steps of its settings.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="LM settings, e.g. configs/tokensep/paper-lm.yaml.")
    ] = None,
    codec_settings: Annotated[
        Path | None, typer.Option(help="Codec settings, e.g. configs/tokensep/paper-codec.yaml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Days, memory, tokens and disk of a training at the given rates, before it is started."""
    from tokensep.plan import costs, report
    from tokensep.plan.rates import rates_of

    work = costs.Work(hours, gpus, rates_of(gpu, utilisation, teacher), epochs)
    separator, codec = _lm_configs(config)
    train = _lm_training(config, settings)
    sections = report.sections(work, separator, train, codec, codec_settings)
    typer.echo(report.as_json(sections) if as_json else report.as_text(work, sections))


@app.command("import-hcodec")
def import_hcodec(
    weights: Annotated[Path, typer.Argument(help="large_12.5hz_weights.pt, or as safetensors.")],
    config: Annotated[Path, typer.Argument(help="large_12.5hz_config.yaml.")],
    out: Annotated[Path, typer.Argument(help="New folder for the codec.")],
    teacher: Annotated[
        str, typer.Option(help="HuBERT of the semantic branch: hub id or folder.")
    ] = "bosonai/hubert_base",
) -> None:
    """Write the published H-Codec-2.0 as a codec folder (hf download QuarkAudio/H-Codec-2.0)."""
    from tokensep.codec.hcodec2 import weights as public

    result = public.import_hcodec(weights, config, out, teacher)
    typer.echo(
        json.dumps(
            {
                "folder": str(result.folder),
                "tensors": result.tensors,
                "parameters": result.parameters,
                "names_sha256": result.names_sha256,
            }
        )
    )


@train_app.command("codec")
def train_codec(
    config: Annotated[
        Path, typer.Option(help="Codec and its training, e.g. configs/tokensep/mini-codec.yaml.")
    ],
    work: Annotated[Path, typer.Option(help="Checkpoints, logs, audio cache; reused, it resumes.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the trained codec.")],
    musdb: Annotated[
        Path | None, typer.Option(help="MUSDB train folder; with --shards, to validate on.")
    ] = None,
    shards: Annotated[
        list[str] | None,
        typer.Option(help="Folder of pseudo-label shards or its address, streamed; any number."),
    ] = None,
    valid_shards: Annotated[
        list[str] | None, typer.Option(help="Folder of shards to validate on; any number.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read shards ahead; instead of the file's.")
    ] = None,
    extra: Annotated[Path | None, typer.Option(help="Folder of other recordings.")] = None,
    hubert: Annotated[Path | None, typer.Option(help="Folder with hubert.safetensors.")] = None,
    semantic: Annotated[
        Path | None, typer.Option(help="Codec whose semantic branch one of design bands takes.")
    ] = None,
    cpu_minutes: Annotated[float | None, typer.Option(help="Instead of the file's.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Instead of the file's.")] = None,
) -> None:
    """Train the codec."""
    from tokensep.train import codec_command
    from tokensep.train.codec_sources import Options
    from tokensep.train.stream.remote import place

    options = Options(
        config=config,
        musdb=musdb,
        work=work,
        out=out,
        extra=extra,
        hubert=hubert,
        semantic=semantic,
        cpu_minutes=cpu_minutes,
        max_steps=max_steps,
        shards=[place(text) for text in shards or []],
        valid_shards=[place(text) for text in valid_shards or []],
        workers=workers,
    )
    _print_once(codec_command.main(options))


@train_app.command("hubert")
def train_hubert(
    musdb: Annotated[Path, typer.Option(help="MUSDB train folder.")],
    work: Annotated[Path, typer.Option(help="Folder of the audio cache.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; used again, it resumes.")],
    cpu_minutes: Annotated[float, typer.Option(help="Budget.")] = 4.0,
    max_steps: Annotated[
        int | None, typer.Option(help="Steps instead of minutes: then a run is repeatable.")
    ] = None,
) -> None:
    """Train hubert-mini, the codec's semantic teacher."""
    from tokensep.train import hubert

    options = hubert.Options(musdb, work, out, cpu_minutes, max_steps)
    typer.echo(json.dumps(hubert.main(options)))


@train_app.command("lm")
def train_lm(
    codec: Annotated[Path, typer.Option(help="Folder of the frozen codec.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; used again, it resumes.")],
    musdb: Annotated[
        list[Path] | None,
        typer.Option(
            "--musdb",
            "--data",
            help="MUSDB train folder (HQ wav or stem.mp4), or of synth; any number.",
        ),
    ] = None,
    shards: Annotated[
        list[Path] | None, typer.Option(help="Folders of pseudo-label shards (tar).")
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of token shards (tokensep tokenize), or its address (https:, gs:, "
            "'pipe:COMMAND {}'), streamed; any number."
        ),
    ] = None,
    valid_tokens: Annotated[
        list[str] | None, typer.Option(help="Folder of token shards to validate on; any number.")
    ] = None,
    config: Annotated[str, typer.Option(help="Preset or file of the separator.")] = "mini",
    settings: Annotated[
        Path | None,
        typer.Option(
            help="Training settings, e.g. configs/tokensep/mini-lm.yaml; default: the preset's."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("-O", help="Training option, e.g. cpu_minutes=40, lr=5e-4.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Folder of an exported LM to start from (its shape too).")
    ] = None,
) -> None:
    """Train the LM and its conditioner on the codec's tokens of stems."""
    from tokensep.train import lm
    from tokensep.train.stream.remote import place

    separator, _ = _lm_configs(str(init) if init else config)
    base = _lm_training("mini" if init else config, settings)
    train = _override(base, option or [])
    options = lm.Options(
        codec=codec,
        out=out,
        config=separator,
        train=train,
        musdb=musdb or [],
        shards=shards or [],
        init=init,
        tokens=[place(text) for text in tokens or []],
        valid_tokens=[place(text) for text in valid_tokens or []],
    )
    _print_once(lm.main(options))


@train_app.command("guided")
def train_guided(
    musdb: Annotated[
        list[Path],
        typer.Option(
            "--musdb",
            "--data",
            help="MUSDB train folder (HQ or stem.mp4), or of synth; any number.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; used again, it resumes.")],
    checkpoint: Annotated[
        str, typer.Option(help="LM and codec that it is for: 'mini' or a folder.")
    ] = "mini",
    option: Annotated[
        list[str] | None, typer.Option("-O", help="Training option, e.g. cpu_minutes=40, lr=5e-4.")
    ] = None,
) -> None:
    """Train the decoder that hears the mixture (render=guided) for an LM and its codec."""
    from tokensep.separator import checkpoint_folder
    from tokensep.train import guided

    train = _override(guided.GuidedTrainConfig(), option or [])
    options = guided.Options(checkpoint_folder(checkpoint), out, train, musdb)
    _print_once(guided.main(options))


@app.command()
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

    separator, _ = _configs(config)
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


@app.command()
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


@app.command("pseudo-label")
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


def main() -> None:
    """Entry point: an error raised on purpose ends in one line, not in a traceback."""
    import sys

    try:
        app()
    except BenchsepError as error:
        typer.echo(f"tokensep: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"tokensep: {where}{error.strerror or error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
