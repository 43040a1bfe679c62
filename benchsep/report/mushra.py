"""Listening tests outside the page: webMUSHRA configuration out, ratings back in.

Conventions
-----------
export  a folder to lay beside a webMUSHRA installation: ``<name>.yaml`` and 16-bit wav files,
        level-matched (BS.1770) to the reference; webMUSHRA itself makes the 3.5 and 7 kHz
        anchors. Conditions are ``C1``, ``C2`` … in the YAML, so that nobody reads a system's
        name in the browser; ``conditions.csv`` is the key
import  the CSV of the page's own MUSHRA test, or webMUSHRA's ``mushra.csv`` with the key; a rater
        is named by the first column found of :data:`RATERS`
screen  post-screening of BS.1534-3, 4.1.2: a rater who rates the hidden reference below 90 in
        more than 15 % of the trials is left out, and named
table   ``rater, trial, song, stem, system, family, kind, rating``: what ``benchsep validity``
        reads

Functions
---------
export_run         the folder from a run: its most telling songs, its systems' estimates
export_webmushra   the folder from songs at hand
is_listening_test  whether a CSV holds the ratings of such a test
read_ratings       ratings from a CSV of either kind
screen             ratings of the raters who pass, and the names of those who do not
ratings_csv        the table as a CSV that `benchsep validity` reads
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep.audio import Audio, write_audio
from benchsep.errors import UsageError
from benchsep.report.loudness import match_gains
from benchsep.report.tables.model import is_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from benchsep.report.excerpts import Song

COLUMNS = ("rater", "trial", "song", "stem", "system", "family", "kind", "rating")
KEY_COLUMNS = ("trial", "condition", "song", "stem", "system", "family", "kind")
HIDDEN = "hidden_reference"
_FORMULA = re.compile(r"\s*[=+\-@\t\r]")
LEAST_RATING, MOST_MISSES = 90.0, 0.15
MOST_SIGNALS, MOST_SECONDS = 12, 12.0
"""Of BS.1534-3, 5.3 and 5.2.3; webMUSHRA checks both. The reference and two anchors count."""
RATERS = ("session_uuid", "rater", "name", "email")
WEBMUSHRA_ANCHORS = {"anchor35": "anchor", "anchor70": "anchor", "reference": HIDDEN}
"""What webMUSHRA calls the conditions that it adds by itself."""


def export_run(
    folder: str | Path,
    out: str | Path,
    *,
    stem: str = "vocals",
    max_songs: int = 8,
    seconds: float = 10.0,
    systems: Sequence[str] | None = None,
    name: str = "benchsep",
    root: str | None = None,
) -> list[Path]:
    """A test from a run: the songs on which its metrics disagree most.

    Parameters
    ----------
    systems
        Labels that are judged; ``None`` takes every system and oracle with audio.
    seconds
        Of each song, at most so much, where its stems are most active; BS.1534 advises ten.
    root
        Where the data set lies, if not where ``MUSDB_PATH`` says.

    Raises
    ------
    UsageError
        a name that cannot be a file's, a system that the run has not, or no song to judge.
    StoreError
        if ``folder`` is no run.
    """
    from benchsep.report.excerpts import Source, systems_with_audio, warn
    from benchsep.report.run import load, most_disputed_songs
    from benchsep.runner.store import Store

    if not 0 < seconds <= MOST_SECONDS:
        raise UsageError(
            f"--seconds {seconds:g}: a MUSHRA signal is at most {MOST_SECONDS:g} s long"
        )
    if not re.fullmatch(r"[\w-]+", name):
        raise UsageError(f"--name {name!r}: expected letters, digits, - and _ only")
    run = load(Path(folder), intervals=False)
    available = systems_with_audio(run.families)
    if unknown := [s for s in systems or () if s not in available]:
        raise UsageError(
            f"no system {', '.join(unknown)} with audio in the run; there are: {available}"
        )
    source = Source(Store(Path(folder)), root, say=warn, seconds=seconds)
    songs = source.songs(most_disputed_songs(run, max_songs), list(systems or available))
    address = f"configs/resources/{name}"
    return export_webmushra(songs, run.families, out, stem=stem, name=name, address=address)


def export_webmushra(
    songs: Iterable[Song],
    families: Mapping[str, str],
    out: str | Path,
    *,
    stem: str = "vocals",
    name: str = "benchsep",
    address: str = "configs/resources/benchsep",
) -> list[Path]:
    """Write ``<name>.yaml``, the sounds and the key of one MUSHRA test.

    Parameters
    ----------
    songs
        One trial each; a song without ``stem`` or without any system is left out.
    families
        System label to family, for the key.
    address
        Where the sounds will lie, as seen from webMUSHRA's root.

    Raises
    ------
    UsageError
        if no song has the stem.
    """
    import yaml

    out = Path(out)
    pages: list[dict[str, Any]] = [_welcome(name)]
    key: list[dict[str, Any]] = []
    written = []
    for song in songs:
        signals = {s: e[stem] for s, e in song.estimates.items() if stem in e}
        signals = {s: audio for s, audio in signals.items() if not is_reference(s)}
        if stem not in song.references or not signals:
            continue
        if len(signals) + 3 > MOST_SIGNALS:
            raise UsageError(
                f"{len(signals)} systems, the reference and two anchors are more than the "
                f"{MOST_SIGNALS} signals of a MUSHRA trial; choose with --systems"
            )
        trial = f"trial{len(pages)}"
        page, rows, made = _trial(song, stem, trial, signals, families, out, address)
        pages.append(page)
        key += rows
        written += made
    if len(pages) == 1:
        raise UsageError(f"no song has the stem {stem!r} and a system that separated it")
    config = {
        "testname": f"benchsep: {stem}",
        "testId": name,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [pages[0], ["random", *pages[1:]], _farewell()],
    }
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=False), encoding="utf-8")
    return [path, _write_key(out / "conditions.csv", key), *written]


def _welcome(name: str) -> dict[str, Any]:
    text = "Rate every sound against the reference, from 0 (bad) to 100 (excellent). Headphones."
    return {"type": "generic", "id": "welcome", "name": name, "content": text}


def _farewell() -> dict[str, Any]:
    return {
        "type": "finish",
        "name": "Thank you",
        "content": "Send your ratings.",
        "showResults": False,
        "writeResults": True,
        # Not every webMUSHRA writes a session's number: without this, raters cannot be told apart.
        "questionnaire": [{"type": "text", "label": "Your name or number", "name": "rater"}],
    }


def _trial(
    song: Song,
    stem: str,
    trial: str,
    signals: Mapping[str, Audio],
    families: Mapping[str, str],
    out: Path,
    address: str,
) -> tuple[dict[str, Any], list[dict[str, Any]], list[Path]]:
    everything = {"reference": song.references[stem], **signals}
    gains = match_gains(everything, "reference")
    names = {"reference": "ref"} | {s: f"C{i}" for i, s in enumerate(signals, 1)}
    written = []
    for label, audio in everything.items():
        path = out / "sounds" / f"{trial}_{names[label]}.wav"
        gained = Audio(audio.samples * 10 ** (gains[label] / 20), audio.rate)
        write_audio(path, gained, subtype="PCM_16")
        written.append(path)
    page = {
        "type": "mushra",
        "id": trial,
        "name": f"Trial {trial.removeprefix('trial')}",
        "content": "",
        "showWaveform": False,
        "enableLooping": True,
        "randomize": True,
        "showConditionNames": False,
        "createAnchor35": True,
        "createAnchor70": True,
        "reference": f"{address}/sounds/{trial}_ref.wav",
        "stimuli": {names[s]: f"{address}/sounds/{trial}_{names[s]}.wav" for s in signals},
    }
    common = {"trial": trial, "song": song.name, "stem": stem}
    rows = [
        {**common, "condition": names[s], "system": s, "family": families.get(s, "unknown"),
         "kind": "system"}
        for s in signals
    ]  # fmt: skip
    return page, rows, written


def _write_key(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    # Names are written as they are: the key is read back by name. `read_ratings` is its reader.
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, KEY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


# -- back in ------------------------------------------------------------------------------------


_WEBMUSHRA = {"trial_id", "rating_stimulus", "rating_score"}


def is_listening_test(path: str | Path) -> bool:
    """Whether a CSV holds the ratings of the page's MUSHRA test, or of webMUSHRA's.

    Raises
    ------
    UsageError
        a file that cannot be read as CSV.
    """
    rows = _rows(Path(path))
    return bool(rows) and (rows[0].keys() >= _WEBMUSHRA or rows[0].keys() >= set(COLUMNS))


def read_ratings(path: str | Path, key: str | Path | None = None) -> pd.DataFrame:
    """Ratings of the page's own CSV, or of webMUSHRA's with the ``conditions.csv`` of the export.

    Raises
    ------
    UsageError
        no such file, missing columns, a rating that is no number from 0 to 100, or a condition
        that the key does not know.
    """
    rows = _rows(Path(path))
    if rows and rows[0].keys() >= _WEBMUSHRA:
        if key is None:
            raise UsageError(
                f"{path}: webMUSHRA's ratings need the conditions.csv of the export (--key)"
            )
        rows = [_named(row, _known(Path(key)), path) for row in rows]
    missing = [c for c in COLUMNS if rows and c not in rows[0]]
    if not rows or missing:
        found = ", ".join(rows[0]) if rows else "no rows"
        raise UsageError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {found}")
    import pandas as pd

    table = [{c: row[c] for c in COLUMNS} | {"rating": _rating(row, path)} for row in rows]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
            return [{k: _plain(v or "") for k, v in row.items() if k} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({error})") from error


def _plain(text: str) -> str:
    """A cell without the apostrophe that the page puts before what looks like a formula."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def _known(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    rows = _rows(path)
    if not rows or not set(KEY_COLUMNS) <= rows[0].keys():
        raise UsageError(f"{path}: expected the columns {', '.join(KEY_COLUMNS)}")
    known = {(row["trial"], row["condition"]): row for row in rows}
    for row in rows:
        for name, kind in WEBMUSHRA_ANCHORS.items():
            added = {"system": name, "family": "oracle" if kind == HIDDEN else "anchor"}
            known[row["trial"], name] = {**row, **added, "kind": kind}
    return known


