"""The steps of ``benchsep validity``: read studies, add metrics, judge, print."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep.cli.options import split_words
from benchsep.cli.output import message, print_table
from benchsep.errors import UsageError
from benchsep.listeners import agreement, combine, mushra, verdicts
from benchsep.listeners.ratings import attach_metrics
from benchsep.listeners.study import Study, StudyFile, one_value_each, read_study
from benchsep.metrics.combined import SIGN, parts_of, singles
from benchsep.metrics.names import column_named, columns_named, metrics_named
from benchsep.stats.keys import last_of_each

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reading:
    """Options for reading the files."""

    data: Path | None = None
    key: Path | None = None
    screen: bool = True
    columns: dict[str, str] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Options for what is judged."""

    run: Path | None = None
    score: bool = False
    metrics: str | None = None
    question: str | None = None
    directions: dict[str, int] = field(default_factory=dict)
    seed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The requested metrics and combinations of metrics."""
        return split_words(self.metrics) if self.metrics else ()

    @property
    def single(self) -> tuple[str, ...]:
        """All single metrics, including those of combinations."""
        return singles(self.names)


@dataclass(frozen=True)
class Judged:
    """One question of one study: its clips, and the verdict if there are metrics."""

    study: str
    question: str
    clips: pd.DataFrame
    verdict: verdicts.Verdict | None
    title: str
    """The study, the question and their counts."""


def read(source: str, how: Reading, wanted: Wanted) -> Study:
    """A study from any of the files that ``benchsep validity`` takes.

    Raises
    ------
    UsageError
        see :func:`benchsep.listeners.study.read_study`.
    """
    path = Path(source)
    if path.suffix == ".csv" and path.is_file() and mushra.is_listening_test(path):
        table = mushra.read_ratings(path, how.key)
        table = screened(table, path) if how.screen else table
        return Study(StudyFile(name=path.stem), path.parent, table.assign(question="quality"))
    if how.key is not None:
        raise UsageError(f"{source} is not the result of a MUSHRA test; leave out --key")
    families = dict(how.families)
    if wanted.run is not None:
        cells = _cells(wanted.run, ",".join(wanted.single) or None)
        families |= last_of_each(cells, "system", "family")
    return read_study(source, data=how.data, columns=how.columns, families=families)


def judge(studies: Sequence[Study], wanted: Wanted, save: Path | None = None) -> list[Judged]:
    """Every question of every study.

    Raises
    ------
    UsageError
        an unknown question; also errors of reading, scoring and judging.
    """
    found = [judged for study in studies for judged in _questions(study, wanted)]
    if not found:
        asked = ", ".join(q for study in studies for q in study.questions)
        raise UsageError(
            f"the studies have no question {wanted.question!r}; their questions are: {asked}"
        )
    if save is not None:
        _save(found, save)
    return found


def _questions(study: Study, wanted: Wanted) -> list[Judged]:
    metrics = None
    if wanted.score:
        from benchsep.listeners.scoring import scored
        from benchsep.runner.score import DEFAULT_METRICS

        metrics = scored(study, metrics_named(wanted.single or DEFAULT_METRICS))
    chosen = [q for q in study.questions if wanted.question in (None, q)]
    return [_question(study, question, wanted, metrics) for question in chosen]


def _question(study: Study, question: str, wanted: Wanted, metrics: pd.DataFrame | None) -> Judged:
    ratings, clips = study.ratings(question), study.clips(question)
    if metrics is not None:
        from benchsep.listeners.scoring import with_metrics

        clips = with_metrics(clips, metrics)
    if wanted.run is not None:
        clips = attach_metrics(clips, _cells(wanted.run, ",".join(wanted.single) or None))
    there = [str(c) for c in clips.select_dtypes("number").columns if c != "rating"]
    combined = _combinations(wanted.names, there)
    # for metrics that are computed or come from a run, every value is judged
    asked = () if wanted.score or wanted.run is not None else _asked(wanted.names, there)
    directions = _directions(wanted.directions, there)
    if combined:
        known = agreement.known_directions(clips, directions)
        clips = combine.with_combined(clips, combined, known)
        directions |= dict.fromkeys(combined, 1)
    verdict, title = None, _title(study, question, ratings, clips)
    judged = asked or agreement.judged_columns(clips, directions)
    if metrics is None and wanted.run is None:
        one_value_each(ratings, [name for name in judged if name in ratings.columns])
    if judged:
        verdict = verdicts.verdict(
            title,
            ratings,
            clips,
            metrics=asked or None,
            directions=directions,
            seed=wanted.seed,
        )
    return Judged(study.file.name, question, clips, verdict, title)


def _combinations(names: Iterable[str], there: Sequence[str]) -> tuple[str, ...]:
    """The names that are combinations of metrics, in terms of columns."""
    groups = [parts for name in names if len(parts := parts_of(name)) > 1]
    return tuple(SIGN.join(column_named(p, there) for p in parts) for parts in groups)


def _asked(names: Iterable[str], there: Sequence[str]) -> tuple[str, ...]:
    """The columns and the combinations of columns that the names mean."""
    single = [name for name in names if len(parts_of(name)) == 1]
    return (*columns_named(single, there), *_combinations(names, there))


def _directions(given: Mapping[str, int], there: Sequence[str]) -> dict[str, int]:
    """The directions of the columns ``there``; others may belong to another study."""
    ours = {}
    for name, direction in given.items():
        with contextlib.suppress(UsageError):
            ours[column_named(name, there)] = direction
    return ours


def _title(study: Study, question: str, ratings: pd.DataFrame, clips: pd.DataFrame) -> str:
    counts = f"{clips['song'].nunique()} songs, {clips['system'].nunique()} conditions"
    listeners = ratings["rater"].nunique()
    return f"{study.file.name}, {question}: {counts}, {len(clips)} clips, {listeners} listeners"


def show(found: Sequence[Judged], format: str) -> None:
    """Print verdicts on stdout; in a terminal, the listeners' differences follow if there is only
    one verdict.
    """
    import pandas as pd

    judged = [j for j in found if j.verdict is not None]
    if format != "terminal":
        if not judged:
            raise UsageError("the ratings have no column of a metric; give --run RUN or --score")
        tables = [
            j.verdict.table.assign(study=j.study, question=j.question)
            for j in judged
            if j.verdict is not None
        ]
        print_table(pd.concat(tables, ignore_index=True), format)
        return
    for each in found:
        if each.verdict is not None:
            print(verdicts.render(each.verdict))
        else:
            print(each.title)
        if each.verdict is None or len(found) == 1:
            print_table(agreement.rating_differences(each.clips), format)
            print("difference: mean rating of a minus b, paired by song, 95 % song bootstrap\n")
    if not judged:
        message("the ratings have no column of a metric; give --run RUN or --score")


def _save(found: Sequence[Judged], path: Path) -> None:
    import pandas as pd

    from benchsep._util.atomic import write_atomically

    table = pd.concat([j.clips.assign(question=j.question) for j in found], ignore_index=True)
    write_atomically(path, str(table.to_csv(index=False, lineterminator="\n")))


@cache
def _cells(run: Path, metrics: str | None) -> pd.DataFrame:
    from benchsep.cli import stats

    return stats.load_cells(run, metrics)[0]


def screened(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Ratings of the raters who pass post-screening; the others are named on stderr."""
    passed, excluded = mushra.screen(table)
    raters = table["rater"].nunique()
    names = f"; left out: {', '.join(excluded)}" if excluded else ""
    message(f"post-screening kept {raters - len(excluded)} of {raters} raters{names}")
    if passed.empty:
        raise UsageError(
            f"{path}: post-screening left out every rater; --no-screen keeps all raters"
        )
    return passed
