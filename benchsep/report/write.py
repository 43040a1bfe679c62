"""``benchsep report``: writes tables, figures and the listening page of a run into one folder.

Conventions
-----------
files   ``tables.{md,tex,csv,json,html}``, ``tables-standalone.tex``, ``figures/*.png``,
        ``figures/<song>/<stem>.png``, ``index.html`` and ``page/``; with ``pdf`` each figure as
        ``.pdf`` too
repeat  the same run gives the same bytes
errors  a song or a system without audio is reported on stderr; everything else is written
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchsep._util.atomic import sweep, write_atomically
from benchsep.report import excerpts
from benchsep.report.figures.choose import summary_figures
from benchsep.report.figures.panels import Panels
from benchsep.report.figures.style import save
from benchsep.report.run import RunData, load, most_disputed_songs, with_likeness
from benchsep.report.site.audio import MAX_MB, Codec, choose, expected_mb
from benchsep.report.tables.latex import latex_document
from benchsep.report.tables.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchsep.imported.join import Imports
    from benchsep.report.excerpts import Song
    from benchsep.report.tables.model import Table
    from benchsep.runner.store import Store

RATE = 44_100
"""Sample rate of most data sets, for the estimate of sizes; it only affects the choice of the
codec."""
FORMATS = ("md", "tex", "csv", "json", "html")


@dataclass
class Report:
    """The state of a report: the run, the output folder, the songs, and the written files."""

    run: RunData
    out: Path
    source: excerpts.Source
    max_songs: int
    page: bool
    audio: Literal["auto", "flac", "opus"]
    progress: Callable[[str], None]
    caption: str = "full"
    pdf: bool = False
    written: list[Path] = field(default_factory=list)

    @property
    def figures(self) -> Path:
        return self.out / "figures"


def write_report(
    folder: str | Path,
    out: str | Path,
    *,
    max_songs: int = 3,
    seconds: float = excerpts.SECONDS,
    page: bool = True,
    audio: Literal["auto", "flac", "opus"] = "auto",
    progress: Callable[[str], None] | None = None,
    root: str | None = None,
    improvement: bool = False,
    aggregation: Literal["mean", "median"] | None = None,
    exclude_seen: bool = False,
    imports: Imports | None = None,
    combine: Sequence[str] = (),
    jobs: int = 0,
    caption: Literal["full", "short"] = "full",
    pdf: bool = False,
) -> list[Path]:
    """Write tables, figures and the listening page of a run: every step of :data:`STEPS`.

    Parameters
    ----------
    folder
        Run folder.
    out
        Folder to write to.
    max_songs
        Songs with spectrograms and, on the page, with audio: those on which the metrics
        disagree most. 0 writes none and needs no data set.
    seconds
        Length of the excerpt of each song, from the part in which its stems are most active.
    page
        Whether to write the listening page.
    audio
        Codec of the page's sounds; ``auto`` uses Opus if FLAC would exceed
        ``benchsep.report.site.audio.MAX_MB``.
    progress
        Called with a few words before each step and each song.
    root
        Folder of the data set; ``None`` takes that of ``MUSDB_PATH``.
    improvement
        Add the gains over the mixture to the tables.
    aggregation
        One statistic over songs and stored frames, instead of each metric's own.
    exclude_seen
        Leave out the cells of songs that a system was trained on.
    imports
        Results of others to show together with those of the run; they have no audio.
    combine
        Combined metrics to add to the tables, such as ``visqol+mrstft``.
    jobs
        Threads for transforms and encoding; 0: one per core. The files do not depend on it.
    caption
        Caption of ``tables.tex``: ``short`` makes tables to paste, which need only booktabs.
    pdf
        Whether to write each figure as PDF too.

    Returns
    -------
    list of Path
        The files written, the tables first.

    Raises
    ------
    StoreError
        ``folder`` is not a run folder.
    """
    from benchsep.runner.store import Store

    run = load(
        Path(folder),
        improvement=improvement,
        aggregation=aggregation,
        exclude_seen=exclude_seen,
        imports=imports,
        combine=combine,
    )
    for message in run.messages:
        excerpts.warn(message)
    store = Store(Path(folder))
    run = _with_likeness(run, store)
    source = excerpts.Source(store, root, say=excerpts.warn, seconds=seconds)
    say = progress or (lambda _: None)
    report = Report(run, Path(out), source, max_songs, page, audio, say, caption, pdf)
    with ExitStack() as stack:
        threads = jobs or os.cpu_count() or 1
        if threads > 1:
            source.spread = stack.enter_context(ThreadPoolExecutor(threads)).map
        for name, make in STEPS:
            report.progress(name)
            make(report)
    sweep([report.out, *(path.parent for path in report.written)])
    return report.written


def _with_likeness(run: RunData, store: Store) -> RunData:
    """As :func:`benchsep.report.run.with_likeness`, with a message if the table cannot be made."""
    alike = with_likeness(run, store)
    several = len(excerpts.systems_with_audio(run.computed)) > 1
    if run.edition == "mixtures" and several and alike is run:
        excerpts.warn(
            "the table of the similarity of estimates is left out, because the run kept no "
            "estimates; run again with --keep-estimates flac"
        )
    return alike


# -- steps --------------------------------------------------------------------------------------


def _add_tables(report: Report) -> None:
    report.written += write_tables(report.run.tables, report.out, report.caption)


def write_tables(tables: Sequence[Table], out: Path, caption: str = "full") -> list[Path]:
    """Write ``tables.*`` in every format, and a complete LaTeX document.

    ``caption``: caption of ``tables.tex``, ``full`` or ``short``.
    """
    texts = {f"tables.{format}": render(tables, format) for format in FORMATS}
    texts["tables.tex"] = render(tables, "tex", caption)
    texts["tables-standalone.tex"] = latex_document(tables)
    for name, text in texts.items():
        write_atomically(out / name, text if text.endswith("\n") else f"{text}\n")
    return [out / name for name in texts]


def _add_summary_figures(report: Report) -> None:
    for name, figure in summary_figures(report.run):
        report.written += save(figure, report.figures / name, pdf=report.pdf)


def _add_songs(report: Report) -> None:
    """Write spectrograms and, if requested, the page, in one pass with one decoded song at a
    time.
    """
    pictures = [path for path in report.written if path.suffix == ".png"]
    songs = _spectrograms_as_songs_pass(report)
    if not report.page:
        deque(songs, maxlen=0)
        return
    from benchsep.report.site.build import write_site

    codec = _codec(report)
    report.written += write_site(report.run, songs, report.out, pictures=pictures, codec=codec)


def _codec(report: Report) -> Codec:
    """The codec; ``auto`` is FLAC, or Opus with a message if the page would be too large."""
    if report.audio != "auto":
        return report.audio
    if not report.source.tracks:
        return "flac"
    size = (_seconds_of_sound(report), RATE, 1)
    codec = choose(*size)
    if codec == "opus":
        taken = expected_mb(*size, "opus")
        smaller = "; --max-songs or --seconds make it smaller" if taken > MAX_MB else ""
        excerpts.warn(
            f"the sounds of the page are Opus, about {taken:.0f} MB{smaller}; FLAC would need "
            f"{expected_mb(*size, 'flac'):.0f} MB, more than the limit of {MAX_MB:.0f} MB "
            "(--audio flac ignores the limit)"
        )
    return codec


def _seconds_of_sound(report: Report) -> float:
    """Total length of the page's sounds in seconds: mixtures, true stems and estimates."""
    run = report.run
    songs = most_disputed_songs(run, report.max_songs)
    heard = ["reference", *excerpts.systems_with_audio(run.computed)]
    cells = run.frame[run.frame["system"].isin(heard) & run.frame["track"].isin(songs)]
    signals = len(songs) + len(cells[["system", "track", "stem"]].drop_duplicates())
    longest = run.costs.loc[run.costs["track"].isin(songs), "audio_seconds"].max()
    seconds = report.source.seconds
    return signals * (min(seconds, float(longest)) if longest > 0 else seconds)


