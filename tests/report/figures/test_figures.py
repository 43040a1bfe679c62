"""Figures: one scale, embedded fonts, the same bytes each time, and the marks of the data."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from benchsep._util.escape import visible
from benchsep.audio import Audio
from benchsep.datasets.track import TrackAudio
from benchsep.errors import UsageError
from benchsep.report.figures.cost import cost_figure
from benchsep.report.figures.disagreement import disagreement_figure, largest_rank_differences
from benchsep.report.figures.forest import CLEAR_COLOR, forest_figure, grouped_forest_figure
from benchsep.report.figures.panels import Panels, spectrogram_figure
from benchsep.report.figures.songs import distribution_figure
from benchsep.report.figures.spectrogram import (
    COLUMNS,
    HOP,
    N_FFT,
    colours,
    mel_db,
    on_one_scale,
    power,
)
from benchsep.report.figures.style import FAMILY_MARKERS, save, styled, system_colors

HOSTILE = "$\\frac{<\x1b>"
FAMILIES = {"a": "generative", HOSTILE: "discriminative"}


def sine(level: float, hertz: float = 1000.0, rate: int = 44_100) -> Audio:
    t = np.arange(rate) / rate
    return Audio.of(level * np.sin(2 * np.pi * hertz * t), rate)


def texts(axis: Any) -> set[str]:
    """Everything written in or at an axis: annotations, title, ticks, labels, legend."""
    legend = axis.get_legend()
    found = [*axis.texts, *axis.get_xticklabels(), *axis.get_yticklabels()]
    found += legend.get_texts() if legend else []
    return {t.get_text() for t in found} | {axis.get_title(), axis.get_xlabel(), axis.get_ylabel()}


def points(axis: Any) -> set[tuple[float, float]]:
    """Positions of all marks that were scattered."""
    offsets = [np.asarray(c.get_offsets()) for c in axis.collections if len(c.get_offsets())]
    return {(round(float(x), 6), round(float(y), 6)) for part in offsets for x, y in part}


def test_a_full_scale_sine_has_zero_db_at_its_bin() -> None:
    rate, bin_ = 44_100, 100
    found = power(sine(1.0, bin_ * rate / N_FFT, rate))
    assert 10 * np.log10(found[20, bin_]) == pytest.approx(0.0, abs=0.01)
    assert int(found[20].argmax()) == bin_


def test_long_audio_is_thinned_and_a_click_stays() -> None:
    samples = np.zeros(HOP * COLUMNS * 6, np.float32)
    samples[1_000_000] = 1.0
    for part in (samples[: HOP * COLUMNS * 2 - 1], samples):  # a longer hop; neighbours pooled
        found = power(Audio.of(part, 44_100))
        assert COLUMNS / 2 < len(found) <= COLUMNS
        assert abs(found.max(1).argmax() / len(found) - 1_000_000 / len(part)) < 2 / COLUMNS


def test_a_row_is_the_loudest_bin_between_its_edges() -> None:
    """Another route to the same rows: decibels of every bin, then their maximum."""
    noise = Audio.of(np.random.default_rng(0).standard_normal(44_100) * 0.1, 44_100)
    rows, loudest = mel_db(noise)
    decibels = 10 * np.log10(power(noise).T)
    assert loudest == pytest.approx(decibels.max())
    # The uppermost row ends at 16 kHz: HTK's mel, 320 rows from 40 Hz.
    mel = 2595 * np.log10(1 + np.array([40, 16_000]) / 700)
    low = 700 * (10 ** ((mel[1] - (mel[1] - mel[0]) / 320) / 2595) - 1)
    bins = np.arange(len(decibels)) * 44_100 / N_FFT
    np.testing.assert_allclose(
        rows[-1], decibels[(bins >= low) & (bins < 16_000)].max(0), rtol=1e-5
    )


def test_all_panels_share_one_scale(clip: TrackAudio) -> None:
    quiet = Audio(clip.stems["vocals"].samples * 0.1, 44_100)
    figure = spectrogram_figure(
        clip.mixture, clip.stems["vocals"], {"a": quiet, "b": clip.mixture}, title="t"
    )
    arrays = drawn_levels(figure)
    assert len(arrays) == 4
    assert max(arrays[0].max(), arrays[1].max()) == 255
    loud = arrays[1] > 90
    apart = (arrays[1][loud].astype(int) - arrays[2][loud]) * 80 / 255
    np.testing.assert_allclose(apart, 20, atol=0.8)  # a level is 0.31 dB; some share a colour


def drawn_levels(figure: Any) -> list[np.ndarray]:
    """The level of each pixel of each panel, from its colour."""
    number = np.array([1 << 16, 1 << 8, 1])
    levels = np.argsort(colours() @ number)
    sorted_colours = (colours() @ number)[levels]
    images = [image for axis in figure.axes for image in axis.get_images()]
    pixels = [np.asarray(image.get_array()) @ number for image in images]
    return [levels[np.searchsorted(sorted_colours, each)] for each in pixels]


def test_axes_are_labelled(clip: TrackAudio) -> None:
    figure = spectrogram_figure(clip.mixture, clip.stems["bass"], {}, title="t")
    labels = {axis.get_xlabel() for axis in figure.axes} | {a.get_ylabel() for a in figure.axes}
    assert {"time (s)", "frequency (kHz)"} <= labels


def test_a_sine_is_drawn_at_its_place_on_the_mel_axis() -> None:
    """Partials can be read off the axis: 440 Hz and 3520 Hz, HTK's mel scale."""
    for hertz in (440.0, 3520.0):
        figure = spectrogram_figure(sine(1, hertz), sine(1, hertz), {}, title="t", start=62.0)
        image = figure.axes[0].get_images()[0]
        left, right, low, high = image.get_extent()
        assert (left, right) == (62.0, 63.0)  # the excerpt's time in the song
        (rows, _) = drawn_levels(figure)
        drawn = low + (rows[:, 40].argmax() + 0.5) / len(rows) * (high - low)
        back = 700 * (10 ** (drawn / 2595) - 1)
        assert back == pytest.approx(hertz, abs=22)  # a bin of the transform
        assert 700 * (10 ** (high / 2595) - 1) == pytest.approx(16_000)


