"""A listening study: ratings in a CSV file, described by a YAML file.

Conventions
-----------
question  the question to listeners: ``quality`` (how good does it sound), ``interference`` (how
          little of the other sources is audible), or any other name. Higher ratings are better
table     a row per rating: ``question song stem system family rater rating``, and columns of
          metrics if the CSV has any. A listener's repeated ratings of a clip are averaged
family    ``generative`` and ``discriminative`` are systems; every other family (hidden reference,
          anchors) is a condition that is in no pair

``docs/listeners.md`` describes the two files; :mod:`benchsep.listeners.template` writes examples.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchsep._util import invalid
from benchsep._util.reason import without_path
from benchsep._util.words import amount, amount_is
from benchsep._util.yamlfile import read_yaml
from benchsep.errors import UsageError
from benchsep.listeners.mushra import refuse_utf16
from benchsep.listeners.scopes import FAMILIES, QUESTIONS

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("question", "song", "stem", "system", "family", "rater")
ROLES: dict[str, tuple[str, ...]] = {
    "song": ("file_id", "song", "track"),
    "system": ("model_name", "system"),
    "family": ("model_type", "family"),
    "rating": ("DMOS", "rating", "score"),
    "stem": ("stem",),
    "rater": ("rater", "subject", "listener", "session_uuid"),
    "question": ("question",),
}
"""Accepted column names of each role; the first one found is used."""
OPTIONAL = ("stem", "rater", "question", "family")


def _template(*names: str, needs: str = "") -> AfterValidator:
    """Check a template: only these names may be in braces."""
    allowed = ", ".join(f"{{{name}}}" for name in names)

    def checked(text: str) -> str:
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}; expected {allowed}") from None
        fields = [(name, spec, conversion) for _, name, spec, conversion in parts]
        used = [name for name, _, _ in fields if name is not None]
        bare = all(not spec and conversion is None for _, spec, conversion in fields)
        if not bare or not set(used) <= set(names):
            raise ValueError(f"{text!r}: expected only {allowed} in braces")
        if needs and needs not in used:
            raise ValueError(f"{text!r}: expected {{{needs}}} in it")
        return text

    return AfterValidator(checked)


SoundFile = Annotated[str, _template("song", "system", "stem")]


class AudioFiles(BaseModel):
    """Paths of the sounds of a study: templates with ``{song}``, ``{system}``, ``{stem}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    estimate: SoundFile
    reference: SoundFile
    mixture: SoundFile | None = None
    mixture_level: Literal["as found", "fitted"] = "as found"
    """``fitted``: for loudness-normalised sounds; the mixture is scaled so that it contains the
    reference at its level (least squares)."""


class Wide(BaseModel):
    """Several ratings per row: ``rating: rating_{n}``, ``rater: subject_{n}``, n from 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rating: Annotated[str, _template("n", needs="n")]
    rater: Annotated[str, _template("n")] | None = None


class StudyFile(BaseModel):
    """The YAML file of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str = ""
    """One line: who, when, how many clips, systems and ratings."""
    reference: str = ""
    licence: str = "not stated"
    ratings: str = "ratings.csv"
    """CSV, relative to the YAML file or to ``--data``."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to column of the CSV, if its name is not in :data:`ROLES`."""
    wide: Wide | None = None
    where: dict[str, list[Any]] = Field(default_factory=dict)
    """Column to the allowed values; other rows are left out."""
    question: str = "quality"
    """Question of a CSV without this column."""
    questions: dict[str, str] = Field(default_factory=dict)
    """Name in the CSV to the question's name here."""
    stem: str = "vocals"
    """Stem of a CSV without this column; empty: unknown."""
    families: dict[str, str] = Field(default_factory=dict)
    """System, or a pattern such as ``*``, to its family; a name counts before patterns."""
    audio: AudioFiles | None = None


@dataclass(frozen=True)
class Study:
    """Ratings with their description."""

    file: StudyFile
    folder: Path
    """Folder of the CSV and the sounds."""
    table: pd.DataFrame = field(repr=False)

    @property
    def questions(self) -> list[str]:
        """The questions, known ones first."""
        asked = set(self.table["question"])
        return [q for q in QUESTIONS if q in asked] + sorted(asked - set(QUESTIONS))

    def ratings(self, question: str) -> pd.DataFrame:
        """A row per rating of one question."""
        rows: pd.DataFrame = self.table[self.table["question"] == question]
        return rows.reset_index(drop=True)

    def clips(self, question: str) -> pd.DataFrame:
        """A row per clip of one question: listeners averaged, and the columns of metrics."""
        rows = self.ratings(question)
        named = bool(rows["stem"].any())  # a bare CSV may not say which stem it is about
        keys = ["song", *(["stem"] if named else []), "system", "family"]
        numbers = [c for c in rows.select_dtypes("number").columns if c not in KEYS]
        grouped: pd.DataFrame = rows.groupby(keys, sort=True)[numbers].mean()
        return grouped.reset_index()


