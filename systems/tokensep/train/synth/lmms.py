"""Songs from composed LMMS projects: the tracks of each stem rendered alone.

Conventions
-----------
A project (``.mmp``: XML; ``.mmpz``: the same behind Qt's zlib header) is one song of its own
length. Its tracks are sorted into stems by :func:`stem_of`; a stem is the project with every track
of the other stems muted, rendered by the program ``lmms``. Stems keep the balance that the composer
gave them. Effects on the master channel act on each stem alone: ``mixture`` is the sum of the
rendered stems, not LMMS's own rendering of the project.

LMMS key numbers: 57 is A4 (440 Hz), MIDI's 69. A track sounds as written if its base note is 57.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import statistics
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from benchsep._util.tensors import file_sha256
from benchsep.audio import STEMS
from tokensep.errors import DataError, Unavailable
from tokensep.train.synth.mixing import RATE, Wave, draw_levels, mix, rms
from tokensep.train.synth.programs import run_program, version_of
from tokensep.train.synth.songs import Song
from tokensep.train.synth.voices import sing, vocal_files, voices_manifest

PACKAGES = "lmms"
"""Debian's package of the program and of the demo projects."""
PROJECTS = (
    Path("/usr/share/lmms/projects/demos"),
    Path("/usr/share/lmms/projects/shorties"),
)
COPYRIGHT = Path("/usr/share/doc/lmms-common/copyright")
"""Where Debian states the licence of each project."""
INSTRUMENT, SAMPLE = "0", "2"
"""Values of a track's ``type``; others (patterns, automation) make no sound of their own."""
BASS_BELOW = 48.0
"""MIDI key (C3) under which the median note of a bass lies."""
OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen"}
"""Environment in which LMMS runs without a display."""
ATTEMPTS = 3
"""Attempts to run LMMS before a stem is given up."""
SILENT = 1e-4
"""RMS of a stem without sound (-80 dBFS)."""

# "bassdrum" is a drum, so drums are asked first.
DRUMS = re.compile(
    r"kick|kik\b|^k_|snare|snr|^s_8|clap|hi-?hat|\bhats?\b|\bhh\b|crash|cymbal|ride\d|\bride\b|"
    r"\btoms?\b|shaker|shaaka|perc|\brim|conga|bongo|drum|tamb|stick|wood|timbale|cowbell|\bbd\b|"
    r"\bsd\b|\bsn\b|\bbeat\b|tr\d{2,3}|linn|cabasa|agogo|triangle|knock",
    re.IGNORECASE,
)
BASS = re.compile(r"bass|\bsub\b", re.IGNORECASE)
VOICES = re.compile(r"voice|vocal|\bvox\b|sing", re.IGNORECASE)
KITS = ("drums/", "drumsynth/")
TUNED = ("drumsynth/instrument/", "drumsynth/misc_synth/", "drumsynth/misc_bass/")
"""Folders of LMMS's drum samples that hold pitched instruments."""


@dataclass(frozen=True)
class Settings:
    """The projects, and the vocals that are added to them."""

    seed: int = 0
    vocals: Path | None = None
    projects: tuple[Path, ...] = ()
    """Files or folders; empty: the demo projects of the package."""


