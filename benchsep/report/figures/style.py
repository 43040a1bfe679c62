"""Common parts of all figures: style, colours, legend, saving.

Conventions
-----------
colours   the map ``cividis`` and the Okabe-Ito palette: suitable for colour-blind readers and for
          greyscale; each family has a colour and a marker
files     PNG and PDF with embedded TrueType fonts (type 42) and without a date: the same input
          gives the same bytes
back end  figures are made without pyplot, hence without a display and without global state

Functions
---------
styled            context in which the style holds
new_figure        a figure with its axes, laid out automatically
draw_legend       legend below the figure: families, then further marks
system_colors     a colour for each system
save              PNG and PDF of a figure
save_pdf          PDF of a figure
drawing           context in which a figure is drawn
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.atomic import replacing
from benchsep._util.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "benchsep",
    # U+2212 is not among the first 256 characters, so a PDF would embed the font twice.
    "axes.unicode_minus": False,
    "text.parse_math": False,  # a song called "$x^$" is text, not a formula
}

FAMILY_COLORS = {
    "generative": "#D55E00",
    "discriminative": "#0072B2",
    "unknown": "#CC79A7",
    "mixture": "#7F7F7F",
    "oracle": "#2B2B2B",
}
FAMILY_MARKERS = {
    "generative": "D",
    "discriminative": "o",
    "unknown": "s",
    "mixture": "x",
    "oracle": "^",
}
SYSTEM_COLORS = {
    "generative": ("#D55E00", "#E69F00", "#7A3300", "#F4B183"),
    "discriminative": ("#0072B2", "#56B4E9", "#003355", "#009E73"),
    "unknown": ("#CC79A7", "#7A3F63"),
}
"""Colours of the systems of one family; they differ in lightness, so also in greyscale."""

_FAMILY_NAMES = {"unknown": "undeclared", "oracle": "oracle or truth"}


def styled() -> Any:
    """Context with the style of benchsep, independent of the user's matplotlibrc."""
    import matplotlib

    defaults: Any = matplotlib.rcParamsDefault
    style: Any = {**defaults, **STYLE, "backend": "agg"}
    return matplotlib.rc_context(style)


def new_figure(width: float, height: float, rows: int, columns: int, **options: Any) -> Any:
    """A figure of ``width`` by ``height`` inches and its axes ``[rows, columns]``."""
    figure = empty_figure(width, height, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def empty_figure(width: float, height: float, layout: Any = None) -> Figure:
    """A figure of ``width`` by ``height`` inches without axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def family_name(family: str) -> str:
    """The name of a family in figures."""
    return _FAMILY_NAMES.get(family, family)


def draw_legend(figure: Figure, families: Sequence[str], more: Sequence[Any] = ()) -> None:
    """Draw a legend below the figure: the marker of each family in it, then further handles."""
    from matplotlib.lines import Line2D

    markers = [
        Line2D(
            [], [], ls="", marker=FAMILY_MARKERS[family], color=FAMILY_COLORS[family], ms=4,
            label=family_name(family),
        )
        for family in FAMILY_MARKERS
        if family in families
    ]  # fmt: skip
    figure.legend(
        handles=[*markers, *more], loc="outside lower center", ncols=4, frameon=False, fontsize=7
    )


def system_colors(families: Mapping[str, str]) -> dict[str, str]:
    """System to a colour of its family; colours repeat if there are more systems."""
    colors: dict[str, str] = {}
    used: dict[str, int] = {}
    for system, family in families.items():
        cycle = SYSTEM_COLORS.get(family, (FAMILY_COLORS.get(family, FAMILY_COLORS["unknown"]),))
        colors[system] = cycle[used.get(family, 0) % len(cycle)]
        used[family] = used.get(family, 0) + 1
    return colors


def visible_lines(lines: Sequence[str], limit: int = 60) -> str:
    """Lines of external text with visible control characters, cut to ``limit`` characters."""
    texts = map(visible, lines)
    return "\n".join(f"{text[: limit - 1]}…" if len(text) > limit else text for text in texts)


def save(figure: Figure, path_stem: str | Path, *, dpi: int = 200, pdf: bool = True) -> list[Path]:
    """Write ``<path_stem>.png`` and, if asked, ``<path_stem>.pdf``; the same bytes each time.

    ``dpi`` is the resolution of the PNG; pictures inside the PDF have 200.
    """
    stem = Path(path_stem)
    png = stem.with_name(f"{stem.name}.png")
    with drawing(), replacing(png) as partial:
        figure.savefig(partial, dpi=dpi, metadata={"Software": None})
    if not pdf:
        return [png]
    figure.set_layout_engine("none")  # already computed; a new layout takes longer than drawing
    save_pdf(figure, stem.with_name(f"{stem.name}.pdf"), dpi=200)
    return [png, stem.with_name(f"{stem.name}.pdf")]


def save_pdf(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a PDF; its pictures have ``dpi``."""
    undated = {"CreationDate": None, "Producer": None, "Creator": None}
    with drawing(), replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, metadata=undated)


@contextmanager
def drawing() -> Iterator[None]:
    """Context for drawing: the style, and no warnings about missing glyphs."""
    with styled(), warnings.catch_warnings():
        # If the font lacks a script, the title shows boxes; the data are not affected.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield
