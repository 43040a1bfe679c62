"""The listening page: ``index.html`` and the files in ``page/`` next to it.

Conventions
-----------
offline  the page is opened from disk: it requests only files of its own folder and uses no modules,
         workers or fetch (browsers do not allow them for ``file:``); a content security policy
         enforces this
audio    ``page/s<i>/<stem>.js`` (:mod:`benchsep.report.site.audio`), loaded when a stem is opened;
         Web Audio needs the bytes to switch between systems at the same sample
names    of songs, systems and stems are passed as JSON and inserted as text nodes, never as
         HTML; files are numbered
size     ``max_songs`` songs; FLAC or Opus; spectrograms of 160 x 600 palette pixels
pictures one scale for each stem and the axes of the figures (mel; the song's time); the page draws
         the ticks
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.atomic import replacing, write_atomically
from benchsep._util.escape import visible
from benchsep.listeners import badges
from benchsep.report.excerpts import MIXTURE, REFERENCE, systems_with_audio
from benchsep.report.figures.spectrogram import HIGHEST_HZ, LOWEST_HZ, colours, ticks
from benchsep.report.loudness import loudness, match_gains
from benchsep.report.run import song_disagreement
from benchsep.report.site.audio import Codec, write_audio_script
from benchsep.report.site.templates import jinja_environment
from benchsep.report.tables.columns import display, is_headline
from benchsep.report.tables.model import format_value, group_of, head, shared_notes
from benchsep.stats.songs import WITHOUT_BASS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.report.excerpts import Song
    from benchsep.report.run import RunData
    from benchsep.report.tables.model import Column, Table

SCRIPTS = ("base.js", "tables.js", "player.js", "songs.js", "heard.js", "blind.js", "main.js")
PICTURE_ROWS, PICTURE_COLUMNS = 160, 600
PICTURES = {
    "differences": "Paired differences between systems, with 95 % intervals",
    "cost": "Quality against real-time factor and memory",
    "disagreement": "Songs on which the metrics disagree",
}
"""Alternative texts of the figures; their numbers are in the tables."""


def write_site(
    run: RunData,
    songs: Iterable[Song],
    out: Path,
    *,
    pictures: Sequence[Path] = (),
    codec: Codec = "flac",
) -> list[Path]:
    """Write the page of a run.

    Parameters
    ----------
    run
        The run with its tables.
    songs
        The songs with audio, in page order, one at a time; may be empty.
    out
        Folder of ``index.html``.
    pictures
        PNG figures inside ``out`` to show below the tables.
    codec
        Codec of the sounds.

    Returns
    -------
    list of Path
        Every file written, ``index.html`` first.
    """
    written = [out / "index.html"]
    described = []
    for number, song in enumerate(songs):
        files = _Files(out / "page" / f"s{number}", f"page/s{number}", codec, song.spread)
        entry, paths = _song(run, song, files)
        described.append(entry)
        written += paths
    data = {
        "title": title(run),
        "songs": described,
        "systems": _systems(run),
        "metrics": _metrics(run),
        "axis": {"low": LOWEST_HZ, "high": HIGHEST_HZ, "ticks": ticks()},
        "overview": _all_songs(run, [entry["name"] for entry in described]),
        "seed": str(run.manifest.get("suite", {}).get("seed", 0)),
    }
    shown = [(p.relative_to(out).as_posix(), p.stem) for p in pictures]
    write_atomically(written[0], _page(run, data, shown))
    return written


def title(run: RunData) -> str:
    """The title of a page: the data set's name."""
    dataset = run.manifest.get("dataset", {})
    name = dataset.get("name", "run") if isinstance(dataset, dict) else str(dataset)
    return f"benchsep: {visible(str(name))}"


def _systems(run: RunData) -> list[dict[str, str]]:
    fixed = [{"label": MIXTURE, "family": "mixture", "group": "yardstick"}]
    if run.edition != "mixtures":
        fixed.append({"label": REFERENCE, "family": "oracle", "group": "yardstick"})
    return fixed + [
        {"label": s, "family": run.families[s], "group": group_of(run.families[s])}
        for s in systems_with_audio(run.computed)
    ]


def _metrics(run: RunData) -> list[dict[str, Any]]:
    return [
        {
            "column": column,
            "name": display(column, run.traits),
            "unit": run.traits[column].unit,
            "digits": run.traits[column].digits,
            "direction": run.traits[column].direction,
            "headline": is_headline(column, run.traits),
        }
        for column in run.metrics
    ]


# -- scores -------------------------------------------------------------------------------------


def _scores(run: RunData, track: str) -> dict[str, dict[str, dict[str, float]]]:
    """``{stem: {system: {metric: mean over draws}}}`` of one song."""
    part = run.frame[(run.frame["track"] == track) & (run.frame["status"] == "ok")]
    scores: dict[str, dict[str, dict[str, float]]] = {}
    means = part.groupby(["stem", "system", "metric"], sort=True)["value"].mean().reset_index()
    rows = zip(means["stem"], means["system"], means["metric"], means["value"], strict=True)
    for stem, system, metric, value in rows:
        scores.setdefault(str(stem), {}).setdefault(str(system), {})[metric] = round(value, 6)
    return scores


def _all_songs(run: RunData, with_audio: list[str]) -> list[dict[str, Any]]:
    """A row per song of the run: scores by system, disagreement, index of its audio."""
    by_song = song_disagreement(run)
    return [
        {
            "name": track,
            "apart": round(by_song.get(track, 0.0), 4),
            "heard": with_audio.index(track) if track in with_audio else None,
            "scores": _scores(run, track),
        }
        for track in run.tracks
    ]