@pytest.mark.parametrize("systems", range(1, 10))
def test_the_grid_has_no_hole_and_families_stand_together(systems: int) -> None:
    names = [f"s{k}" for k in range(systems)]
    families = {name: ("discriminative", "generative")[k % 2] for k, name in enumerate(names)}
    estimates = {name: sine(0.5) for name in names}
    figure = spectrogram_figure(sine(1), sine(1), estimates, title="t", families=families)
    panels = figure.axes[: systems + 2]
    area = sum(axis.get_position().width for axis in panels)
    rows = {round(axis.get_position().y0, 3) for axis in panels}
    full = max(axis.get_position().x1 for axis in panels) - min(
        axis.get_position().x0 for axis in panels
    )
    assert area == pytest.approx(full * len(rows), rel=0.03)
    shown = [families[axis.get_title(loc="left")] for axis in panels[2:]]
    assert shown == sorted(shown, reverse=True)  # generative first, as in the tables
    assert [axis.get_title(loc="right") for axis in panels[2:]] == shown


def test_silence_and_one_sample_are_drawn_at_the_floor_and_a_sine_at_the_top() -> None:
    single = Audio.of(np.ones(1), 44_100)  # mirrored at its ends, it is a constant: below the axis
    for audio, level in ((sine(0.0), 0), (single, 0), (sine(0.1), 255)):
        figure = spectrogram_figure(audio, audio, {HOSTILE: audio}, title=HOSTILE)
        assert [levels.max() for levels in drawn_levels(figure)] == [level] * 3
        assert [a.get_title(loc="left") for a in figure.axes[:3]] == [
            "mixture", "reference", visible(HOSTILE),
        ]  # fmt: skip
        assert figure.get_suptitle() == visible(HOSTILE)


