"""Notes at the end of a run on converted estimates and on mixtures that look wrong.

One line per kind, for all systems, songs and stems. The facts are stored in the records
(:class:`benchsep.runner.record.Draw`, :class:`~benchsep.runner.record.TrackFacts`), so a run with
nothing left to do prints the same notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchsep._util.words import amount
from benchsep.datasets.known import NOT_THE_SUM
from benchsep.datasets.sums import LIMIT_DB
from benchsep.systems.fit import Change

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.datasets.track import Track

SHOWN = 3
"""Most systems or songs that a line names."""

Found = list[tuple[str, str, Change]]
"""Song, stem, and the change of its estimate."""


def changed(costs: pd.DataFrame) -> list[str]:
    """A line per kind of change; ``costs``: from ``load_costs``."""
    by_system: dict[str, Found] = {}
    columns = (costs[name] for name in ("system", "track", "changes"))
    for system, track, changes in zip(*columns, strict=True):
        for stem, change in changes.items():
            by_system.setdefault(system, []).append((track, stem, change))
    lines = []
    for beginning, of_kind, said in KINDS:
        parts = {
            label: [each for each in found if of_kind(each[2])]
            for label, found in sorted(by_system.items())
        }
        named = [_named(label, found, said) for label, found in parts.items() if found]
        if named:
            more = f"; {amount(len(named) - SHOWN, 'more system')}" if len(named) > SHOWN else ""
            lines.append(f"{beginning}: {'; '.join(named[:SHOWN])}{more}")
    return lines


def _rate(changes: Sequence[Change]) -> str:
    return " from " + ", ".join(f"{rate} Hz" for rate in sorted({c.rate for c in changes}))


def _samples(changes: Sequence[Change]) -> str:
    return f" by up to {amount(max(abs(c.extra) for c in changes), 'sample')}"


KINDS: tuple[tuple[str, Callable[[Change], bool], Callable[[Sequence[Change]], str]], ...] = (
    ("mono estimates were repeated in all channels", lambda c: bool(c.mono), lambda _: ""),
    ("estimates were resampled to the rate of the mixture", lambda c: c.rate > 0, _rate),
    ("short estimates were padded with zeros at the end", lambda c: c.extra < 0, _samples),
    ("long estimates were cut at the end", lambda c: c.extra > 0, _samples),
)
"""Start of the line, test for the changes it covers, and details per system."""


def _named(label: str, found: Found, said: Callable[[Sequence[Change]], str]) -> str:
    songs, stems = {song for song, _, _ in found}, {stem for _, stem, _ in found}
    return (
        f"{label}{said([change for _, _, change in found])} "
        f"({', '.join(sorted(stems))} of {amount(len(songs), 'song')})"
    )


def not_the_sum(costs: pd.DataFrame, tracks: Sequence[Track]) -> list[str]:
    """A line on the songs whose mixture is not the sum of the stems; ``costs``: from
    ``load_costs``.

    ``tracks``: the songs of the run. Known errata of MUSDB18 are left out.
    """
    asked = {track.name for track in tracks}.difference(NOT_THE_SUM)
    rows = costs.dropna(subset=["residue_db"])
    found = {t: r for t, r in zip(rows["track"], rows["residue_db"], strict=True) if t in asked}
    if not found:
        return []
    worst = sorted(found, key=lambda name: (-found[name], name))[:SHOWN]
    levels = ", ".join(f"{name!r} {found[name]:.1f} dB" for name in worst)
    count = f"{len(found)} of {amount(len(asked), 'song')}"
    return [
        f"the mixture file is not the sum of the stems on {count} (level of mixture minus stems, "
        f"relative to the mixture: {levels}; expected {LIMIT_DB:g} dB at most). Possible causes: "
        "another song, master or level, or a missing stem. Correct the files, or use the sum of "
        "the stems as the mixture: --mixture sum"
    ]
