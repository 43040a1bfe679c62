"""``tokensep info``, ``plan`` and ``import-hcodec``: what a configuration is and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tokensep.cli.configs import configs_of, lm_configs, lm_training
from tokensep.cli.folders import check_output


def info(
    config: Annotated[
        str,
        typer.Option(
            help="Model: paper, hcodec-2, small, mini, a folder of a checkpoint or codec, or a "
            "JSON/YAML file."
        ),
    ] = "mini",
    seconds: Annotated[
        float, typer.Option(help="Length of audio in seconds for which costs are given.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print parameters, tokens per second, LM steps, cache bytes and FLOPs of a model."""
    from tokensep import describe

    separator, codec = configs_of(config)
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


def plan(
    config: Annotated[
        str,
        typer.Argument(
            help="Model: paper, small, mini, a folder of a checkpoint, or a JSON/YAML file."
        ),
    ],
    hours: Annotated[float, typer.Option(help="Hours of music to train on.")],
    gpus: Annotated[int, typer.Option(help="Number of GPUs that train together.")] = 1,
    gpu: Annotated[
        str, typer.Option(help="Type of the GPUs: h100, h200, a100, l40s or rtx4090.")
    ] = "h100",
    utilisation: Annotated[
        float, typer.Option(help="Share of the GPU's peak that a training reaches.")
    ] = 0.4,
    teacher: Annotated[
        float, typer.Option(help="GPU seconds that the teacher needs for a second of music.")
    ] = 0.05,
    epochs: Annotated[
        float | None, typer.Option(help="Epochs of the LM, instead of the steps of its settings.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="LM settings, e.g. configs/tokensep/paper-lm.yaml.")
    ] = None,
    codec_settings: Annotated[
        Path | None, typer.Option(help="Codec settings, e.g. configs/tokensep/paper-codec.yaml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate days, memory, tokens and disk of a training before it is started."""
    from tokensep.plan import costs, report
    from tokensep.plan.rates import rates_of

    work = costs.Work(hours, gpus, rates_of(gpu, utilisation, teacher), epochs)
    separator, codec = lm_configs(config)
    train = lm_training(config, settings)
    sections = report.sections(work, separator, train, codec, codec_settings)
    typer.echo(report.as_json(sections) if as_json else report.as_text(work, sections))


def import_hcodec(
    weights: Annotated[
        Path, typer.Argument(help="The file large_12.5hz_weights.pt (or .safetensors).")
    ],
    config: Annotated[Path, typer.Argument(help="The file large_12.5hz_config.yaml.")],
    out: Annotated[Path, typer.Argument(help="New folder for the codec.")],
    teacher: Annotated[
        str, typer.Option(help="HuBERT of the semantic branch: hub id or folder.")
    ] = "bosonai/hubert_base",
) -> None:
    """Write the published H-Codec-2.0 as a codec folder (hf download QuarkAudio/H-Codec-2.0)."""
    from tokensep.codec.hcodec2 import weights as public

    result = public.import_hcodec(weights, config, check_output(out, "OUT"), teacher)
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
