"""Writes examples of the two files of a study: ``benchsep validity --template FOLDER``."""

from __future__ import annotations

from pathlib import Path

from benchsep._util.atomic import write_atomically
from benchsep.errors import UsageError

STUDY = """\
# A listening study. `benchsep docs listeners` explains every key.
name: my-study
title: "Who, when: 2 songs, 3 systems, 2 listeners"
reference: "where it is published"
licence: "under which terms the ratings may be used"
ratings: ratings.csv   # further columns of numbers, as visqol here, are metrics to be judged
# columns: {song: page, system: sound, rater: subject}   # where the CSV has other names
# questions: {interferer: interference}                  # where the CSV has other words
families: {mine: generative, theirs: discriminative, old: discriminative, "*": anchor}
# For `benchsep validity study.yaml --score`: where the sounds are.
# audio:
#   estimate: "sounds/{song}/{system}.wav"
#   reference: "sounds/{song}/reference.wav"
#   mixture: "sounds/{song}/mixture.wav"
"""
HEAD = "question,song,stem,system,rater,rating,visqol\n"
RATINGS = {
    "quality": {"mine": (80, 70), "theirs": (60, 65), "old": (30, 40), "reference": (100, 95)},
    "interference": {"mine": (55, 60), "theirs": (75, 80), "old": (20, 35), "reference": (98, 100)},
}
VISQOL = {"mine": 3.1, "theirs": 2.8, "old": 2.9, "reference": 4.73}
"""Example values of a metric."""


def write_template(folder: Path) -> list[Path]:
    """Write ``study.yaml`` and ``ratings.csv``, a complete example.

    Raises
    ------
    UsageError
        one of the files already exists.
    """
    lines = [
        f"{question},{song},vocals,{system},{rater},{value},{VISQOL[system]}\n"
        for question, systems in RATINGS.items()
        for song in ("song-a", "song-b")
        for system, values in systems.items()
        for rater, value in zip(("anna", "ben"), values, strict=True)
    ]
    files = {"study.yaml": STUDY, "ratings.csv": HEAD + "".join(lines)}
    paths = [folder / name for name in files]
    if present := [path for path in paths if path.exists()]:
        raise UsageError(f"{present[0]} exists already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, files.values(), strict=True):
        write_atomically(path, text)
    return paths
