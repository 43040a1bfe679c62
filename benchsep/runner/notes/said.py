"""What must be known of a run before its values are used, whatever they are used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchsep.runner.notes.fewer import fewer_draws
from benchsep.runner.notes.lag import late_systems
from benchsep.runner.notes.mistakes import mistaken_systems
from benchsep.runner.notes.mixed import mixed_systems, mixed_versions
from benchsep.runner.notes.same_songs import same_songs
from benchsep.runner.notes.same_systems import same_systems
from benchsep.runner.notes.unfinished import unfinished

if TYPE_CHECKING:
    import pandas as pd


def warnings_of(cells: pd.DataFrame, costs: pd.DataFrame, manifest: Mapping[str, Any]) -> list[str]:
    """The warnings of the run's tables, for commands that print no table of the run.

    Parameters
    ----------
    cells, costs
        Of :func:`benchsep.runner.frame.load_cells_and_costs`, with imports or without.
    """
    systems = set(cells["system"])
    mistaken = mistaken_systems(costs)
    mixed = mixed_versions(cells, manifest.get("imported") or {})
    return [
        *unfinished(manifest),
        *(text for label, text in late_systems(costs).items() if label in systems),
        *(text for label, said in mistaken.items() if label in systems for text in said),
        *(f"{metric}: {text}" for metric, text in mixed.items()),
        *mixed_systems(cells, costs),
        *fewer_draws(cells, manifest),
        *same_songs(manifest),
        *same_systems(manifest, systems),
    ]
