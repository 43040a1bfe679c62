"""Figure of a codec training: losses over CPU time, codebook use, ceiling per stem.

python -m benchmarks.codec_curves WORK_FOLDER CEILING_CSV OUT_PNG
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from benchmarks.publish import write_chart

STEMS = ("vocals", "drums", "bass", "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder of the codec's training")
    parser.add_argument("ceiling", type=Path, help="CSV of benchmarks.codec_ceiling")
    parser.add_argument("out", type=Path, help="PNG to write")
    options = parser.parse_args()
    draw(options.work, options.ceiling, options.out)


def draw(work: Path, ceiling: Path, out: Path) -> None:
    train = pd.read_csv(work / "train.csv").drop_duplicates("step", keep="last")
    train, valid = train.sort_values("step"), pd.read_json(work / "valid.jsonl", lines=True)
    hubert = pd.read_csv(work / "hubert" / "train.csv")
    fig, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for column, colour in (("mel", "tab:blue"), ("erb", "tab:orange")):
        axes[0, 0].plot(
            train.cpu_seconds / 60, train[column], color=colour, label=f"{column}, train"
        )
        axes[0, 0].plot(
            valid.cpu_seconds / 60,
            valid[column],
            "o--",
            color=colour,
            label=f"{column}, validation",
        )
    axes[0, 0].set(
        xlabel="CPU minutes (one core)", ylabel="mean |log-amplitude error|, nats", ylim=(0, 0.8)
    )
    axes[0, 0].legend()
    last = valid.iloc[-1]
    for name in ("semantic", "acoustic"):
        values = [v for k, v in last.items() if str(k).startswith(f"perplexity_{name}_")]
        axes[0, 1].plot(range(len(values)), values, "o-", label=name)
    axes[0, 1].set(
        xlabel="RVQ layer", ylabel="perplexity on validation stems (of 512)", ylim=(0, 512)
    )
    axes[0, 1].legend()
    axes[1, 0].plot(hubert.cpu_seconds / 60, hubert.masked_accuracy)
    axes[1, 0].set(
        xlabel="CPU minutes (one core)",
        ylabel="hubert-mini: accuracy on masked frames",
        ylim=(0, 1),
    )
    scores = pd.read_csv(ceiling)
    axes[1, 1].boxplot([scores.visqol[scores.stem == s] for s in STEMS], tick_labels=STEMS)
    axes[1, 1].set(ylabel="ViSQOL of encode → decode", ylim=(1, 4.8))
    axes[1, 1].axhline(4.732, color="grey", lw=0.8, ls=":")
    fig.savefig(out, dpi=110)
    write_chart(out, out)


if __name__ == "__main__":
    main()