def one_value_each(ratings: pd.DataFrame, metrics: Iterable[str]) -> None:
    """Check that all ratings of a clip have the same value of each metric.

    Raises
    ------
    UsageError
        a clip has two values of a metric.
    """
    for metric in metrics:
        clips = ratings.groupby(["song", "stem", "system"])[metric].agg(["min", "max"])
        apart = clips["max"] - clips["min"] > 1e-6 * clips.abs().max(axis=1).clip(lower=1)
        if apart.any():
            clip, low, high = next(clips[apart].itertuples(name=None))
            raise UsageError(
                f"{' / '.join(filter(None, clip))} has two values of {metric} in the ratings, "
                f"{low:g} and {high:g}; expected one value for each clip"
            )


def built_in() -> list[str]:
    """Names of the studies whose description ships with benchsep (their data do not)."""
    folder = resources.files("benchsep.listeners").joinpath("studies")
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith("yaml"))


def read_study(
    source: str | Path,
    *,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    families: Mapping[str, str] | None = None,
) -> Study:
    """A study from its YAML file, from the name of a built-in description, or from a bare CSV.

    Parameters
    ----------
    data
        Folder of the CSV and the sounds, or the CSV; default: the folder of the YAML file.
    columns, families
        Override those of the file: role to column, system (or pattern) to family.

    Raises
    ------
    UsageError
        a file cannot be read, a key is unknown, a column is missing, a rating is not a number, or a
        system has two families.
    """
    file, folder = _file(str(source), data)
    given = {"columns": {**file.columns, **(columns or {})}}
    given["families"] = {**(families or {}), **file.families}  # the first pattern that fits counts
    file = file.model_copy(update=given)
    path = folder / file.ratings
    raw = _kept(_csv(path), file, path)
    table = _long(raw, file, path)
    return Study(file, folder, _families(_averaged(table), file, path))


def _file(source: str, data: str | Path | None) -> tuple[StudyFile, Path]:
    """The description and the folder of its data."""
    place = Path(data) if data is not None else None
    ratings = {"ratings": place.name} if place is not None and place.is_file() else {}
    folder = place.parent if ratings and place is not None else place
    if source in built_in():
        if folder is None:
            raise UsageError(
                f"the data of the study {source} are not part of benchsep; give their folder with "
                "--data FOLDER"
            )
        text = resources.files("benchsep.listeners").joinpath("studies", f"{source}.yaml")
        with resources.as_file(text) as path:
            return _described(path, ratings), folder
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        return _described(path, ratings), folder or path.parent
    return StudyFile(name=path.stem, ratings=path.name, stem=""), path.parent


