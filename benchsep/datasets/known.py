"""Data sets by name: address, licence, layout and known errors.

Sources: zenodo.org/records/3338373 and /1117372; the errata of sigsep.github.io/datasets/musdb.html
(content/datasets/musdb.md of github.com/sigsep/website); the sample URL in ``configs/mus.yaml`` of
the ``musdb`` package; github.com/moises-ai/moises-db. Checksums: SHA-256 from
``torchaudio.datasets.MUSDB_HQ``, MD5 from Zenodo's record of 1117372.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MUSDB_TERMS = "academic, non-commercial use"

MUSDB_ERRATA = {
    "Al James - Schoolboy Facination": "synth vocals are in other",
    "Chris Durban - Celebrate": "other instruments bleed into vocals",
    "Detsky Sad - Walkie Talkie": "part of other is in drums",
    "Enda Reilly - Cur An Long Ag Seol": "speech at the start of other",
    "Hop Along - Sister Cities": "other instruments bleed into vocals",
    "Leaf - Wicked": "electric guitar is in drums (2:20, 3:02)",
    "PR - Oh No": "the stems do not sum to the left channel of the mixture",
}
"""Track to its known error."""

NOT_THE_SUM = ("PR - Oh No",)
"""Tracks whose mixture is known not to be the sum of the stems."""


@dataclass(frozen=True)
class Known:
    """A data set that has a name."""

    name: str
    layout: str
    address: str
    how: str
    counts: Mapping[str, int]
    """Folder of a split to its number of tracks; ``""``: the root has no splits."""
    checksum: str = ""
    terms: str = MUSDB_TERMS
    seconds: tuple[float, float] = (0.0, float("inf"))
    """Length of any track, shortest and longest that is plausible."""
    errata: Mapping[str, str] = field(default_factory=dict)


KNOWN = {
    known.name: known
    for known in (
        Known(
            "musdb18hq",
            "ROOT/{train,test}/TRACK/{mixture,vocals,drums,bass,other}.wav",
            "https://zenodo.org/records/3338373",
            "download musdb18hq.zip (22.7 GB) and unpack it",
            {"train": 100, "test": 50},
            "sha256:baac80d0483c61d74b2e5f3be75fa557eec52898339e6aa45c1fa48833c5d21d",
            seconds=(10.0, float("inf")),
            errata=MUSDB_ERRATA,
        ),
        Known(
            "musdb18",
            "ROOT/{train,test}/TRACK.stem.mp4",
            "https://zenodo.org/records/1117372",
            "download musdb18.zip (4.7 GB) and unpack it",
            {"train": 100, "test": 50},
            "md5:af06762477334799bfc5abf237648207",
            seconds=(10.0, float("inf")),
            errata=MUSDB_ERRATA,
        ),
        Known(
            "musdb18-7s",
            "ROOT/{train,test}/TRACK.stem.mp4",
            "https://github.com/sigsep/sigsep-mus-db/releases/download/v0.4.0/MUSDB18-7-STEMS.zip",
            "pip install 'benchsep[musdb]'; the first run fetches it, to ~/MUSDB18/MUSDB18-7",
            {"train": 94, "test": 50},
            seconds=(0.0, 10.0),
            errata=MUSDB_ERRATA,
        ),
        Known(
            "moisesdb",
            "ROOT/moisesdb_v0.1/UUID/{data.json,STEM/UUID.wav}",
            "https://developer.moises.ai/research",
            "ask for access there, download and unpack it",
            {"": 240},
        ),
    )
}
