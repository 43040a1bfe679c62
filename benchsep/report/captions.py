"""The sentences under and over a table: what it stands on, and what it must not be read for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.report import badges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchsep.metrics.metric import ValueTraits

EDITIONS = {
    "hq": "MUSDB18-HQ (wav)",
    "aac": "MUSDB18 (AAC stems)",
    "aac-7s": "MUSDB18, 7-second excerpts (AAC stems)",
    "folder": "a folder of stems",
    "clip": "the embedded clip",
}

LADDER_NOTE = (
    "The mixture row is what doing nothing scores, the reference row what the true stem itself "
    "scores."
)


def display(column: str, traits: Mapping[str, ValueTraits]) -> str:
    """The metric's name as printed."""
    return traits[column].display or column if column in traits else column


def caption(
    columns: Sequence[str],
    traits: Mapping[str, ValueTraits],
    manifest: Mapping[str, Any],
    *,
    edition: str,
    tracks: int,
    draws: int,
    gains: bool,
    intervals: bool,
    average: bool,
) -> list[str]:
    """Sentences, each of which stands alone."""
    lines = [f"n = {tracks} {'song' if tracks == 1 else 'songs'}; {_data(manifest, edition)}."]
    lines += [_aggregation(columns, traits, average)]
    if draws > 1:
        lines.append(f"Mean over {draws} draws of systems that sample.")
    if gains:
        lines.append("Δ: gain over the mixture, paired by song; positive is better.")
    if intervals:
        lines.append(
            "[ ]: 95 % interval, songs resampled (bootstrap). Systems that share a letter cannot "
            "be told apart (paired sign-flip test, Holm over all pairs, .05)."
        )
    lines.append(_versions(columns, manifest))
    return [line for line in lines if line]


def notes(columns: Sequence[str], traits: Mapping[str, ValueTraits]) -> list[str]:
    """How to read the marks; the same for every table, but for the metrics' badges."""
    lines = [
        "Bold: best of the ranked systems (ties at the printed precision together). n/N: the songs "
        "that all ranked systems have, where fewer than all; values are over these. "
        "†: ill-conditioned on some song, kept but not ranked.",
        LADDER_NOTE,
    ]
    lines += [
        f"{display(c, traits)} orders same-song pairs of systems as listeners do (.50 is a coin): "
        f"{badges.badge(c)} ({badges.source(c)})."
        for c in columns
        if badges.badge(c)
    ]
    return lines


def _data(manifest: Mapping[str, Any], edition: str) -> str:
    dataset = manifest.get("dataset") or {}
    if not isinstance(dataset, dict):
        dataset = {"name": str(dataset)}
    words = [f"data: {dataset.get('name') or 'unnamed'}, {EDITIONS.get(edition, edition)}"]
    split = (manifest.get("suite") or {}).get("split")
    words += [f"split {split}"] if split else []
    return "; ".join(words + [str(note) for note in dataset.get("notes", ())])


def _aggregation(columns: Sequence[str], traits: Mapping[str, ValueTraits], average: bool) -> str:
    groups: dict[str, list[str]] = {}
    for column in columns:
        if column in traits:
            how = traits[column].aggregate
            if badges.stem_of(column) == "bsseval":
                how_text = f"{how} over songs of the median over 1-s frames"
            else:
                how_text = f"{how} over songs"
            groups.setdefault(how_text, []).append(display(column, traits))
    parts = [
        how if len(groups) == 1 else f"{', '.join(names)}: {how}" for how, names in groups.items()
    ]
    text = "Aggregation: " + "; ".join(parts)
    return text + ("; average: the song's mean over stems, aggregated alike." if average else ".")


def _versions(columns: Sequence[str], manifest: Mapping[str, Any]) -> str:
    known = manifest.get("metrics") or {}
    names = list(dict.fromkeys(map(badges.stem_of, columns)))
    metrics = [
        f"{name} {known[name]['version']}"
        for name in names
        if isinstance(known, dict)
        and isinstance(known.get(name), dict)
        and known[name].get("version")
    ]
    packages = manifest.get("packages") or manifest.get("versions") or {}
    ours = packages.get("benchsep") if isinstance(packages, dict) else None
    # The commit is in the manifest: in a caption it would make equal tables differ.
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
    missing: Sequence[str] = (),
) -> list[str]:
    """What a reader must know before the numbers; empty when nothing stands in the way."""
    lines = []
    mixed = {"generative", "discriminative"} <= families
    failing = [c for c in columns if c in traits and badges.fails_across(c, traits[c])]
    if mixed and failing:
        lines.append(_failing(failing, traits))
    speech = list(dict.fromkeys(display(c, traits) for c in columns if badges.is_speech_model(c)))
    if speech:
        lines.append(
            f"{', '.join(speech)}: speech model, out of domain for music"
            + (" (scored on stems other than vocals here)." if stems - {"vocals"} else ".")
            + " It tells a mixture from vocals, not good from perfect."
        )
        if not any(is_reference(label) for label in labels):
            lines.append(
                "No row of the true vocals: without it these values cannot be read. "
                "Add the system 'reference'. Nothing is ranked."
            )
    if "visqol" in columns and not any(_interference(c) for c in columns):
        lines.append(
            "ViSQOL likes bandwidth more than isolation, and no interference measure was run: "
            "add 'usdr' or 'bsseval' to see bleed."
        )
    if not any(label.split("@")[0] == "mixture" for label in labels):
        lines.append("No mixture row: what doing nothing scores is not known. Add 'mixture'.")
    return lines + list(missing)


def _failing(columns: Sequence[str], traits: Mapping[str, ValueTraits]) -> str:
    names = ", ".join(display(c, traits) for c in columns)
    shares = {share for c in columns if (share := badges.across(c)) is not None}
    measured = (
        f" (listeners agree on {min(shares):.2f} of such pairs; .50 is a coin)" if shares else ""
    )
    return (
        f"{names} cannot compare generative with discriminative systems{measured}: waveforms are "
        "matched, and generated audio is not sample-aligned. Read within a family; so is bold."
    )


def _interference(column: str) -> bool:
    return any(column == known or badges.stem_of(column) == known for known in badges.INTERFERENCE)


def is_reference(label: str) -> bool:
    """Whether a label is the true stem scored as its own estimate."""
    return label.split("@")[0].split(":")[0] == "reference"
