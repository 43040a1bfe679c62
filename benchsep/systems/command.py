"""Any program as a system: ``cmd:"my_separator {mixture} {out}"``.

:mod:`benchsep.systems.program` runs it and ends whatever it has started.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from benchsep._util.escape import visible
from benchsep._util.processes import exit_reason
from benchsep._util.reason import without_path
from benchsep._util.tensors import remembered_sha256
from benchsep._util.work_folder import work_folder
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.errors import AudioError, BenchsepError, SeparatorError, UsageError
from benchsep.stems.files import audio_files, folders, loosely_named, stem_files
from benchsep.stems.names import MIXTURE
from benchsep.systems.contract import SystemInfo
from benchsep.systems.folder import offered, read_stems
from benchsep.systems.named import note_name
from benchsep.systems.program import run_program

COMMAND_TIMEOUT_S = 24 * 3600
TAIL = 400
"""Characters of the program's output that an error shows."""
SCRIPTS = (".py", ".sh", ".pl", ".js", ".m", ".r", ".jl", ".lua")
SIBLINGS = 200
"""Most scripts in the folder of a named script that are hashed with it."""
SMALL = 64 << 20
"""Bytes. A larger file is hashed in blocks, once per process."""


class Command:
    """``cmd:"my_separator {mixture} {out}"``: any program that reads a wav and writes a folder.

    The template is split as a shell would split it, but no shell runs: a track called
    ``; rm -rf ~`` is an argument like any other. ``{mixture}`` becomes the path of a float
    wav, ``{out}`` an empty folder into which the program writes its stems, directly or in
    sub-folders (``<stem>.wav``, ``<model>/mixture/<stem>.wav``, ``mixture_(Vocals)_<model>.wav``:
    see :mod:`benchsep.stems.files`), ``{seed}`` the seed.
    """

    def __init__(self, text: str, device: str = "cpu") -> None:
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"cmd:{text!r} cannot be split into words ({error})") from error
        if not any("{mixture}" in w for w in self.words) or not any(
            "{out}" in w for w in self.words
        ):
            raise UsageError(f"cmd:{text!r} must contain both {{mixture}} and {{out}}")
        self.info = SystemInfo(
            name=f"cmd:{Path(self.words[0]).name}",
            family="unknown",
            deterministic=False,
            version=program_version(self.words),
            options={"command": text},
            from_program=True,
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio | BenchsepError]:
        with work_folder("cmd") as work:
            out = work / "out"
            out.mkdir()
            write_audio(work / "mixture.wav", mixture)
            places = {"{mixture}": str(work / "mixture.wav"), "{out}": str(out)}
            self._call([_fill(w, {**places, "{seed}": str(seed)}) for w in self.words], str(work))
            return self._collect(out, mixture)

    def _collect(self, out: Path, mixture: Audio) -> dict[str, Audio | BenchsepError]:
        try:
            written = _audio_below(out)
            files = stem_files(written, track=None)
        except AudioError as error:
            raise SeparatorError(f"{self.words[0]}: {error}") from error
        files = {name: path for name, path in files.items() if name not in MIXTURE}
        if not files:
            raise SeparatorError(
                f"{self.words[0]} wrote no stem to its output folder; expected files such as "
                f"{STEMS[0]}.wav or {MIXTURE[0]}_({STEMS[0].title()})_<model>.wav"
            )
        loose = loosely_named(written, song=MIXTURE[0])
        try:
            stems = offered(set(files), out)
            for stem, names in stems.sources.items():
                if found := [loose[name].name for name in names if name in loose]:
                    note_name(stem, visible(", ".join(found)))
            return dict(read_stems(files, stems, mixture))
        except UsageError as error:
            raise SeparatorError(f"{self.words[0]}: {error}") from error

    def _call(self, words: list[str], folder: str) -> None:
        try:
            ended = run_program(words, folder, COMMAND_TIMEOUT_S)
        except (OSError, ValueError) as error:
            why = without_path(error)
            raise SeparatorError(
                f"{words[0]} cannot be started ({why}); install it, or give its path"
            ) from error
        if ended.code is None:
            raise SeparatorError(f"{words[0]} took more than {COMMAND_TIMEOUT_S:g} s")
        if ended.code:
            tail = ended.output.strip()[-TAIL:]
            raise SeparatorError(f"{words[0]} ended with {exit_reason(ended.code)}: {tail}")


def program_version(words: list[str]) -> str:
    """A hash of the program's file, of every file that the command names (also as
    ``--option=FILE``) and, for a script, of the scripts of its kind next to it, which it may
    import.

    Other files that a program loads (an installed module of ``python -m``, weights in a cache, the
    files of a folder) and the environment are not hashed: name the file in the command, or pass
    ``--overwrite always``.
    """
    program = shutil.which(words[0])
    files = set()
    for path in [*([Path(program)] if program else []), *_files_in(words[1:])]:
        files.add(path)
        if path.suffix in SCRIPTS:
            files.update(sorted(path.resolve().parent.glob(f"*{path.suffix}"))[:SIBLINGS])
    total = hashlib.sha256()
    for path in sorted(files):
        with suppress(OSError):
            total.update(f"{path.name}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            total.update(_content_or_hash(path))
    return total.hexdigest()[:16]


def _files_in(words: list[str]) -> list[Path]:
    """The files that words name: a whole word, or a part of ``--option=FILE`` or of a command line
    for a shell (``bash -c "prog FILE"``).
    """
    parts = [part for word in words for part in (word, *re.split(r"[\s=]+", word))]
    return [Path(part) for part in dict.fromkeys(parts) if part and is_file(part)]


def _content_or_hash(path: Path) -> bytes:
    """The content of a script or another small file; the hash of a large one (weights)."""
    if path.stat().st_size <= SMALL:
        return path.read_bytes()
    return remembered_sha256(path).encode()


def is_file(text: str) -> bool:
    """Whether a word of a command or an option names a file. Never raises."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _fill(word: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def _audio_below(folder: Path, depth: int = 3) -> list[Path]:
    """Audio files in a folder and, down to ``depth`` levels, in its sub-folders."""
    below = [p for f in folders(folder) for p in _audio_below(f, depth - 1)] if depth else []
    return audio_files(folder) + below
