"""The audio of a run: mixture, true stems and every system's estimates, song by song.

Conventions
-----------
estimates  files that the run stored (``keep_estimates: flac``) are read, so a listener hears the
           scored audio; without them, the system separates again with the recorded seed
missing    a system that cannot be loaded or that fails on a song is left out for this song and
           reported; so is one whose weights, code or options are not those of the run's values
changed    a song whose audio is not that of the run is reported (another decoder may read it); so
           are files of estimates, and outputs of programs
excerpt    at most ``seconds`` of a song, the same part of all its signals: the part in which its
           stems are most active. Only the excerpt is kept in memory
threads    ``spread`` maps a function over signals: ``map``, or ``map`` of a thread pool (transforms
           and encoders release the GIL)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.notify import notify
from benchsep.audio import Audio
from benchsep.errors import AudioError, BenchsepError, UsageError
from benchsep.runner.done import (
    engine_of,
    id_of_hashes,
    id_of_samples,
    identity_without_files,
    system_id,
)
from benchsep.runner.info import info_from_json
from benchsep.runner.manifest import stem_set_of
from benchsep.stems.names import ACCOMPANIMENT
from benchsep.systems.reference import WRONG_SONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from benchsep.datasets.track import Track, TrackAudio
    from benchsep.runner.record import Draw
    from benchsep.runner.store import Store


SECONDS = 12.0
"""Length of an excerpt in seconds: the maximum of a MUSHRA trial (BS.1534-3)."""
MIXTURE, REFERENCE = "mixture", "reference"
"""Labels of the signals that do not come from a system."""


@dataclass(frozen=True)
class Song:
    """The excerpt of one song: all signals have the same rate and length."""

    name: str
    mixture: Audio
    references: dict[str, Audio]
    """Stem to the true stem."""
    estimates: dict[str, dict[str, Audio]]
    """System label to stem to audio, in table order; without the systems that return the mixture or
    the true stem."""
    start: float = 0.0
    """Start of the excerpt in the song, in seconds."""
    spread: Callable[..., Iterator[Any]] = field(default=map, compare=False, repr=False)

    @property
    def stems(self) -> tuple[str, ...]:
        """The available stems: those with a reference or, without references, the estimated
        ones.
        """
        heard = dict.fromkeys(stem for stems in self.estimates.values() for stem in stems)
        return tuple(self.references or heard)

    def signals(self, stem: str) -> dict[str, Audio]:
        """Label to audio of a stem: the mixture, the true stem if there is one, the estimates."""
        true = {REFERENCE: self.references[stem]} if stem in self.references else {}
        found = {s: stems[stem] for s, stems in self.estimates.items() if stem in stems}
        return {MIXTURE: self.mixture, **true, **found}

    @cached_property
    def spectra(self) -> dict[str, dict[str, NDArray[np.uint8]]]:
        """Stem to label to levels of a spectrogram, one scale per stem; used by figures and page.

        See :func:`benchsep.report.figures.spectrogram.on_one_scale`.
        """
        from benchsep.report.figures.spectrogram import mel_db, on_one_scale

        signals = {stem: self.signals(stem) for stem in self.stems}
        each = [audio for own in signals.values() for k, audio in own.items() if k != MIXTURE]
        mixture, *found = self.spread(mel_db, [self.mixture, *each])
        rest = iter(found)
        spectra = {}
        for stem, own in signals.items():
            rows = {label: mixture if label == MIXTURE else next(rest) for label in own}
            spectra[stem] = on_one_scale(rows, {MIXTURE, REFERENCE} & set(own))
        return spectra


@dataclass
class Source:
    """Reads the audio of a run, or separates again.

    Raises
    ------
    UsageError
        ``seconds`` is not a positive number.
    """

    store: Store
    root: str | None = None
    """Folder of the data set; ``None`` takes the default."""
    say: Callable[[str], None] = print
    """Called with a line for everything that is missing."""
    seconds: float = SECONDS
    """Length of the excerpts."""
    spread: Callable[..., Iterator[Any]] = map
    _systems: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise UsageError(
                f"the length of an excerpt is {self.seconds:g} s, expected more than 0"
            )

    def songs(self, names: Sequence[str], labels: Sequence[str]) -> Iterator[Song]:
        """The named songs, decoded one at a time; those that cannot be read are skipped."""
        for name in names if self.tracks else ():
            if name not in self.tracks:
                self.say(f"no audio for {name!r}: the data set found here has no such track")
                continue
            try:
                audio = self.tracks[name].load()
            except BenchsepError as error:
                self.say(f"no audio for {name!r}: {error}")
                continue
            if not self._is_of_run(name, audio):
                self.say(
                    f"{name!r}: the audio here is not that of the run's values: the song changed, "
                    "or another decoder reads it; to score it again: benchsep run"
                )
            yield self._song(self.tracks[name], audio, labels)

    def _is_of_run(self, name: str, audio: TrackAudio) -> bool:
        """Whether mixture and true stems have the hashes of the run, if the manifest has them."""
        manifest = self.store.manifest()
        mixture = manifest.get("mixtures", {}).get(name)
        references = manifest.get("references", {}).get(name)
        if mixture is not None and mixture != audio.mixture.sha256():
            return False
        hashes = {stem: signal.sha256() for stem, signal in audio.stems.items()}
        return references is None or references == id_of_hashes(hashes)

    def _song(self, track: Track, audio: TrackAudio, labels: Sequence[str]) -> Song:
        heard = audio.stems or {"mixture": audio.mixture}
        start, length = most_active_excerpt(heard, self.seconds)
        estimates = {}
        for label in labels:
            stems = self._estimates(label, track, audio, (start, length))
            if stems:
                estimates[label] = stems
        return Song(
            track.name,
            _cut(audio.mixture, start, length),
            _cut_all(audio.stems, start, length),
            estimates,
            start / audio.mixture.rate,
            self.spread,
        )

    @cached_property
    def tracks(self) -> dict[str, Track]:
        """The songs of the run's data set by name; if it is not found, empty, and a line with the
        reason is reported.
        """
        from benchsep.datasets.load import default_dataset, load_dataset
        from benchsep.datasets.references import seen_through

        manifest = self.store.manifest()
        suite = manifest.get("suite", {})
        name = suite.get("dataset") or default_dataset(self.root)
        if self.root:  # the folder may have moved: --root then replaces PATH of folder:PATH
            name = name.partition(":")[0]
        try:
            dataset = load_dataset(
                name, root=self.root, split=suite.get("split", "test"), mixture=suite.get("mixture")
            )
            dataset = seen_through(dataset, stem_set_of(manifest))
            return {track.name: track for track in dataset.tracks()}
        except BenchsepError as error:
            self.say(f"no audio: {error}{_as_it_was_run(manifest)}")
            return {}

    def _estimates(
        self, label: str, track: Track, audio: TrackAudio, part: tuple[int, int]
    ) -> dict[str, Audio]:
        """The part (first sample, number of samples) of a system's estimates."""
        try:
            stored = self._stored_estimates(label, track.name, audio, part)
            return stored or _cut_all(self._separate(label, track, audio), *part)
        except Exception as error:
            self.say(f"{label} is left out of {track.name!r}: {type(error).__name__}: {error}")
            return {}

    def _stored_estimates(
        self, label: str, track: str, audio: TrackAudio, part: tuple[int, int]
    ) -> dict[str, Audio]:
        paths = self.store.kept_estimates(label, track, 0)
        if paths and self._was_not_kept(label, track):
            return {}
        wanted = [s for s in audio.stems or stem_set_of(self.store.manifest()) if s in paths]
        read = partial(read_part, start=part[0], length=part[1])
        return dict(zip(wanted, self.spread(read, [paths[s] for s in wanted]), strict=True))

    def _was_not_kept(self, label: str, track: str) -> bool:
        """Whether the values are of estimates that were not kept: the files are of an earlier run,
        perhaps with other weights.
        """
        manifest, record = self.store.manifest(), self.store.read(label, track)
        entry = manifest.get("systems", {}).get(label) or {}
        draw = record.draws.get(0) if record else None
        if not record or not draw or not draw.estimate_id or "info" not in entry:
            return False
        info = info_from_json(entry["info"])
        found = {
            identity_without_files(record, draw, info, stem_set_of(manifest), engine, aligned)
            for engine in ({}, engine_of(manifest))
            for aligned in (False, True)
        }
        return draw.estimate_id in found

    def _separate(self, label: str, track: Track, audio: TrackAudio) -> dict[str, Audio]:
        from benchsep.systems.estimate import estimate, usable
        from benchsep.systems.stems import estimates_in

        system = self._system(label)
        record = self.store.read(label, track.name)
        draw = record.draws.get(0) if record else None
        seed = draw.seed if draw else 0
        outside = system.info.from_files or system.info.from_program
        if record and not outside and system_id(system.info) != record.system.system_id:
            raise UsageError(
                "its weights, code or options are not those of the run's values; to compute these "
                "again: benchsep run"
            )
        found = estimate(system, audio.mixture, seed=seed, references=audio.stems, track=track)
        stem_set = stem_set_of(self.store.manifest())
        also = (ACCOMPANIMENT,) if ACCOMPANIMENT in audio.stems else ()
        estimates = usable(estimates_in(found, system.info, stem_set, audio.mixture, also=also))
        if outside and draw and not self._is_scored(draw, estimates):
            self.say(
                f"{label}: its audio of {track.name!r} is not that of the run's values; to score "
                "it again: benchsep run"
            )
        return {s: estimates[s] for s in audio.stems or stem_set if s in estimates}

    def _is_scored(self, draw: Draw, estimates: Mapping[str, Audio]) -> bool:
        """Whether estimates from files or programs are those of a draw, as far as its identity
        tells: a hash of their samples, unless these were aligned or rounded before.
        """
        keep = (self.store.manifest().get("suite") or {}).get("keep_estimates", "none")
        if draw.aligned or keep != "none":
            return True
        return draw.estimate_id == id_of_samples(estimates)

    def _system(self, label: str) -> Any:
        from benchsep.systems.spec import load_system

        if label not in self._systems:
            manifest = self.store.manifest()
            entry = manifest.get("systems", {}).get(label)
            if not entry:
                raise UsageError(f"the run's manifest has no system {label!r}")
            device = manifest.get("suite", {}).get("device", "cpu")
            self._systems[label] = load_system(entry["spec"], device=device)
        return self._systems[label]


