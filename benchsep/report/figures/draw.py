"""Figures: spectrograms side by side, spreads, differences, cost, disagreement.

Conventions
-----------
spectrogram  Hann 2048 / hop 512, mean power over channels, in dB relative to the loudest bin of
             mixture and reference together, clipped to -80..0: the same scale for all panels, so
             that louder is brighter across panels too
colours      the map ``cividis`` and the Okabe-Ito hues: safe for the colour-blind, monotone in
             grey; a family has a marker as well as a hue
files        PNG and PDF with embedded TrueType fonts (type 42), no date inside: the same input
             gives the same bytes
back end     figures are made without pyplot, hence without a display and without global state

reading      every figure says in its own legend what its marks are: it will be seen without its
             page

Functions
---------
spectrogram_figure   mixture, reference and systems for one stem of one track
distribution_figure  the songs of each system, one metric and stem
forest_figure        paired differences with their intervals
cost_figure          quality against real-time factor and memory
disagreement_figure  two metrics against each other, song by song
save                 PNG and PDF of a figure
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.atomic import replacing
from benchsep._util.escape import visible
from benchsep.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from benchsep.audio import Audio

N_FFT, HOP = 2048, 512
FLOOR_DB = -80.0
COLUMNS = 1800
"""At most so many spectrogram columns are drawn; longer excerpts keep the maximum of neighbours,
so that a click stays visible."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "benchsep",
    "text.parse_math": False,  # a song called "$x^$" is just a song
}

HUES = {
    "generative": "#D55E00",
    "discriminative": "#0072B2",
    "unknown": "#CC79A7",
    "mixture": "#7F7F7F",
    "oracle": "#2B2B2B",
}
SHADES = {
    "generative": ("#D55E00", "#E69F00", "#7A3300", "#F4B183"),
    "discriminative": ("#0072B2", "#56B4E9", "#003355", "#009E73"),
    "unknown": ("#CC79A7", "#7A3F63"),
}
"""Systems of a family, told apart by lightness, so that they stay apart in grey."""
MARKS = {"generative": "D", "discriminative": "o", "unknown": "s", "mixture": "x", "oracle": "^"}


def _figure(width: float, height: float, rows: int, columns: int, **options: Any) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _styled() -> Any:
    """A context in which the style holds, whatever the user's matplotlibrc says."""
    import matplotlib

    defaults: Any = matplotlib.rcParamsDefault
    style: Any = {**defaults, **STYLE, "backend": "agg"}
    return matplotlib.rc_context(style)


