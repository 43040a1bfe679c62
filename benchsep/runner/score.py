"""``benchsep score``: one estimate, or a folder of stems, against its reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.notify import notify
from benchsep._util.warn_once import warn_once
from benchsep.audio import STEMS, Audio, fit_length, read_audio
from benchsep.errors import SeparatorError, UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.device import CPU, resolved, scoring_on
from benchsep.metrics.metric import References, Score, column
from benchsep.metrics.names import metrics_named
from benchsep.stems.files import audio_files, stem_files
from benchsep.stems.meaning import full_map
from benchsep.stems.names import MIXTURE
from benchsep.stems.relations import combined, relation
from benchsep.stems.sets import disjoint
from benchsep.systems.fit import LENGTH_SLACK_S, fitted, summed

if TYPE_CHECKING:
    from benchsep.runner.scores import Scores

Signal = str | Path | Audio | np.ndarray
DEFAULT_METRICS = ("visqol", "usdr", "sisdr")


def score(
    reference: Signal | dict[str, Signal],
    estimate: Signal | dict[str, Signal],
    *,
    metrics: tuple[str, ...] | list[str] = DEFAULT_METRICS,
    rate: int = 44_100,
    mixture: Signal | None = None,
    metric_device: str = CPU,
) -> Scores:
    """Score paths, arrays ``[frames]`` or ``[channels, frames]`` at ``rate`` Hz, or dicts of stems.

    A single signal is called ``signal`` in the ``stem`` column. The stems of a folder are found by
    :mod:`benchsep.stems.files`, whatever their format. Rate and length of an estimate follow the
    rule of ``benchsep run`` (:mod:`benchsep.systems.fit`); a stem that breaks it is a failed row.
    Returns a DataFrame with a row per value: ``stem, metric, value, status, unit, frames``.
    A warning is shown once, however many stems and calls give it. ``metric_device``: where BSSEval,
    MR-STFT and ViSQOL compute (:mod:`benchsep.metrics.device`).

    Raises
    ------
    Unavailable
        no such device here.
    AudioError, UsageError
        unreadable audio; references of different rates or lengths; a stem of the estimate that
        has no reference; an unknown metric.
    """
    asked = metrics_named(metrics)
    if not asked:
        raise UsageError("no metric is named; benchsep list metrics shows them")
    resolved(metric_device)  # refused before any file is read
    references = _stems(reference, rate)
    references = _alike(references, "the references")
    estimates = _stems(estimate, rate, wanted=tuple(references))
    unknown = [stem for stem in estimates if stem not in references]
    if unknown:
        raise UsageError(f"no reference for {unknown}; references are {sorted(references)}")
    for line in _conversions(estimates, references):
        notify(line)
    usable, faults = _fitted(estimates, references)
    shared = References(references, None if mixture is None else _audio(mixture, rate))
    rows: list[dict[str, Any]] = []
    with warn_once(), scoring_on(metric_device):
        for name in asked:
            rows += _rows(name, shared, usable, faults)
    return _frame(rows)


def _fitted(
    estimates: dict[str, Audio], references: dict[str, Audio]
) -> tuple[dict[str, Audio], dict[str, str]]:
    """Estimates at the rate, length and channels of their references, and why others are not."""
    usable, faults = {}, {}
    for stem, audio in estimates.items():
        try:
            usable[stem] = fitted(audio, references[stem], f"estimate of {stem}", "reference")
        except SeparatorError as error:
            faults[stem] = str(error)
    return usable, faults


def _conversions(estimates: dict[str, Audio], references: dict[str, Audio]) -> list[str]:
    """What is done to estimates before they are scored, a line for each kind."""
    found: dict[str, list[str]] = {}
    for stem, audio in estimates.items():
        true = references[stem]
        if audio.rate != true.rate:
            how = f"{audio.rate} Hz, resampled to {true.rate} Hz as its reference"
            lost = f": it has nothing above {audio.rate / 2:g} Hz" if audio.rate < true.rate else ""
            found.setdefault(f"{how}{lost}", []).append(stem)
        if audio.channels == 1 < true.channels:
            how = f"mono, repeated in the {true.channels} channels of its reference"
            found.setdefault(how, []).append(stem)
    return [f"estimate of {', '.join(stems)}: {how}" for how, stems in found.items()]


def _rows(
    name: str, references: References, estimates: dict[str, Audio], faults: dict[str, str]
) -> list[dict[str, Any]]:
    metric = get_metric(name)
    stems = tuple(estimates)
    reason = metric.available()

    def everywhere(status: str) -> dict[str, Score]:
        return {v.name: Score.missing(status) for v in metric.values}

    if reason:
        scores = {s: everywhere(f"unavailable: {reason}") for s in stems}
    else:
        scores = metric.score_track(references, estimates, stems) if stems else {}
    scores |= {stem: everywhere(f"failed: {fault}") for stem, fault in faults.items()}
    return [
        {
            "stem": stem,
            "metric": column(metric, value),
            "value": scores[stem][value.name].value,
            "status": scores[stem][value.name].status,
            "unit": value.unit,
            "frames": scores[stem][value.name].frames,
        }
        for stem in scores
        for value in metric.values
    ]


def _frame(rows: list[dict[str, Any]]) -> Scores:
    from benchsep.runner.scores import COLUMNS, Scores

    frame = Scores(rows, columns=list(COLUMNS))
    frame["value"] = frame["value"].astype(float)
    return frame


def _stems(
    signal: Signal | dict[str, Signal], rate: int, wanted: tuple[str, ...] = ()
) -> dict[str, Audio]:
    if isinstance(signal, dict):
        return {stem: _audio(s, rate) for stem, s in signal.items()}
    if isinstance(signal, (str, Path)) and Path(signal).is_dir():
        return _folder(Path(signal), wanted)
    return {"signal": _audio(signal, rate)}


def _folder(folder: Path, wanted: tuple[str, ...]) -> dict[str, Audio]:
    """The stems of a folder; with ``wanted`` those of them that it has, as sums if need be."""
    files = stem_files(audio_files(folder))
    stems = full_map(name for name in files if name not in MIXTURE)
    if not stems.stems:
        raise UsageError(
            f"{folder}: no file of {', '.join(STEMS)}; found {', '.join(sorted(files)) or 'none'}"
            f"{_many_songs(folder)}"
        )
    names = {name for sources in stems.sources.values() for name in sources}
    parts = {name: read_audio(files[name]) for name in sorted(names)}
    if any(len(sources) > 1 for sources in stems.sources.values()):
        parts = _alike(parts, str(folder))
    found = {stem: summed(group) for stem, group in stems.gather(parts).items()}
    four = tuple(stem for stem in found if stem in STEMS)
    relations = {s: relation(s, found) for s in wanted or (four if four[1:] else disjoint(found))}
    first = next(iter(found.values()))
    if any(how and not how.is_itself for how in relations.values()):
        found = _alike(found, str(folder))
    sums = {s: combined(how, found, first) for s, how in relations.items() if how and not how.minus}
    return sums or {stem: found[stem] for stem in disjoint(found)}


def _many_songs(folder: Path) -> str:
    """What to do with a folder of songs, which was taken for the folder of one."""
    songs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not songs:
        return ""
    return (
        f", but {len(songs)} folders such as {songs[0]!r}: this command scores one song; for all: "
        "benchsep run --systems dir:ESTIMATES --dataset folder:REFERENCES -o RUN"
    )


def _alike(stems: dict[str, Audio], where: str) -> dict[str, Audio]:
    """Stems that are added or compared with each other: one rate, and the length of the first."""
    first, audio = next(iter(stems.items()), ("", None))
    fit = {}
    for name, other in stems.items():
        assert audio is not None  # there is a first
        gap = abs(other.frames - audio.frames)
        if other.rate != audio.rate or gap > LENGTH_SLACK_S * audio.rate:
            raise UsageError(
                f"{where}: {name} has {other.frames} frames at {other.rate} Hz, {first} has "
                f"{audio.frames} at {audio.rate} Hz; all stems of a song need one rate and length"
            )
        fit[name] = Audio(fit_length(other.samples, audio.frames), other.rate) if gap else other
    return fit


def _audio(signal: Signal, rate: int) -> Audio:
    if isinstance(signal, Audio):
        return signal
    if isinstance(signal, (str, Path)):
        return read_audio(signal)
    return Audio.of(signal, rate)
