"""Synthetic songs with exact stems: MMA plays random chords, fluidsynth renders each stem.

Conventions
-----------
A song is a folder as MUSDB18-HQ has them: ``vocals.wav``, ``drums.wav``, ``bass.wav``,
``other.wav``, ``mixture.wav`` (16 bit, stereo, 44.1 kHz) and ``song.json`` with what made it.
``mixture`` is the exact sum of the four, sample by sample, as integers. Song ``n`` is a function of
(seed, n, length, vocals, programs): the folder's ``manifest.json`` holds all of these, and a folder
that was begun with others is refused. A song is there whole or not at all; a second run goes on.

Levels against the mixture are drawn from what was measured on MUSDB18 (:data:`LEVELS`). Vocals are
given recordings, phrase after phrase, in whatever key they are; without them the stem is silent.

Needs the programs ``mma`` and ``fluidsynth`` and at least one SoundFont (:data:`PACKAGES`).
Songs made so are easier than real ones: to widen training, never as the only truth.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchsep._util.atomic import pid_alive, write_atomically
from benchsep._util.tensors import file_sha256
from benchsep.audio import STEMS
from tokensep.errors import DataError, Unavailable
from tokensep.train.data import decode, loose_files, musdb_files, validation_songs
from tokensep.train.synth import arrange, midi

RATE = 44_100
PACKAGES = "mma fluidsynth fluid-soundfont-gm timgm6mb-soundfont minuet-data avldrums.lv2-soundfont"
"""Debian's; the first three suffice."""
FONT_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/usr/share/minuet/soundfonts")
LEVELS = {
    "vocals": (-9.4, -5.4, -3.1),
    "drums": (-13.3, -6.7, -3.1),
    "bass": (-13.8, -7.4, -2.5),
    "other": (-12.5, -6.2, -2.9),
}
"""dB of a stem against the mixture: 5th, 50th and 95th percentile over MUSDB18's excerpts."""
PAN = {"vocals": 0.1, "drums": 0.15, "bass": 0.1, "other": 0.5}
"""Largest balance of a stem, -1 (left) to 1."""
ATTEMPTS = 12
DRUM_KITS = (0, 0, 8, 16, 24, 25, 32, 40)
_Z95 = 1.6449

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """What is made."""

    songs: int = 50
    seconds: float = 30.0
    seed: int = 0
    jobs: int = 1
    vocals: Path | None = None
    fonts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.songs < 1 or self.jobs < 1 or not 1 <= self.seconds <= 3600:
            raise DataError(
                f"{self.songs} songs of {self.seconds:g} s by {self.jobs} jobs; expected at least "
                "one of each, and 1 to 3600 seconds"
            )


@dataclass(frozen=True)
class Tools:
    """The programs, their library and banks."""

    mma: str
    fluidsynth: str
    library: dict[str, tuple[str, ...]]
    banks: tuple[Path, ...]
    kits: tuple[Path, ...]
    """Banks that hold one drum kit and no General MIDI."""
    versions: dict[str, str] = field(default_factory=dict)


def find_tools(fonts: tuple[Path, ...] = ()) -> Tools:
    """The programs and banks of this machine; ``fonts`` instead of the installed banks.

    Raises
    ------
    Unavailable
        a program or every bank is absent; the message names the packages.
    """
    programs = {name: shutil.which(name) for name in ("mma", "fluidsynth")}
    found = fonts or tuple(
        path for folder in FONT_FOLDERS for path in sorted(Path(folder).glob("*.sf[23]"))
    )
    absent = [name for name, path in programs.items() if path is None]
    absent += [str(path) for path in fonts if not path.is_file()]
    absent += [] if found else ["a SoundFont (.sf2)"]
    mma, fluidsynth = programs["mma"], programs["fluidsynth"]
    if absent or mma is None or fluidsynth is None:
        raise Unavailable(
            f"synthetic songs need {', '.join(absent)}, not found here; on Debian or Ubuntu: "
            f"apt-get install {PACKAGES}"
        )
    unique = tuple({path.name: path for path in found}.values())  # one font may be linked twice
    kits = tuple(path for path in unique if not _has_drum_bank(path))
    banks = tuple(path for path in unique if path not in kits)
    if not banks:
        raise Unavailable(
            f"no General MIDI bank among {', '.join(p.name for p in unique)}; on Debian or Ubuntu: "
            "apt-get install fluid-soundfont-gm"
        )
    versions = {
        "mma": _version([mma, "-v"]),
        "fluidsynth": _version([fluidsynth, "--version"]),
        **{path.name: file_sha256(path) for path in unique},
    }
    library = arrange.grooves(_library(Path(mma)))
    return Tools(mma, fluidsynth, library, banks, kits, versions)