class LmmsSongs:
    """One song per project.

    Raises
    ------
    Unavailable
        The program or its projects are absent.
    DataError
        Vocals were requested, and there are none.
    """

    def __init__(self, settings: Settings) -> None:
        program = shutil.which("lmms")
        if program is None:
            raise Unavailable(
                "the program lmms is not installed; on Debian or Ubuntu: apt-get install "
                f"{PACKAGES}"
            )
        self.settings = settings
        self.command = [program, "--allowroot"]
        self.projects = find_projects(settings.projects or PROJECTS)
        self.voices = vocal_files(settings.vocals) if settings.vocals else []
        self.licences = read_licences(COPYRIGHT)

    def names(self) -> list[str]:
        """Names made of the seed, which selects the vocals, and the project."""
        return [f"lmms-{self.settings.seed}-{path.stem}" for path in self.projects]

    def manifest(self) -> dict[str, Any]:
        """What the songs depend on."""
        return {
            "seed": self.settings.seed,
            **voices_manifest(self.voices),
            "projects": {path.name: file_sha256(path) for path in self.projects},
            "programs": {"lmms": version_of([*self.command, "--version"], **OFFSCREEN)},
            "debian_packages": PACKAGES.split(),
        }

    def make(self, number: int, folder: Path) -> Song:
        """The song of project ``number``; ``folder`` is for files in between.

        Raises
        ------
        DataError
            The project cannot be read or rendered, or fewer than two of its stems have sound.
        """
        path = self.projects[number]
        project = read_project(path)
        tracks = sorted_tracks(project)
        stems = {stem: self._rendered(project, stem, folder) for stem in STEMS if tracks[stem]}
        heard = [stem for stem, wave in stems.items() if rms(wave) > SILENT]
        if len(heard) < 2:
            raise DataError(f"{path.name}: sound in {', '.join(heard) or 'no stem'}; expected two")
        rng = np.random.default_rng([self.settings.seed, number])
        frames = max(wave.shape[1] for wave in stems.values())
        whole = {stem: np.zeros((2, frames), np.float32) for stem in STEMS}
        for stem, wave in stems.items():
            whole[stem][:, : wave.shape[1]] = wave
        levels = {stem: 20 * float(np.log10(max(rms(whole[stem]), 1e-9))) for stem in STEMS}
        if self.voices and "vocals" not in heard:
            accompaniment = rms(np.sum(list(whole.values()), axis=0))
            whole["vocals"] = sing(self.voices, rng, frames)
            levels["vocals"] = vocal_level(accompaniment, draw_levels(rng)["vocals"])
        loudness = float(rng.uniform(-20, -14))
        facts = {
            "project": path.name,
            "sha256": file_sha256(path),
            "licence": self.licences.of(path),
            "tracks": tracks,
            "levels_db": {k: round(v, 2) for k, v in levels.items()},
            "loudness_db": round(loudness, 2),
        }
        return mix(whole, levels, loudness), facts

    def _rendered(self, project: ElementTree.Element, stem: str, folder: Path) -> Wave:
        """One stem ``[2, T]`` of a project."""
        import soundfile

        source, target = folder / f"{stem}.mmp", folder / f"{stem}.wav"
        source.write_bytes(ElementTree.tostring(only(project, stem), encoding="utf-8"))
        options = ["-f", "wav", "-s", str(RATE), "-a"]
        command = [*self.command, "render", source.name, *options, "-o", target.name]
        _run_again(command, folder)
        if not target.is_file():
            raise DataError(f"lmms wrote no sound for the {stem}")
        samples, rate = soundfile.read(str(target), dtype="float32", always_2d=True)
        if rate != RATE or samples.shape[1] != 2 or not np.isfinite(samples).all():
            raise DataError(f"lmms wrote {samples.shape[1]} channels at {rate} Hz, or NaN")
        return np.ascontiguousarray(samples.T)


def _run_again(command: list[str], folder: Path) -> None:
    """Run LMMS; repeat if it crashes, as it sometimes does while it loads a valid project."""
    for attempt in range(ATTEMPTS):
        try:
            run_program(command, folder, **OFFSCREEN)
            return
        except DataError:
            if attempt + 1 == ATTEMPTS:
                raise


def find_projects(places: tuple[Path, ...]) -> list[Path]:
    """Projects in files and folders, by name.

    Raises
    ------
    Unavailable
        There are none.
    """
    found = [place for place in places if place.is_file()]
    found += [path for place in places if place.is_dir() for path in place.rglob("*.mmp*")]
    unique = {path.stem: path for path in found if path.suffix in {".mmp", ".mmpz"}}
    if not unique:
        raise Unavailable(
            f"found no LMMS projects (.mmp, .mmpz) in {', '.join(map(str, places))}; on Debian or "
            f"Ubuntu: apt-get install {PACKAGES}"
        )
    return [unique[name] for name in sorted(unique)]


def read_project(path: Path) -> ElementTree.Element:
    """The XML of a project.

    Raises
    ------
    DataError
        It is not an LMMS project.
    """
    data = path.read_bytes()
    try:
        if path.suffix == ".mmpz":
            data = zlib.decompress(data[4:])  # Qt writes the length before zlib's stream
        root = ElementTree.fromstring(data)
    except (zlib.error, ElementTree.ParseError) as error:
        raise DataError(f"{path}: not an LMMS project ({error})") from error
    if root.find("song") is None:
        raise DataError(f"{path}: not an LMMS project (no element 'song')")
    return root


