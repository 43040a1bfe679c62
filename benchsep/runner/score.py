"""``benchsep score``: one estimate, or a folder of stems, against its reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS, Audio, read_audio
from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.metric import References, Score, column

if TYPE_CHECKING:
    import pandas as pd

Signal = str | Path | Audio | np.ndarray
DEFAULT_METRICS = ("visqol", "usdr", "sisdr")


def score(
    reference: Signal | dict[str, Signal],
    estimate: Signal | dict[str, Signal],
    *,
    metrics: tuple[str, ...] | list[str] = DEFAULT_METRICS,
    rate: int = 44_100,
    mixture: Signal | None = None,
) -> pd.DataFrame:
    """Score paths, arrays ``[frames]`` or ``[channels, frames]`` at ``rate`` Hz, or dicts of stems.

    A single signal is called ``signal`` in the ``stem`` column. A folder is read as
    ``<stem>.wav|flac``. Returns a row per value: ``stem, metric, value, status, unit, frames``.

    Raises
    ------
    AudioError, UsageError
        unreadable audio; a stem of the estimate that has no reference; an unknown metric.
    """
    references, estimates = _stems(reference, rate), _stems(estimate, rate)
    unknown = [stem for stem in estimates if stem not in references]
    if unknown:
        raise UsageError(f"no reference for {unknown}; references are {sorted(references)}")
    shared = References(references, None if mixture is None else _audio(mixture, rate))
    rows: list[dict[str, Any]] = []
    for name in metrics:
        rows += _rows(name, shared, estimates)
    return _frame(rows)


def _rows(name: str, references: References, estimates: dict[str, Audio]) -> list[dict[str, Any]]:
    metric = get_metric(name)
    stems = tuple(estimates)
    reason = metric.available()
    if reason:
        missing = Score.missing(f"unavailable: {reason}")
        scores = {s: {v.name: missing for v in metric.values} for s in stems}
    else:
        scores = metric.score_track(references, estimates, stems)
    return [
        {
            "stem": stem,
            "metric": column(metric, value),
            "value": scores[stem][value.name].value,
            "status": scores[stem][value.name].status,
            "unit": value.unit,
            "frames": scores[stem][value.name].frames,
        }
        for stem in stems
        for value in metric.values
    ]


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["stem", "metric", "value", "status", "unit", "frames"])
    frame["value"] = frame["value"].astype(float)
    return frame


def _stems(signal: Signal | dict[str, Signal], rate: int) -> dict[str, Audio]:
    if isinstance(signal, dict):
        return {stem: _audio(s, rate) for stem, s in signal.items()}
    if isinstance(signal, (str, Path)) and Path(signal).is_dir():
        return _folder(Path(signal))
    return {"signal": _audio(signal, rate)}


def _folder(folder: Path) -> dict[str, Audio]:
    found = {
        stem: read_audio(path)
        for stem in STEMS
        for suffix in (".wav", ".flac")
        if (path := folder / f"{stem}{suffix}").is_file()
    }
    if not found:
        raise UsageError(f"{folder}: none of {', '.join(STEMS)} as .wav or .flac")
    return found


def _audio(signal: Signal, rate: int) -> Audio:
    if isinstance(signal, Audio):
        return signal
    if isinstance(signal, (str, Path)):
        return read_audio(signal)
    return Audio.of(signal, rate)