def _library(program: Path) -> Path:
    """Where MMA keeps its grooves: beside its prefix, or beside the program itself."""
    prefix = program.resolve().parent
    for place in (prefix.parent / "share" / "mma" / "lib", prefix / "lib"):
        if (place / "stdlib").is_dir():
            return place
    raise Unavailable(f"{program} has no groove library beside it; apt-get install mma")


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = [x for x in done.stdout.splitlines() if any(c.isdigit() for c in x)]
    return lines[0].strip() if lines else "unknown"


def _has_drum_bank(path: Path) -> bool:
    """Whether a SoundFont's preset headers name bank 128, where General MIDI's drums are."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(b"phdr")
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at < 0 or size % 38:
            raise DataError(f"{path}: not a SoundFont (no preset headers)")
        heads = range(at + 8, at + 8 + size - 38, 38)  # 20 bytes name, then preset, then bank
        return any(data[head + 22 : head + 24] == b"\x80\x00" for head in heads)


def _run(command: list[str], folder: Path) -> None:
    """A program in ``folder``, which is also its home, so that no user's settings reach it."""
    environment = {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
        raise DataError(f"{Path(command[0]).name} failed: {' / '.join(said[-2:])}")


def play(arrangement: arrange.Arrangement, tools: Tools, folder: Path) -> dict[str, midi.Midi]:
    """Drums, bass and other of an arrangement as MIDI.

    Raises
    ------
    DataError
        MMA refuses it, or one of the three has next to no notes.
    """
    (folder / "song.mma").write_text(arrangement.text())
    _run([tools.mma, "song.mma", "-f", "song.mid"], folder)
    parts = midi.split(midi.parse((folder / "song.mid").read_bytes()))
    bars = sum(len(section.bars) for section in arrangement.sections)
    counts = {name: midi.notes(part) for name, part in parts.items()}
    if min(counts.values()) < bars / 2:
        raise DataError(f"{arrangement.file}: notes in {bars} bars: {counts}")
    return parts


def voiced(part: midi.Midi, stem: str, rng: Generator) -> midi.Midi:
    """Other instruments of the same kind, so that a groove does not always sound alike."""
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
    """One stem ``[2, frames]`` by a bank of its own, and what was chosen.

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
    _run([tools.fluidsynth, "-niq", *options, *target, str(bank), f"{stem}.mid"], folder)
    samples, _ = soundfile.read(str(folder / f"{stem}.wav"), dtype="float32", frames=frames)
    wave = np.zeros((2, frames), np.float32)
    wave[:, : len(samples)] = samples.T
    if _rms(wave) < 1e-4:
        raise DataError(f"{bank.name} has nothing to play for the {stem}")
    return wave, {"bank": bank.name, "reverb": room if reverb else None}


def vocal_files(folder: Path) -> list[tuple[Path, int]]:
    """Vocals of a MUSDB folder without the validation songs, or every recording of a folder.

    Raises
    ------
    DataError
        there are none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of vocals")
    files = [(p, s) for _, stem, p, s in musdb_files(folder, None, set()) if stem == "vocals"]
    if files:
        held_out = set(validation_songs())
        kept = musdb_files(folder, None, held_out)
        files = [(p, s) for _, stem, p, s in kept if stem == "vocals"]
    else:
        files = [(p, s) for _, _, p, s in loose_files(folder)]
    if not files:
        raise DataError(f"{folder}: no vocals; expected a MUSDB train folder or recordings")
    return files


def sing(files: list[tuple[Path, int]], rng: Generator, frames: int) -> Wave:
    """A vocal line ``[2, frames]``: phrases of random recordings with rests between them."""
    line = np.zeros((2, frames), np.float32)
    at, misses = int(rng.integers(RATE * 2)), 0
    while at < frames - RATE and misses < 20:
        path, stream = files[int(rng.integers(len(files)))]
        voice = np.asarray(decode(path, stream, RATE).astype(np.float32) / 32768, np.float32)
        length = min(int(rng.uniform(3, 12) * RATE), voice.shape[1], frames - at)
        start = int(rng.integers(voice.shape[1] - length + 1))
        piece = voice[:2, start : start + length]
        if _rms(piece) < 3e-3:  # a rest of the singer's, as most songs have
            misses += 1
            continue
        line[:, at : at + length] = faded(piece)
        at += length + int(rng.uniform(0.2, 2.0) * RATE)
    return line


def faded(piece: Wave, seconds: float = 0.02) -> Wave:
    """``piece [C, T]`` from and to zero at its ends."""
    count = min(int(seconds * RATE), piece.shape[1] // 2)
    ramp = np.ones(piece.shape[1], np.float32)
    ramp[:count] = np.linspace(0, 1, count)
    ramp[piece.shape[1] - count :] = np.linspace(1, 0, count)
    return np.asarray(piece * ramp, dtype=np.float32)


def draw_levels(rng: Generator) -> dict[str, float]:
    """Levels in dB against the mixture: two half normals that meet the three percentiles."""
    levels = {}
    for stem, (low, middle, high) in LEVELS.items():
        z = float(np.clip(rng.standard_normal(), -2.5, 2.5))
        levels[stem] = middle + z * ((middle - low) if z < 0 else (high - middle)) / _Z95
    return levels


def panned(wave: Wave, balance: float) -> Wave:
    """Constant-power balance of ``wave [2, T]``; 0 leaves it as it is."""
    angle = (balance + 1) * np.pi / 4
    gains = np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])
    return np.asarray(wave * gains, dtype=np.float32)


