"""Systems without code: a folder of estimates (``dir:PATH``) and any program (``cmd:TEMPLATE``).

Layouts of estimate folders that are recognised, in this order; the one found is named in the
system's options and printed, so that a wrong guess is seen:

================= ==========================================================
musdb             ``<root>/<split>/<track>/<stem>.wav`` (musdb, museval)
flat              ``<root>/<track>/<stem>.wav`` (demucs ``separated/<model>``, spleeter, MSST)
model             ``<root>/<model>/<track>/<stem>.wav`` with one model (demucs ``separated``)
audio-separator   ``<root>/<track>_(Stem)_<model>.wav``
================= ==========================================================

Files are paired with tracks by name, never by order, and only files named after one of our
stems are read: an ``accompaniment.wav`` changes nothing.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchsep.audio import STEMS, Audio, fit_length, read_audio, write_audio
from benchsep.datasets.track import Track
from benchsep.errors import SystemError_, UsageError
from benchsep.systems.contract import SystemInfo

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
COMMAND_TIMEOUT_S = 24 * 3600


@dataclass(frozen=True)
class Layout:
    """A recognised layout: ``files(track)`` gives the path of each stem that is there."""

    name: str
    root: Path
    nested: str = ""

    def files(self, track: Track) -> dict[str, Path]:
        if self.name == "audio-separator":
            return self._bracketed(track.name)
        if track.name in ("", ".", "..") or set(track.name) & set("/\\\0"):
            return {}  # the name of a song elsewhere, which is none of this folder's
        base = self.root / self.nested if self.nested else self.root
        if self.name == "musdb":
            base = self.root / ("train" if track.split == "valid" else track.split)
        folder = base / track.name
        found = {stem: _first_file(folder, stem) for stem in STEMS}
        return {stem: path for stem, path in found.items() if path is not None}

    def _bracketed(self, track: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(self.root.iterdir()):
            for stem in STEMS:
                if path.name.lower().startswith(f"{track}_({stem})".lower()):
                    if stem in found:
                        raise SystemError_(
                            f"{found[stem].name} and {path.name} both claim to be {stem} of "
                            f"{track!r}; keep one model's files per folder"
                        )
                    found[stem] = path
        return found


def _first_file(folder: Path, stem: str) -> Path | None:
    return next((p for s in SUFFIXES if (p := folder / f"{stem}{s}").is_file()), None)


def recognise(root: Path) -> Layout:
    """Which layout a folder of estimates follows.

    Raises
    ------
    UsageError
        if no stem file is found in any known place.
    """
    if any(_has_stems(f) for split in ("test", "train") for f in _folders(root / split)):
        return Layout("musdb", root)
    if any(_has_stems(f) for f in _folders(root)):
        return Layout("flat", root)
    models = [m for m in _folders(root) if any(_has_stems(f) for f in _folders(m))]
    if len(models) > 1:
        raise UsageError(
            f"{root} holds several models ({', '.join(m.name for m in models)}); name one: "
            f"dir:{models[0]}"
        )
    if models:
        return Layout("model", root, models[0].name)
    if any(f"_({stem})" in p.name.lower() for p in root.iterdir() for stem in STEMS):
        return Layout("audio-separator", root)
    raise UsageError(
        f"{root}: no estimates found; expected [test/]<track>/{{{','.join(STEMS)}}}.wav or "
        "<track>_(Vocals)_<model>.wav"
    )


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _has_stems(folder: Path) -> bool:
    return any(_first_file(folder, stem) is not None for stem in STEMS)


class EstimatesFolder:
    """``dir:PATH``: estimates that exist already.

    The family is not known; say it with ``dir:PATH::generative``.
    """

    def __init__(self, text: str, device: str = "cpu") -> None:
        path, _, family = text.partition("::")
        if family not in ("", "generative", "discriminative", "oracle"):
            raise UsageError(f"family {family!r}; expected generative, discriminative or oracle")
        self.root = Path(path).expanduser()
        if not self.root.is_dir():
            raise UsageError(f"dir:{self.root}: no such folder")
        self.layout = recognise(self.root)
        self.info = SystemInfo(
            name=f"dir:{self.root.name}",
            family=family or "unknown",  # type: ignore[arg-type]  # checked above
            training_data="undeclared",
            options={"layout": self.layout.name},
        )

    def stamp(self, track: Track) -> str:
        """Changes when a file behind the track's estimates changes."""
        stats = [(s, p.stat()) for s, p in sorted(self.layout.files(track).items())]
        return repr([(s, st.st_size, st.st_mtime_ns) for s, st in stats])

    def estimates(self, track: Track, mixture: Audio) -> dict[str, Audio]:
        """The estimates of a track, resampled to the mixture's rate if need be.

        Raises
        ------
        SystemError_
            no file for the track, or a length that differs from the mixture's.
        """
        files = self.layout.files(track)
        if not files:
            raise SystemError_(f"{self.root}: no estimate of {track.name!r} ({self.layout.name})")
        return {stem: _fitted(read_audio(path), mixture, path) for stem, path in files.items()}


LENGTH_SLACK_S = 0.1
"""Encoders pad or drop a fraction of a frame at the end; more than this is another song."""


def _fitted(audio: Audio, mixture: Audio, path: Path) -> Audio:
    audio = audio.resampled(mixture.rate)
    if abs(audio.frames - mixture.frames) > LENGTH_SLACK_S * mixture.rate:
        raise SystemError_(
            f"{path}: {audio.frames} frames, the mixture has {mixture.frames}; an estimate must "
            "be as long as its mixture"
        )
    fitted = Audio(fit_length(audio.samples, mixture.frames), mixture.rate)
    return fitted.to_channels(mixture.channels)


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
            found = {s: _fitted(read_audio(p), mixture, p) for s, p in files.items() if p}
        if not found:
            raise SystemError_(f"{self.words[0]} left no <stem>.wav in its output folder")
        return found

    def _call(self, words: list[str]) -> None:
        try:
            done = subprocess.run(
                words, capture_output=True, check=False, timeout=COMMAND_TIMEOUT_S
            )
        except OSError as error:
            raise SystemError_(f"{words[0]} cannot be started ({error})") from error
        if done.returncode:
            tail = done.stderr.decode(errors="replace").strip()[-400:]
            raise SystemError_(f"{words[0]} ended with code {done.returncode}: {tail}")


def _fill(word: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def _first_below(folder: Path, stem: str) -> Path | None:
    return _first_file(folder, stem) or next(
        (p for sub in _folders(folder) if (p := _first_file(sub, stem))), None
    )
