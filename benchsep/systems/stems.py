"""The estimates of a run: the outputs of a system as stems of one stem set.

Conventions
-----------
declared  ``SystemInfo.stems``. The relations follow from these, not from the outputs of a call, so
          that a stem is derived in the same way for all songs
truth     an oracle and the mixture as every stem have all stems of a set
fault     if a part of a stem cannot be used, the stem has the part's error
"""

from __future__ import annotations

from collections.abc import Mapping

from benchsep.audio import Audio
from benchsep.errors import BenchsepError, SeparatorError
from benchsep.stems.fitting import fitting_option
from benchsep.stems.relations import Relation, combined, relation
from benchsep.stems.sets import FOUR
from benchsep.systems.contract import SystemInfo

Outputs = Mapping[str, Audio | BenchsepError]


def relations_of(info: SystemInfo, stem_set: tuple[str, ...]) -> dict[str, Relation]:
    """Each stem of the set that a system offers, with its relation to the system's outputs."""
    if info.family == "mixture" or (info.needs_references and set(info.stems) == set(FOUR)):
        return {stem: Relation(stem, (stem,)) for stem in stem_set}
    found = {stem: relation(stem, info.stems, stem_set=stem_set) for stem in stem_set}
    return {stem: how for stem, how in found.items() if how is not None}


def stems_in(info: SystemInfo, stem_set: tuple[str, ...]) -> tuple[str, ...]:
    """The stems of the set that a system offers."""
    return tuple(relations_of(info, stem_set))


def derived_in(info: SystemInfo, stem_set: tuple[str, ...]) -> tuple[str, ...]:
    """The relations, as text, of the stems that a system does not return itself."""
    return tuple(str(r) for r in relations_of(info, stem_set).values() if not r.is_itself)


def lacking(info: SystemInfo, stem_set: tuple[str, ...], asked: tuple[str, ...]) -> str:
    """Why a system has none of the requested stems; empty if it has at least one."""
    if set(stems_in(info, stem_set)) & set(asked):
        return ""
    option = fitting_option(info.stems, stem_set)
    return (
        f"it gives {', '.join(info.stems) or 'no stem'}, and none of {', '.join(asked)} can be "
        f"computed from that{f'; its stems fit {option}' if option else ''}"
    )


def estimates_in(
    outputs: Outputs,
    info: SystemInfo,
    stem_set: tuple[str, ...],
    mixture: Audio,
    *,
    also: tuple[str, ...] = (),
) -> dict[str, Audio | BenchsepError]:
    """The estimates of the stems of a set; a stem with a missing part is left out.

    Outputs in the set that the system did not declare are included, and those named in ``also``: an
    oracle returns the rest of a mixture under the name of its reference.
    """
    if info.family == "mixture":
        outputs = {**dict.fromkeys(stem_set, mixture), **outputs}
    relations = {s: Relation(s, (s,)) for s in (*stem_set, *also) if s in outputs}
    relations |= relations_of(info, stem_set)
    found: dict[str, Audio | BenchsepError] = {}
    for stem, how in relations.items():
        parts = {name: outputs[name] for name in how.needs if name in outputs}
        faulty = next((e for e in parts.values() if isinstance(e, BenchsepError)), None)
        if faulty is not None:
            found[stem] = faulty if how.is_itself else SeparatorError(f"{how}: {faulty}")
        elif len(parts) == len(how.needs):
            signals = {name: audio for name, audio in parts.items() if isinstance(audio, Audio)}
            found[stem] = combined(how, signals, mixture)
    return found