def _named(
    row: Mapping[str, str], known: Mapping[tuple[str, str], dict[str, str]], path: str | Path
) -> dict[str, str]:
    condition = known.get((row["trial_id"], row["rating_stimulus"]))
    if condition is None:
        raise UsageError(
            f"{path}: the key knows no condition {row['rating_stimulus']!r} of {row['trial_id']!r}"
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
        raise UsageError(f"{path}: rating {row['rating']!r}, expected a number from 0 to 100")
    return value


def screen(ratings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Ratings of the raters who pass BS.1534-3's post-screening, and the raters who do not.

    A rater without any rating of a hidden reference cannot be screened and is left out.
    """
    hidden = ratings[ratings["kind"] == HIDDEN]
    misses = (hidden["rating"] < LEAST_RATING).groupby(hidden["rater"]).mean()
    passed = {str(rater) for rater, share in misses.items() if share <= MOST_MISSES}
    out = sorted(set(map(str, ratings["rater"])) - passed)
    return ratings[ratings["rater"].isin(passed)].reset_index(drop=True), out


def ratings_csv(ratings: pd.DataFrame) -> str:
    """The table as CSV; what looks like a formula gets an apostrophe, which the reader drops."""
    safe = ratings.map(lambda v: f"'{v}" if isinstance(v, str) and _FORMULA.match(v) else v)
    return str(safe.to_csv(index=False, lineterminator="\n"))
