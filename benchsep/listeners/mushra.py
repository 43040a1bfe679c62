"""Reads ratings of a MUSHRA test: the listening page's CSV, or webMUSHRA's with the key of the
export.

Conventions
-----------
table   ``rater, trial, song, stem, system, family, kind, rating``: input of ``benchsep validity``
rater   named by the first column found of :data:`RATERS`
key     ``conditions.csv`` of :mod:`benchsep.report.mushra`: maps conditions to systems
screen  post-screening of BS.1534-3, 4.1.2: a rater with ratings of the hidden reference below 90 in
        more than 15 % of the trials is left out and named

Functions
---------
is_listening_test  whether a CSV holds the ratings of such a test
read_ratings       ratings from a CSV of either kind
screen             ratings of the raters who pass, and the names of those who do not
ratings_csv        the table as a CSV that ``benchsep validity`` reads
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep._util.csv_rows import no_more_fields
from benchsep._util.escape import from_csv_cell, is_formula
from benchsep._util.reason import without_path
from benchsep.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("rater", "trial", "song", "stem", "system", "family", "kind", "rating")
KEY_COLUMNS = ("trial", "condition", "song", "stem", "system", "family", "kind")
HIDDEN = "hidden_reference"
LEAST_RATING, MOST_MISSES = 90.0, 0.15
RATERS = ("session_uuid", "rater", "name", "email")
WEBMUSHRA_ANCHORS = {"anchor35": "anchor", "anchor70": "anchor", "reference": HIDDEN}
"""webMUSHRA's names of the conditions that it adds."""
_WEBMUSHRA = {"trial_id", "rating_stimulus", "rating_score"}


def is_listening_test(path: str | Path) -> bool:
    """Whether a CSV holds the ratings of the page's MUSHRA test, or of webMUSHRA's.

    Raises
    ------
    UsageError
        the file cannot be read as CSV.
    """
    rows = _rows(Path(path))
    return bool(rows) and (rows[0].keys() >= _WEBMUSHRA or rows[0].keys() >= set(COLUMNS))


def read_ratings(path: str | Path, key: str | Path | None = None) -> pd.DataFrame:
    """Ratings of the page's own CSV, or of webMUSHRA's with the ``conditions.csv`` of the export.

    Raises
    ------
    UsageError
        the file does not exist, columns are missing, a rating is not a number from 0 to 100, has no
        rater or is given twice, or a condition is missing or duplicate in the key.
    """
    rows = _rows(Path(path))
    if rows and rows[0].keys() >= _WEBMUSHRA:
        if key is None:
            raise UsageError(
                f"{path}: webMUSHRA's ratings need the conditions.csv of the export (--key)"
            )
        conditions = _read_key(Path(key))
        rows = [_with_condition(row, conditions, path) for row in rows]
    missing = [c for c in COLUMNS if rows and c not in rows[0]]
    if not rows or missing:
        columns = ", ".join(rows[0]) if rows else "no rows"
        raise UsageError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {columns}")
    _check_raters(rows, path)
    import pandas as pd

    table = [{c: row[c] for c in COLUMNS} | {"rating": _rating(row, path)} for row in rows]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _check_raters(rows: list[dict[str, str]], path: str | Path) -> None:
    """Check that each rating has a rater, and that a rater rated each condition of a trial at most
    once.
    """
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        if not row["rater"].strip():
            raise UsageError(f"{path}: a rating without a rater, so nobody can be screened")
        place = tuple(row[name] for name in ("rater", "trial", "stem", "system"))
        if place in seen:
            rater, trial, _, system = place
            raise UsageError(
                f"{path}: {rater!r} rated {system!r} of {trial!r} twice; remove one of the two "
                "ratings"
            )
        seen.add(place)


def refuse_utf16(path: Path) -> None:
    """Raise for UTF-16 files (Excel's "Unicode text"), for which the UTF-8 error would be unclear.

    Raises
    ------
    UsageError
        the file begins with a UTF-16 mark, or contains zero bytes.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(4096)
    except OSError:
        return  # the reader reports the error
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        raise UsageError(
            f"{path}: found UTF-16 or a binary file, expected UTF-8 text; save it as CSV UTF-8"
        )


def _rows(path: Path) -> list[dict[str, str]]:
    refuse_utf16(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(map(no_more_fields, csv.DictReader(handle)))
            return [{k: from_csv_cell(v or "") for k, v in row.items() if k} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({without_path(error)})") from error


def _read_key(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """``(trial, condition)`` to its row of the key, with webMUSHRA's own conditions added."""
    rows = _rows(path)
    if not rows or not set(KEY_COLUMNS) <= rows[0].keys():
        raise UsageError(f"{path}: expected the columns {', '.join(KEY_COLUMNS)}")
    conditions = {(row["trial"], row["condition"]): row for row in rows}
    if len(conditions) < len(rows):
        raise UsageError(f"{path}: a trial has the same condition twice; remove one")
    for row in rows:
        for name, kind in WEBMUSHRA_ANCHORS.items():
            added = {"system": name, "family": "oracle" if kind == HIDDEN else "anchor"}
            conditions[row["trial"], name] = {**row, **added, "kind": kind}
    return conditions


def _with_condition(
    row: Mapping[str, str], conditions: Mapping[tuple[str, str], dict[str, str]], path: str | Path
) -> dict[str, str]:
    condition = conditions.get((row["trial_id"], row["rating_stimulus"]))
    if condition is None:
        raise UsageError(
            f"{path}: the key has no condition {row['rating_stimulus']!r} of {row['trial_id']!r}; "
            "give the conditions.csv that was written with this test"
        )
    rater = next((row[name] for name in RATERS if row.get(name)), None)
    if rater is None:
        raise UsageError(
            f"{path}: a rating without a rater, so nobody can be screened; expected one of the "
            f"columns {', '.join(RATERS)}, filled in; found {', '.join(row)}"
        )
    return {**condition, "rater": rater, "rating": row["rating_score"]}


def _rating(row: Mapping[str, str], path: str | Path) -> float:
    try:
        value = float(row["rating"])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise UsageError(
            f"{path}: found the rating {row['rating']!r}, expected a number from 0 to 100"
        )
    return value


def screen(ratings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Ratings of the raters who pass BS.1534-3's post-screening, and the names of the others.

    A rater without any rating of a hidden reference cannot be screened and is left out.
    """
    hidden = ratings[ratings["kind"] == HIDDEN]
    misses = (hidden["rating"] < LEAST_RATING).groupby(hidden["rater"]).mean()
    passed = {str(rater) for rater, share in misses.items() if share <= MOST_MISSES}
    excluded = sorted(set(map(str, ratings["rater"])) - passed)
    return ratings[ratings["rater"].isin(passed)].reset_index(drop=True), excluded


def ratings_csv(ratings: pd.DataFrame) -> str:
    """The table as CSV; text that looks like a formula gets an apostrophe, which the reader
    removes.
    """
    safe = ratings.map(lambda v: f"'{v}" if isinstance(v, str) and is_formula(v) else v)
    return str(safe.to_csv(index=False, lineterminator="\n"))