def test_the_quick_png_is_what_matplotlib_draws(clip: TrackAudio, tmp_path: Path) -> None:
    """Three stems after one another on one frame, each against a figure of its own."""
    from matplotlib.image import imread

    labels = {"mixture": "mixture", "reference": "oracle", "a": "generative"}
    panels = Panels(list(labels), labels, (3.0, 3.0 + clip.mixture.seconds))
    for stem in ("vocals", "drums"):
        signals = {"mixture": clip.mixture, "reference": clip.stems[stem], "a": clip.stems["bass"]}
        levels = on_one_scale({k: mel_db(v) for k, v in signals.items()}, ["mixture"])
        panels.write_png(tmp_path / "quick.png", levels, f"song: {stem}")
        whole = Panels(list(labels), labels, (3.0, 3.0 + clip.mixture.seconds))
        figure = whole.fill(levels, f"song: {stem}")
        with styled():
            figure.savefig(tmp_path / "whole.png", dpi=120)
        quick, slow = (imread(tmp_path / f"{n}.png")[..., :3] for n in ("quick", "whole"))
        assert quick.shape == slow.shape
        inside = np.zeros(quick.shape[:2], bool)
        for axis in panels.axes.values():  # those of 120 dots an inch
            box = axis.get_window_extent().expanded(1.03, 1.03)
            inside[
                len(quick) - int(box.y1) : len(quick) - int(box.y0), int(box.x0) : int(box.x1)
            ] = 1
        # Text, ticks and bar are the same; pictures are means where matplotlib takes one pixel.
        assert abs(quick - slow)[~inside].max() < 0.02
        assert abs(quick - slow)[inside].mean() < 0.06
        assert quick[inside].std() > 0.1


def test_both_kinds_of_a_stem_figure_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    levels = {k: np.full((320, 50), 99, np.uint8) for k in ("mixture", HOSTILE)}
    found = []
    for name in "ab":
        panels = Panels(list(levels), {}, (0.0, 1.0))
        panels.write_png(tmp_path / f"{name}.png", levels, "漢 $x^")
        panels.write_pdf(tmp_path / f"{name}.pdf", levels, "漢 $x^")
        panels.write_png(tmp_path / f"{name}2.png", levels, "漢 $x^")
        found.append(
            [(tmp_path / f"{name}{end}").read_bytes() for end in (".png", "2.png", ".pdf")]
        )
    assert found[0] == found[1] and found[0][0] == found[0][1]
    assert b"/FontFile2" in found[0][2]


def test_rates_must_agree() -> None:
    with pytest.raises(UsageError, match="48000"):
        spectrogram_figure(sine(1), sine(1), {"x": sine(1, rate=48_000)}, title="t")


def test_files_are_the_same_bytes_each_time_with_embedded_fonts(tmp_path: Path) -> None:
    def draw(name: str) -> list[bytes]:
        made = forest_figure([("a − b", 0.1, -0.1, 0.3)], label="$x", title="漢 <b> $")
        return [path.read_bytes() for path in save(made, tmp_path / name)]

    one, two = draw("one"), draw("two")
    assert one == two
    assert b"/FontFile2" in one[1] and b"/Type3" not in one[1]
    assert not re.search(rb"CreationDate", one[1])


@pytest.mark.parametrize("groups", [1, 2])
def test_a_filled_point_is_an_interval_without_zero(groups: int) -> None:
    rows = [("a − b", 0.2, 0.1, 0.3), (HOSTILE, 0.1, -0.1, 0.3)]
    if groups == 1:
        figure = forest_figure(rows, label="difference", title=HOSTILE)
    else:
        both = [(name, stem, *interval) for name, *interval in rows for stem in ("bass", HOSTILE)]
        figure = grouped_forest_figure(both, label="difference", title=HOSTILE)
        assert [axis.get_title() for axis in figure.axes] == ["bass", visible(HOSTILE)]
    assert len(figure.axes) == groups
    for axis in figure.axes:
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        assert [(d.get_xdata()[0], d.get_ydata()[0], d.get_mfc()) for d in dots] == [
            (0.2, 0, CLEAR_COLOR), (0.1, 1, "white"),
        ]  # fmt: skip
        whiskers = [tuple(line.get_xdata()) for line in axis.lines if line.get_marker() != "o"]
        assert whiskers[1:] == [(0.1, 0.3), (-0.1, 0.3)]
    assert {"a − b", visible(HOSTILE)} <= texts(figure.axes[0])
    assert any(axis.get_xlabel() == "difference" for axis in figure.axes)
    explained = [text.get_text() for text in figure.legends[0].get_texts()]
    assert explained == ["interval without 0", "interval with 0"]


