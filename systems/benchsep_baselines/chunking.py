"""Applies a fixed-length model to long signals, as in the MSST ecosystem.

Conventions
-----------
chunk     frames per input of the model; ``step = chunk // overlap``
window    ones with linear fades of ``chunk // 10``; no fade-in on the first chunk, no
          fade-out on the last
border    a signal longer than two borders is reflected by ``chunk - step`` at both ends first

Source: ``demix`` (generic mode) of ZFTurbo/Music-Source-Separation-Training. Two intended
deviations: the window depends on the chunk, not on the batch (upstream's result depends on its
batch size; ours is that for batch size 1), and the last sample of a signal with a single chunk is
kept (upstream computes 0 / 0). Its mode for HTDemucs (``plain``) has no window, border or
reflection: the chunks that cover a sample are averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from benchsep.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def windows(chunk: int) -> NDArray[np.float32]:
    """The middle chunk's window: ``[chunk]``."""
    fade = chunk // 10
    window = np.ones(chunk, np.float32)
    if fade:
        window[:fade] = np.linspace(0, 1, fade, dtype=np.float32)
        window[-fade:] = np.linspace(1, 0, fade, dtype=np.float32)
    return window


def demix(
    model: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    mixture: NDArray[np.float32],
    *,
    chunk: int,
    overlap: int,
    stems: int,
    batch: int = 1,
    plain: bool = False,
) -> NDArray[np.float32]:
    """Overlap-add of ``model`` over ``mixture [2, T]``: ``[stems, 2, T]``.

    Parameters
    ----------
    model
        Maps ``[B, 2, chunk]`` to ``[B, stems, 2, chunk]``.
    overlap
        Number of chunks that cover each sample.
    batch
        Most chunks per batch.
    plain
        Upstream's mode for HTDemucs.

    Raises
    ------
    UsageError
        chunk and overlap give a step of zero.
    """
    if chunk < 1 or not 1 <= overlap <= chunk:
        raise UsageError(
            f"found chunk {chunk} and overlap {overlap}, which leave no step; use a smaller overlap"
        )
    step = chunk // overlap
    border = chunk - step
    reflected = not plain and border > 0 and mixture.shape[1] > 2 * border
    padded = np.pad(mixture, ((0, 0), (border, border)), "reflect") if reflected else mixture
    length = padded.shape[1]
    total = np.zeros((stems, mixture.shape[0], length), np.float32)
    weight = np.zeros(length, np.float32)
    starts = range(0, length, step)
    for first in range(0, len(starts), batch):
        group = starts[first : first + batch]
        parts = [padded[:, start : start + chunk] for start in group]
        estimates = model(np.stack([_fill(part, chunk, plain) for part in parts]))
        for start, part, estimate in zip(group, parts, estimates, strict=True):
            frames = part.shape[1]
            ends = {"first": start == 0, "last": start + step >= length}
            window = np.ones(frames, np.float32) if plain else _window(chunk, **ends)[:frames]
            total[..., start : start + frames] += estimate[..., :frames] * window
            weight[start : start + frames] += window
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= weight  # in place: an hour of four stems is five gigabytes
    np.nan_to_num(total, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.ascontiguousarray(total[..., border:-border] if reflected else total)


def _window(chunk: int, *, first: bool, last: bool) -> NDArray[np.float32]:
    window, fade = windows(chunk), chunk // 10
    if first:
        window[:fade] = 1
    if last and fade:
        window[-fade:] = 1
    return window


def _fill(part: NDArray[np.float32], chunk: int, plain: bool) -> NDArray[np.float32]:
    """Pad to a full chunk: by reflection if more than half is present, else with zeros."""
    missing = chunk - part.shape[1]
    if missing == 0:
        return part
    enough = not plain and part.shape[1] > chunk // 2 + 1
    mode: Literal["reflect", "constant"] = "reflect" if enough else "constant"
    return np.pad(part, ((0, 0), (0, missing)), mode)
