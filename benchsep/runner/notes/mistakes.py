"""Whether estimates look like a mistake in files rather than in the separation.

Silent estimates, stems in another order, an inverted sign, swapped channels and clipped samples
cost every metric, or those that match waveforms, and are no fault of a separator. So they are
looked for in every separation, stored with the draw, and reported; values are not changed.

Conventions
-----------
silent             the estimate is (:func:`benchsep.metrics.guard.is_silent`), and its reference is
                   not: uSDR gives it 0 dB by definition, more than a bad separation
inverted           the negative estimate matches its reference
channels swapped   the middle of both channels matches, and the side is inverted
as another stem    the estimates match the references of other stems, and these stems' estimates
                   others again (a permutation: two stems exchanged, four in another order), each
                   better by :data:`MARGIN_DB` than its own reference. One estimate that resembles
                   another stem alone is a bad separation
clipped            more than :data:`CLIPPED` of the samples are in a run of three at full scale, ten
                   times the share of the reference, and none is beyond full scale
match              SI-SDR of at least :data:`FLOOR_DB` over the loudest 20 s of the reference, mono.
                   Estimates that match no waveform (generative ones) are never reported, but for
                   clipping
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from benchsep._util.words import amount
from benchsep.metrics.guard import is_silent
from benchsep.runner.notes.lag import mono, product_and_si_sdr

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from benchsep.audio import Audio

    Samples = NDArray[np.float32]

FLOOR_DB = 3.0
MARGIN_DB = 3.0
SIDE = 1e-3
"""Energy of the side over that of the middle, below which channels cannot be told apart."""
CLIPPED = 1e-3
FULL_SCALE = 0.999
SILENT, INVERTED, CHANNELS = "silent", "inverted", "channels swapped"
CLIPS, OTHER_STEM = "clipped", "is "


def mistakes_of(
    references: Mapping[str, Audio], estimates: Mapping[str, Audio], parts: Mapping[str, slice]
) -> dict[str, str]:
    """Stem to what looks wrong with its estimate; stems that look right are left out.

    The texts are :data:`SILENT`, :data:`INVERTED`, :data:`CHANNELS`, :data:`CLIPS`, or
    :data:`OTHER_STEM` and the stem whose reference the estimate matches.

    Parameters
    ----------
    references, estimates
        Of one rate and length.
    parts
        Stem to where its reference is loudest (:func:`benchsep.runner.notes.lag.loudest_parts`);
        stems whose reference is silent are not among them.
    """
    given = [s for s in parts if s in estimates]
    silent = {s: SILENT for s in given if is_silent(estimates[s])}
    stems = [s for s in given if s not in silent]
    matches = {s: _matches(references[s], estimates, stems, parts[s]) for s in stems}
    found = silent | {stem: OTHER_STEM + other for stem, other in _permuted(matches).items()}
    for stem in stems:
        if stem in found:
            continue
        own = matches[stem][stem]
        reference, estimate = references[stem].samples, estimates[stem].samples
        if own <= -FLOOR_DB:
            found[stem] = INVERTED
        elif own >= FLOOR_DB and _side_inverted(reference, estimate, parts[stem]):
            found[stem] = CHANNELS
        elif is_clipped(reference, estimate):
            found[stem] = CLIPS
    return found


def _matches(
    reference: Audio, estimates: Mapping[str, Audio], stems: list[str], part: slice
) -> dict[str, float]:
    """How well the estimate of each of the stems matches one reference, as :func:`match` says."""
    middle = mono(reference, part)[0]
    return {stem: match(middle, mono(estimates[stem], part)[0]) for stem in stems}


def match(reference: Samples, estimate: Samples) -> float:
    """SI-SDR in dB if above 0; its negative if that of the negative estimate is; else 0.

    ``reference``, ``estimate``: ``[frames]``.
    """
    product, decibels = product_and_si_sdr(reference, estimate)
    return math.copysign(max(decibels, 0.0), product)


def _permuted(matches: dict[str, dict[str, float]]) -> dict[str, str]:
    """Stem to the other stem that its estimate is, where such stems only changed places.

    ``matches``: of a reference's stem, the match of each estimate.
    """
    found = {}
    for stem in matches:
        by_reference = {other: matches[other][stem] for other in matches}
        best = max(by_reference, key=lambda other: by_reference[other])
        clear = by_reference[best] >= max(FLOOR_DB, by_reference[stem] + MARGIN_DB)
        if best != stem and clear:
            found[stem] = best
    # A stem whose place no other estimate takes, or two take, is a bad separation.
    return found if set(found) == set(found.values()) else {}


def _side_inverted(reference: Samples, estimate: Samples, part: slice) -> bool:
    """Whether left minus right has the other sign; ``[channels, frames]``, the middles match."""
    if reference.shape[0] != 2 or estimate.shape[0] != 2:
        return False
    pair = reference[:, part], estimate[:, part]
    sides = [signal[0] - signal[1] for signal in pair]
    audible = all(
        float(np.vdot(side, side)) > SIDE * float(np.vdot(signal, signal))
        for side, signal in zip(sides, pair, strict=True)
    )
    return audible and match(*sides) <= -FLOOR_DB


def is_clipped(reference: Samples, estimate: Samples) -> bool:
    """Whether an estimate alone was cut at full scale; both ``[channels, frames]``."""
    share = _at_full_scale(estimate)
    return share > CLIPPED and share > 10 * _at_full_scale(reference)


def _at_full_scale(signal: Samples) -> float:
    """Share of samples in the middle of three at full scale; 0 where some are beyond it."""
    highest, lowest = float(signal.max()), float(signal.min())
    if max(highest, -lowest) > 1 or max(highest, -lowest) < FULL_SCALE:
        return 0.0
    runs = 0
    for at_limit in (signal >= FULL_SCALE, signal <= -FULL_SCALE):
        runs += int((at_limit[:, :-2] & at_limit[:, 1:-1] & at_limit[:, 2:]).sum())
    return runs / signal.size


def mistaken_systems(costs: pd.DataFrame) -> dict[str, list[str]]:
    """System label to a sentence for each kind of mistake; from ``load_costs``."""
    sentences: dict[str, list[str]] = {}
    if "mistakes" not in costs:
        return sentences
    for label, part in costs.groupby("system", sort=True):
        found = [
            (stem, text, track)
            for track, mistakes in zip(part["track"], part["mistakes"], strict=True)
            for stem, text in mistakes.items()
        ]
        of = amount(part["track"].nunique(), "song")
        for said, advice, songs in _by_kind(found):
            sentence = f"{label}: {said} on {len(songs)} of {of}: {advice}"
            sentences.setdefault(str(label), []).append(sentence)
    return sentences


def in_words(mistakes: Mapping[str, str]) -> list[str]:
    """A sentence for each kind of mistake of one separation (:func:`mistakes_of`)."""
    found = [(stem, text, "") for stem, text in mistakes.items()]
    return [f"{said}: {advice}" for said, advice, _ in _by_kind(found)]


Found = list[tuple[str, str, str]]
"""Stem, mistake and song."""


def _by_kind(found: Found) -> Iterator[tuple[str, str, set[str]]]:
    """What is said of each kind of mistake that was found, what to do, and the songs with it."""
    for kind, said, advice in _SAID:
        if of_kind := [each for each in found if each[1].startswith(kind)]:
            yield said.format(_named(of_kind)), advice, {song for _, _, song in of_kind}


_SAID = (
    (
        OTHER_STEM,
        "the estimates match other stems ({})",
        "were files named, or stems listed, in another order? Correct the names",
    ),
    (
        SILENT,
        "the estimates are silent, the true stems are not ({})",
        "uSDR gives silence 0 dB, more than a bad separation. Are these the right files?",
    ),
    (
        INVERTED,
        "the estimates have an inverted sign ({})",
        "waveform-matching values are too low. Correct the sign",
    ),
    (
        CHANNELS,
        "left and right are exchanged ({})",
        "values of stereo signals are too low. Exchange the channels",
    ),
    (
        CLIPS,
        "the estimates are clipped ({})",
        "were they saved as integers with a peak above full scale? Save them as float",
    ),
)
"""Kind of mistake, what is said of it, and what to do."""


def _named(found: Found) -> str:
    """The stems; of estimates that are another stem, its most frequent name, too."""
    names = {}
    for stem in sorted({stem for stem, _, _ in found}):
        texts = Counter(text for name, text, _ in found if name == stem)
        text = min(texts, key=lambda each: (-texts[each], each))
        names[stem] = f"{stem} {text}" if text.startswith(OTHER_STEM) else stem
    return ", ".join(names.values())
