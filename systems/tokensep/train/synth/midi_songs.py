"""Songs that MMA plays and fluidsynth renders, each stem with its own bank.

Needs the programs ``mma`` and ``fluidsynth`` and at least one SoundFont
(:data:`tokensep.train.synth.programs.PACKAGES`). Vocals are given recordings; without them the stem
is silent. These songs are easier to separate than real ones: use them to extend training data, not
alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from benchsep.audio import STEMS
from tokensep.errors import DataError
from tokensep.train.synth import arrange, midi
from tokensep.train.synth.mixing import PAN, RATE, Wave, draw_levels, mix, panned, rms
from tokensep.train.synth.programs import PACKAGES, Tools, find_tools, run_program
from tokensep.train.synth.songs import Song
from tokensep.train.synth.voices import sing, vocal_files, voices_manifest

ATTEMPTS = 12
DRUM_KITS = (0, 0, 8, 16, 24, 25, 32, 40)


@dataclass(frozen=True)
class Settings:
    """Number and length of the songs, and their voices and banks."""

    songs: int = 50
    seconds: float = 30.0
    seed: int = 0
    vocals: Path | None = None
    fonts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.songs < 1 or not 1 <= self.seconds <= 3600:
            raise DataError(
                f"found {self.songs} songs of {self.seconds:g} s, expected at least one song of 1 "
                "to 3600 seconds"
            )


def play(arrangement: arrange.Arrangement, tools: Tools, folder: Path) -> dict[str, midi.Midi]:
    """Drums, bass and other of an arrangement as MIDI.

    Raises
    ------
    DataError
        MMA refuses it, or one of the three has next to no notes.
    """
    (folder / "song.mma").write_text(arrangement.text())
    run_program([tools.mma, "song.mma", "-f", "song.mid"], folder)
    parts = midi.split(midi.parse((folder / "song.mid").read_bytes()))
    bars = sum(len(section.bars) for section in arrangement.sections)
    counts = {name: midi.notes(part) for name, part in parts.items()}
    if min(counts.values()) < bars / 2:
        raise DataError(f"{arrangement.file}: notes in {bars} bars: {counts}")
    return parts


def voiced(part: midi.Midi, stem: str, rng: Generator) -> midi.Midi:
    """Replace instruments by others of the same family, to vary the sound of a groove."""
    kit = DRUM_KITS[int(rng.integers(len(DRUM_KITS)))]
    swap = float(rng.random()) < 0.5
    shift = {family: int(rng.integers(8)) for family in range(14)}

    def change(channel: int, program: int) -> int:
        if channel == midi.DRUM_CHANNEL:
            return kit
        family = program // 8
        if family >= 14 or not swap:  # the last two families are effects, not instruments
            return program
        if stem == "bass":
            return 32 + shift[family] % 6
        return 8 * family + shift[family]

    return midi.reprogrammed(part, change)


def render(
    part: midi.Midi, stem: str, tools: Tools, rng: Generator, frames: int, folder: Path
) -> tuple[Wave, dict[str, Any]]:
    """One stem ``[2, frames]``, rendered with its own bank, and the choices that were made.

    Raises
    ------
    DataError
        fluidsynth fails, or what it renders is silent.
    """
    import soundfile

    banks = tools.banks + (tools.kits if stem == "drums" else ())
    bank = banks[int(rng.integers(len(banks)))]
    reverb = bool(rng.random() < 0.7)
    room = round(float(rng.uniform(0.1, 0.7)), 2)
    part = voiced(part, stem, rng)
    part = midi.as_kit(part) if bank in tools.kits else part
    (folder / f"{stem}.mid").write_bytes(midi.write(part))
    options = [
        "-o",
        "synth.lock-memory=0",
        "-o",
        f"synth.reverb.room-size={room}",
        "-R",
        str(int(reverb)),
        "-C",
        "0",
    ]
    target = ["-r", str(RATE), "-g", "0.4", "-T", "wav", "-O", "float", "-F", f"{stem}.wav"]
    run_program([tools.fluidsynth, "-niq", *options, *target, str(bank), f"{stem}.mid"], folder)
    samples, _ = soundfile.read(str(folder / f"{stem}.wav"), dtype="float32", frames=frames)
    wave = np.zeros((2, frames), np.float32)
    wave[:, : len(samples)] = samples.T
    if rms(wave) < 1e-4:
        raise DataError(f"{bank.name} has nothing to play for the {stem}")
    return wave, {"bank": bank.name, "reverb": room if reverb else None}


class MidiSongs:
    """The songs of :class:`Settings`: song n is a function of (seed, n, length, vocals, programs).

    Raises
    ------
    Unavailable
        The programs or banks are absent.
    DataError
        Vocals were requested, and there are none.
    """

    def __init__(self, settings: Settings, tools: Tools | None = None) -> None:
        self.settings = settings
        self.tools = tools or find_tools(settings.fonts)
        self.voices = vocal_files(settings.vocals) if settings.vocals else []

    def names(self) -> list[str]:
        """The seed is in the names, so that folders of several seeds can be joined."""
        return [f"synth-{self.settings.seed}-{n:06d}" for n in range(self.settings.songs)]

    def manifest(self) -> dict[str, Any]:
        """What the songs depend on, besides their numbers."""
        return {
            "seed": self.settings.seed,
            "seconds": self.settings.seconds,
            **voices_manifest(self.voices),
            "grooves": sum(len(g) for g in self.tools.library.values()),
            "programs": self.tools.versions,
            "debian_packages": PACKAGES.split(),
        }

    def make(self, number: int, folder: Path) -> Song:
        """Song ``number``; ``folder`` is for files in between.

        Raises
        ------
        DataError
            No arrangement in :data:`ATTEMPTS` could be played.
        """
        settings = self.settings
        rng = np.random.default_rng([settings.seed, number])
        frames = int(settings.seconds * RATE)
        arrangement, stems, chosen, refused = self._playable(number, rng, frames, folder)
        empty = np.zeros((2, frames), np.float32)
        stems["vocals"] = sing(self.voices, rng, frames) if self.voices else empty
        balance = {stem: round(float(rng.uniform(-p, p)), 3) for stem, p in PAN.items()}
        levels, loudness = draw_levels(rng), float(rng.uniform(-20, -14))
        waves = mix({s: panned(stems[s], balance[s]) for s in STEMS}, levels, loudness)
        facts = {
            "seed": [settings.seed, number],
            "arrangement": asdict(arrangement),
            "rendering": chosen,
            "balance": balance,
            "levels_db": {k: round(v, 2) for k, v in levels.items()},
            "loudness_db": round(loudness, 2),
            "refused": refused,
        }
        return waves, facts

    def _playable(
        self, number: int, rng: Generator, frames: int, folder: Path
    ) -> tuple[arrange.Arrangement, dict[str, Wave], dict[str, Any], list[str]]:
        """The first arrangement that can be played: its stems, their banks, what failed before."""
        refused: list[str] = []
        for _ in range(ATTEMPTS):
            arrangement = arrange.arrange(rng, self.tools.library, self.settings.seconds)
            stems, chosen = {}, {}
            try:
                for stem, part in play(arrangement, self.tools, folder).items():
                    stems[stem], chosen[stem] = render(part, stem, self.tools, rng, frames, folder)
                return arrangement, stems, chosen, refused
            except DataError as error:
                refused.append(str(error))
        raise DataError(f"song {number}: {ATTEMPTS} arrangements failed; the last: {refused[-1]}")
