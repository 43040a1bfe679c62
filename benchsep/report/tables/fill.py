"""Fills a table from its specification: cells, marks, caption and warnings.

Conventions
-----------
best       per column, among the ranked systems that are compared; values that are equal at the
           printed precision are all best. Never an ill-conditioned value or a system that was
           trained on songs of the table. No system is best if fewer than two ranked systems have a
           value, or if the best value exceeds that of the true stem, because this is an artefact of
           the metric
compared   all ranked systems; or each family separately, if the metric is misleading across
           families or has no listening data there
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchsep.listeners import badges
from benchsep.report.tables import captions
from benchsep.report.tables.columns import display, is_speech_model
from benchsep.report.tables.edition import Edition
from benchsep.report.tables.model import Cell, Column, Row, Table, group_of, is_reference
from benchsep.runner.notes.same_songs import same_songs
from benchsep.runner.notes.same_systems import same_systems
from benchsep.runner.notes.sessions import timed_apart
from benchsep.runner.notes.unfinished import unfinished
from benchsep.stats import Summary
from benchsep.stats.aggregate import NO_SHARED_SONG
from benchsep.stats.songs import WITHOUT_BASS

RTF = Column("rtf", "", "RTF", "", 3, -1, "cost")
MEMORY = Column("peak_memory_mb", "", "Memory", "MB", 0, -1, "cost")

ABSENT = "absent"
"""Note of cells without a value of an imported system."""

Summaries = Mapping[str, Summary]
"""System label to summary, for one column."""


@dataclass(frozen=True)
class TableSpec:
    """The specification of a table of scores."""

    title: str
    columns: Sequence[Column]
    metrics: Sequence[str]
    """The metric columns that the caption describes."""
    costs: tuple[Column, ...] = ()
    """Some of :data:`RTF` and :data:`MEMORY`."""
    with_gains: bool = True
    """Whether gains are shown, if the edition has them."""
    sentences: Sequence[str] = ()
    """Clauses of the caption."""
    notes: Sequence[str] = ()
    """Notes below all tables."""
    warnings: Sequence[str] = ()


def fill(edition: Edition, spec: TableSpec) -> Table:
    """The table of an edition, not yet numbered."""
    filled = _score_columns(edition, spec)
    if edition.costs:
        filled += [(column, _cost_cells(edition, column)) for column in spec.costs]
    columns = tuple(column for column, _ in filled)
    rows = tuple(
        Row(
            label,
            edition.families[label],
            group_of(edition.families[label]),
            tuple(cells[label] for _, cells in filled),
            mark=edition.seen.mark(label),
            source=edition.imported.get(label, {}).get("source", ""),
        )
        for label in edition.systems
    )
    content = _content(edition, spec, columns, rows)
    return Table(
        id="",
        title=spec.title,
        columns=columns,
        rows=rows,
        caption=(captions.caption(spec.metrics, edition, content, spec.sentences),),
        notes=(
            *captions.facts(edition),
            *spec.notes,
            *captions.notes(),
            *captions.absent(edition.manifest, edition.systems),
            *captions.lacking(edition.manifest, edition.systems),
            *captions.not_applicable(edition.manifest),
            *captions.remarks(edition.manifest, edition.systems),
            *same_songs(edition.manifest),
            *same_systems(edition.manifest, edition.systems),
            *captions.imported(edition.imported),
            *captions.wrong_song(edition.systems),
            *captions.contamination(edition.seen, len(edition.tracks)),
        ),
        warnings=tuple(_warnings(edition, spec, columns)),
        edition=edition.name,
    )


def _content(
    edition: Edition, spec: TableSpec, columns: Sequence[Column], rows: Sequence[Row]
) -> captions.Content:
    return captions.Content(
        gains=spec.with_gains and bool(edition.gains),
        intervals=any(
            column.spread and cell.low is not None
            for row in rows
            for column, cell in zip(columns, row.cells, strict=True)
        ),
    )


# -- cells --------------------------------------------------------------------------------------


def _score_columns(edition: Edition, spec: TableSpec) -> list[tuple[Column, dict[str, Cell]]]:
    """Each column with its cells by label, followed by the column of its gains."""
    rankable = _is_rankable(edition, spec.metrics)
    filled = []
    for column in spec.columns:
        pairs = [(column, of_column(edition, column))]
        if spec.with_gains and edition.gains and column.direction and column.stem != WITHOUT_BASS:
            gain = replace(column, head=f"Δ {column.head}", kind="gain", direction=1)
            pairs.append((gain, of_column(edition, gain)))
        for shown, summaries in pairs:
            best = _best(edition, shown, summaries) if rankable else frozenset[str]()
            filled.append((shown, _cells(summaries, best)))
    return filled


def _is_rankable(edition: Edition, metrics: Sequence[str]) -> bool:
    """Whether the column can be ranked: values of speech models need the row of the true stems."""
    if not all(is_speech_model(m, edition.traits) for m in metrics):
        return True
    return any(map(is_reference, edition.families))


def of_column(edition: Edition, column: Column) -> Summaries:
    """The summaries of a column by label; a system without cells has an empty one."""
    summaries = (
        edition.gains
        if column.kind == "gain"
        else edition.without_bass
        if column.stem == WITHOUT_BASS
        else edition.scores
    )
    stem, metric, total = column.stem, column.metric, len(edition.tracks)
    found = {
        label: summaries.get((label, stem, metric))
        or Summary(label, family, stem, metric, None, frozenset(), 0, total)
        for label, family in edition.families.items()
    }
    if column.kind == "score":
        for label in edition.imported.keys() & found.keys():
            if found[label].value is None and not found[label].note:
                found[label] = replace(found[label], note=ABSENT)
    return found


def _cells(summaries: Summaries, best: frozenset[str]) -> dict[str, Cell]:
    return {
        label: Cell(
            id="",
            value=s.value,
            n=s.n,
            total=s.total,
            note=s.note,
            best=label in best,
            ill_conditioned=s.ill_conditioned,
            low=s.low,
            high=s.high,
            letters=s.letters,
        )
        for label, s in summaries.items()
    }


def _best(edition: Edition, column: Column, summaries: Summaries) -> frozenset[str]:
    """Labels of the best systems of a column."""
    best: frozenset[str] = frozenset()
    true = next((s.value for label, s in summaries.items() if is_reference(label)), None)
    bound = None if true is None else round(true, column.digits)
    for group in compared(edition, column, summaries):
        best |= _best_of_group(group, column, bound)
    return best


def compared(edition: Edition, column: Column, summaries: Summaries) -> list[dict[str, Summary]]:
    """The ranked systems in groups; by family if the metric may be misleading across families.

    Systems that were trained on songs of the table are left out.
    """
    seen = edition.seen.songs
    ranked = {label: s for label, s in summaries.items() if s.ranked and label not in seen}
    judged = badges.badge(column.metric) is not None
    if judged and not badges.fails_across(column.metric, edition.traits[column.metric]):
        return [ranked]
    groups: dict[str, dict[str, Summary]] = {}
    for label, summary in ranked.items():
        groups.setdefault(group_of(edition.families[label]), {})[label] = summary
    return list(groups.values())


def _best_of_group(ranked: Summaries, column: Column, bound: float | None) -> frozenset[str]:
    """Labels of the best systems at the printed precision; empty if a ranking would be misleading.

    ``bound``: the true stem's value, the limit for valid estimates.
    """
    if len(ranked) < 2 or not column.direction or len({s.songs for s in ranked.values()}) > 1:
        return frozenset()
    printed = {k: round(s.value, column.digits) for k, s in ranked.items() if s.value is not None}
    top = max(printed.values(), key=lambda v: v * column.direction)
    if bound is not None and top * column.direction > bound * column.direction:
        return frozenset()
    return frozenset(k for k, v in printed.items() if v == top)


def _cost_cells(edition: Edition, column: Column) -> dict[str, Cell]:
    """Costs by label; reference systems have none, because they only copy or mask arrays."""
    index = 0 if column.metric == RTF.metric else 1
    cells = {}
    for label, family in edition.families.items():
        measured = edition.costs.get(label)
        separates = group_of(family) != "yardstick"
        value = measured[index] if measured is not None and separates else None
        note = ABSENT if label in edition.imported else ""
        cells[label] = Cell(id="", value=value, n=0, total=0, note=note)
    return cells


# -- warnings -----------------------------------------------------------------------------------


def _warnings(edition: Edition, spec: TableSpec, columns: Sequence[Column]) -> list[str]:
    speech = [m for m in spec.metrics if is_speech_model(m, edition.traits)]
    general = captions.warnings(
        spec.metrics,
        edition.traits,
        families=frozenset(edition.families.values()),
        labels=frozenset(edition.families),
        stems=frozenset(stem for metric in speech for stem in edition.stems(metric)),
        have_references=edition.name != "mixtures",
    )
    return [
        *unfinished(edition.manifest),
        *general,
        *spec.warnings,
        *edition.late.values(),
        *(sentence for said in edition.mistakes.values() for sentence in said),
        *edition.fewer,
        *_version_warnings(edition, columns),
        *_session_warnings(edition, columns),
        *_no_shared_song_warnings(edition, columns),
        *_conflict_warnings(edition, columns),
    ]


def _version_warnings(edition: Edition, columns: Sequence[Column]) -> list[str]:
    metrics = dict.fromkeys(column.metric for column in columns if column.kind == "score")
    return [
        f"{display(metric, edition.traits)}: {edition.versions[metric]}"
        for metric in metrics
        if metric in edition.versions
    ]


def _session_warnings(edition: Edition, columns: Sequence[Column]) -> list[str]:
    """A warning that lists which systems were timed together, if not all were."""
    if all(column.metric != RTF.metric for column in columns):
        return []
    ranked = [s for s in edition.systems if group_of(edition.families[s]) != "yardstick"]
    return timed_apart(edition.sessions, ranked)


def _no_shared_song_warnings(edition: Edition, columns: Sequence[Column]) -> list[str]:
    """A warning that lists the songs of the ranked systems, if they have no common song."""
    heads: dict[str, list[str]] = {}
    for column in columns:
        own = {
            label: sorted(summary.songs)
            for label in edition.systems
            if group_of(edition.families[label]) != "yardstick"
            and (summary := edition.scores.get((label, column.stem, column.metric)))
            and summary.note == NO_SHARED_SONG
        }
        if column.kind == "score" and own:
            words = "; ".join(f"{label} on {_some(songs)}" for label, songs in own.items())
            heads.setdefault(words, []).append(column.head)
    return [
        f"The ranked systems share no song ({', '.join(names)}), and values on different songs "
        f"cannot be compared, so none is shown: {words}. Run the systems on the same songs, or "
        "leave one out."
        for words, names in heads.items()
    ]


def _some(songs: Sequence[str], most: int = 3) -> str:
    more = f" and {len(songs) - most} more" if len(songs) > most else ""
    count = f"{len(songs)} {'song' if len(songs) == 1 else 'songs'}"
    return f"{count} ({', '.join(songs[:most])}{more})"


def _conflict_warnings(edition: Edition, columns: Sequence[Column]) -> list[str]:
    """A warning on pairs whose order in the table contradicts the median of their paired
    differences.
    """
    pairs = [
        f"{label} over {other} ({column.head})"
        for column in columns
        if column.kind == "score"
        for label in edition.systems
        if (summary := edition.scores.get((label, column.stem, column.metric)))
        for other in summary.conflicts
    ]
    if not pairs:
        return []
    shown = "; ".join(pairs[:6]) + (f"; and {len(pairs) - 6} more" if len(pairs) > 6 else "")
    return [
        f"The order contradicts the median of the paired differences for: {shown}. "
        "Read these pairs as undecided."
    ]
