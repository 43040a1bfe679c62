"""Captions, notes and warnings of tables.

Conventions
-----------
caption   one line: the facts that differ between tables, and a link to the explanation
notes     for the whole report, each once below all tables: data, agreement, versions, marks
warnings  above the table: facts that a reader must know before reading the numbers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep.listeners import badges
from benchsep.listeners.scopes import QUESTIONS
from benchsep.metrics.catalog import NO_REFERENCE
from benchsep.report.tables.columns import companion, display, is_speech_model, metric_of
from benchsep.report.tables.model import is_reference
from benchsep.runner.manifest import lacking_stems
from benchsep.runner.notes.seen import TEST_SEEN, TRAIN_SEEN
from benchsep.systems.reference import WRONG_SONG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchsep.metrics.metric import ValueTraits
    from benchsep.report.tables.edition import Edition
    from benchsep.runner.notes.seen import Seen

EDITIONS = {
    "hq": "MUSDB18-HQ (wav)",
    "aac": "MUSDB18 (AAC stems)",
    "aac-7s": "MUSDB18, 7-second excerpts (AAC stems)",
    "folder": "a folder of stems",
    "clip": "the embedded clip",
    "moisesdb": "MoisesDB (wav)",
    "mixtures": "songs without true stems",
}

LADDER_NOTE = (
    "The mixture row is the score of the unprocessed mixture, the reference row that of the true "
    "stem."
)

HOW_TO_READ = "docs/report.md#how-to-read-a-table"

COST_NOTE = (
    "RTF: seconds of computing a second of audio (wall clock), median over separations. Memory: "
    "what a separation adds to the memory of its process at the peak, without weights and "
    "libraries; the largest of all separations."
)


FEW = 3
"""With at most this many columns, a caption names the aggregation of each."""


@dataclass(frozen=True)
class Content:
    """Additional contents of a table.

    Intervals may be requested but missing: five songs are too few for them.
    """

    gains: bool
    intervals: bool


def caption(
    columns: Sequence[str], edition: Edition, content: Content, own: Sequence[str] = ()
) -> str:
    """The line below a table: songs, data, aggregation, marks, and a link to their explanation.

    ``own`` are clauses for this table only.
    """
    clauses = [
        basis(edition.manifest, edition.name, len(edition.tracks)),
        _aggregation(columns, edition.traits),
    ]
    if edition.draws > 1:
        clauses.append(f"mean over {edition.draws} draws")
    if content.gains:
        clauses.append("Δ: gain over the mixture")
    if content.intervals:
        clauses.append(f"[ ]: 95 % {_intervals(columns, edition.traits)}")
    return line([*clauses, *own])


def line(clauses: Sequence[str], link: str = HOW_TO_READ) -> str:
    """The clauses as one sentence, with the page that explains them."""
    return f"{'; '.join(filter(None, clauses))}. How to read: {link}."


def _intervals(columns: Sequence[str], traits: Mapping[str, ValueTraits]) -> str:
    statistics = {traits[c].aggregate for c in columns if c in traits}
    names = {"mean": "BCa", "median": "percentile"}
    kinds = [
        text if len(statistics) == 1 else f"{text} of a {key}"
        for key, text in names.items()
        if key in statistics
    ]
    return f"{' or '.join(kinds)} bootstrap"


def notes() -> list[str]:
    """The explanation of the marks; the same for every table."""
    return [
        "Bold: best of the ranked systems (ties at the printed precision together). n/N: the songs "
        "that all ranked systems have, where fewer than all; values are over these. "
        "†: ill-conditioned on some song, kept but not ranked. Average: the song's mean over "
        "stems, aggregated as any column. Δ: paired by song; positive is better. [ ]: 95 % "
        "bootstrap interval over songs, tails widened for few songs. Systems that share a letter "
        "are not shown to differ (exact paired sign-flip test; Holm over the pairs of the column; "
        ".05).",
        LADDER_NOTE,
        COST_NOTE,
        "Listeners: the share of pairs of systems on the same song that a metric puts in the "
        "order in which listeners put them; .50 is chance. [ ]: 95 % song bootstrap. A metric "
        "that compares waveforms and has no listening data is not considered valid across "
        "families.",
    ]


def facts(edition: Edition) -> list[str]:
    """The notes of a report: data, agreement of the metrics with listeners, versions."""
    columns = edition.metrics
    lines = [
        _data(edition.manifest, edition.name),
        agreement(columns, edition.traits),
        versions(columns, edition.manifest),
    ]
    return [line for line in lines if line]


def absent(manifest: Mapping[str, Any], systems: Sequence[str]) -> list[str]:
    """Notes on systems that could not run, with reason and remedy."""
    described = manifest.get("systems", {})
    reasons = {s: described.get(s, {}).get("info", {}).get("unavailable", "") for s in systems}
    return [f"{system}: {reason}." for system, reason in reasons.items() if reason]


def not_applicable(manifest: Mapping[str, Any]) -> list[str]:
    """A note on metrics without values, because the songs have no true stems."""
    metrics = manifest.get("metrics") or {}
    names = [n for n, entry in metrics.items() if entry.get("unavailable") == NO_REFERENCE]
    return [f"{NO_REFERENCE.capitalize()}: {', '.join(names)}."] if names else []


def lacking(manifest: Mapping[str, Any], systems: Sequence[str]) -> list[str]:
    """Notes on stems that a system does not provide and that cannot be derived from its stems."""
    found = {label: stems for label, stems in lacking_stems(manifest).items() if label in systems}
    return [f"{label} has no {', '.join(stems)}." for label, stems in found.items()]


def remarks(manifest: Mapping[str, Any], systems: Sequence[str]) -> list[str]:
    """The systems' own remarks; equal texts are grouped."""
    described, labels = manifest.get("systems", {}), dict[str, list[str]]()
    for system in systems:
        if text := described.get(system, {}).get("info", {}).get("remark", ""):
            labels.setdefault(text, []).append(system)
    return [f"{', '.join(names)}: {text}." for text, names in labels.items()]


