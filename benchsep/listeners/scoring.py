"""Computes metrics for the sounds of a study.

Conventions
-----------
reference  the true stem; with a mixture, the mixture minus the stem is a second reference,
           ``accompaniment``, so that interference can be measured
values     of status ``ok`` or ``ill_conditioned``; any other leaves the cell empty
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchsep.audio import Audio, read_audio
from benchsep.errors import UsageError
from benchsep.listeners.scopes import FAMILIES
from benchsep.listeners.study import Study
from benchsep.runner.score import score

if TYPE_CHECKING:
    import pandas as pd

REST = "accompaniment"
USABLE = ("ok", "ill_conditioned")


def scored(study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """A row per sound of a system: ``song stem system`` and a column per value of the metrics.

    Raises
    ------
    UsageError
        the study has no ``audio``, a file is missing, or a metric is unknown.
    AudioError
        a file cannot be read.
    """
    import pandas as pd

    if study.file.audio is None:
        raise UsageError(
            f"study {study.file.name} does not name its sound files; add `audio` with `estimate` "
            "and `reference` to its YAML file (benchsep docs listeners)"
        )
    rows = []
    for song, stem, references, mixture, systems in _songs(study):
        for system in systems:
            estimate = read_audio(_path(study, "estimate", song, stem, system))
            frame = score(
                dict(references), {stem: estimate}, metrics=tuple(metrics), mixture=mixture
            )
            values = frame.loc[frame["status"].isin(USABLE), ["metric", "value"]]
            found = dict(zip(values["metric"], values["value"], strict=True))
            rows.append({"song": song, "stem": stem, "system": system, **found})
    return pd.DataFrame(rows)


def with_metrics(table: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Clips or ratings with the columns of :func:`scored`, which replace columns of the same
    name.
    """
    keys = ["song", "stem", "system"]
    new = [c for c in metrics.columns if c not in keys]
    return table.drop(columns=[c for c in new if c in table.columns]).merge(
        metrics, on=keys, how="left"
    )


def _songs(
    study: Study,
) -> Iterator[tuple[str, str, dict[str, Audio], Audio | None, list[str]]]:
    """Song, stem, references, mixture and systems, song by song."""
    rated = study.table[study.table["family"].isin(FAMILIES)]
    for key, rows in rated.groupby(["song", "stem"], sort=True):
        song, stem = map(str, key)
        reference = read_audio(_path(study, "reference", song, stem))
        references, mixture = {stem: reference}, None
        if study.file.audio is not None and study.file.audio.mixture is not None:
            mixture = read_audio(_path(study, "mixture", song, stem))
            if study.file.audio.mixture_level == "fitted":
                mixture = containing(mixture, reference)
            references[REST] = Audio(mixture.samples - reference.samples, reference.rate)
        yield song, stem, references, mixture, sorted(set(rows["system"]))


def containing(mixture: Audio, reference: Audio) -> Audio:
    """The mixture scaled so that it contains the reference at its own level, by least squares.

    Minimises ``|m - g r|`` over ``g`` and returns ``m / g``; the rest is then orthogonal to ``r``.

    Raises
    ------
    UsageError
        the two differ in rate or shape, or the mixture does not contain the reference.
    """
    if mixture.rate != reference.rate or mixture.samples.shape != reference.samples.shape:
        raise UsageError(
            f"the mixture has the shape {mixture.samples.shape} at {mixture.rate} Hz, the "
            f"reference {reference.samples.shape} at {reference.rate} Hz; expected the same"
        )
    r = reference.samples.astype(np.float64).ravel()
    gain = float(mixture.samples.astype(np.float64).ravel() @ r / max(float(r @ r), 1e-20))
    if gain < 1e-3:
        raise UsageError(f"the mixture does not contain the reference (gain {gain:.1e})")
    return Audio((mixture.samples / gain).astype(np.float32), mixture.rate)


def _path(study: Study, kind: str, song: str, stem: str, system: str = "") -> Path:
    template: str = getattr(study.file.audio, kind)
    path = study.folder / template.format(song=song, stem=stem, system=system)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; `audio: {kind}` of the study names it")
    return path