def mix(
    stems: dict[str, Wave], levels: dict[str, float], loudness: float, headroom: float = 0.98
) -> dict[str, NDArray[np.int16]]:
    """Stems at their levels as 16 bit, and ``mixture``, their exact sum.

    Parameters
    ----------
    stems : ``[2, T]``; a silent one stays silent.
    levels : dB of each; only their differences matter.
    loudness : dBFS of the mixture, less where its peak or a stem's would pass ``headroom``.
    """
    scaled = {
        name: wave * (10 ** (levels[name] / 20) / max(_rms(wave), 1e-9))
        if _rms(wave) > 1e-6
        else np.zeros_like(wave)
        for name, wave in stems.items()
    }
    total = np.sum(list(scaled.values()), axis=0)
    peak = max(float(np.abs(w).max()) for w in (total, *scaled.values()))
    if peak == 0:
        raise DataError("every stem is silent")
    gain = min(10 ** (loudness / 20) / max(_rms(total), 1e-9), headroom / peak)
    whole = {name: np.round(wave * gain * 32767).astype(np.int16) for name, wave in scaled.items()}
    # Rounding moves the sum by two steps at most, which the headroom has room for.
    total_int = np.sum([w.astype(np.int32) for w in whole.values()], axis=0)
    return {**whole, "mixture": total_int.astype(np.int16)}


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def make_song(
    number: int, settings: Settings, tools: Tools, voices: list[tuple[Path, int]], folder: Path
) -> tuple[dict[str, NDArray[np.int16]], dict[str, Any]]:
    """Song ``number``: its waves and what made it; ``folder`` is for files in between.

    Raises
    ------
    DataError
        no arrangement in :data:`ATTEMPTS` could be played.
    """
    rng = np.random.default_rng([settings.seed, number])
    frames, refused = int(settings.seconds * RATE), []
    for _ in range(ATTEMPTS):
        arrangement = arrange.arrange(rng, tools.library, settings.seconds)
        stems, chosen = {}, {}
        try:
            for stem, part in play(arrangement, tools, folder).items():
                stems[stem], chosen[stem] = render(part, stem, tools, rng, frames, folder)
            break
        except DataError as error:
            refused.append(str(error))
    else:
        raise DataError(f"song {number}: {ATTEMPTS} arrangements failed; the last: {refused[-1]}")
    empty = np.zeros((2, frames), np.float32)
    stems["vocals"] = sing(voices, rng, frames) if voices else empty
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


