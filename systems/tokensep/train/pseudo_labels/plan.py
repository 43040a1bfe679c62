"""Estimated cost of labelling a folder: hours, shards, bytes, time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep.audio import STEMS
from tokensep.errors import DataError
from tokensep.train.pseudo_labels.pieces import Piece, read_piece
from tokensep.train.pseudo_labels.quality import refusal
from tokensep.train.pseudo_labels.settings import Label, Settings

FLAC_SHARE = 0.55
"""Bytes of FLAC over bytes of 16-bit PCM (measured on pop music)."""


@dataclass(frozen=True)
class Totals:
    """Of all pieces of a folder; ``digest`` is a hash of their files, starts and lengths."""

    pieces: int
    seconds: float
    frames: int
    shards: int
    digest: str


def target_of(out: Path, index: int) -> Path:
    """The file of shard ``index``."""
    return out / f"shard-{index:06d}.tar"


def plan(
    totals: Totals,
    pieces: Iterable[Piece],
    label: Label | None,
    out: Path,
    settings: Settings,
) -> dict[str, Any]:
    """Hours, shards, bytes, and device-hours at the rate measured on the first loud piece."""
    hours = totals.seconds / 3600
    done = sum(target_of(out, i).exists() for i in range(totals.shards))
    facts: dict[str, Any] = {
        "hours": round(hours, 4),
        "pieces": totals.pieces,
        "shards": totals.shards,
        "shards_done": done,
        "bytes": int(totals.frames * 2 * 2 * (len(STEMS) + 1) * FLAC_SHARE),
        "processes": settings.world,
    }
    loud = _first_loud(pieces, settings) if label is not None else None
    if label is not None and loud is not None:
        mixture, rate = loud
        began = time.monotonic()
        label(mixture, rate)
        factor = (time.monotonic() - began) / (mixture.shape[1] / rate)
        left = hours * (1 - done / totals.shards)
        facts["seconds_per_second"] = round(factor, 3)
        facts["device_hours_left"] = round(left * factor, 4)
    return facts


def _first_loud(
    pieces: Iterable[Piece], settings: Settings
) -> tuple[NDArray[np.float32], int] | None:
    """Ten seconds at most of the first piece that would be labelled, and its rate."""
    for piece in pieces:
        try:
            mixture = read_piece(piece)[:, : int(10 * piece.rate)]
        except DataError:
            continue
        if not refusal(mixture, None, settings):
            return mixture, piece.rate
    return None
