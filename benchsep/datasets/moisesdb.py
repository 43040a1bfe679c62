"""MoisesDB: 240 songs in eleven stems, each of several recorded tracks.

Conventions
-----------
layout    ``<root>/moisesdb_v0.1/<uuid>/data.json`` and ``<stem>/<track uuid>.wav`` beside it; the
          root may also be the folder of a version. ``data.json`` has ``song``, ``artist``,
          ``genre`` and ``stems``: ``{"stemName": ..., "tracks": [{"id", "trackType", "extension",
          "has_bleed"}]}``
stems     the eleven of the taxonomy (set ``moises``). What it calls ``other`` is ``other11`` here;
          MUSDB18's four and htdemucs' six are sums of these; percussion is part of ``other``, as in
          ``mix_4_stems`` and ``mix_6_stems`` of the ``moisesdb`` package
absent    a stem that ``data.json`` does not list is absent from the song and is not scored there
mixture   the sum of all tracks, each padded with silence to the longest. The package cuts the
          tracks of a stem to the shortest, so ends may differ
names     ``<artist> - <song>``; a second song of the name gets the first digits of its uuid
split     there is none: all songs are of the split ``test``

Source: I. Pereira et al., "MoisesDB: A dataset for source separation beyond 4-stems" (2023);
github.com/moises-ai/moises-db. Academic, non-commercial use.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchsep._util.reason import without_path
from benchsep._util.strict_json import parse_json
from benchsep.audio import Audio, fit_length, read_audio
from benchsep.datasets.track import Edition, Track, TrackAudio
from benchsep.errors import AudioError, DatasetError
from benchsep.stems.sets import STEM_SETS

VARIABLE = "MOISESDB_PATH"
HOW_TO_GET = (
    "download it from https://developer.moises.ai/research and unpack it; then set MOISESDB_PATH "
    "or pass --root. Expected <root>/moisesdb_v0.1/<uuid>/data.json"
)
TAXONOMY = STEM_SETS["moises"].stems


@dataclass
class MoisesDB:
    """The songs below a root."""

    root: Path
    name: str = "moisesdb"
    edition: Edition = "moisesdb"
    notes: tuple[str, ...] = (
        "MoisesDB: academic, non-commercial use",
        "mixture = sum of all tracks",
    )

    def tracks(self) -> list[Track]:
        """Sorted by name.

        Raises
        ------
        DatasetError
            no song below the root, or a ``data.json`` that cannot be read.
        """
        found = (*self.root.glob("*/data.json"), *self.root.glob("*/*/data.json"))
        folders = sorted(path.parent for path in found)
        if not folders:
            raise DatasetError(f"{self.root}: found no song of MoisesDB; {HOW_TO_GET}")
        tracks = [_track(folder) for folder in folders]
        count = Counter(track.name for track in tracks)
        named = [
            replace(t, name=f"{t.name} ({folder.name[:8]})") if count[t.name] > 1 else t
            for t, folder in zip(tracks, folders, strict=True)
        ]
        return sorted(named, key=lambda track: track.name)


def moisesdb(root: str | None = None) -> MoisesDB:
    """MoisesDB, 240 songs in eleven stems, below ``root`` or ``MOISESDB_PATH``."""
    given = root or os.environ.get(VARIABLE)
    if not given:
        raise DatasetError(f"moisesdb needs its folder; {HOW_TO_GET}")
    path = Path(given).expanduser()
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; {HOW_TO_GET}")
    return MoisesDB(path)


def _track(folder: Path) -> Track:
    described = _described(folder)
    files = {stem: [folder / name for name in names] for stem, names in _files(folder, described)}
    offers = tuple(stem for stem in TAXONOMY if files.get(stem))
    absent = tuple(stem for stem in TAXONOMY if stem not in offers)
    artist, song = (str(described.get(key) or "untitled") for key in ("artist", "song"))
    return Track(
        f"{artist} - {song}",
        "test",
        "moisesdb",
        partial(_load, folder, {stem: files[stem] for stem in offers}),
        tuple(str(path) for stem in offers for path in files[stem]),
        offers,
        absent=absent,
    )


def _described(folder: Path) -> dict[str, Any]:
    path = folder / "data.json"
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not readable as JSON ({without_path(error)})") from error
    if not isinstance(content, dict) or not isinstance(content.get("stems"), list):
        raise DatasetError(f"{path}: expected a JSON object with a list of stems")
    return content


def _files(folder: Path, described: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Stem to the paths of its tracks below the folder; a stem may be listed more than once.

    Raises
    ------
    DatasetError
        an entry has no name, tracks or id, a stem is not in the taxonomy, or a name contains a
        path.
    """
    found: dict[str, list[str]] = {}
    try:
        for entry in described["stems"]:
            name = str(entry["stemName"])
            stem = "other11" if name == "other" else name
            if stem not in TAXONOMY:
                raise DatasetError(f"{folder}: {name!r} is not a stem of MoisesDB's taxonomy")
            for track in entry["tracks"]:
                file = f"{track['id']}.{track.get('extension', 'wav')}"
                if Path(file).name != file:
                    raise DatasetError(
                        f"{folder}: data.json names the file {file!r}, which is not a plain file "
                        "name"
                    )
                found.setdefault(stem, []).append(f"{name}/{file}")
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{folder / 'data.json'}: an entry has no key {error}") from error
    return list(found.items())


def _load(folder: Path, files: dict[str, list[Path]]) -> TrackAudio:
    """All stems of a song, stereo, at the rate of its first track and as long as its longest.

    Raises
    ------
    DatasetError
        a track that is missing or unreadable.
    """
    try:
        parts = {stem: [read_audio(path) for path in paths] for stem, paths in files.items()}
    except AudioError as error:
        raise DatasetError(f"{folder}: {error}") from error
    every = [audio for group in parts.values() for audio in group]
    if not every:
        raise DatasetError(f"{folder / 'data.json'}: the file lists no track")
    rate = every[0].rate
    signals = {
        stem: [audio.resampled(rate).to_channels(2).samples for audio in group]
        for stem, group in parts.items()
    }
    frames = max(s.shape[-1] for group in signals.values() for s in group)
    stems = {
        # [tracks, 2, frames] -> [2, frames]
        stem: np.stack([fit_length(s, frames) for s in group]).sum(axis=0, dtype=np.float64)
        for stem, group in signals.items()
    }
    mixture = np.stack(list(stems.values())).sum(axis=0)  # [2, frames]
    return TrackAudio(
        Audio(mixture.astype(np.float32), rate),
        {stem: Audio(samples.astype(np.float32), rate) for stem, samples in stems.items()},
        "sum",
    )
