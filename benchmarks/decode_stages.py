"""What each stage of tokensep costs for a minute of stereo: seconds, and operations a step.

    python -m benchmarks.decode_stages [--seconds 60] [--device cuda]

On a CPU the seconds are CPU seconds of one thread; on CUDA they are wall seconds with the device
idle before and after. The signal is noise, since no stage looks at what it is, and the weights are
the shipped mini's. ``operations`` are those that torch starts for a step, views left out: on a GPU
each is a kernel to launch, unless the step is a recorded graph (``step=graph``: one launch).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from tokensep.decode.generate import generate
from tokensep.decode.render import CPU_BATCH
from tokensep.dsp import stereo
from tokensep.lm.config import PRESETS
from tokensep.separator import TokenSep
from torch.utils._python_dispatch import TorchDispatchMode

RATE = 44_100
REFINED = ("blend", "blend", "none", "none")


class Operations(TorchDispatchMode):
    """Counts operations that are not views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


def seconds_of(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The least of ``repeats`` calls, after one to warm up."""
    call()
    found = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clock = time.perf_counter if device.type == "cuda" else time.process_time
        began = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(clock() - began)
    return min(found)


def placing(length: int, device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of each way to the channels of the mixture."""
    torch.manual_seed(0)
    mixture = 0.1 * torch.randn(2, length, device=device)
    stems = 0.1 * torch.randn(4, length, device=device)
    ways = {
        "pan": lambda: stereo.pan(mixture, stems),
        "mask": lambda: stereo.mask_mixture(mixture, stems),
        "blend": lambda: stereo.blend_mixture(mixture, stems),
        "blend of two, pan of two": lambda: stereo.place(mixture, stems, REFINED),
    }
    return {name: seconds_of(call, device, repeats) for name, call in ways.items()}


def network(model: TokenSep, seconds: float, repeats: int) -> dict[str, float]:
    """Seconds of encoding the mixture, of the LM's steps, and of decoding the stems."""
    device, config = model.device, model.config
    frames = round(seconds * config.frame_rate)
    window = config.window_frames
    # windows overlap by half, and each is drawn `draws` times
    rows = max(1, 2 * frames // window) * config.inference.draws
    batch = min(rows, rows if device.type == "cuda" else CPU_BATCH)
    wave = 0.1 * torch.randn(batch, window * config.frame_hop, device=device)
    latents = torch.randn(4, frames, config.encoder.latent_dim, device=device)
    step = "graph" if device.type == "cuda" else "plain"
    with torch.no_grad():
        cond = model.lm.condition(wave, model.codec.latents(model.codec.encode(wave)))

    @torch.no_grad()
    def condition() -> None:
        model.lm.condition(wave, model.codec.latents(model.codec.encode(wave)))

    @torch.no_grad()
    def draw() -> None:
        generate(
            model.lm,
            cond,
            sampling=config.inference.sampling,
            codebooks=model.codebooks,
            step=step,
        )

    @torch.no_grad()
    def decode() -> None:
        for stem in latents:
            for piece in stem.split(500):
                model.codec.decoder(piece[None])

    batches = rows / batch
    return {
        "condition": seconds_of(condition, device, 1) * batches / config.inference.draws,
        "LM steps": seconds_of(draw, device, 1) * batches,
        "codec's decoder": seconds_of(decode, device, repeats),
    }


def operations_per_step(model: TokenSep, rows: int, step: str) -> float:
    """What eight more frames add, over their steps."""
    counts = []
    for frames in (12, 20):
        cond = torch.randn(rows, frames, model.config.encoder.dim, device=model.device)
        with Operations() as counted:
            generate(
                model.lm,
                cond,
                sampling=PRESETS["mini"].inference.sampling,
                codebooks=model.codebooks,
                step=step,
            )
        counts.append(counted.count)
    return (counts[1] - counts[0]) / (8 * len(model.config.stems))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(args.device)
    print(f"| stage, {args.seconds:g} s of stereo, {args.device} | seconds |\n|:--|--:|")
    for name, spent in placing(round(args.seconds * RATE), device, args.repeats).items():
        print(f"| {name} | {spent:.3f} |", flush=True)
    model = TokenSep.from_checkpoint("mini", args.device)
    for name, spent in network(model, args.seconds, args.repeats).items():
        print(f"| {name} | {spent:.3f} |", flush=True)
    print("\n| rows | operations a step |\n|--:|--:|")
    for rows in (8, 64):
        print(f"| {rows} | {operations_per_step(model, rows, 'plain'):.0f} |", flush=True)


if __name__ == "__main__":
    main()
