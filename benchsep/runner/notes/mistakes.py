"""Detects mistakes in the files of estimates, which are not errors of the separation.

Silent estimates, permuted stems, an inverted sign, swapped channels and clipped samples lower all
metrics or the waveform-matching ones. So they are searched for in every separation, stored with the
draw, and reported; values are not changed.

Conventions
-----------
silent             the estimate is silent (:func:`benchsep.metrics.guard.is_silent`) and its
                   reference is not. Its uSDR is 0 dB by definition, higher than for a bad
                   separation
inverted           the negative estimate matches its reference
channels swapped   the mid signal (sum of both channels) matches, and the side signal (difference)
                   is inverted
as another stem    a permutation of stems: each estimate matches the reference of another stem
                   better than its own, by :data:`MARGIN_DB` (two stems exchanged, four in another
                   order). A single estimate that resembles another stem is only a bad separation
clipped            the share of samples in a run of three at full scale is above :data:`CLIPPED` and
                   ten times that of the reference, and no sample is beyond full scale
match              SI-SDR of at least :data:`FLOOR_DB` over the loudest 20 s of the reference, mono.
                   Estimates that do not match the waveform (generative ones) are never reported,
                   except for clipping
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
"""Least energy of side relative to mid; below it, the channels cannot be distinguished."""
CLIPPED = 1e-3
FULL_SCALE = 0.999
SILENT, INVERTED, CHANNELS = "silent", "inverted", "channels swapped"
CLIPS, OTHER_STEM = "clipped", "is "
NAMED = "from "
"""A file of a program whose name says more than the stem: :func:`named`."""


def mistakes_of(
    references: Mapping[str, Audio], estimates: Mapping[str, Audio], parts: Mapping[str, slice]
) -> dict[str, str]:
    """Stem to the suspected mistake; stems without one are left out.

    The texts are :data:`SILENT`, :data:`INVERTED`, :data:`CHANNELS`, :data:`CLIPS`, or
    :data:`OTHER_STEM` and the stem whose reference the estimate matches.

    Parameters
    ----------
    references, estimates
        Signals of one rate and length.
    parts
        Stem to the loudest excerpt of its reference
        (:func:`benchsep.runner.notes.lag.loudest_parts`), without stems with a silent reference.
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


def named(names: Mapping[str, str], estimates: Iterable[str]) -> dict[str, str]:
    """Stem to :data:`NAMED` and the name of its file, for the stems among ``estimates``.

    ``names``: of :func:`benchsep.systems.named.names_noted`.
    """
    return {stem: NAMED + names[stem] for stem in estimates if stem in names}


def _matches(
    reference: Audio, estimates: Mapping[str, Audio], stems: list[str], part: slice
) -> dict[str, float]:
    """:func:`match` of the estimate of each stem with one reference."""
    middle = mono(reference, part)[0]
    return {stem: match(middle, mono(estimates[stem], part)[0]) for stem in stems}


def match(reference: Samples, estimate: Samples) -> float:
    """SI-SDR in dB if positive; if the SI-SDR of the negative estimate is positive, minus this
    value; else 0.

    ``reference``, ``estimate``: ``[frames]``.
    """
    product, decibels = product_and_si_sdr(reference, estimate)
    return math.copysign(max(decibels, 0.0), product)


def _permuted(matches: dict[str, dict[str, float]]) -> dict[str, str]:
    """Stem to the stem that its estimate matches, for stems that are permuted.

    ``matches``: stem of the reference to the match of each estimate.
    """
    found = {}
    for stem in matches:
        by_reference = {other: matches[other][stem] for other in matches}
        best = max(by_reference, key=lambda other: by_reference[other])
        clear = by_reference[best] >= max(FLOOR_DB, by_reference[stem] + MARGIN_DB)
        if best != stem and clear:
            found[stem] = best
    # If no estimate, or two, match a stem's reference, it is not a permutation but a bad
    # separation.
    return found if set(found) == set(found.values()) else {}


def _side_inverted(reference: Samples, estimate: Samples, part: slice) -> bool:
    """Whether left minus right has the opposite sign; signals ``[channels, frames]`` with matching
    mid.
    """
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
    """Whether an estimate, but not its reference, is clipped at full scale.

    Both are ``[channels, frames]``.
    """
    share = _at_full_scale(estimate)
    return share > CLIPPED and share > 10 * _at_full_scale(reference)


def _at_full_scale(signal: Samples) -> float:
    """Share of samples in the middle of three at full scale; 0 if any sample is beyond full
    scale.
    """
    highest, lowest = float(signal.max()), float(signal.min())
    if max(highest, -lowest) > 1 or max(highest, -lowest) < FULL_SCALE:
        return 0.0
    runs = 0
    for at_limit in (signal >= FULL_SCALE, signal <= -FULL_SCALE):
        runs += int((at_limit[:, :-2] & at_limit[:, 1:-1] & at_limit[:, 2:]).sum())
    return runs / signal.size


def mistaken_systems(costs: pd.DataFrame) -> dict[str, list[str]]:
    """System label to a sentence per kind of mistake; ``costs``: from ``load_costs``."""
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
    """A sentence per kind of mistake of one separation (:func:`mistakes_of`)."""
    found = [(stem, text, "") for stem, text in mistakes.items()]
    return [f"{said}: {advice}" for said, advice, _ in _by_kind(found)]


Found = list[tuple[str, str, str]]
"""Stem, mistake and song."""


def _by_kind(found: Found) -> Iterator[tuple[str, str, set[str]]]:
    """For each kind of mistake found: description, advice, and songs."""
    for kind, said, advice in _SAID:
        if of_kind := [each for each in found if each[1].startswith(kind)]:
            yield said.format(_named(of_kind)), advice, {song for _, _, song in of_kind}


_SAID = (
    (
        OTHER_STEM,
        "the estimates match other stems ({})",
        "files may have been named, or stems listed, in another order. Correct the names",
    ),
    (
        SILENT,
        "the estimates are silent, the true stems are not ({})",
        "uSDR of a silent estimate is 0 dB, more than of a bad separation. Check that these are "
        "the right files",
    ),
    (
        INVERTED,
        "the estimates have an inverted sign ({})",
        "metrics that compare waveforms give values that are too low. Correct the sign",
    ),
    (
        CHANNELS,
        "left and right are exchanged ({})",
        "values of stereo signals are too low. Exchange the channels",
    ),
    (
        CLIPS,
        "the estimates are clipped ({})",
        "they may have been saved as integers with a peak above full scale. Save them as float",
    ),
    (
        NAMED,
        "files were read by the end of their names ({})",
        "check that each file is the whole stem, and name it after the stem",
    ),
)
"""Kind of mistake, description, and advice."""


def _named(found: Found) -> str:
    """The stems; for permuted stems also the most frequent other stem."""
    names = {}
    for stem in sorted({stem for stem, _, _ in found}):
        texts = Counter(text for name, text, _ in found if name == stem)
        text = min(texts, key=lambda each: (-texts[each], each))
        says_more = text.startswith((OTHER_STEM, NAMED))
        names[stem] = f"{stem} {text}" if says_more else stem
    return ", ".join(names.values())
