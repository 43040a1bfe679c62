"""Exports a listening test: webMUSHRA configuration, sounds and key.

Conventions
-----------
export      a folder to copy into a webMUSHRA installation: ``<name>.yaml`` and 16-bit wav files,
            level-matched (BS.1770) to the reference; webMUSHRA itself makes the 3.5 and 7 kHz
            anchors
blinding    conditions are ``C1``, ``C2`` … in the YAML, so that no listener reads a system's name
            in the browser; ``conditions.csv`` is the key that
            :func:`benchsep.listeners.mushra.read_ratings` takes

Functions
---------
export_run         a test from a run: the songs with the largest disagreement of metrics
export_webmushra   a test from given songs
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep.audio import Audio, write_audio
from benchsep.errors import UsageError
from benchsep.listeners.mushra import KEY_COLUMNS
from benchsep.report.loudness import match_gains
from benchsep.report.tables.model import is_reference
from benchsep.runner.manifest import stem_set_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchsep.report.excerpts import Song

MOST_SIGNALS, MOST_SECONDS = 12, 12.0
"""Limits of BS.1534-3 (5.3 and 5.2.3), which webMUSHRA checks. The reference and two anchors count
as signals."""


def export_run(
    folder: str | Path,
    out: str | Path,
    *,
    stem: str = "vocals",
    max_songs: int = 8,
    seconds: float = 10.0,
    systems: Sequence[str] | None = None,
    name: str = "benchsep",
    root: str | None = None,
) -> list[Path]:
    """A test from a run: the songs on which its metrics disagree most.

    Parameters
    ----------
    systems
        Labels that are judged; ``None`` takes every system and oracle with audio.
    seconds
        Most seconds of each song, from the part in which its stems are most active; BS.1534
        recommends ten.
    root
        Folder of the data set; ``None`` takes that of ``MUSDB_PATH``.

    Raises
    ------
    UsageError
        the name is not a valid file name, a system is not in the run, or there is no song to judge.
    StoreError
        ``folder`` is not a run folder.
    """
    from benchsep.report.excerpts import Source, systems_with_audio, warn
    from benchsep.report.run import load, most_disputed_songs
    from benchsep.runner.store import Store

    if not 0 < seconds <= MOST_SECONDS:
        raise UsageError(
            f"found --seconds {seconds:g}, expected at most {MOST_SECONDS:g}, the limit of a "
            "MUSHRA signal"
        )
    if not re.fullmatch(r"[\w-]+", name):
        raise UsageError(f"found --name {name!r}, expected letters, digits, - and _ only")
    run = load(Path(folder), intervals=False)
    available = systems_with_audio(run.families)
    if unknown := [s for s in systems or () if s not in available]:
        raise UsageError(
            f"the run has no system {', '.join(unknown)} with audio; there are: "
            f"{', '.join(available)}"
        )
    source = Source(Store(Path(folder)), root, say=warn, seconds=seconds)
    there = stem_set_of(source.store.manifest())
    if stem not in there:
        raise UsageError(f"the run has no stem {stem!r}; there are: {', '.join(there)}")
    if not source.tracks:
        raise UsageError("a listening test needs the songs of the run; give their folder (--root)")
    songs = source.songs(most_disputed_songs(run, max_songs), list(systems or available))
    address = f"configs/resources/{name}"
    return export_webmushra(songs, run.families, out, stem=stem, name=name, address=address)


def export_webmushra(
    songs: Iterable[Song],
    families: Mapping[str, str],
    out: str | Path,
    *,
    stem: str = "vocals",
    name: str = "benchsep",
    address: str = "configs/resources/benchsep",
) -> list[Path]:
    """Write ``<name>.yaml``, the sounds and the key of one MUSHRA test.

    Parameters
    ----------
    songs
        One trial each; a song without ``stem`` or without any system is left out.
    families
        System label to family, for the key.
    address
        Folder of the sounds, as seen from webMUSHRA's root.

    Raises
    ------
    UsageError
        if no song has the stem.
    """
    out = Path(out)
    trials: list[_Trial] = []
    for song in songs:
        signals = _signals(song, stem)
        if stem in song.references and signals:
            trials.append(_Trial(f"trial{len(trials) + 1}", song.name, stem, tuple(signals)))
            trials[-1].write_sounds({"reference": song.references[stem], **signals}, out)
    if not trials:
        raise UsageError(f"no song has the stem {stem!r} and a system that separated it")
    return [
        _write_config(out / f"{name}.yaml", name, stem, [t.page(address) for t in trials]),
        _write_key(out / "conditions.csv", [row for t in trials for row in t.key_rows(families)]),
        *(path for t in trials for path in t.sounds(out).values()),
    ]


def _signals(song: Song, stem: str) -> dict[str, Audio]:
    """The estimates of a stem that are judged, by system.

    Raises
    ------
    UsageError
        there are more systems than a trial may have signals.
    """
    signals = {
        system: stems[stem]
        for system, stems in song.estimates.items()
        if stem in stems and not is_reference(system)
    }
    if len(signals) + 3 > MOST_SIGNALS:
        raise UsageError(
            f"{len(signals)} systems, the reference and two anchors are more than the "
            f"{MOST_SIGNALS} signals of a MUSHRA trial; choose with --systems"
        )
    return signals


@dataclass(frozen=True)
class _Trial:
    """One song of the test: a page of webMUSHRA, its sounds and its rows of the key."""

    id: str
    song: str
    stem: str
    systems: tuple[str, ...]

    @property
    def conditions(self) -> dict[str, str]:
        """System to its name in the test; the reference first."""
        return {"reference": "ref"} | {s: f"C{i}" for i, s in enumerate(self.systems, 1)}

    def sounds(self, out: Path) -> dict[str, Path]:
        """System to its sound file."""
        folder = out / "sounds"
        return {s: folder / f"{self.id}_{name}.wav" for s, name in self.conditions.items()}

    def write_sounds(self, signals: Mapping[str, Audio], out: Path) -> None:
        gains = match_gains(signals, "reference")
        for system, path in self.sounds(out).items():
            audio = signals[system]
            matched = Audio(audio.samples * 10 ** (gains[system] / 20), audio.rate)
            write_audio(path, matched, subtype="PCM_16")

    def page(self, address: str) -> dict[str, Any]:
        """WebMUSHRA's page; ``address`` is the folder of ``sounds``."""
        urls = {c: f"{address}/sounds/{self.id}_{c}.wav" for c in self.conditions.values()}
        return {
            "type": "mushra",
            "id": self.id,
            "name": f"Trial {self.id.removeprefix('trial')}",
            "content": "",
            "showWaveform": False,
            "enableLooping": True,
            "randomize": True,
            "showConditionNames": False,
            "createAnchor35": True,
            "createAnchor70": True,
            "reference": urls.pop("ref"),
            "stimuli": urls,
        }

    def key_rows(self, families: Mapping[str, str]) -> list[dict[str, Any]]:
        return [
            {
                "trial": self.id,
                "condition": self.conditions[system],
                "song": self.song,
                "stem": self.stem,
                "system": system,
                "family": families.get(system, "unknown"),
                "kind": "system",
            }
            for system in self.systems
        ]


def _write_config(path: Path, name: str, stem: str, trials: list[dict[str, Any]]) -> Path:
    import yaml

    config = {
        "testname": f"benchsep: {stem}",
        "testId": name,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [_welcome(name), ["random", *trials], _farewell()],
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=False), encoding="utf-8")
    return path


def _welcome(name: str) -> dict[str, Any]:
    text = (
        "Rate every sound against the reference, from 0 (bad) to 100 (excellent). Use headphones."
    )
    return {"type": "generic", "id": "welcome", "name": name, "content": text}


def _farewell() -> dict[str, Any]:
    return {
        "type": "finish",
        "name": "Thank you",
        "content": "Send your ratings.",
        "showResults": False,
        "writeResults": True,
        # Some versions of webMUSHRA write no session number; this field then distinguishes the
        # raters.
        "questionnaire": [{"type": "text", "label": "Your name or number", "name": "rater"}],
    }


def _write_key(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    # Names are not escaped, because `read_ratings` reads the key by name.
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, KEY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
