"""The result of ``benchsep.score``: a DataFrame with a compact form for terminals and notebooks."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchsep._util import escape

COLUMNS = ("stem", "metric", "value", "status", "unit", "frames")
ROWS = 20
"""Most rows that are printed."""


class Scores(pd.DataFrame):
    """A row per value: ``stem, metric, value, status, unit, frames``.

    It is printed as a table of metrics by stems; each reason for a missing value is printed once.
    Selections from it, and ``pandas.DataFrame(scores)``, are ordinary DataFrames.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        lines = [self._title()]
        if len(self):
            table = self._grid()
            lines.append(table[:ROWS].to_string(float_format="{:.3f}".format, na_rep="–"))
            if len(table) > ROWS:
                lines.append(f"… {len(table) - ROWS} more metrics")
        return "\n".join([*lines, *self._reasons()])

    def _repr_html_(self) -> str:
        """The same for notebooks, with every metric."""
        table = self._grid().to_html(float_format="{:.3f}".format, na_rep="–", border=0)
        reasons = "<br>".join(escape.html(line) for line in self._reasons())
        parts = (f"<p>{escape.html(self._title())}</p>", table if len(self) else "")
        return "".join(parts) + (f"<p>{reasons}</p>" if reasons else "")

    def _title(self) -> str:
        text = f"Scores: {self['stem'].nunique()} stems, {len(self)} values"
        absent = int(self["value"].isna().sum())
        return text + (f", {absent} absent" if absent else "")

    def _grid(self) -> pd.DataFrame:
        """Values, a row per metric and a column per stem, in the order of the rows."""
        grid = self.pivot(index="metric", columns="stem", values="value")
        grid = grid.reindex(index=self["metric"].unique(), columns=self["stem"].unique())
        return grid.rename_axis(index=None, columns=None)

    def _reasons(self) -> list[str]:
        """``metrics on stems: status``, a line for each status of absent values."""
        absent = self[self["value"].isna()]
        return [
            f"{_some(rows['metric'])} on {_some(rows['stem'])}: {status}"
            for status, rows in absent.groupby("status", sort=False)
        ]


def _some(names: Any) -> str:
    """The names without duplicates; of more than four, the first three and the number of the
    others.
    """
    unique = list(dict.fromkeys(names))
    if len(unique) <= 4:
        return ", ".join(unique)
    return f"{', '.join(unique[:3])} and {len(unique) - 3} more"
