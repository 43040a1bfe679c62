"""Figures: one scale, embedded fonts, the same bytes each time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.datasets.track import TrackAudio
from benchsep.errors import UsageError
from benchsep.report.figures import draw as figures


def sine(level: float, hertz: float = 1000.0, rate: int = 44_100) -> Audio:
    t = np.arange(rate) / rate
    return Audio.of(level * np.sin(2 * np.pi * hertz * t), rate)


def test_a_full_scale_sine_has_zero_db_at_its_bin() -> None:
    rate, bin_ = 44_100, 100
    db = figures.spectrogram_db(sine(1.0, bin_ * rate / figures.N_FFT, rate))
    assert db[bin_, 20] == pytest.approx(0.0, abs=0.01)
    assert int(db[:, 20].argmax()) == bin_


def test_long_audio_is_thinned_and_a_click_stays() -> None:
    samples = np.zeros(figures.HOP * figures.COLUMNS * 3, np.float32)
    samples[1_000_000] = 1.0
    db = figures.spectrogram_db(Audio.of(samples, 44_100))
    assert db.shape[1] <= figures.COLUMNS and np.isfinite(db).any()


def test_all_panels_share_one_scale(clip: TrackAudio) -> None:
    quiet = Audio(clip.stems["vocals"].samples * 0.1, 44_100)
    figure = figures.spectrogram_figure(
        clip.mixture, clip.stems["vocals"], {"a": quiet, "b": clip.mixture}, title="t"
    )
    images = [image for axis in figure.axes for image in axis.get_images()]
    assert len(images) == 4
    assert {image.get_clim() for image in images} == {(-80.0, 0.0)}
    arrays = [np.asarray(image.get_array()) for image in images]
    assert max(arrays[0].max(), arrays[1].max()) == 0.0
    loud = arrays[1] > -55
    np.testing.assert_allclose(arrays[2][loud], arrays[1][loud] - 20, atol=0.01)


def test_axes_are_labelled(clip: TrackAudio) -> None:
    figure = figures.spectrogram_figure(clip.mixture, clip.stems["bass"], {}, title="t")
    labels = {axis.get_xlabel() for axis in figure.axes} | {a.get_ylabel() for a in figure.axes}
    assert {"time (s)", "frequency (kHz)"} <= labels
    assert figure.axes[0].get_images()[0].get_extent()[3] == pytest.approx(22.05)


def test_silence_and_one_sample_are_drawn() -> None:
    silent, single = sine(0.0), Audio.of(np.ones(1), 44_100)
    figures.spectrogram_figure(silent, silent, {"x": silent}, title="t")
    figures.spectrogram_figure(single, single, {}, title="t")


def test_rates_must_agree() -> None:
    with pytest.raises(UsageError, match="48000"):
        figures.spectrogram_figure(sine(1), sine(1), {"x": sine(1, rate=48_000)}, title="t")


def test_files_are_the_same_bytes_each_time_with_embedded_fonts(tmp_path: Path) -> None:
    def draw(name: str) -> list[bytes]:
        made = figures.forest_figure([("a − b", 0.1, -0.1, 0.3)], label="$x", title="漢 <b> $")
        return [path.read_bytes() for path in figures.save(made, tmp_path / name)]

    one, two = draw("one"), draw("two")
    assert one == two
    assert b"/FontFile2" in one[1] and b"/Type3" not in one[1]
    assert not re.search(rb"CreationDate", one[1])


def test_other_figures_draw_any_label(tmp_path: Path) -> None:
    hostile = "$\\frac{<\x1b>"
    families = {"a": "generative", hostile: "discriminative"}
    songs = {"a": [1.0, 2.0, float("nan")], hostile: [float("nan")]}
    made = [
        figures.distribution_figure(songs, families, label="ViSQOL", title=hostile),
        figures.cost_figure(
            {"a": (3.0, 0.5, float("nan")), hostile: (2.0, 8.0, 900.0)},
            families, label="ViSQOL", title="t", rulers={"mixture": 1.0},
        ),
        figures.disagreement_figure(
            {s: {"s1": (1.0, 2.0), "s2": (2.0, 1.0), hostile: (3.0, 0.0)} for s in families},
            families, labels=("a", "b"), title="t",
        ),
    ]  # fmt: skip
    for index, figure in enumerate(made):
        assert all(p.stat().st_size > 1000 for p in figures.save(figure, tmp_path / f"{index}.x"))


def test_song_names_follow_the_largest_disagreement() -> None:
    points = [("s", "agree", 1.0, 1.0), ("s", "split", 4.0, 0.0), ("s", "mid", 2.0, 2.0)]
    assert figures._most_split(points)[0] == 1