def test_every_song_is_a_point_and_a_row_without_songs_gives_its_reason(tmp_path: Path) -> None:
    songs = {"a": [1.0, 2.0, 4.0, float("nan")], HOSTILE: [float("nan")], "c": []}
    figure = distribution_figure(
        songs, FAMILIES, label="ViSQOL", title=HOSTILE, notes={HOSTILE: "not all stems"}
    )
    axis = figure.axes[0]
    assert sorted(x for x, _ in points(axis)) == [1.0, 2.0, 4.0]
    assert all(abs(y) < 0.3 for _, y in points(axis)), "within the row of system a"
    (box,) = axis.patches
    assert (box.get_x(), box.get_x() + box.get_width()) == (1.5, 3.0), "the quartiles"
    assert tuple(axis.lines[0].get_xdata()) == (2.0, 2.0), "the median"
    assert {"a", visible(HOSTILE), "not all stems", "no value", "ViSQOL"} <= texts(axis)
    assert figure.get_suptitle() == visible(HOSTILE)
    assert _is_drawn(figure, tmp_path)


def test_cost_is_drawn_where_it_is_known_and_every_point_is_named(tmp_path: Path) -> None:
    measured = {"a": (3.0, 0.5, float("nan")), HOSTILE: (2.0, 8.0, 900.0)}
    figure = cost_figure(
        measured, FAMILIES, label="ViSQOL", title="t",
        reference_lines={"mixture": 1.0, "reference": 4.7, "oracle-irm": 4.71},
    )  # fmt: skip
    time, memory = figure.axes
    assert points(time) == {(0.5, 3.0), (8.0, 2.0)} and points(memory) == {(900.0, 2.0)}
    names = {"mixture", "reference, oracle-irm"}
    assert {"a", visible(HOSTILE), "ViSQOL"} | names <= texts(time)
    assert {visible(HOSTILE)} | names <= texts(memory) and "a" not in texts(memory)
    assert sorted(line.get_ydata()[0] for line in time.lines) == [1.0, 4.7, 4.71]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["generative", "discriminative"]
    assert _is_drawn(figure, tmp_path)


def test_names_at_the_points_do_not_overlap() -> None:
    close = {f"system {i}": (3.0 + 0.01 * i, 1.0, 500.0) for i in range(6)}
    figure = cost_figure({**close, "far": (1.0, 9.0, 100.0)}, {}, label="ViSQOL", title="t")
    renderer = figure.canvas.get_renderer()
    for axis in figure.axes:
        names = [text for text in axis.texts if text.get_text()]
        assert {text.get_text() for text in names} == {*close, "far"}
        boxes = [Text.get_window_extent(text, renderer) for text in names]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        moved = [text for text in names if text.arrow_patch is not None]
        assert moved, "a name that moved away has a line to its point"


def test_disagreement_shows_each_song_and_names_the_extreme_ones(tmp_path: Path) -> None:
    values = {
        "a": {"s1": (1.0, 2.0), "s2": (2.0, 1.0), HOSTILE: (9.0, 0.0)},
        HOSTILE: {"s1": (1.5, 2.5), "s2": (2.5, 1.5)},
    }
    figure = disagreement_figure(values, FAMILIES, labels=("one", "two"), title="t", named=1)
    axis = figure.axes[0]
    assert points(axis) == {xy for songs in values.values() for xy in songs.values()}
    written = texts(axis)
    assert {"one", "two", "1", "a", visible(HOSTILE)} <= written
    assert f"ranked most differently:\n1  a:\n    {visible(HOSTILE)}" in written
    assert "2" not in {text.get_text() for text in axis.texts}
    assert _is_drawn(figure, tmp_path)


def test_largest_rank_differences_come_first() -> None:
    songs = [("s", "agree", 1.0, 1.0), ("s", "split", 4.0, 0.0), ("s", "mid", 2.0, 2.0)]
    assert largest_rank_differences(songs)[0] == 1
    assert largest_rank_differences(songs[:2]) == []


def test_systems_of_a_family_differ_in_colour_and_families_in_marker() -> None:
    colors = system_colors({"a": "generative", "b": "generative", "c": "discriminative", "d": "x"})
    assert len(set(colors.values())) == 4
    assert len(set(FAMILY_MARKERS.values())) == len(FAMILY_MARKERS)


def _is_drawn(figure: Any, folder: Path) -> bool:
    """Whether both files hold a picture: a PNG with more than its background, a PDF with text."""
    from PIL import Image

    png, pdf = save(figure, folder / "a name.with a dot")
    with Image.open(png) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
    return len(colours) > 10 and b"/FontFile2" in pdf.read_bytes()
