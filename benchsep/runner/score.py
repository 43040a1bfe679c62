"""``benchsep score``: one estimate, or a folder of stems, against its reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.notify import notify
from benchsep._util.warn_once import warn_once
from benchsep._util.words import amount
from benchsep.audio import STEMS, Audio, fit_length, read_audio, scale_fault
from benchsep.errors import AudioError, SeparatorError, UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.device import CPU, resolved, scoring_on
from benchsep.metrics.metric import References, Score, column
from benchsep.metrics.names import metrics_named
from benchsep.metrics.stems import score_stems
from benchsep.runner.notes import lag, mistakes
from benchsep.runner.notes.lag import lags_of, loudest_parts
from benchsep.runner.notes.mistakes import mistakes_of
from benchsep.stems.files import audio_files, read_as_stems, stem_files
from benchsep.stems.meaning import full_map
from benchsep.stems.names import MIXTURE
from benchsep.stems.relations import combined, relation
from benchsep.stems.sets import Parts, disjoint, parts_of
from benchsep.systems.fit import LENGTH_SLACK_S, change_of, fitted, summed

if TYPE_CHECKING:
    from benchsep.runner.scores import Scores

Signal = str | Path | Audio | np.ndarray
DEFAULT_METRICS = ("visqol", "usdr", "sisdr")


def score(
    reference: Signal | dict[str, Signal],
    estimate: Signal | dict[str, Signal],
    *,
    metrics: str | Iterable[str] = DEFAULT_METRICS,
    rate: int = 44_100,
    mixture: Signal | None = None,
    metric_device: str = CPU,
) -> Scores:
    """Score estimates against references, both given as paths, arrays or dictionaries of stems.

    Arrays are ``[frames]`` or ``[channels, frames]`` at ``rate`` Hz with full scale 1; integers and
    other scales are errors.

    A single signal is named ``signal`` in the ``stem`` column. A path may be a folder of stem files
    (:mod:`benchsep.stems.files`). Rate and length of estimates and mixture are converted by the
    rule of ``benchsep run`` (:mod:`benchsep.systems.fit`): an estimate that violates it is a failed
    row, a mixture that violates it is an error. ``metrics``: names, or one text with commas between
    them. ``metric_device``: the device of BSSEval, MR-STFT and ViSQOL
    (:mod:`benchsep.metrics.device`). Returns a DataFrame with a row per value and the columns
    ``stem, metric, value, status, unit, frames``. Delayed estimates and suspected mistakes in files
    are reported on standard error (:mod:`benchsep.runner.notes`); each warning is shown once.

    Raises
    ------
    Unavailable
        the device does not exist here.
    AudioError, UsageError
        audio is unreadable; references differ in rate or length, or have a wrong scale; there is no
        stem; a stem of the estimate has no reference; a metric is unknown.
    """
    asked = _metrics(metrics)
    resolved(metric_device)  # refused before any file is read
    references = _references(reference, rate)
    estimates = _stems(estimate, rate, "estimate", wanted=tuple(references))
    unknown = [stem for stem in estimates if stem not in references]
    if unknown:
        raise UsageError(f"no reference for {unknown}; references are {sorted(references)}")
    whole = None if mixture is None else _audio(mixture, rate, "mixture")
    for line in _conversions(estimates, whole, references):
        notify(line)
    usable, faults = _fitted(estimates, references)
    for line in _suspicions(usable, references):
        notify(line)
    shared = References(references, None if whole is None else _mixture(whole, references))
    rows: list[dict[str, Any]] = []
    with warn_once(), scoring_on(metric_device):
        for name in asked:
            rows += _rows(name, shared, usable, faults)
    return _frame(rows)


def _metrics(names: str | Iterable[str]) -> tuple[str, ...]:
    """The named metrics without duplicates."""
    if names is None:
        raise UsageError(f"metrics is None; leave it out for {', '.join(DEFAULT_METRICS)}")
    words = names.split(",") if isinstance(names, str) else names
    if not isinstance(words, Iterable) or not all(isinstance(word, str) for word in words):
        raise UsageError(
            f"metrics is {names!r}, expected a list of names or a text with commas between names"
        )
    asked = metrics_named([word.strip() for word in words if word.strip()])
    if not asked:
        raise UsageError("the list of metrics is empty; `benchsep list metrics` shows all names")
    return tuple(asked)


def _references(signal: Signal | dict[str, Signal], rate: int) -> dict[str, Audio]:
    """The true stems; raises unless they have one rate, one length and full scale 1."""
    references = _alike(_stems(signal, rate, "reference"), "the references")
    for stem, audio in references.items():
        if fault := scale_fault(audio):
            raise AudioError(f"reference of {stem}: {fault}")
    return references


def _mixture(audio: Audio, references: dict[str, Audio]) -> Audio:
    """The mixture at the rate, length and channels of the references."""
    try:
        return fitted(audio, next(iter(references.values())), "the mixture", "reference")
    except SeparatorError as error:
        raise UsageError(str(error)) from None


def _fitted(
    estimates: dict[str, Audio], references: dict[str, Audio]
) -> tuple[dict[str, Audio], dict[str, str]]:
    """Estimates at the rate, length and channels of their references, and the errors of the
    others.
    """
    usable, faults = {}, {}
    for stem, audio in estimates.items():
        try:
            usable[stem] = fitted(audio, references[stem], f"estimate of {stem}", "reference")
        except SeparatorError as error:
            faults[stem] = str(error)
    return usable, faults


def _suspicions(estimates: dict[str, Audio], references: dict[str, Audio]) -> list[str]:
    """Notes on delays and mistakes in files, a line per kind. The values are not corrected for
    them.
    """
    parts = loudest_parts(references)
    return [
        *lag.in_words(lags_of(references, estimates, parts)),
        *mistakes.in_words(mistakes_of(references, estimates, parts)),
    ]


def _conversions(
    estimates: dict[str, Audio], mixture: Audio | None, references: dict[str, Audio]
) -> list[str]:
    """Notes on the conversions of estimates and mixture before scoring, a line per kind."""
    found: dict[str, list[str]] = {}
    for stem, audio in estimates.items():
        for how in _changes(audio, references[stem]):
            found.setdefault(how, []).append(stem)
    lines = [f"estimate of {', '.join(stems)}: {how}" for how, stems in found.items()]
    if mixture is not None:
        lines += [f"mixture: {how}" for how in _changes(mixture, next(iter(references.values())))]
    return lines


def _changes(audio: Audio, true: Audio) -> list[str]:
    """The conversions by :func:`~benchsep.systems.fit.fitted` in words."""
    found = []
    change = change_of(audio, true)
    if change.rate:
        lost = (
            f"; frequencies above {audio.rate / 2:g} Hz are missing"
            if audio.rate < true.rate
            else ""
        )
        found.append(f"{audio.rate} Hz, resampled to {true.rate} Hz as its reference{lost}")
    if change.extra:
        side, how = ("longer", "cut") if change.extra > 0 else ("shorter", "padded with zeros")
        found.append(f"{abs(change.extra)} samples {side}, {how}")
    if change.mono:
        found.append(f"mono, repeated in the {true.channels} channels of its reference")
    return found


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
        scores = score_stems(metric, references, estimates, stems) if stems else {}
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
    signal: Signal | dict[str, Signal], rate: int, role: str, wanted: tuple[str, ...] = ()
) -> dict[str, Audio]:
    if isinstance(signal, dict):
        if not signal:
            raise UsageError(f"the dictionary of the {role} is empty, expected at least one stem")
        return {stem: _audio(s, rate, f"{role} of {stem}") for stem, s in signal.items()}
    if isinstance(signal, (str, Path)) and Path(signal).is_dir():
        return _folder(Path(signal), wanted)
    return {"signal": _audio(signal, rate, role)}


def _folder(folder: Path, wanted: tuple[str, ...]) -> dict[str, Audio]:
    """The stems of a folder; with ``wanted``, those of them that the folder has or that are sums of
    its stems.
    """
    given = audio_files(folder)
    files = stem_files(given)
    if read := read_as_stems([given]):
        notify(f"{folder}: {read}")
    stems = full_map(name for name in files if name not in MIXTURE)
    if not stems.stems:
        raise UsageError(
            f"{folder}: found no file of {', '.join(STEMS)}; its files were read as "
            f"{', '.join(sorted(files)) or 'no stem'}{_many_songs(folder)}"
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
    covered = Parts().union(*map(parts_of, sums))  # a guitar is part of the reference's other
    unused = [stem for stem in found if not parts_of(stem) <= covered]
    if wanted and sums and (said := _left_out(wanted, sums, unused)):
        notify(f"{folder}: {said}; its files were read as {', '.join(found)}")
    return sums or {stem: found[stem] for stem in disjoint(found)}


def _left_out(wanted: Iterable[str], made: Iterable[str], unused: list[str]) -> str:
    """A note on stems of the reference without an estimate, and on estimates without a
    reference.
    """
    lost = [stem for stem in wanted if stem not in made]
    return ", and ".join(
        f"{what} {', '.join(stems)}"
        for what, stems in (("no estimate of", lost), ("no reference for", unused))
        if stems
    )


def _many_songs(folder: Path) -> str:
    """A hint for the error if the folder holds several songs instead of one."""
    songs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not songs:
        return ""
    return (
        f"; it has {amount(len(songs), 'folder')}, such as {songs[0]!r}. This command scores one "
        "song; to score all: benchsep run --systems dir:ESTIMATES --dataset folder:REFERENCES -o "
        "RUN"
    )


def _alike(stems: dict[str, Audio], where: str) -> dict[str, Audio]:
    """Stems that are added or compared: raises unless all have one rate and a similar length; cut
    or padded to the length of the first.
    """
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


def _audio(signal: Signal, rate: int, role: str) -> Audio:
    if isinstance(signal, Audio):
        return signal
    if isinstance(signal, (str, Path)):
        return read_audio(signal)
    if signal is None or isinstance(signal, bytes):
        kinds = "a path, an array [channels, frames] or a dictionary of stems"
        raise UsageError(f"the {role} is {type(signal).__name__}, expected {kinds}")
    try:
        return Audio.of(signal, rate)
    except AudioError as error:
        raise AudioError(f"{role}: {error}") from None