def imported(entries: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Notes on the sources of imported rows, grouped by source."""
    labels: dict[tuple[str, str, str], list[str]] = {}
    for label, entry in entries.items():
        source = entry["source"], entry["version"], entry["remark"]
        labels.setdefault(source, []).append(label)
    return [
        f"Imported, not computed here (absent: not in the file; no audio): {', '.join(names)}, "
        f"from {source} ({version}){f'; {remark}' if remark else ''}."
        for (source, version, remark), names in labels.items()
    ]


def wrong_song(systems: Sequence[str]) -> list[str]:
    """A note that explains the row of another song, if there is one."""
    text = (
        f"The {WRONG_SONG} row is the score of the true stem of the data set's next song at the "
        "level of the right one: the value that a metric gives for any stem of this kind."
    )
    return [text] if WRONG_SONG in systems else []


def contamination(seen: Seen, songs: int) -> list[str]:
    """Notes on systems that were trained on songs of the table, and on unknown training data."""
    lines = []
    if seen.songs:
        who = "; ".join(
            f"{label} {seen.mark(label)}: {len(found)} of {songs} songs "
            f"({', '.join(sorted({f'{seen.dataset}:{split}' for split in found.values()}))})"
            for label, found in seen.songs.items()
        )
        lines.append(
            f"{TEST_SEEN}: trained on test songs of this table; {TRAIN_SEEN}: on training songs of "
            f"it. Such systems are never bold: {who}. --exclude-seen leaves these cells out."
        )
    if seen.unknown and seen.dataset:
        lines.append(
            f"Training data unknown: {', '.join(seen.unknown)}. It is not known whether they "
            "were trained on songs of this table."
        )
    return lines


def agreement(columns: Sequence[str], traits: Mapping[str, ValueTraits]) -> str:
    """A line with the badges of the columns' metrics, and the metrics without one.

    Quality for every metric; interference for metrics that agree with listeners on it.
    """
    judged = [c for c in columns if badges.badges_of(c)]
    if not judged:
        return "No listening data exist for the metrics of this table." if columns else ""
    parts = []
    for question in QUESTIONS:
        found = {c: b for c in judged for b in badges.badges_of(c)[::-1] if b.question == question}
        shares = [
            f"{display(c, traits)} {b.main.short}{'' if b.scope == 'across' else '*'}"
            for c, b in found.items()
            if question == QUESTIONS[0] or b.verdict == "holds"
        ]
        parts += [f"{question}: {', '.join(shares)}"] if shares else []
    doubts = [display(c, traits) for c in judged if badges.disagreement(c)]
    notes = [f" Studies disagree on {', '.join(doubts)}."] if doubts else []
    others = dict.fromkeys(display(c, traits) for c in columns if c not in judged)
    notes += [f" No listening data: {', '.join(others)}."] if others else []
    return (
        "Listeners agree (share of pairs across families, *: within discriminative), "
        f"{'; '.join(parts)}.{''.join(notes)} Intervals and studies: docs/listeners.md."
    )


def basis(manifest: Mapping[str, Any], edition: str, tracks: int) -> str:
    """Number of songs, edition of the data, split."""
    split = (manifest.get("suite") or {}).get("split")
    count = f"n = {tracks} {'song' if tracks == 1 else 'songs'}"
    return f"{count}; {EDITIONS.get(edition, edition)}" + (f", split {split}" if split else "")


def _data(manifest: Mapping[str, Any], edition: str) -> str:
    dataset = manifest.get("dataset") or {}
    if not isinstance(dataset, dict):
        dataset = {"name": str(dataset)}
    words = [f"{dataset.get('name') or 'unnamed'}, {EDITIONS.get(edition, edition)}"]
    return f"Data: {'; '.join(words + [str(note) for note in dataset.get('notes', ())])}."


def _aggregation(columns: Sequence[str], traits: Mapping[str, ValueTraits]) -> str:
    groups: dict[str, list[str]] = {}
    for column in columns:
        if column in traits:
            how = traits[column].aggregate
            seconds = traits[column].window_s
            text = f"{how} over songs"
            if seconds is not None:
                # The usual median of medians, or the requested statistic.
                text += f" of the {how} over {seconds:g}-s frames"
            groups.setdefault(text, []).append(display(column, traits))
    if len(groups) == 1:
        return next(iter(groups))
    if sum(map(len, groups.values())) > FEW:
        return "aggregated as in each metric's own table"
    return "; ".join(f"{', '.join(names)}: {how}" for how, names in groups.items())


def versions(columns: Sequence[str], manifest: Mapping[str, Any]) -> str:
    """Benchsep's version and those of the columns' metrics."""
    entries = manifest.get("metrics") or {}
    names = list(dict.fromkeys(map(metric_of, columns)))
    metrics = [
        f"{name} {entries[name]['version']}"
        for name in names
        if isinstance(entries, dict)
        and isinstance(entries.get(name), dict)
        and entries[name].get("version")
    ]
    packages = manifest.get("packages") or manifest.get("versions") or {}
    ours = packages.get("benchsep") if isinstance(packages, dict) else None
    # The commit is only in the manifest, because in a caption it would make equal tables differ.
    text = f"benchsep {ours}" if ours else ""
    parts = [p for p in (text, f"metric versions: {', '.join(metrics)}" if metrics else "") if p]
    return f"Versions: {'; '.join(parts)}." if parts else ""


def warnings(
    columns: Sequence[str],
    traits: Mapping[str, ValueTraits],
    *,
    families: frozenset[str],
    labels: frozenset[str],
    stems: frozenset[str],
    have_references: bool = True,
) -> list[str]:
    """The warnings above a table.

    Parameters
    ----------
    columns, traits
        Metric columns of the table, and the run's traits.
    families, labels
        Families and labels of the systems in the table.
    stems
        Stems on which the table's speech models were scored.
    have_references
        Whether the songs have true stems.
    """
    across = badges.warning(columns, traits, families)
    lines = [f"{across} Bold is given within each family there."] if across else []
    speech = list(dict.fromkeys(display(c, traits) for c in columns if is_speech_model(c, traits)))
    if speech:
        lines.append(
            f"{', '.join(speech)}: speech model, out of domain for music"
            + (" (scored on stems other than vocals here)." if stems - {"vocals"} else ".")
            + " It distinguishes a mixture from vocals, but not a good estimate from a perfect one."
        )
        if not any(is_reference(label) for label in labels):
            help_ = "Add the system 'reference'." if have_references else "The songs have none."
            lines.append(
                "No row of the true vocals: without it these values cannot be interpreted. "
                f"{help_} Nothing is ranked."
            )
    lines += [
        needed.warning
        for c in columns
        if c in traits and (needed := traits[c].companion)
        if companion(c, columns, traits) is None
    ]
    if not any(label.split("@")[0] == "mixture" for label in labels):
        lines.append(
            "No mixture row: the score of the unprocessed mixture is not known. Add the system "
            "mixture."
        )
    return lines
