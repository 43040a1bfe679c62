"""What ``benchsep.score`` returns: short texts, each reason once, each warning once."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchsep
from benchsep._util.warn_once import warn_once
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.errors import UsageError
from benchsep.metrics.sdr import USDR

RATE = 8000


def noise(seconds: float = 0.5, rate: int = RATE) -> Audio:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, round(seconds * rate)))
    return Audio(samples.astype(np.float32), rate)


def test_it_prints_metrics_by_stems_and_each_reason_once() -> None:
    stems = {stem: noise() for stem in STEMS}
    estimates = {**stems, "drums": noise(2.0), "bass": noise(2.0)}
    scores = benchsep.score(stems, estimates, metrics=["usdr", "logwmse", "leakage"])
    text = repr(scores)
    assert text.startswith("Scores: 4 stems, ") and "frames  " not in text
    table = text.split("usdr, ")[0].splitlines()
    assert max(map(len, table)) < 60 and len(text.splitlines()) < 20
    value = scores.value[(scores.stem == "vocals") & (scores.metric == "usdr")].item()
    (row,) = (line for line in table if line.startswith("usdr"))
    assert row.split()[1] == f"{value:.3f}" and row.split()[2:] == [row.split()[1], "–", "–"]
    assert text.count("logWMSE needs the mixture") == 1
    html = scores._repr_html_()
    assert "<table" in html and html.count("logWMSE needs the mixture") == 1
    assert html.count("<td>") == len(scores) == scores.value.size


def test_it_is_a_data_frame_and_its_parts_are_ordinary_ones() -> None:
    scores = benchsep.score(noise(), noise(), metrics=["usdr"])
    assert isinstance(scores, pd.DataFrame)
    assert type(scores[["stem", "value"]]) is pd.DataFrame
    assert type(scores.drop(columns=["frames"])) is pd.DataFrame
    assert repr(scores.iloc[:0]).startswith("Empty DataFrame")
    empty = type(scores)([], columns=scores.columns)
    assert repr(empty) == "Scores: 0 stems, 0 values" and "<table" not in empty._repr_html_()


def test_many_values_are_cut_in_a_terminal_and_whole_in_a_notebook() -> None:
    scores = benchsep.score(noise(), noise(), metrics=["usdr", "sisdr", "leakage", "alignment"])
    more = type(scores)(
        [row._asdict() | {"metric": f"{row.metric}.{n}"} for n in range(9)
         for row in scores.itertuples(index=False)], columns=scores.columns,
    )  # fmt: skip
    assert f"… {len(more) - 20} more metrics" in repr(more)
    assert more._repr_html_().count("<td>") == len(more)


def test_a_warning_of_a_metric_is_shown_once_for_all_stems_and_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    track = USDR.score_track

    def warning(self, references, estimates, stems):
        for _ in stems:
            warnings.warn("told by a plugin", UserWarning, stacklevel=1)
        return track(self, references, estimates, stems)

    monkeypatch.setattr(USDR, "score_track", warning)
    stems = {stem: noise() for stem in STEMS}
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for _ in range(2):
            benchsep.score(stems, stems, metrics=["usdr"])
    assert [str(warning.message) for warning in shown] == ["told by a plugin"]
    with pytest.raises(UserWarning), warnings.catch_warnings():
        warnings.simplefilter("error")
        benchsep.score(stems, stems, metrics=["usdr"])


def test_a_warning_before_an_error_is_not_lost() -> None:
    with pytest.warns(UserWarning, match="before the error"), pytest.raises(KeyError), warn_once():
        warnings.warn("before the error", stacklevel=1)
        raise KeyError


@pytest.mark.parametrize("wrong", [noise(1.0), noise(0.5, 16_000)])
def test_references_of_other_rates_or_lengths_are_one_clear_error(wrong: Audio) -> None:
    stems = {**{stem: noise() for stem in STEMS}, "other": wrong}
    with pytest.raises(UsageError, match=f"other has {wrong.frames} frames at {wrong.rate} Hz"):
        benchsep.score(stems, {"vocals": noise()}, metrics=["usdr"])
    stems["other"] = noise(0.51)
    frame = benchsep.score(stems, {"other": noise()}, metrics=["leakage"])
    assert frame["status"].eq("ok").any() and not frame["status"].str.startswith("failed").any()


def test_a_length_or_channels_are_compared_with_the_reference_not_with_a_mixture() -> None:
    three = Audio(np.tile(noise().samples[:1], (3, 1)), RATE)
    mono = Audio(noise().samples[:1], RATE)
    for reference, estimate, found in (
        (noise(), noise(2.0), "2.00 s (16000 samples at 8000 Hz), the reference has 0.50 s"),
        (noise(), three, "3 channels, the reference has 2; expected 2 or 1"),
        (mono, noise(), "2 channels, the reference has 1; expected 1"),
    ):
        (row,) = benchsep.score(reference, estimate, metrics=["usdr"]).itertuples()
        assert found in row.status and "mixture" not in row.status
        assert not row.status.endswith("or 1") or "expected 2" in row.status


def test_what_is_done_to_an_estimate_before_scoring_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stems = {stem: noise() for stem in ("vocals", "drums", "bass")}
    benchsep.score(stems, stems, metrics=["usdr"])
    assert capsys.readouterr().err == ""
    low = noise(rate=4000)
    mono = Audio(stems["bass"].samples[:1], RATE)
    benchsep.score(stems, {"vocals": low, "drums": low, "bass": mono}, metrics=["usdr"])
    assert capsys.readouterr().err.splitlines() == [
        "benchsep: estimate of vocals, drums: 4000 Hz, resampled to 8000 Hz as its reference; "
        "frequencies above 2000 Hz are missing",
        "benchsep: estimate of bass: mono, repeated in the 2 channels of its reference",
    ]


def test_no_metric_and_a_folder_of_songs_are_told_apart_from_bad_audio(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="benchsep list metrics"):
        benchsep.score(noise(), noise(), metrics=[])
    write_audio(tmp_path / "Song 1" / "vocals.wav", noise())
    with pytest.raises(
        UsageError, match=r"1 folder, such as 'Song 1'.*benchsep run --systems dir:"
    ):
        benchsep.score(tmp_path, tmp_path, metrics=["usdr"])
