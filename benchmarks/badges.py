"""The badges of the metrics, from the two public listening studies: ``validity_badges.json``.

    benchsep validity ward2018 --data WARD --score --metrics ... --save ward.csv
    python -m benchmarks.badges GENSVS ward.csv -o benchsep/listeners/validity_badges.json

``GENSVS`` is the folder of ``gensvs_eval_data.csv``; ``--ward-data`` the folder of Ward's
``ratings.csv``; ``ward.csv`` holds the values of the metrics that the first command computed from
the study's sounds (docs/listeners.md has the whole command, and the table that ``table`` writes).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchsep.listeners.agreement import known_directions
from benchsep.listeners.badges import all_badges, disagreement, write_badges
from benchsep.listeners.combine import with_combined
from benchsep.listeners.scoring import with_metrics
from benchsep.listeners.study import QUESTIONS, read_study
from benchsep.listeners.verdicts import Verdict, verdict
from benchsep.listeners.worth import Worth
from benchsep.metrics.catalog import columns_by_alias
from benchsep.metrics.combined import COMBINED, SIGN

MARKS = {"gensvs2025": " ᵍ", "ward2018": " ʷ"}
MOST = 6
"""Listeners up to which the smaller study can tell."""
KEYS = ["question", "song", "stem", "system", "family", "rating"]


def table() -> str:
    """The built-in badges as the Markdown table of docs/listeners.md."""
    lines = [
        "| column | quality, across | quality, within discriminative | interference, within "
        "discriminative | listeners (quality / interference) |",
        "|---|---|---|---|---|",
    ]
    for column, found in all_badges().items():
        by_question = {q: [b for b in found if b.question == q] for q in QUESTIONS}
        across = [str(b.across) for b in found if b.across.known]
        within = {
            q: ", ".join(f"{b.discriminative}{MARKS[b.study]}" for b in badges)
            for q, badges in by_question.items()
        }
        worth = [
            str(Worth(b[0].listeners.share, b[0].listeners.low, b[0].listeners.high, MOST))
            for b in by_question.values()
            if b
        ]
        doubt = " **!**" if disagreement(column) else ""
        cells = [across[0] if across else "", *(within[q] for q in QUESTIONS), " / ".join(worth)]
        lines.append(f"| `{column}`{doubt} | {' | '.join(cells)} |")
    return "\n".join(lines)


def judged(ratings: pd.DataFrame, clips: pd.DataFrame) -> Verdict:
    """All metrics of the clips, and the combined ones whose parts are among them."""
    known = known_directions(clips, None)
    here = {own: alias for alias, own in columns_by_alias().items() if alias in clips}
    directions = {}
    for name, each in COMBINED.items():
        parts = [here.get(part, part) for part in each.parts]
        if set(parts) <= set(clips.columns):
            pair = SIGN.join(parts)
            clips = with_combined(clips, [pair], known).rename(columns={pair: name})
            directions[name] = each.traits.direction
    return verdict("", ratings, clips, directions=directions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gensvs", type=Path)
    parser.add_argument("ward", type=Path, help="CSV that `validity --save` wrote")
    parser.add_argument("--ward-data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    first = read_study("gensvs2025", data=options.gensvs)
    found = [
        (
            "gensvs2025", "quality", first.file.title,
            judged(first.ratings("quality"), first.clips("quality")),
        )
    ]  # fmt: skip
    second = read_study("ward2018", data=options.ward_data)
    values = pd.read_csv(options.ward).drop(columns=["page_duration", "page_order"])
    metrics = [c for c in values.columns if c not in KEYS and c != "normalised_rating"]
    once = values[values["question"] == "quality"][["song", "stem", "system", *metrics]]
    for question in second.questions:
        clips = with_metrics(second.clips(question), once)
        found.append(
            ("ward2018", question, second.file.title, judged(second.ratings(question), clips))
        )
    write_badges(found, options.out)


if __name__ == "__main__":
    main()