def song_name(settings: Settings, number: int) -> str:
    """Folder of a song; the seed is in it, so that folders of several seeds can be joined."""
    return f"synth-{settings.seed}-{number:06d}"


def write_song(
    out: Path, number: int, settings: Settings, tools: Tools, voices: list[tuple[Path, int]]
) -> bool:
    """Make one song and put it into ``out``, whole; False where it was there already."""
    import soundfile

    target = out / song_name(settings, number)
    if target.exists():
        return False
    with tempfile.TemporaryDirectory(prefix=f".partial-{_host()}-{os.getpid()}-", dir=out) as work:
        made = Path(work) / "made"
        made.mkdir()
        waves, facts = make_song(number, settings, tools, voices, Path(work))
        for name, wave in waves.items():
            soundfile.write(str(made / f"{name}.wav"), wave.T, RATE, subtype="PCM_16")
        write_atomically(made / "song.json", json.dumps(facts, indent=1) + "\n")
        try:
            made.rename(target)
        except OSError:
            if target.exists():  # another process was quicker
                return False
            raise
    return True


def _host() -> str:
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"


def _sweep(out: Path) -> None:
    """Remove what killed processes of this machine left half made."""
    for old in out.glob(f".partial-{_host()}-*"):
        if not pid_alive(int(old.name.split("-")[2])):
            shutil.rmtree(old, ignore_errors=True)


def _claim(out: Path, settings: Settings, tools: Tools, voices: Iterable[tuple[Path, int]]) -> None:
    """Write the manifest, or refuse a folder that was begun with another."""
    names = sorted(f"{path.name}:{path.stat().st_size}:{stream}" for path, stream in voices)
    manifest = {
        "seed": settings.seed,
        "seconds": settings.seconds,
        "vocals": hashlib.sha256("\n".join(names).encode()).hexdigest() if names else None,
        "vocal_recordings": len(names),
        "grooves": sum(len(g) for g in tools.library.values()),
        "programs": tools.versions,
        "debian_packages": PACKAGES.split(),
    }
    path = out / "manifest.json"
    if path.exists():
        before = json.loads(path.read_text())
        other = [key for key in manifest if before.get(key) != manifest[key]]
        if other:
            raise DataError(
                f"{out} was begun with another {', '.join(other)} ({path.name} says which); give "
                "the same, or another folder"
            )
        return
    write_atomically(path, json.dumps(manifest, indent=1) + "\n")


def run(out: Path, settings: Settings) -> dict[str, Any]:
    """Make the songs that are missing; returns counts and the measured rate.

    Raises
    ------
    Unavailable
        the programs or banks are absent.
    DataError
        ``out`` was begun with other settings, or the vocals are none.
    """
    tools = find_tools(settings.fonts)
    voices = vocal_files(settings.vocals) if settings.vocals else []
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, settings, tools, voices)
    _sweep(out)
    before = os.times()
    missing = [n for n in range(settings.songs) if not (out / song_name(settings, n)).exists()]
    made = 0
    # threads are enough: the work is done by the programs they wait for
    with ThreadPoolExecutor(settings.jobs) as pool:
        for fresh in pool.map(lambda n: write_song(out, n, settings, tools, voices), missing):
            made += fresh
            if made % 10 == 0 or made == len(missing):
                print(f"{made}/{len(missing)} songs", file=sys.stderr, flush=True)
    cpu = sum(os.times()[:4]) - sum(before[:4])
    return {
        "songs": settings.songs,
        "made": made,
        "minutes": round(settings.songs * settings.seconds / 60, 2),
        "cpu_seconds": round(cpu, 1),
        "songs_per_cpu_minute": round(60 * made / cpu, 2) if made else None,
    }
