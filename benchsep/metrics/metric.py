"""What a metric declares, and what it returns.

Conventions
-----------
- a metric is a frozen description (:class:`Metric`) around pure functions over float arrays
- it may yield several *values* at once (``bsseval`` gives sdr, isr, sir, sar); each value has
  a :class:`ValueTraits` and becomes a metric column ``<metric>.<value>`` of its own
  (``bsseval.sdr``), or just ``<metric>`` when the value's name is empty
- a value that cannot be computed is ``None`` with a status, never NaN and never an exception
  for what the *content* of the audio causes (silence, NaN samples, too short, wrong length)

Statuses: ``ok``, ``ref_silent``, ``est_silent``, ``too_short``, ``ill_conditioned`` (value kept,
never ranked), ``not_finite`` (a perfect or infinite score), ``unavailable: reason``,
``failed: reason``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from benchsep.audio import Audio

Domain = Literal["music", "speech", "any"]


@dataclass(frozen=True)
class ValueTraits:
    """How to read one number. ``direction`` is +1 (higher is better) or -1, 0 if neither."""

    name: str
    direction: int
    unit: str
    low: float | None
    high: float | None
    digits: int = 2
    aggregate: Literal["mean", "median"] = "mean"
    """Over tracks; the convention of the field for this value."""
    alignment_tolerant: bool = True
    """False for waveform-matching values, which must not head a mixed table."""
    display: str = ""


@dataclass(frozen=True)
class Score:
    """One value of one estimate: ``value`` is finite or ``None``; ``frames`` where defined."""

    value: float | None
    status: str = "ok"
    frames: tuple[float | None, ...] | None = None

    @classmethod
    def missing(cls, status: str) -> Score:
        return cls(None, status)


@dataclass(frozen=True)
class References:
    """The true stems of one track, shared by every system that is scored on it.

    ``cache`` holds what depends on the references alone (a Gram matrix, a reference
    spectrogram), keyed by metric; it lives as long as the track is being scored.
    """

    stems: dict[str, Audio]
    mixture: Audio | None = None
    cache: dict[Any, Any] = field(default_factory=dict, compare=False)


class Metric(Protocol):
    """The contract of an entry point in ``benchsep.metrics``: an instance, or a factory of one.

    ``score_track`` gets every stem at once because some metrics need the other stems
    (BSSEval's interference, leakage). It returns ``{stem: {value name: Score}}`` for exactly
    the stems asked for.
    """

    name: str
    version: str
    """Changes whenever a value may change: it is part of each cell's key."""
    values: tuple[ValueTraits, ...]
    needs_reference: bool
    rate: int | None
    """Rate at which it works, ``None`` for the signal's own."""
    channels: Literal["mono", "stereo", "any"]
    domain: Domain
    default_stems: tuple[str, ...]
    """Stems scored unless the user asks for more (DNSMOS, NISQA: vocals)."""
    licence: str
    source: str
    """Paper, equation, upstream package and version."""
    silence: str
    """One sentence: what a silent reference or estimate gives."""

    def settings(self) -> dict[str, Any]:
        """Whatever moves a value besides ``version`` (weights hash, window): part of the key."""
        ...

    def available(self) -> str:
        """Empty when it can run here, else the reason with the command that mends it."""
        ...

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]: ...


def column(metric: Metric, value: ValueTraits) -> str:
    """The name of a value in tables and stores: ``bsseval.sdr``, ``visqol``."""
    return f"{metric.name}.{value.name}" if value.name else metric.name