def sorted_tracks(project: ElementTree.Element) -> dict[str, list[str]]:
    """Names of the sounding tracks of each stem; muted ones are left out."""
    found: dict[str, list[str]] = {stem: [] for stem in STEMS}
    for track in sounding(project):
        found[stem_of(track)].append(track.get("name", ""))
    return found


def sounding(project: ElementTree.Element) -> list[ElementTree.Element]:
    """Tracks of instruments and samples that are not muted, those inside patterns included."""
    kinds = (INSTRUMENT, SAMPLE)
    tracks = [t for t in project.iter("track") if t.get("type") in kinds]
    return [t for t in tracks if t.get("muted", "0") == "0"]


def stem_of(track: ElementTree.Element) -> str:
    """The stem of a track, from its name, its sample's name, its plugin and its notes' pitch."""
    sample = next((e.get("src", "") for e in track.iter() if e.get("src")), "")
    names = [re.sub(r"[_./]+", " ", text) for text in (track.get("name", ""), Path(sample).name)]
    plugin = next((e.get("name", "") for e in track.iter("instrument")), "")
    if any(map(VOICES.search, names)):
        return "vocals"
    if any(map(DRUMS.search, names)):
        return "drums"
    if plugin == "lb302" or any(map(BASS.search, names)):
        return "bass"
    if sample.startswith(KITS) and not sample.startswith(TUNED):
        return "drums"
    if plugin == "kicker" and len({note.get("key") for note in track.iter("note")}) <= 2:
        return "drums"  # with more keys it plays a tune, as some projects use it
    pitch = median_pitch(track)
    return "bass" if pitch is not None and pitch < BASS_BELOW else "other"


def median_pitch(track: ElementTree.Element) -> float | None:
    """Median MIDI key at which a synthesizer's notes sound; None for samples or without notes."""
    keys = [int(note.get("key", 57)) for note in track.iter("note")]
    instrument = track.find("instrumenttrack")
    if not keys or instrument is None or any(e.get("src") for e in track.iter()):
        return None
    return statistics.median(keys) - int(instrument.get("basenote", 57)) + 69


def only(project: ElementTree.Element, stem: str) -> ElementTree.Element:
    """A copy of the project in which every sounding track of another stem is muted."""
    copy = ElementTree.fromstring(ElementTree.tostring(project))
    for track in sounding(copy):
        track.set("solo", "0")
        if stem_of(track) != stem:
            track.set("muted", "1")
    return copy


def vocal_level(accompaniment: float, against_mixture: float) -> float:
    """Level in dB of vocals that are ``against_mixture`` dB relative to the mixture that includes
    them.

    With powers ``v = r m`` and ``m = a + v`` (uncorrelated): ``v = a r / (1 - r)``.
    """
    ratio = min(10 ** (against_mixture / 10), 0.9)
    return 20 * float(np.log10(max(accompaniment, 1e-9))) + 10 * float(
        np.log10(ratio / (1 - ratio))
    )


@dataclass(frozen=True)
class Licences:
    """Stanzas of a Debian copyright file: file patterns and the licence's name."""

    stanzas: tuple[tuple[tuple[str, ...], str], ...] = ()

    def of(self, project: Path) -> str:
        """Licence of a project of the package; a later stanza overrides an earlier one."""
        parts = project.parts
        if "projects" in parts:
            name = "/".join(["data", *parts[parts.index("projects") :]])
            for patterns, licence in reversed(self.stanzas):
                if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                    return licence
        return "unknown: see the project's source"


def read_licences(path: Path) -> Licences:
    """The stanzas about files of a machine-readable copyright file; none if it is absent."""
    if not path.is_file():
        return Licences()
    stanzas = []
    for block in path.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        fields = re.findall(r"^([A-Za-z-]+):(.*(?:\n[ \t].*)*)", block, re.MULTILINE)
        found = dict(fields)
        if "Files" in found and "License" in found:
            patterns = tuple(found["Files"].split())
            stanzas.append((patterns, found["License"].strip().splitlines()[0]))
    return Licences(tuple(stanzas))