def _described(path: Path, changes: dict[str, str]) -> StudyFile:
    try:
        content = read_yaml(path) or {}
        if not isinstance(content, dict):
            raise ValueError(f"expected a mapping of keys, found {type(content).__name__}")
        return StudyFile.model_validate({**content, **changes})
    except (OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            reason = "; ".join(f"{key}: {fault}" for key, fault in invalid.settings(error).items())
        raise UsageError(f"{path}: not a description of a study ({reason})") from error


def _csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    refuse_utf16(path)
    try:
        raw = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({without_path(error)})") from error
    if not isinstance(raw.index, pd.RangeIndex):  # pandas takes the first fields as an index
        raise UsageError(
            f"{path}: rows have more fields than the header, which has {len(raw.columns)}; put "
            "quotes around a field that contains a comma"
        )
    return raw


def _kept(raw: pd.DataFrame, file: StudyFile, path: Path) -> pd.DataFrame:
    """The rows that ``where`` selects."""
    for column, values in file.where.items():
        if column not in raw.columns:
            raise UsageError(f"{path} has no column {column!r}, which `where` names")
        raw = raw[raw[column].isin(values)]
    return raw


def _long(raw: pd.DataFrame, file: StudyFile, path: Path) -> pd.DataFrame:
    """A row per rating, columns under the names of their roles."""
    import pandas as pd

    if file.wide is not None:
        raw = _unfolded(raw, file.wide, path)
        roles = {"rating": "rating", "rater": "rater"}
    else:
        roles = {}
    for role in ROLES:
        if role not in roles and (name := _column(raw, role, file, path)):
            roles[role] = name
    taken = {column: role for role, column in roles.items()}
    # A CSV may have both `DMOS` and `rating`; only the first one found is the rating.
    doubled = [role for role in roles if role in raw.columns and role not in taken]
    table = raw.drop(columns=doubled).rename(columns=taken)
    for role, value in (("stem", file.stem), ("question", file.question)):
        if role not in roles:
            table[role] = value
    if "rater" not in roles:
        table["rater"] = None
    table["rater"] = table["rater"].astype(object)
    if "family" not in roles:
        table["family"] = "unknown"
    try:
        table["rating"] = pd.to_numeric(table["rating"])
    except ValueError as error:
        raise UsageError(f"{path}: a rating is not a number: {error}") from error
    table = table.dropna(subset=["rating"]).copy()
    if table.empty:
        raise UsageError(f"{path}: none of the {len(raw)} rows has a rating, expected numbers")
    if bad := int(table["rating"].abs().eq(float("inf")).sum()):
        raise UsageError(f"{path}: {amount_is(bad, 'rating')} infinite, expected numbers")
    for role in ("song", "system"):
        if absent := int(table[role].isna().sum()):
            raise UsageError(f"{path}: {amount(absent, 'rating')} without a {role}")
    # Ratings without a rater may come from many raters, so they are not averaged as repeats of one.
    nobody = table["rater"].isna()
    table.loc[nobody, "rater"] = [f"row {n}" for n in table.index[nobody]]
    absent_is = {"stem": file.stem, "question": file.question, "family": "unknown"}
    for key in KEYS:
        table[key] = table[key].astype(object).fillna(absent_is.get(key, "")).astype(str)
    table["question"] = [file.questions.get(q, q) for q in table["question"]]
    return table


def _column(raw: pd.DataFrame, role: str, file: StudyFile, path: Path) -> str | None:
    """The column of a role; None if an optional role is absent."""
    if (named := file.columns.get(role)) is not None:
        if named not in raw.columns:
            raise UsageError(f"{path} has no column {named!r}, which was given for the {role}")
        return named
    for name in ROLES[role]:
        if name in raw.columns:
            return name
    if role in OPTIONAL:
        return None
    raise UsageError(
        f"{path} has no column for the {role}: expected one of {', '.join(ROLES[role])}; found "
        f"{', '.join(map(str, raw.columns[:12]))}. Give its name: --column {role}=NAME"
    )


def _unfolded(raw: pd.DataFrame, wide: Wide, path: Path) -> pd.DataFrame:
    """One row per rating of a table with several ratings in a row."""
    import pandas as pd

    parts, used = [], []
    n = 0
    while (rating := wide.rating.format(n=n)) in raw.columns:
        rater = wide.rater.format(n=n) if wide.rater else None
        if rater is not None and rater not in raw.columns:
            raise UsageError(
                f"{path} has no column {rater!r}, which `wide` names beside {rating!r}"
            )
        parts.append((rating, rater, n))
        used += [rating, *([rater] if rater else [])]
        n += 1
    if not parts:
        raise UsageError(f"{path} has no column {wide.rating.format(n=0)!r}, which `wide` names")
    others = raw.drop(columns=[c for c in used if c in raw.columns])
    drop = [c for c in ROLES["rating"] if c in others.columns]  # means of the ratings
    others = others.drop(columns=drop)
    tables = []
    for rating, rater, n in parts:
        who = raw[rater] if rater else [f"listener {n}"] * len(raw)
        tables.append(others.assign(rating=raw[rating], rater=who))
    return pd.concat(tables, ignore_index=True)


def _averaged(table: pd.DataFrame) -> pd.DataFrame:
    """One row per listener and clip: repeated ratings averaged."""
    numbers = [c for c in table.select_dtypes("number").columns if c not in KEYS]
    grouped: pd.DataFrame = table.groupby(list(KEYS), sort=True)[numbers].mean()
    return grouped.reset_index()


def _family_of(system: str, families: Mapping[str, str]) -> str | None:
    """The family for the system's exact name, else for the first pattern that matches."""
    if system in families:
        return families[system]
    return next((f for p, f in families.items() if fnmatch.fnmatchcase(system, p)), None)


def _spelled(family: str, path: Path) -> str:
    """A family as benchsep writes it; conditions keep their names."""
    plain = family.strip().casefold()
    if plain in FAMILIES:
        return plain
    if meant := difflib.get_close_matches(plain, FAMILIES, n=1, cutoff=0.8):
        raise UsageError(f"{path}: unknown family {family!r}; did you mean {meant[0]!r}?")
    return family


def _families(table: pd.DataFrame, file: StudyFile, path: Path) -> pd.DataFrame:
    """Families from the file's patterns; they override those of the CSV."""
    for system in sorted(set(table["system"])):
        family = _family_of(system, file.families)
        if family is not None:
            table.loc[table["system"] == system, "family"] = family
    table["family"] = [_spelled(family, path) for family in table["family"]]
    counts = table.groupby("system")["family"].nunique()
    if several := sorted(counts[counts > 1].index):
        raise UsageError(f"{path}: {several[0]} has two families; give each system one family")
    if set(table["family"]) == {"unknown"}:
        raise UsageError(
            f"{path} has no column for the families; give them with --family SYSTEM=generative "
            "(or discriminative; '*' is any system), or as `families` in the study's YAML file"
        )
    return table
