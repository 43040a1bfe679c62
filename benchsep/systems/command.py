"""Any program as a system: ``cmd:"my_separator {mixture} {out}"``."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

from benchsep.audio import STEMS, Audio, write_audio
from benchsep.errors import AudioError, BenchsepError, SeparatorError, UsageError
from benchsep.stems.files import audio_files, folders, stem_files
from benchsep.stems.names import MIXTURE
from benchsep.systems.contract import SystemInfo
from benchsep.systems.folder import offered, read_stems

COMMAND_TIMEOUT_S = 24 * 3600


class Command:
    """``cmd:"my_separator {mixture} {out}"``: any program that reads a wav and writes a folder.

    The template is split as a shell would split it, but no shell runs: a track called
    ``; rm -rf ~`` is an argument like any other. ``{mixture}`` becomes the path of a float
    wav, ``{out}`` an empty folder in which the program leaves its stems, directly or in sub-folders
    (``<stem>.wav``, ``<model>/mixture/<stem>.wav``, ``mixture_(Vocals)_<model>.wav``: see
    :mod:`benchsep.stems.files`), ``{seed}`` the seed.
    """

    def __init__(self, text: str, device: str = "cpu") -> None:
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"cmd:{text!r} cannot be split into words ({error})") from error
        if not any("{mixture}" in w for w in self.words) or not any(
            "{out}" in w for w in self.words
        ):
            raise UsageError(f"cmd:{text!r} must name both {{mixture}} and {{out}}")
        self.info = SystemInfo(
            name=f"cmd:{Path(self.words[0]).name}",
            family="unknown",
            deterministic=False,
            options={"command": text},
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio | BenchsepError]:
        with tempfile.TemporaryDirectory(prefix="benchsep-cmd-") as work:
            out = Path(work) / "out"
            out.mkdir()
            write_audio(Path(work) / "mixture.wav", mixture)
            places = {"{mixture}": str(Path(work) / "mixture.wav"), "{out}": str(out)}
            self._call([_fill(w, {**places, "{seed}": str(seed)}) for w in self.words])
            return self._collect(out, mixture)

    def _collect(self, out: Path, mixture: Audio) -> dict[str, Audio | BenchsepError]:
        try:
            files = stem_files(_audio_below(out), track=None)
        except AudioError as error:
            raise SeparatorError(f"{self.words[0]}: {error}") from error
        files = {name: path for name, path in files.items() if name not in MIXTURE}
        if not files:
            raise SeparatorError(
                f"{self.words[0]} left no stem in its output folder; expected files such as "
                f"{STEMS[0]}.wav or {MIXTURE[0]}_({STEMS[0].title()})_<model>.wav"
            )
        try:
            return dict(read_stems(files, offered(set(files), out), mixture))
        except UsageError as error:
            raise SeparatorError(f"{self.words[0]}: {error}") from error

    def _call(self, words: list[str]) -> None:
        try:
            done = subprocess.run(
                words, capture_output=True, check=False, timeout=COMMAND_TIMEOUT_S
            )
        except OSError as error:
            raise SeparatorError(f"{words[0]} cannot be started ({error})") from error
        if done.returncode:
            tail = done.stderr.decode(errors="replace").strip()[-400:]
            raise SeparatorError(f"{words[0]} ended with code {done.returncode}: {tail}")


def _fill(word: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def _audio_below(folder: Path, depth: int = 3) -> list[Path]:
    """Audio files in a folder and, down to ``depth`` levels, in its sub-folders."""
    below = [p for f in folders(folder) for p in _audio_below(f, depth - 1)] if depth else []
    return audio_files(folder) + below