def spectrogram_db(audio: Audio) -> NDArray[np.float64]:
    """Power in dB ``[bins, frames]`` where a full-scale sine has 0 dB; -inf for silence."""
    from scipy.signal import get_window

    window = get_window("hann", N_FFT)
    # Mirrored, not zero-padded: an excerpt cut from a song would show a click at either end.
    padded = np.pad(audio.samples, ((0, 0), (N_FFT // 2, N_FFT // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]
    power: NDArray[np.float64] = np.zeros((N_FFT // 2 + 1, frames.shape[1]))
    for channel in frames:  # one channel at a time: a song of minutes would fill the memory twice
        power += np.abs(np.fft.rfft(channel * window, axis=1).T) ** 2
    power /= audio.channels * (window.sum() / 2) ** 2
    with np.errstate(divide="ignore"):
        db: NDArray[np.float64] = 10 * np.log10(power)
    return _thinned(db)


def _thinned(db: NDArray[np.float64]) -> NDArray[np.float64]:
    step = -(-db.shape[1] // COLUMNS)
    if step == 1:
        return db
    padded = np.pad(db, ((0, 0), (0, -db.shape[1] % step)), constant_values=-np.inf)
    thinned: NDArray[np.float64] = padded.reshape(db.shape[0], -1, step).max(2)
    return thinned


def spectrogram_figure(
    mixture: Audio, reference: Audio, estimates: Mapping[str, Audio], *, title: str
) -> Figure:
    """Mixture, reference and each system, on one scale.

    Parameters
    ----------
    mixture, reference
        The signals the systems are seen against, at one rate.
    estimates
        Label to the estimate of the same stem, in the order of the panels.
    title
        Over the figure; any text.

    Raises
    ------
    UsageError
        if the rates differ.
    """
    panels = {"mixture": mixture, "reference": reference, **estimates}
    if len({audio.rate for audio in panels.values()}) > 1:
        rates = ", ".join(f"{label}: {audio.rate} Hz" for label, audio in panels.items())
        raise UsageError(f"spectrograms at several rates ({rates}), expected one: resample first")
    spectra = {label: spectrogram_db(audio) for label, audio in panels.items()}
    top = max(spectra["mixture"].max(), spectra["reference"].max())
    top = top if np.isfinite(top) else 0.0
    columns = min(3, len(panels)) if len(panels) > 4 else 2
    rows = -(-len(panels) // columns)
    with _styled():
        figure, axes = _figure(
            2.6 * columns + 0.9, 1.75 * rows + 0.5, rows, columns, sharex=True, sharey=True
        )
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (label, db) in zip(axes.flat, spectra.items(), strict=False):
            image = _panel(axis, label, db - top, panels[label])
        _label_outer(axes, len(panels))
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02, aspect=30)
        bar.set_label("dB re the loudest bin of mixture and reference")
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _panel(axis: Axes, label: str, db: NDArray[np.float64], audio: Audio) -> Any:
    image = axis.imshow(
        np.clip(db, FLOOR_DB, 0.0),
        origin="lower",
        aspect="auto",
        cmap="cividis",
        vmin=FLOOR_DB,
        vmax=0.0,
        extent=(0.0, audio.seconds, 0.0, audio.rate / 2000),
        interpolation="nearest",
        rasterized=True,
    )
    axis.set_title(visible(label), loc="left")
    return image


def _label_outer(axes: NDArray[Any], panels: int) -> None:
    rows, columns = axes.shape
    for index in range(panels):
        row, column = divmod(index, columns)
        if column == 0:
            axes[row, column].set_ylabel("frequency (kHz)")
        if row == rows - 1 or index + columns >= panels:
            axes[row, column].set_xlabel("time (s)")
            axes[row, column].tick_params(labelbottom=True)


def distribution_figure(
    values: Mapping[str, Sequence[float]],
    families: Mapping[str, str],
    *,
    label: str,
    title: str,
    notes: Mapping[str, str] | None = None,
) -> Figure:
    """A row for each system: its songs as points, quartiles as a box behind them.

    ``values`` maps system labels to one value a song; order of rows is that of the mapping.
    ``notes`` says why a system has none.
    """
    with _styled():
        figure, axes = _figure(6.0, 0.42 * len(values) + 1.5, 1, 1)
        axis = axes[0, 0]
        axis.use_sticky_edges = False  # a box at the edge must not hide the points beyond it
        for row, (system, songs) in enumerate(values.items()):
            drawn = _spread(axis, row, np.asarray(songs, float), families.get(system, "unknown"))
            if not drawn:
                why = visible((notes or {}).get(system) or "no value")
                at = ((0.02, row), ("axes fraction", "data"))
                axis.annotate(why, at[0], xycoords=at[1], va="center", color="0.35")
        axis.margins(x=0.04)
        axis.set_yticks(range(len(values)), [visible(label) for label in values])
        axis.set_ylim(len(values) - 0.5, -0.5)
        axis.set_xlabel(label)
        axis.grid(axis="x", color="0.9", zorder=0)
        _legend(figure, [families.get(s, "unknown") for s in values], _box_handles())
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _spread(axis: Axes, row: int, songs: NDArray[np.float64], family: str) -> bool:
    songs = np.sort(songs[np.isfinite(songs)])
    if not len(songs):
        return False
    low, middle, high = np.quantile(songs, (0.25, 0.5, 0.75))
    axis.barh(row, high - low, left=low, height=0.55, color="0.88", zorder=1)
    axis.plot([middle, middle], [row - 0.28, row + 0.28], color="0.1", lw=1.6, zorder=3)
    # Points are spread by rank, not at random: the same songs give the same figure.
    offset = ((np.arange(len(songs)) * 0.618) % 1 - 0.5) * 0.4
    axis.scatter(
        songs, row + offset, s=11, color=HUES[family], marker=MARKS[family], lw=0.8, zorder=2
    )
    return True


def _box_handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color="0.88", label="middle half of the songs"),
        Line2D([], [], color="0.1", lw=1.6, label="median"),
    ]


def _legend(figure: Figure, families: Sequence[str], more: Sequence[Any] = ()) -> None:
    """Under the figure: the mark of each family that is in it, and further marks."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], ls="", marker=MARKS[f], color=HUES[f], ms=4, label=_FAMILY_NAMES.get(f, f))
        for f in MARKS
        if f in families
    ]
    figure.legend(
        handles=[*marks, *more], loc="outside lower center", ncols=4, frameon=False, fontsize=7
    )


_FAMILY_NAMES = {"unknown": "undeclared", "oracle": "oracle or truth"}


def forest_figure(
    differences: Sequence[tuple[str, float, float, float]], *, label: str, title: str
) -> Figure:
    """Paired differences with their intervals.

    Parameters
    ----------
    differences
        ``(name of the pair, difference, low, high)``, in the order of the rows. The interval is
        whatever the caller computed; name it in ``label``.
    """
    from matplotlib.lines import Line2D

    with _styled():
        figure, axes = _figure(6.4, 0.3 * len(differences) + 1.5, 1, 1)
        axis = axes[0, 0]
        axis.axvline(0, color="0.4", lw=0.8, ls="--")
        for row, (_, middle, low, high) in enumerate(differences):
            clear = low > 0 or high < 0
            axis.plot([low, high], [row, row], color="0.1", lw=1.4)
            axis.plot(middle, row, "o", color="0.1", mfc=_fill(clear), ms=5, zorder=3)
        axis.set_yticks(range(len(differences)), [visible(name) for name, *_ in differences])
        axis.set_ylim(len(differences) - 0.5, -0.5)
        axis.set_xlabel(label)
        axis.grid(axis="x", color="0.9")
        marks = [
            Line2D([], [], ls="", marker="o", color="0.1", mfc=_fill(clear), ms=5, label=text)
            for clear, text in ((True, "interval without 0"), (False, "interval with 0"))
        ]
        _legend(figure, (), marks)
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _fill(clear: bool) -> str:
    return "#0072B2" if clear else "white"


def grouped_forest_figure(
    differences: Sequence[tuple[str, str, float, float, float]], *, label: str, title: str
) -> Figure:
    """Paired differences in one panel per group, on one scale.

    Parameters
    ----------
    differences
        ``(row, group, difference, low, high)``; rows and groups in the order they first appear. A
        filled point is one whose interval leaves out 0.
    """
    rows = list(dict.fromkeys(row for row, *_ in differences))
    panels = list(dict.fromkeys(group for _, group, *_ in differences))
    with _styled():
        figure, axes = _figure(
            1.5 * len(panels) + 1.8, 0.3 * len(rows) + 1.2, 1, len(panels), sharex=True, sharey=True
        )
        for axis, panel in zip(axes[0], panels, strict=True):
            axis.axvline(0, color="0.4", lw=0.8, ls="--")
            for name, group, middle, low, high in differences:
                if group != panel:
                    continue
                y, clear = rows.index(name), low > 0 or high < 0
                axis.plot([low, high], [y, y], color="0.1", lw=1.4)
                axis.plot(
                    middle, y, "o", color="0.1", mfc="#0072B2" if clear else "white", ms=5, zorder=3
                )
            axis.set_title(visible(panel))
            axis.grid(axis="x", color="0.9")
        axes[0, 0].set_yticks(range(len(rows)), [visible(name) for name in rows])
        axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        figure.supxlabel(visible(label), fontsize=8)
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def cost_figure(
    points: Mapping[str, tuple[float, float, float]],
    families: Mapping[str, str],
    *,
    label: str,
    title: str,
    rulers: Mapping[str, float] | None = None,
) -> Figure:
    """Quality against real-time factor and against peak memory.

    Parameters
    ----------
    points
        System to ``(quality, real-time factor, peak memory in MB)``; NaN where unknown.
    rulers
        Yardsticks drawn as level lines: name to quality.
    """
    with _styled():
        figure, axes = _figure(7.6, 3.7, 1, 2, sharey=True)
        panels = (
            (axes[0, 0], 1, "real-time factor (s of work per s of audio)"),
            (axes[0, 1], 2, "peak memory (MB)"),
        )
        for axis, index, name in panels:
            _scatter_cost(axis, points, families, index)
            axis.set_xlabel(name)
            axis.grid(color="0.92")
        axes[0, 0].margins(y=0.08)
        axes[0, 0].set_ylabel(label)
        named = [_rulers(axis, rulers or {}) for axis, *_ in panels]
        _legend(figure, [families.get(system, "unknown") for system in points])
        figure.suptitle(visible(title), fontsize=9)
        figure.draw_without_rendering()  # the layout decides where names have room
        for (axis, index, _), taken in zip(panels, named, strict=True):
            drawn = {k: (v[index], v[0]) for k, v in points.items() if v[index] > 0}
            _label_points(axis, drawn, [_box(text) for text in taken])
    return figure  # type: ignore[no-any-return]


def _scatter_cost(
    axis: Axes,
    points: Mapping[str, tuple[float, float, float]],
    families: Mapping[str, str],
    index: int,
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    drawn = {
        k: (v[index], v[0]) for k, v in points.items() if np.isfinite(v[index]) and v[index] > 0
    }
    for system, (cost, quality) in drawn.items():
        family = families.get(system, "unknown")
        axis.scatter(cost, quality, color=HUES[family], marker=MARKS[family], s=32, zorder=3)
    if drawn:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        costs = [cost for cost, _ in drawn.values()]
        axis.set_xlim(min(costs) / 2.5, max(costs) * 2.5)


Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""

_PLACES = tuple(
    (side, step * rise)
    for step in range(12)
    for rise in ((1, -1) if step else (1,))
    for side in ("left", "right")
)
"""Where a name may stand: right or left of its point, level with it, then lines above and below."""


def _label_points(
    axis: Axes, points: Mapping[str, tuple[float, float]], taken: Sequence[Box]
) -> None:
    """Names beside their points, over no other point or name; a thin line where they are apart."""
    scale = axis.figure.dpi / 72
    centres = {name: axis.transData.transform(at) for name, at in points.items()}
    boxes = [*taken, *((x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale)
                       for x, y in centres.values())]  # fmt: skip
    frame = axis.get_window_extent()
    for name in sorted(centres, key=lambda name: (-centres[name][1], name)):
        text = visible(name)
        for side, lines in _PLACES:
            offset = ((7 if side == "left" else -7), 8.5 * lines)
            made = axis.annotate(
                text, points[name], xytext=offset, textcoords="offset points", fontsize=7,
                va="center", ha=side, zorder=4,
                arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkB": 3}
                if abs(lines) > 1 else None,
            )  # fmt: skip
            made.set_in_layout(False)
            box = _box(made)
            inside = box[0] >= frame.x0 and box[2] <= frame.x1 and frame.y0 <= box[1]
            if inside and box[3] <= frame.y1 and not any(_overlap(box, other) for other in boxes):
                break
            if (side, lines) != _PLACES[-1]:
                made.remove()
        boxes.append(box)


def _box(text: Any) -> Box:
    """Extent of the text alone, without the line that leads to it."""
    from matplotlib.text import Text

    renderer = text.figure.canvas.get_renderer()
    text.update_positions(renderer)
    found = Text.get_window_extent(text, renderer)
    return found.x0, found.y0, found.x1, found.y1


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _rulers(axis: Axes, rulers: Mapping[str, float]) -> list[Any]:
    """Yardsticks as level lines; those that nearly coincide share one name, above the highest."""
    span = max(rulers.values(), default=0.0) - min(rulers.values(), default=0.0)
    names: list[tuple[float, list[str]]] = []
    for name, level in sorted(rulers.items(), key=lambda item: (item[1], item[0])):
        axis.axhline(level, color="0.6", lw=0.8, ls=":")
        if names and level - names[-1][0] < 0.06 * span:
            names[-1] = (level, [*names[-1][1], name])
        else:
            names.append((level, [name]))
    made = []
    for level, together in names:
        text = axis.annotate(
            visible(", ".join(together)), (0.99, level), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=6.5, color="0.35",
        )  # fmt: skip
        text.set_in_layout(False)
        made.append(text)
    return made


def disagreement_figure(
    values: Mapping[str, Mapping[str, tuple[float, float]]],
    families: Mapping[str, str],
    *,
    labels: tuple[str, str],
    title: str,
    named: int = 5,
) -> Figure:
    """Two metrics against each other; the songs they rank most differently are named.

    Parameters
    ----------
    values
        System to ``{song: (first metric, second metric)}``.
    named
        How many of the largest differences in rank carry the song's name.
    """
    points = [(s, song, x, y) for s, songs in values.items() for song, (x, y) in songs.items()]
    with _styled():
        figure, axes = _figure(8.2, 4.2, 1, 1)
        axis = axes[0, 0]
        hues = shades({system: families.get(system, "unknown") for system in values})
        for system, songs in values.items():
            mark = MARKS[families.get(system, "unknown")]
            pairs = np.asarray(list(songs.values()), float).reshape(-1, 2)
            axis.scatter(
                pairs[:, 0], pairs[:, 1], s=16, color=hues[system], marker=mark,
                label=visible(system),
            )  # fmt: skip
        legend = []
        for number, index in enumerate(_most_split(points)[:named], 1):
            system, song, x, y = points[index]
            # Numbers in the plot, names beside it: names would lie over each other.
            axis.annotate(
                str(number), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7
            )
            legend += [f"{number}  {system}:", f"    {song}"]
        axis.set_xlabel(labels[0])
        axis.set_ylabel(labels[1])
        axis.grid(color="0.93")
        axis.set_axisbelow(True)
        axis.legend(
            fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0),
            title="a mark: one song", title_fontsize=7, alignment="left",
        )  # fmt: skip
        axis.annotate(
            visible_lines(["ranked most differently:", *legend], 44) if legend else "",
            (1.02, 0.0), xycoords="axes fraction", fontsize=6.5, va="bottom",
        )  # fmt: skip
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def shades(families: Mapping[str, str]) -> dict[str, str]:
    """A colour for each system: its family's hue in another lightness."""
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    for system, family in families.items():
        cycle = SHADES.get(family, (HUES.get(family, HUES["unknown"]),))
        found[system] = cycle[seen.get(family, 0) % len(cycle)]
        seen[family] = seen.get(family, 0) + 1
    return found


def visible_lines(lines: Sequence[str], most: int = 60) -> str:
    """Lines of text from outside, each made visible and kept to ``most`` characters."""
    texts = map(visible, lines)
    return "\n".join(f"{text[: most - 1]}…" if len(text) > most else text for text in texts)


def _most_split(points: Sequence[tuple[str, str, float, float]]) -> list[int]:
    """Indices by falling difference of the two ranks (each in 0..1)."""
    if len(points) < 3:
        return []
    ranks = [np.argsort(np.argsort([p[k] for p in points], kind="stable")) for k in (2, 3)]
    return list(np.argsort(-np.abs(ranks[0] - ranks[1]), kind="stable"))


def save(figure: Figure, path_stem: str | Path) -> list[Path]:
    """Write ``<path_stem>.png`` (200 dpi) and ``<path_stem>.pdf``; the same bytes each time."""
    stem = Path(path_stem)
    png, pdf = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf")
    with _styled(), warnings.catch_warnings():
        # A title in a script that the font lacks shows boxes in the figure; the data is the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        with replacing(png) as partial:
            figure.savefig(partial, dpi=200, metadata={"Software": None})
        figure.set_layout_engine("none")  # settled; solving it again takes longer than drawing
        undated = {"CreationDate": None, "Producer": None, "Creator": None}
        with replacing(pdf) as partial:
            figure.savefig(partial, dpi=200, metadata=undated)
    return [png, pdf]
