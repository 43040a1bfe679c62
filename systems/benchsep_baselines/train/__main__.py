"""Train one of the small baselines, or continue a training that was stopped.

Example::

    python -m benchsep_baselines.train --model bs_roformer --root DATA/musdb18-7s --out WORK
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchsep_baselines.train",
        description=__doc__.replace("::", ":"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, choices=["bs_roformer", "htdemucs"], help="which model"
    )
    parser.add_argument(
        "--root",
        required=True,
        type=Path,
        help="folder of the 7-second MUSDB18, with train/ and test/",
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="working folder; give the same folder to continue"
    )
    parser.add_argument(
        "--cpu-minutes", type=float, default=14.0, help="budget in CPU minutes (default 14)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        help="budget in steps instead of minutes; such a training can be repeated exactly",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument(
        "--validate-minutes", type=float, default=6.0, help="time between validations"
    )
    parser.add_argument("--rate", type=float, help="peak learning rate; default: the preset's")
    parser.add_argument(
        "--seconds", type=float, help="crop length in seconds; default: the preset's"
    )
    parser.add_argument("--batch", type=int, help="batch size; default: the preset's")
    parser.add_argument("--warmup", type=int, help="warm-up steps; default: the preset's")
    parser.add_argument(
        "--init", type=Path, help="initial weights: a .safetensors file of the model"
    )
    parser.add_argument(
        "--extra", nargs="+", type=Path, default=[], help="folders of tokensep synth songs"
    )
    parser.add_argument(
        "--extra-share",
        type=float,
        default=0.4,
        help="share of drums, bass and other that come from --extra",
    )
    parser.add_argument(
        "--speed-share",
        type=float,
        default=0.0,
        help="share of items that are played faster or slower",
    )
    parser.add_argument(
        "--spectral", type=float, default=0.0, help="weight of the distance of compressed spectra"
    )
    parser.add_argument(
        "--excess",
        type=float,
        default=0.5,
        help="share of --spectral's weight on bins that are too loud",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse, train, export ``OUT/<model>-mini.safetensors`` and its card."""
    given = parser().parse_args(argv)

    import torch
    from benchsep_training.budget import Budget, Every

    from benchsep_baselines.train import data
    from benchsep_baselines.train.presets import PRESETS, Course
    from benchsep_baselines.train.trainer import BaselineTrainer

    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    changes = {
        k: getattr(given, k) for k in ("rate", "seconds", "batch", "warmup") if getattr(given, k)
    }
    train, valid = data.load_songs(given.root, given.out / "stems.npz")
    # steps instead of minutes make a training repeatable; it is then validated at its end only
    timed = not given.steps
    trainer = BaselineTrainer(
        given.model,
        replace(PRESETS[given.model], **changes),
        given.out,
        data.Material(train, data.load_folders(given.extra)),
        valid,
        Budget(None, given.cpu_minutes) if timed else Budget(given.steps),
        course=Course(
            given.init,
            data.Mixing(extra=given.extra_share if given.extra else 0.0, speed=given.speed_share),
            given.spectral,
            given.excess,
        ),
        seed=given.seed,
        validate=Every(cpu_seconds=given.validate_minutes * 60) if timed else Every(),
    )
    trainer.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
