"""Find and call the programs and sound banks that play MIDI."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from benchsep._util.tensors import file_sha256
from tokensep.errors import DataError, Unavailable
from tokensep.train.synth import arrange

PACKAGES = "mma fluidsynth fluid-soundfont-gm timgm6mb-soundfont minuet-data avldrums.lv2-soundfont"
"""Debian packages; the first three suffice."""
FONT_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/usr/share/minuet/soundfonts")


@dataclass(frozen=True)
class Tools:
    """The programs, their library and banks."""

    mma: str
    fluidsynth: str
    library: dict[str, tuple[str, ...]]
    banks: tuple[Path, ...]
    kits: tuple[Path, ...]
    """Banks that hold one drum kit and no General MIDI instruments."""
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
            f"synthetic songs need {', '.join(absent)}, which is not installed; on Debian or "
            f"Ubuntu: apt-get install {PACKAGES}"
        )
    unique = tuple({path.name: path for path in found}.values())  # one font may be linked twice
    kits = tuple(path for path in unique if not has_drum_bank(path))
    banks = tuple(path for path in unique if path not in kits)
    if not banks:
        raise Unavailable(
            f"found no General MIDI bank among {', '.join(p.name for p in unique)}; on Debian "
            "or Ubuntu: apt-get install fluid-soundfont-gm"
        )
    versions = {
        "mma": version_of([mma, "-v"]),
        "fluidsynth": version_of([fluidsynth, "--version"]),
        **{path.name: file_sha256(path) for path in unique},
    }
    library = arrange.grooves(_library(Path(mma)))
    return Tools(mma, fluidsynth, library, banks, kits, versions)


def _library(program: Path) -> Path:
    """MMA's folder of grooves: below its prefix, or beside the program itself."""
    prefix = program.resolve().parent
    for place in (prefix.parent / "share" / "mma" / "lib", prefix / "lib"):
        if (place / "stdlib").is_dir():
            return place
    raise Unavailable(
        f"{program} has no groove library beside it; install the package mma: apt-get install mma"
    )


def version_of(command: list[str], **more: str) -> str:
    """The first line with a number in it that a program prints about itself."""
    environment = {**os.environ, **more}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    lines = [x for x in done.stdout.splitlines() if any(c.isdigit() for c in x)]
    return lines[0].strip() if lines else "unknown"


def has_drum_bank(path: Path) -> bool:
    """Whether a SoundFont's preset headers name bank 128, where General MIDI's drums are."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(b"phdr")
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at < 0 or size % 38:
            raise DataError(f"{path}: not a SoundFont (no preset headers)")
        heads = range(at + 8, at + 8 + size - 38, 38)  # 20 bytes name, then preset, then bank
        return any(data[head + 22 : head + 24] == b"\x80\x00" for head in heads)


def run_program(command: list[str], folder: Path, **more: str) -> None:
    """A program in ``folder``, which is also its home, so that no user's settings reach it.

    ``more``: further environment variables.

    Raises
    ------
    DataError
        It fails; the message has its last lines.
    """
    environment = {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8", **more}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
        raise DataError(f"{Path(command[0]).name} failed: {' / '.join(said[-2:])}")