def _as_it_was_run(manifest: Mapping[str, Any]) -> str:
    """A hint with the run's command, if it names the folder of the data set."""
    command = str(manifest.get("command", ""))
    return f". The run was made with: {command}" if "--root" in command else ""


def read_part(path: Path, start: int, length: int) -> Audio:
    """``length`` samples of a FLAC or wav file from sample ``start`` on; fewer at the end of the
    file.

    Only the excerpt is decoded.

    Raises
    ------
    AudioError
        if the file cannot be read or ends before ``start``.
    """
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as handle:
            handle.seek(min(start, handle.frames))
            samples = handle.read(length, dtype="float32", always_2d=True)  # [samples, channels]
            return Audio(samples.T.copy(), handle.samplerate)
    except (RuntimeError, OSError) as error:
        raise AudioError(f"{path}: not readable as audio ({error})") from error


def _cut(audio: Audio, start: int, length: int) -> Audio:
    # A copy, because a view would keep the whole song in memory.
    return Audio(audio.samples[:, start : start + length].copy(), audio.rate)


def _cut_all(stems: Mapping[str, Audio], start: int, length: int) -> dict[str, Audio]:
    return {stem: _cut(audio, start, length) for stem, audio in stems.items()}


def most_active_excerpt(stems: Mapping[str, Audio], seconds: float) -> tuple[int, int]:
    """First sample and number of samples of the excerpt in which the stems are most active.

    Maximises the sum over stems of the level in dB, ``sum_s 10 log10(P_s)`` with the mean power
    ``P_s`` of stem ``s`` over the excerpt: a loud stem cannot compensate for a silent one. Excerpts
    begin on whole seconds.
    """
    first = next(iter(stems.values()))
    total, rate = first.frames, first.rate
    length = round(seconds * rate)
    if total <= length:
        return 0, total
    starts = np.arange(0, total - length + 1, rate)
    level = np.zeros(len(starts))
    for audio in stems.values():
        # Energy up to each sample [total + 1], so that an excerpt's power is one difference.
        energy = np.concatenate([[0.0], np.cumsum((audio.samples.astype(float) ** 2).sum(0))])
        power = (energy[starts + length] - energy[starts]) / length
        level += 10 * np.log10(np.maximum(power, 1e-10))
    return int(starts[int(level.argmax())]), length


def systems_with_audio(families: Mapping[str, str]) -> list[str]:
    """Labels of the systems and oracles, without mixture, true stems and other songs."""
    from benchsep.report.tables.model import is_reference

    heard = [s for s, family in families.items() if family != "mixture" and not is_reference(s)]
    return [s for s in heard if s != WRONG_SONG]


def warn(line: str) -> None:
    """Print a line on stderr about missing parts."""
    from benchsep._util.escape import visible

    notify(visible(line))


def song_folder(path: Path, name: str) -> Path:
    """Folder of a song inside ``path``, safe for any song name."""
    from benchsep._util.digest import file_name

    return path / file_name(name)
