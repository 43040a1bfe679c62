"""Any program as a system: ``cmd:"my_separator {mixture} {out}"``."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

from benchsep.audio import STEMS, Audio, read_audio, write_audio
from benchsep.errors import SeparatorError, UsageError
from benchsep.systems.contract import SystemInfo
from benchsep.systems.folder import first_file, fitted, subfolders

COMMAND_TIMEOUT_S = 24 * 3600


class Command:
    """``cmd:"my_separator {mixture} {out}"``: any program that reads a wav and writes a folder.

    The template is split as a shell would split it, but no shell runs: a track called
    ``; rm -rf ~`` is an argument like any other. ``{mixture}`` becomes the path of a float
    wav, ``{out}`` an empty folder in which the program leaves ``<stem>.wav`` (directly or in
    one sub-folder), ``{seed}`` the seed.
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

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        with tempfile.TemporaryDirectory(prefix="benchsep-cmd-") as work:
            out = Path(work) / "out"
            out.mkdir()
            write_audio(Path(work) / "mixture.wav", mixture)
            places = {"{mixture}": str(Path(work) / "mixture.wav"), "{out}": str(out)}
            self._call([_fill(w, {**places, "{seed}": str(seed)}) for w in self.words])
            files = {stem: _first_below(out, stem) for stem in STEMS}
            found = {s: fitted(read_audio(p), mixture, p) for s, p in files.items() if p}
        if not found:
            raise SeparatorError(f"{self.words[0]} left no <stem>.wav in its output folder")
        return found

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


def _first_below(folder: Path, stem: str) -> Path | None:
    return first_file(folder, stem) or next(
        (p for sub in subfolders(folder) if (p := first_file(sub, stem))), None
    )
