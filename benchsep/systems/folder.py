"""A folder of estimates as a system: ``dir:PATH``.

These layouts are recognised, in this order. The system's options name the one that was recognised,
so that a wrong guess is visible in the manifest:

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

from dataclasses import dataclass
from pathlib import Path

from benchsep.audio import STEMS, Audio, fit_length, read_audio
from benchsep.datasets.track import Track
from benchsep.errors import SeparatorError, UsageError
from benchsep.systems.contract import SystemInfo

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


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
            return {}  # such a name would address a file outside the folder
        base = self.root / self.nested if self.nested else self.root
        if self.name == "musdb":
            base = self.root / ("train" if track.split == "valid" else track.split)
        folder = base / track.name
        found = {stem: first_file(folder, stem) for stem in STEMS}
        return {stem: path for stem, path in found.items() if path is not None}

    def _bracketed(self, track: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(self.root.iterdir()):
            for stem in STEMS:
                if path.name.lower().startswith(f"{track}_({stem})".lower()):
                    if stem in found:
                        raise SeparatorError(
                            f"{found[stem].name} and {path.name} both claim to be {stem} of "
                            f"{track!r}; keep one model's files per folder"
                        )
                    found[stem] = path
        return found


def first_file(folder: Path, stem: str) -> Path | None:
    """``<folder>/<stem>`` with the first of :data:`SUFFIXES` that exists."""
    return next((p for s in SUFFIXES if (p := folder / f"{stem}{s}").is_file()), None)


def recognise(root: Path) -> Layout:
    """Which layout a folder of estimates follows.

    Raises
    ------
    UsageError
        if no stem file is found in any known place.
    """
    if any(_has_stems(f) for split in ("test", "train") for f in subfolders(root / split)):
        return Layout("musdb", root)
    if any(_has_stems(f) for f in subfolders(root)):
        return Layout("flat", root)
    models = [m for m in subfolders(root) if any(_has_stems(f) for f in subfolders(m))]
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


def subfolders(root: Path) -> list[Path]:
    """Sorted by name; empty where ``root`` is no folder."""
    return sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _has_stems(folder: Path) -> bool:
    return any(first_file(folder, stem) is not None for stem in STEMS)


class EstimatesFolder:
    """``dir:PATH``: estimates that exist already.

    The family is ``unknown`` unless the text names it, as in ``dir:PATH::generative``.
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
            needs_accelerator=False,
            from_files=True,
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
        SeparatorError
            no file for the track, or a length that differs from the mixture's.
        """
        files = self.layout.files(track)
        if not files:
            raise SeparatorError(f"{self.root}: no estimate of {track.name!r} ({self.layout.name})")
        return {stem: fitted(read_audio(path), mixture, path) for stem, path in files.items()}


LENGTH_SLACK_S = 0.1
"""Encoders pad or drop a fraction of a frame at the end; a larger difference is an error."""


def fitted(audio: Audio, mixture: Audio, path: Path) -> Audio:
    """``audio`` at the rate, length and channel count of ``mixture``.

    Raises
    ------
    SeparatorError
        the lengths differ by more than :data:`LENGTH_SLACK_S`.
    """
    audio = audio.resampled(mixture.rate)
    if abs(audio.frames - mixture.frames) > LENGTH_SLACK_S * mixture.rate:
        raise SeparatorError(
            f"{path}: {audio.frames} frames, the mixture has {mixture.frames}; an estimate must "
            "be as long as its mixture"
        )
    fitted = Audio(fit_length(audio.samples, mixture.frames), mixture.rate)
    return fitted.to_channels(mixture.channels)
