"""How near LM decoding is to the memory-bandwidth limit: ms per step over the floor, batch 1.

The floor is the bytes of weights a step must read over the read bandwidth measured in the run.
``transformers``' LlamaModel with a static cache does the same steps for comparison (without the
embedding and heads that ours includes). ``plain``, ``compiled`` and ``int8`` are tokensep's ways to
compute a step (``InferenceConfig.step``); the floor is fp32's for all, so int8 may be below 1.

    python -m benchmarks.decode_speed [--dim 256 --layers 8] [--frames 64] [--rows 1]

Times are CPU seconds of one thread, so that other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from tokensep.decode.generate import generate
from tokensep.lm.config import PRESETS, LMConfig
from tokensep.lm.model import TokenLM

STEPS = ("plain", "compiled", "int8")


def median(call, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return sorted(times)[len(times) // 2]


def bandwidth(megabytes: int) -> float:
    """Bytes per second of reading ``megabytes`` again and again, as a matrix product does."""
    matrix, vector = torch.randn(megabytes * 2**20 // 4096, 1024), torch.randn(1024)
    return matrix.numel() * 4 / median(lambda: torch.mv(matrix, vector), 15)


def ours(model: TokenLM, frames: int, rows: int, repeats: int, step: str) -> tuple[float, int]:
    """Seconds per step and number of steps of a whole generation."""
    cond = torch.randn(rows, frames, model.config.encoder.dim)
    generate(model, cond, step=step)  # compiles, where it does
    steps = model.layout.steps(frames) * len(model.config.stems)
    return median(lambda: generate(model, cond, step=step), repeats) / steps, steps


def theirs(config: LMConfig, steps: int, rows: int, repeats: int) -> float | None:
    """Seconds per step of ``transformers`` with a static cache."""
    try:
        from transformers import LlamaConfig, LlamaModel, StaticCache
    except ImportError:
        return None
    llama = LlamaConfig(
        hidden_size=config.dim,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        vocab_size=8,
        max_position_embeddings=steps + 1,
    )
    model = LlamaModel(llama).eval()
    x = torch.randn(rows, 1, config.dim)

    def run() -> None:
        cache = StaticCache(llama, max_cache_len=steps)
        with torch.no_grad():
            for position in range(steps):
                at = torch.tensor([position])
                model(
                    inputs_embeds=x,
                    past_key_values=cache,
                    position_ids=at[None],
                    cache_position=at,
                    use_cache=True,
                )

    run()
    return median(run, repeats) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    mini = PRESETS["mini"]
    lm = mini.lm.model_copy(update={"dim": args.dim, "layers": args.layers, "ffn": 3 * args.dim})
    model = TokenLM(mini.model_copy(update={"lm": lm})).eval()
    head = model.head or model.latent_head.out
    parts = [model.decoder, head, model.embed_in]
    weights = sum(p.numel() for part in parts for p in part.parameters()) + model.tables.numel()
    megabytes = max(1, weights * 4 // 2**20)
    before = bandwidth(megabytes)
    found = {s: ours(model, args.frames, args.rows, args.repeats, s) for s in STEPS}
    mine, steps = {s: seconds for s, (seconds, _) in found.items()}, found["plain"][1]
    read = (before + bandwidth(megabytes)) / 2
    floor = weights * 4 / read
    other = theirs(lm, steps, args.rows, args.repeats)
    print(
        json.dumps(
            {
                "weights_mb": round(weights * 4 / 1e6, 2),
                "read_gb_per_s": round(read / 1e9, 2),
                "floor_ms": round(floor * 1e3, 3),
                "ms_per_step": {s: round(x * 1e3, 3) for s, x in mine.items()},
                "over_floor": {s: round(x / floor, 2) for s, x in mine.items()},
                "transformers_static_ms": other and round(other * 1e3, 3),
                "speed_over_transformers": other
                and {s: round(other / x, 2) for s, x in mine.items()},
                "rows": args.rows,
                "steps": steps,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
