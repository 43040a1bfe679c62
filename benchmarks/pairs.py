"""What the equal-weight score of two metrics gains over the better of the two, for every pair.

    python -m benchmarks.pairs GENSVS ward.csv --ward-data WARD [--all]

Arguments as for ``benchmarks.badges``. Metrics that run without fetched weights; ``--all``: also
those that the ratings of gensvs_eval hold and that need weights. Printed for each study, question
and scope: the best metric, and the best pairs with their gain, paired by song, and its 95 % song
bootstrap. The best of many pairs is chosen on the songs that it is judged by: its gain is an upper
bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from benchsep.listeners.agreement import known_directions, song_shares
from benchsep.listeners.combine import with_combined
from benchsep.listeners.scopes import SCOPES
from benchsep.listeners.scoring import with_metrics
from benchsep.listeners.study import read_study
from benchsep.stats.bootstrap import bootstrap

OFFLINE = ("visqol", "multi_res_loss", "sdr", "isr", "sir", "sar", "sisdr")
"""Columns of gensvs_eval whose metrics need no weights."""
WITH_WEIGHTS = (
    *("emb_mse_clap_music_df", "fad_song2song_clap_music_df"),
    *("emb_mse_mert_df", "fad_song2song_mert_df", "meta_audiobox_aes_PQ", "meta_audiobox_aes_CU"),
)
SHOWN = 3
FEWEST_SONGS = 12


def gains(
    clips: pd.DataFrame, metrics: Sequence[str], directions: Mapping[str, int], scope: str
) -> list[tuple[float, str]]:
    """Share of each pair, with the line that says it; the best pair first."""
    alone = {m: song_shares(clips, m, directions[m])[scope] for m in metrics}
    alone = {m: shares for m, shares in alone.items() if len(shares) >= FEWEST_SONGS}
    found = []
    for one, other in combinations(alone, 2):
        pair = f"{one}+{other}"
        shares = song_shares(with_combined(clips, [pair], directions), pair, 1)[scope]
        best = max(one, other, key=lambda m: np.mean(list(alone[m].values())))
        gain = [shares[song] - alone[best][song] for song in shares if song in alone[best]]
        interval = bootstrap(gain, method="percentile", expand=False)
        share = float(np.mean(list(shares.values())))
        text = (
            f"{share:.3f} {pair}: gains {interval.estimate:+.3f} [{interval.low:+.3f}, "
            f"{interval.high:+.3f}] over {best}"
        )
        found.append((share, text))
    return sorted(found, reverse=True)


def report(title: str, clips: pd.DataFrame, metrics: Sequence[str]) -> None:
    directions = known_directions(clips, None)
    judged = [m for m in metrics if m in directions]
    for scope in SCOPES:
        singles = {
            m: np.mean(list(shares.values()))
            for m in judged
            if len(shares := song_shares(clips, m, directions[m])[scope]) >= FEWEST_SONGS
        }
        if singles:
            best = max(singles, key=lambda m: singles[m])
            print(f"{title}, {scope}: best metric {best} {singles[best]:.3f}")
            for _, text in gains(clips, judged, directions, scope)[:SHOWN]:
                print(f"  {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gensvs", type=Path)
    parser.add_argument("ward", type=Path, help="CSV that `validity --save` wrote")
    parser.add_argument("--ward-data", type=Path, required=True)
    parser.add_argument(
        "--all", action="store_true", help="also pairs with metrics that need downloaded weights"
    )
    options = parser.parse_args()
    first = read_study("gensvs2025", data=options.gensvs)
    names = (*OFFLINE, *(WITH_WEIGHTS if options.all else ()))
    report("gensvs2025, quality", first.clips("quality"), names)
    second = read_study("ward2018", data=options.ward_data)
    values = pd.read_csv(options.ward)
    keys = ["song", "stem", "system"]
    other = {*keys, "question", "family", "rating", "normalised_rating"}
    metrics = [c for c in values.columns if c not in other and not c.startswith("page_")]
    once = values[values["question"] == "quality"][[*keys, *metrics]]
    for question in second.questions:
        clips = with_metrics(second.clips(question), once)
        report(f"ward2018, {question}", clips, metrics)


if __name__ == "__main__":
    main()