# -- one song -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    """The folder of a song's files: on disk, and as address in the page."""

    folder: Path
    address: str
    codec: Codec
    spread: Callable[..., Iterator[Any]]

    def sounds(self, name: str, signals: dict[str, Audio]) -> Path:
        return write_audio_script(self.folder, self.address, name, signals, self.codec, self.spread)


def _song(run: RunData, song: Song, files: _Files) -> tuple[dict[str, Any], list[Path]]:
    """Write the files of a song; its entry in the page's data, and the paths."""
    written = [files.sounds(MIXTURE, {MIXTURE: song.mixture})]
    level = loudness(song.mixture)
    stems = []
    for name in song.stems:
        entry, paths = _stem(name, song, files, level)
        stems.append(entry)
        written += paths
    return {
        "name": song.name,
        "seconds": round(song.mixture.seconds, 4),
        "start": round(song.start, 3),
        "rate": song.mixture.rate,
        "stems": stems,
        "scores": _scores(run, song.name),
    }, written


def _stem(
    name: str, song: Song, files: _Files, mixture_level: float
) -> tuple[dict[str, Any], list[Path]]:
    signals = song.signals(name)
    own = {label: audio for label, audio in signals.items() if label != MIXTURE}
    audio_file = files.sounds(name, own)
    pictures, picture_files = _pictures(name, song, files)
    # Without a true stem, the level of the first estimate is the target for the others.
    anchor = REFERENCE if REFERENCE in signals else next(iter(own))
    gains = match_gains(signals, anchor, song.spread, {MIXTURE: mixture_level})
    entry = {
        "name": name,
        "files": [f"{files.address}/{MIXTURE}.js", f"{files.address}/{name}.js"],
        "keys": [f"{files.address}/{MIXTURE}", f"{files.address}/{name}"],
        "sources": [
            {"label": s, "gain": round(gains[s], 3), "picture": pictures[s]} for s in signals
        ],
    }
    return entry, [audio_file, *picture_files]


def _pictures(stem: str, song: Song, files: _Files) -> tuple[dict[str, str], list[Path]]:
    """Spectrogram files of one stem: label to address, and the paths."""
    spectra = song.spectra[stem]
    names, written = {}, []
    pictures = zip(spectra, song.spread(_png, spectra.values()), strict=True)
    for number, (label, png) in enumerate(pictures):
        path = files.folder / f"{stem}-{number}.png"
        with replacing(path) as partial:
            partial.write_bytes(png)
        names[label] = f"{files.address}/{path.name}"
        written.append(path)
    return names, written


def _png(level: NDArray[np.uint8]) -> bytes:
    """A palette picture of levels, low frequencies at the bottom."""
    from PIL import Image

    small = _pooled(_pooled(level, PICTURE_ROWS, 0), PICTURE_COLUMNS, 1)
    picture = Image.fromarray(np.ascontiguousarray(small[::-1]))
    picture.putpalette(colours().tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _pooled(values: NDArray[np.uint8], most: int, axis: int) -> NDArray[np.uint8]:
    """The maximum over neighbours, so that at most ``most`` values remain along ``axis``."""
    size = values.shape[axis]
    if size <= most:
        return values
    starts = np.arange(most) * size // most
    pooled: NDArray[np.uint8] = np.maximum.reduceat(values, starts, axis=axis)
    return pooled


# -- the page -----------------------------------------------------------------------------------


def _page(run: RunData, data: dict[str, Any], pictures: list[tuple[str, str]]) -> str:
    from markupsafe import Markup

    template = jinja_environment().get_template("page.html.j2")
    return template.render(
        title=data["title"],
        tables=run.tables,
        unfolded=unfolded(run.tables),
        notes=shared_notes(run.tables),
        families=sorted({group_of(f) for f in run.families.values()}),
        stems=_stem_names(run.tables),
        head=head,
        badge_of=badge_of,
        format_value=format_value,
        data=data,
        pictures=[(address, _described(run, name)) for address, name in pictures],
        # Our own files, without external text.
        style=Markup(asset("style.css")),
        script=Markup("\n".join(map(asset, SCRIPTS))),
    )


def unfolded(tables: Sequence[Table]) -> set[str]:
    """Ids of the tables that are open at first: the overview and those of its two axes."""
    if not tables:
        return set()
    first, *others = tables
    axes = {column.metric for column in first.columns if column.axis}
    axes = axes or {column.metric for column in first.columns[:1]}
    found = [table for table in others if table.columns[0].in_title]
    return {first.id} | {t.id for t in found if t.columns[0].metric in axes}


def badge_of(column: Column) -> badges.Badge | None:
    """The badge of a column's head; an axis column has its share in the name."""
    plain = column.kind == "score" and not column.axis and column.stem != WITHOUT_BASS
    return badges.shown(column.metric) if plain else None


def _described(run: RunData, name: str) -> str:
    """The description of a figure."""
    if name.startswith("songs-"):
        metric = display(name.removeprefix("songs-"), run.traits)
        return f"{metric}: the songs of each system, with median and quartiles"
    return PICTURES.get(name, name)


def _stem_names(tables: Iterable[Any]) -> list[str]:
    names = [column.stem for table in tables for column in table.columns if column.stem]
    return list(dict.fromkeys(names))


def asset(name: str) -> str:
    """The text of a file of the page."""
    return (resources.files("benchsep.report.site") / "assets" / name).read_text(encoding="utf-8")
