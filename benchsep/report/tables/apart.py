"""Similarity of the estimates of two systems, for songs without true stems.

Conventions
-----------
agreement  of two estimates ``a`` and ``b`` of a stem of a song, in dB:
           ``10 log10((|a|^2 + |b|^2) / |a - b|^2)``; high: similar, 0: unrelated. Symmetric;
           infinite for equal estimates, no value for silent ones
values     median over the songs on which both systems have the stem
estimates  those that the run stored (``keep_estimates``), draw 0; without them there is no table
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchsep.audio import read_audio
from benchsep.errors import AudioError
from benchsep.report.tables import captions
from benchsep.report.tables.columns import stem_order
from benchsep.report.tables.model import Cell, Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchsep.audio import Audio
    from benchsep.runner.store import Store

Pair = tuple[str, str]
BySong = dict[tuple[Pair, str], dict[str, float]]
"""A pair of systems and a stem, to the agreement on each song."""
NAMED = 3
"""Most songs that a row names."""


def apart_table(store: Store, systems: Sequence[str], songs: Sequence[str]) -> Table | None:
    """A table with a row per pair of systems and a column per stem, not yet numbered.

    ``None`` if no two systems have stored estimates of the same stem.
    """
    found: BySong = {}
    for song in songs:
        for key, value in agreements(_kept(store, systems, song)).items():
            found.setdefault(key, {})[song] = value
    if not found:
        return None
    stems = stem_order({stem for _, stem in found})
    pairs = [pair for pair in combinations(systems, 2) if any(pair == p for p, _ in found)]
    columns = [Column("agreement", s, s, "dB", 1, 0, "agreement", in_title=True) for s in stems]
    columns.append(Column("agreement", "", "least alike", "", 0, 0, "text"))
    rows = [_row(pair, stems, found, len(songs)) for pair in pairs]
    return Table(
        id="",
        title="Similarity of the estimates of two systems (dB)",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            captions.line(
                [
                    "Power of two estimates over that of their difference, median over songs",
                    "0: unrelated; high: similar. This is no measure of quality",
                ],
                "docs/stems.md#songs-without-stems",
            ),
        ),
        edition="mixtures",
    )


def _row(pair: Pair, stems: Sequence[str], found: BySong, total: int) -> Row:
    by_stem = [found.get((pair, stem), {}) for stem in stems]
    cells = [_cell(list(values.values()), total) for values in by_stem]
    songs = sorted({song for values in by_stem for song in values})
    worst = {song: min(v[song] for v in by_stem if song in v) for song in songs}
    least = sorted(songs, key=lambda song: (worst[song], song))[:NAMED]
    cells.append(Cell("", None, 0, 0, "; ".join(least)))
    return Row(" and ".join(pair), "unknown", "pair", tuple(cells))


def _cell(values: Sequence[float], total: int) -> Cell:
    if not values:
        return Cell("", None, 0, total, "no value")
    middle = median(values)
    if math.isinf(middle):
        return Cell("", None, len(values), total, "equal")
    return Cell("", middle, len(values), total)


def _kept(store: Store, systems: Sequence[str], song: str) -> dict[str, dict[str, Audio]]:
    """The kept estimates of a song: system to stem to audio."""
    found = {}
    for system in systems:
        try:
            paths = store.kept_estimates(system, song, 0)
            found[system] = {stem: read_audio(path) for stem, path in paths.items()}
        except AudioError:
            continue  # reported by the listening page
    return found


def agreements(estimates: Mapping[str, Mapping[str, Audio]]) -> dict[tuple[Pair, str], float]:
    """The agreement in dB of each pair of systems on each stem that both have.

    Signals that differ in rate or channels are not compared; if lengths differ, the shorter is
    used.
    """
    found = {}
    for one, other in combinations(estimates, 2):
        for stem in estimates[one].keys() & estimates[other].keys():
            value = agreement(estimates[one][stem], estimates[other][stem])
            if value is not None:
                found[(one, other), stem] = value
    return found


def agreement(one: Audio, other: Audio) -> float | None:
    """The agreement in dB, see the top of the module; ``None`` if it has no value."""
    if one.rate != other.rate or one.samples.shape[0] != other.samples.shape[0]:
        return None
    length = min(one.frames, other.frames)
    a = one.samples[:, :length].astype(np.float64)  # [channels, length]
    b = other.samples[:, :length].astype(np.float64)
    power = float(np.vdot(a, a) + np.vdot(b, b))
    apart = float(np.vdot(a - b, a - b))
    if power == 0:
        return None
    return 10 * math.log10(power / apart) if apart > 0 else math.inf
