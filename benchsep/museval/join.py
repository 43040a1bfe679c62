"""Museval's results as further systems of a run, on the same songs of the same edition.

Conventions
-----------
edition  what the file says (ours do), else what the caller declares, else that of the run, where
         the lengths agree: the files' windows of a song and the run's differ by one at most
songs    names are compared as :func:`benchsep.stems.files.folded` has them
systems  a method with the label of one of the run's systems is called ``NAME (museval)``
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.museval.io import import_runs
from benchsep.stems.files import folded

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("generative", "discriminative", "oracle", "unknown")
MOST_WINDOWS_APART = 1
"""The last window is cut or kept by rounding."""


def with_museval(
    cells: pd.DataFrame,
    folder: Path,
    *,
    edition: str | None = None,
    families: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The cells of a run, and those of a folder of museval's results.

    Parameters
    ----------
    cells
        Of one edition, as :func:`benchsep.runner.frame.load_run` gives them.
    folder
        As for :func:`benchsep.museval.io.import_runs`.
    edition
        Edition of the files that do not say theirs. Where it is given, lengths are not compared.
    families
        Family by method, one of :data:`FAMILIES`; ``unknown`` where absent.

    Raises
    ------
    UsageError
        the run has no BSSEval; files of another edition or with songs of another length; an
        unknown family or method.
    """
    import pandas as pd

    imported = import_runs(folder, families=families, edition=edition or "")
    _check_families(families or {}, imported)
    imported = imported[imported["metric"].isin(set(cells["metric"]))]
    if imported.empty:
        raise UsageError(
            "museval's files hold BSSEval alone, and the run has none; run with --metrics bsseval"
        )
    imported = _named_as_in_run(imported, cells)
    own = str(cells["edition"].iloc[0])
    _check_edition(imported, own)
    if edition is None:
        _check_lengths(imported, cells)
    return pd.concat([cells, imported.assign(edition=own)], ignore_index=True)


def _check_families(families: Mapping[str, str], imported: pd.DataFrame) -> None:
    methods = sorted(set(imported["system"]))
    for method, family in families.items():
        if family not in FAMILIES:
            raise UsageError(f"family {family!r} of {method}; expected {', '.join(FAMILIES)}")
        if method not in methods:
            raise UsageError(f"no method {method!r} in the museval folder; there are: {methods}")


def _named_as_in_run(imported: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Songs by the run's spelling, and methods by names that the run does not have."""
    tracks = {folded(name): name for name in map(str, cells["track"].unique())}
    systems = set(cells["system"])
    return imported.assign(
        track=[tracks.get(folded(name), name) for name in imported["track"]],
        system=[f"{s} (museval)" if s in systems else s for s in imported["system"]],
    )


def _check_edition(imported: pd.DataFrame, own: str) -> None:
    other = imported[~imported["edition"].isin(["", own])]
    if not other.empty:
        row = other.iloc[0]
        raise UsageError(
            f"{row['track']!r} of {row['system']} was scored on edition {row['edition']}, the run "
            f"on {own}; editions never share a table: compare with a run on {row['edition']}"
        )


def _check_lengths(imported: pd.DataFrame, cells: pd.DataFrame) -> None:
    """Songs of files that do not say their edition are as long as the run's, and as each other."""
    expected = {track: (windows, "the run") for (_, track), windows in _windows(cells).items()}
    unsaid = imported[imported["edition"] == ""]
    for (system, track), windows in _windows(unsaid).items():
        there, whose = expected.setdefault(track, (windows, system))
        if abs(windows - there) > MOST_WINDOWS_APART:
            raise UsageError(
                f"{track!r} has {windows} windows of 1 s in the museval files of {system} and "
                f"{there} in {whose}: they are of different editions or cuts; compare with a run "
                "on the same audio, or name the files' edition with --museval-edition"
            )


def _windows(cells: pd.DataFrame) -> dict[tuple[str, str], int]:
    """``(system, track)`` to the number of its BSSEval windows; reference systems included."""
    counts: dict[tuple[str, str], int] = {}
    part = cells[cells["metric"].str.startswith("bsseval.")]
    for system, track, frames in zip(part["system"], part["track"], part["frames"], strict=True):
        if isinstance(frames, list | tuple) and frames:
            key = str(system), str(track)
            counts[key] = max(counts.get(key, 0), len(frames))
    return counts