STEPS: tuple[tuple[str, Callable[[Report], None]], ...] = (
    ("tables", _add_tables),
    ("summary figures", _add_summary_figures),
    ("songs and page", _add_songs),
)
"""Name and function of each step, in the order of writing. A step appends to ``written``."""


def _spectrograms_as_songs_pass(report: Report) -> Iterator[Song]:
    """The songs to show; their spectrograms are drawn while their files are written."""
    # A single thread for all, because the style of figures is global state.
    with ThreadPoolExecutor(1) as drawer:
        for number, song in enumerate(_songs(report), 1):
            report.progress(f"song {number} of {report.max_songs}: {song.name}")
            song.spectra  # noqa: B018 # computed before two threads use them
            drawing = drawer.submit(_write_spectrograms, song, report)
            yield song
            report.written += drawing.result()


def _songs(report: Report) -> Iterable[Song]:
    names = most_disputed_songs(report.run, report.max_songs)
    if not names:
        return ()
    return report.source.songs(names, excerpts.systems_with_audio(report.run.computed))


def _write_spectrograms(song: Song, report: Report) -> list[Path]:
    folder = excerpts.song_folder(report.figures, song.name)
    seconds = (song.start, song.start + song.mixture.seconds)
    figures: dict[tuple[str, ...], Panels] = {}  # cached, because most systems estimate every stem
    written = []
    for stem, levels in song.spectra.items():
        labels = tuple(levels)
        if labels not in figures:
            figures[labels] = Panels(labels, report.run.families, seconds)
        panels, title = figures[labels], f"{song.name}: {stem}"
        written.append(folder / f"{stem}.png")
        panels.write_png(written[-1], levels, title)
        if report.pdf:
            written.append(folder / f"{stem}.pdf")
            panels.write_pdf(written[-1], levels, title)
    return written
