"""The audio behind a run: mixture, true stems and every system's estimates, song by song.

Conventions
-----------
kept       estimates that the run wrote (``keep_estimates: flac``) are read, so that what is heard
           is what was scored
made again otherwise the system separates once more with the seed on record
missing    a system that cannot be loaded or fails on a song is left out there, and said so
excerpt    at most ``seconds`` of a song, the same for all its signals: where its stems are most
           active together. Only that is held in memory, whatever the length of the song
order      songs on which the metrics disagree most come first: the best use of an hour of
           listening; then by name
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import Audio, read_audio
from benchsep.errors import BenchsepError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from benchsep.datasets.track import Track, TrackAudio
    from benchsep.runner.store import Store


@dataclass(frozen=True)
class Song:
    """All that can be heard of one song."""

    name: str
    mixture: Audio
    references: dict[str, Audio]
    estimates: dict[str, dict[str, Audio]]
    """System label to stem to audio, in table order; yardsticks that are mixture or reference
    themselves are left out."""
    start: float = 0.0
    """Where in the song the excerpt begins, in seconds."""


@dataclass
class Source:
    """Reads or makes the audio of a run.

    ``say`` receives a line for whatever is missing.
    """

    store: Store
    root: str | None = None
    say: Callable[[str], None] = print
    seconds: float = 20.0
    _systems: dict[str, Any] = field(default_factory=dict)

    def songs(self, names: Sequence[str], labels: Sequence[str]) -> Iterator[Song]:
        """The named songs, decoded one at a time; those that cannot be read are skipped."""
        tracks = self._tracks()
        for name in names:
            if name not in tracks:
                self.say(f"no audio for {name!r}: the data set at hand has no such track")
                continue
            try:
                audio = tracks[name].load()
            except BenchsepError as error:
                self.say(f"no audio for {name!r}: {error}")
                continue
            yield self._song(tracks[name], audio, labels)

    def _song(self, track: Track, audio: TrackAudio, labels: Sequence[str]) -> Song:
        start, frames = liveliest(audio.stems, self.seconds)

        def cut(whole: Audio) -> Audio:
            # A copy: a view would keep the whole song alive.
            return Audio(whole.samples[:, start : start + frames].copy(), whole.rate)

        estimates = {}
        for label in labels:
            found = self._estimates(label, track, audio)
            if found:
                estimates[label] = {stem: cut(signal) for stem, signal in found.items()}
        references = {stem: cut(signal) for stem, signal in audio.stems.items()}
        begin = start / audio.mixture.rate
        return Song(track.name, cut(audio.mixture), references, estimates, begin)

    def _tracks(self) -> dict[str, Track]:
        from benchsep.datasets.load import default_dataset, load_dataset

        suite = self.store.manifest().get("suite", {})
        name = suite.get("dataset") or default_dataset(self.root)
        try:
            dataset = load_dataset(
                name, root=self.root, split=suite.get("split", "test"), mixture=suite.get("mixture")
            )
            return {track.name: track for track in dataset.tracks()}
        except BenchsepError as error:
            self.say(f"no audio in this report: {error}")
            return {}

    def _estimates(self, label: str, track: Track, audio: TrackAudio) -> dict[str, Audio]:
        try:
            kept = self._kept(label, track.name, audio)
            return kept or self._separated(label, track, audio)
        except Exception as error:
            self.say(f"{label} is left out of {track.name!r}: {type(error).__name__}: {error}")
            return {}

    def _kept(self, label: str, track: str, audio: TrackAudio) -> dict[str, Audio]:
        paths = self.store.kept_estimates(label, track, 0)
        return {stem: read_audio(paths[stem]) for stem in audio.stems if stem in paths}

    def _separated(self, label: str, track: Track, audio: TrackAudio) -> dict[str, Audio]:
        from benchsep.systems.estimate import estimate

        system = self._system(label)
        record = self.store.read(label, track.name) or {}
        seed = int(record.get("draws", {}).get("0", {}).get("seed", 0))
        estimates = estimate(system, audio.mixture, seed=seed, references=audio.stems, track=track)
        return {stem: estimates[stem] for stem in audio.stems if stem in estimates}

    def _system(self, label: str) -> Any:
        from benchsep.systems.spec import load_system

        if label not in self._systems:
            manifest = self.store.manifest()
            known = manifest.get("systems", {}).get(label)
            if not known:
                raise UsageError(f"the run's manifest has no system {label!r}")
            device = manifest.get("suite", {}).get("device", "cpu")
            self._systems[label] = load_system(known["spec"], device=device)
        return self._systems[label]


def liveliest(stems: Mapping[str, Audio], seconds: float) -> tuple[int, int]:
    """First frame and length of the stretch in which the stems are most active together.

    The measure is the sum over stems of the level in dB, so that one loud stem does not make up
    for a silent one; stretches begin on whole seconds.
    """
    first = next(iter(stems.values()))
    frames, rate = first.frames, first.rate
    length = round(seconds * rate)
    if frames <= length:
        return 0, frames
    starts = np.arange(0, frames - length + 1, rate)
    total = np.zeros(len(starts))
    for audio in stems.values():
        running = np.concatenate([[0.0], np.cumsum((audio.samples.astype(float) ** 2).sum(0))])
        power = (running[starts + length] - running[starts]) / length
        total += 10 * np.log10(np.maximum(power, 1e-10))
    return int(starts[int(total.argmax())]), length


def audible(families: Mapping[str, str]) -> list[str]:
    """Labels worth hearing: systems and oracles, but not the mixture and the truth again."""
    from benchsep.report.tables.captions import is_reference

    return [s for s, family in families.items() if family != "mixture" and not is_reference(s)]


def disagreement(frame: pd.DataFrame, one: str, other: str, direction: int = 1) -> dict[str, float]:
    """Song to the mean difference of rank (0..1) of its cells under two metrics.

    ``direction`` is the product of the metrics' directions: -1 where one of them is better low.
    """
    keys = ["system", "stem", "track"]
    ranked = frame[(frame["status"] == "ok") & ~frame["family"].isin(["mixture", "oracle"])]
    wide = ranked[ranked["metric"].isin([one, other])].pivot_table(
        index=keys, columns="metric", values="value", aggfunc="mean"
    )
    if one not in wide or other not in wide:
        return {}
    wide = wide[[one, other]].dropna()
    if wide.empty:
        return {}
    first = wide[one].rank(pct=True)
    second = (direction * wide[other]).rank(pct=True)
    apart = (first - second).abs().groupby(level="track").mean()
    return {str(track): float(value) for track, value in sorted(apart.items())}


def chosen(tracks: Sequence[str], apart: Mapping[str, float], most: int) -> list[str]:
    """At most ``most`` songs, those of the largest disagreement first."""
    return sorted(tracks, key=lambda t: (-apart.get(t, 0.0), t))[: max(most, 0)]


def to_folder(path: Path, name: str) -> Path:
    """A folder for a song inside ``path`` that cannot leave it, whatever the name holds."""
    from benchsep._util.digest import file_name

    return path / file_name(name)
