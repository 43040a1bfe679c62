"""The references of a run: a data set seen through a set of stems.

Conventions
-----------
asked     the stems of a run; each must be derivable from the stems of a track
set       all stems of their stem set (:func:`benchsep.stems.sets.whole_set`). Those that can be
          derived are references too, because interference is measured against them
rest      if a stem of the set cannot be derived, the mixture minus all references is one more
          reference, called ``accompaniment``, which no table shows
absent    a stem that is absent from a song has no reference there and is not scored
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchsep.datasets.stem_folder import residual
from benchsep.datasets.track import Dataset, Edition, Track, TrackAudio
from benchsep.errors import DatasetError, UsageError
from benchsep.stems.names import ACCOMPANIMENT
from benchsep.stems.relations import Relation, combined, relation
from benchsep.stems.sets import FOUR, SONG, STEM_SETS, disjoint, parts_of, set_name


@dataclass
class InSet:
    """A data set whose tracks have the references of one set of stems."""

    name: str
    edition: Edition
    notes: tuple[str, ...]
    """Notes of the data set, then the relation of each derived reference."""
    stem_set: tuple[str, ...]
    own: tuple[Track, ...]

    def tracks(self) -> list[Track]:
        following = _following(self.own, self.stem_set)
        return [_in_set(track, following, self.stem_set) for track in self.own]


def seen_through(dataset: Dataset, stem_set: tuple[str, ...]) -> Dataset:
    """The data set with the references of ``stem_set``; unchanged if it has exactly these."""
    tracks = tuple(dataset.tracks())
    own = {stem for track in tracks for stem in track.stems}
    if not any(map(_offers, tracks)) or (stem_set == FOUR and own == {*_following(tracks, FOUR)}):
        return dataset
    made = [str(how) for how in _relations(tracks, stem_set) if not how.is_itself]
    notes = (*dataset.notes, *(f"reference {text}" for text in made))
    return InSet(dataset.name, dataset.edition, notes, stem_set, tracks)


def default_stems(tracks: Iterable[Track]) -> tuple[str, ...]:
    """The stems of a run that names none: the four, or what the data set has.

    A data set of vocals and the rest has the two of ``vi``.
    """
    tracks = tuple(tracks)
    if not any(_offers(track) for track in tracks):
        return FOUR
    four = _following(tracks, FOUR)
    two = STEM_SETS["vi"].stems
    if set(four) <= {"vocals"} and _following(tracks, two) == two:
        return two
    if four:
        return FOUR
    offered = [stem for track in tracks for stem in _offers(track)]
    return disjoint(offered) or tuple(dict.fromkeys(offered))


def check_stems(
    asked: Sequence[str], stem_set: tuple[str, ...], tracks: Iterable[Track], name: str
) -> None:
    """Raise unless each stem can be derived from the stems of some track.

    Raises
    ------
    UsageError
        a stem cannot be derived; the message names it, the stems found and the possible sets.
    """
    tracks = tuple(tracks)
    offered = tuple(dict.fromkeys(stem for track in tracks for stem in _offers(track)))
    following = _following(tracks, stem_set)
    silent = [stem for stem in asked if any(_is_absent(stem, track) for track in tracks)]
    lost = [stem for stem in asked if stem not in (*following, *silent)]
    if not lost or not offered:
        return
    possible = [name for name, each in STEM_SETS.items() if has_references(tracks, each.stems)]
    help_ = f"; possible: --stem-set {' or '.join(possible)}" if possible else ""
    raise UsageError(
        f"{name} has no {lost[0]} (stem set {set_name(stem_set)}), and it cannot be derived from "
        f"the stems of the data set: {', '.join(offered)}{help_}"
    )


def has_references(tracks: Iterable[Track], stems: tuple[str, ...]) -> bool:
    """Whether each of the stems can be derived from the stems of some track."""
    return _following(tuple(tracks), stems) == stems


def _offers(track: Track) -> tuple[str, ...]:
    return track.offers or track.stems


def _relations(tracks: Iterable[Track], stem_set: tuple[str, ...]) -> list[Relation]:
    """The relation of each stem, from the first track that has one, in the order of the set."""
    found: dict[str, Relation] = {}
    for offers, absent in dict.fromkeys((_offers(t), t.absent) for t in tracks):
        for stem in stem_set:
            how = relation(stem, offers, stem_set=stem_set, absent=absent)
            if how is not None:
                found.setdefault(stem, how)
    return [found[stem] for stem in stem_set if stem in found]


def _following(tracks: Iterable[Track], stem_set: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(how.stem for how in _relations(tracks, stem_set))


def _is_absent(stem: str, track: Track) -> bool:
    parts = parts_of(stem)
    return bool(parts) and not parts.difference(*map(parts_of, track.absent))


def _in_set(track: Track, following: tuple[str, ...], stem_set: tuple[str, ...]) -> Track:
    """The track with the references of the set."""
    stems = tuple(stem for stem in following if not _is_absent(stem, track))
    return replace(track, loader=partial(_load, track, stems, stem_set), stems=stems)


def _load(track: Track, stems: tuple[str, ...], stem_set: tuple[str, ...]) -> TrackAudio:
    """The mixture and the references.

    Raises
    ------
    DatasetError
        a stem cannot be derived from the stems of this track.
    """
    audio = track.load_offered()
    found = {}
    for stem in stems:
        how = relation(stem, audio.stems, stem_set=stem_set, absent=track.absent)
        if how is None:
            raise DatasetError(
                f"{track.name}: there is no stem {stem}, and it cannot be derived from "
                f"{', '.join(audio.stems)}"
            )
        found[stem] = combined(how, audio.stems, audio.mixture)
    covered = [parts_of(stem) for stem in (*found, *track.absent)]
    # The parts of a song that a third party's stem covers are unknown here.
    if all(map(parts_of, found)) and SONG.difference(*covered):
        found[ACCOMPANIMENT] = residual(audio.mixture, list(found.values()))
    return TrackAudio(audio.mixture, found, audio.mixture_source)
