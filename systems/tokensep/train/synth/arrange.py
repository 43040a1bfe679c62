"""Random arrangements: chords by functional harmony, played by MMA's grooves.

Conventions
-----------
An *arrangement* is a text for ``mma`` (Musical MIDI Accompaniment, Debian package ``mma``): tempo,
then sections of bars, each section with a groove of one library file. Only grooves in 4/4. Every
choice comes from the generator that is passed in.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from numpy.random import Generator

from tokensep.errors import DataError

NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
BEATS = 4
PHRASE = 4
"""Bars of a phrase; a section is two."""

# degree → (semitones over the tonic, triad, seventh chord) and where harmony goes from there
MAJOR = {
    "I": (0, "", "maj7"),
    "ii": (2, "m", "m7"),
    "iii": (4, "m", "m7"),
    "IV": (5, "", "maj7"),
    "V": (7, "", "7"),
    "vi": (9, "m", "m7"),
    "bVII": (10, "", "7"),
}
MINOR = {
    "I": (0, "m", "m7"),
    "III": (3, "", "maj7"),
    "IV": (5, "m", "m7"),
    "V": (7, "", "7"),
    "VI": (8, "", "maj7"),
    "VII": (10, "", "7"),
}
GOES_TO = {
    "I": ("IV", "V", "ii", "vi", "VI", "III", "VII", "bVII"),
    "ii": ("V", "IV"),
    "iii": ("vi", "IV"),
    "III": ("VI", "IV", "VII"),
    "IV": ("I", "V", "ii"),
    "V": ("I", "vi", "VI"),
    "vi": ("ii", "IV", "V", "iii"),
    "VI": ("IV", "VII", "V", "III"),
    "VII": ("I", "III", "VI"),
    "bVII": ("I", "IV"),
}
_ASIDE = re.compile(r"intro|end|fill|trad|break|tacet|click|metronome", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """One groove over some bars; a bar is one chord or two."""

    groove: str
    bars: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Arrangement:
    """An arrangement for MMA."""

    file: str
    """File of the groove library, e.g. ``stdlib/60srock``."""
    tempo: int
    seed: int
    sections: tuple[Section, ...]

    @property
    def seconds(self) -> float:
        """Length of all bars."""
        return sum(len(s.bars) for s in self.sections) * BEATS * 60 / self.tempo

    def text(self) -> str:
        """The program for ``mma``."""
        lines = [f"RndSeed {self.seed}", f"Use {self.file}", f"Tempo {self.tempo}"]
        number = 0
        for section in self.sections:
            lines.append(f"Groove {section.groove}")
            for bar in section.bars:
                number += 1
                lines.append(f"{number} " + (f"{bar[0]} / {bar[1]} /" if len(bar) > 1 else bar[0]))
        return "\n".join(lines) + "\n"


def grooves(library: Path) -> dict[str, tuple[str, ...]]:
    """Files of the standard library → their grooves in 4/4 that carry a song.

    Raises
    ------
    DataError
        ``library`` holds none.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted((library / "stdlib").glob("*.mma")):
        beats, signature, names = 0, "4 4", []
        for line in path.read_text(errors="replace").splitlines():
            words = line.split("//")[0].split()
            if len(words) < 2:
                continue
            if words[0].lower() == "time" and words[1].isdigit():
                beats = int(words[1])
            elif words[0].lower() == "timesig":
                signature = " ".join(words[1:3])
            elif words[0].lower() == "defgroove" and (beats, signature) == (BEATS, "4 4"):
                names.append(words[1])
        names = [n for n in names if not _ASIDE.search(n)]
        if names:
            found[f"stdlib/{path.stem}"] = tuple(dict.fromkeys(names))
    if not found:
        raise DataError(f"{library}: no grooves in 4/4; expected MMA's library (stdlib/*.mma)")
    return found


def phrase(rng: Generator, scale: dict[str, tuple[int, str, str]], length: int) -> list[str]:
    """``length`` scale degrees that start at the tonic; each may follow the one before it."""
    degrees = ["I"]
    while len(degrees) < length:
        choices = [d for d in GOES_TO[degrees[-1]] if d in scale]
        degrees.append(choices[int(rng.integers(len(choices)))])
    return degrees


def _section(
    rng: Generator, scale: dict[str, tuple[int, str, str]], tonic: int, sevenths: float
) -> tuple[tuple[str, ...], ...]:
    """Two phrases, the second a variation of the first's end."""
    first = phrase(rng, scale, PHRASE)
    second = [*first[:-1], phrase(rng, scale, 2)[-1] if first[-1] != "V" else "IV"]

    def chord(degree: str) -> str:
        steps, triad, seventh = scale[degree]
        return NAMES[(tonic + steps) % 12] + (seventh if rng.random() < sevenths else triad)

    bars = []
    for degree in (*first, *second):
        bar = [chord(degree)]
        if rng.random() < 0.12:
            bar.append(chord(phrase(rng, scale, 2)[-1]))
        bars.append(tuple(bar))
    return tuple(bars)


def arrange(rng: Generator, library: dict[str, tuple[str, ...]], seconds: float) -> Arrangement:
    """A random song of at least ``seconds``: two kinds of section in turn, one groove each."""
    files = list(library)
    file = files[int(rng.integers(len(files)))]
    names = library[file]
    tempo = int(rng.integers(72, 152))
    tonic, scale = int(rng.integers(12)), MAJOR if rng.random() < 0.6 else MINOR
    sevenths = float(rng.choice([0.0, 0.2, 0.8]))
    kinds = [
        Section(names[int(rng.integers(len(names)))], _section(rng, scale, tonic, sevenths))
        for _ in range(2)
    ]
    count = math.ceil(seconds * tempo / 60 / BEATS / (2 * PHRASE))
    sections = tuple(kinds[(i // 2) % 2] for i in range(count))
    return Arrangement(file, tempo, int(rng.integers(2**31)), sections)
