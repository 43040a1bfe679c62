"""The contract of a metric: its declarations and its results.

Conventions
-----------
- a metric is an immutable description (:class:`Metric`) with pure functions of float arrays
- it may yield several *values* at once (``bsseval`` gives sdr, isr, sir, sar); each value has a
  :class:`ValueTraits` and its own column ``<metric>.<value>`` (``bsseval.sdr``), or ``<metric>`` if
  the value's name is empty
- a value that cannot be computed is ``None`` with a status, never NaN. The *content* of the audio
  (silence, NaN samples, too short, wrong length) never causes an exception

Statuses: ``ok``, ``ref_silent``, ``est_silent``, ``too_short``, ``ill_conditioned`` (value kept,
never ranked), ``not_finite`` (a perfect or infinite score), ``undefined: reason``,
``unavailable: reason``, ``failed: reason``; see :mod:`benchsep.metrics.status`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from benchsep.audio import Audio

Channels = Literal["mono", "stereo", "any"]
Domain = Literal["music", "speech", "any"]
Question = Literal["quality", "interference", "both", "other"]
"""The question of a listening test that corresponds to the value: how good does it sound
(``quality``), how much of the other stems is audible (``interference``); ``both``: the value mixes
the two; ``other``: neither."""


@dataclass(frozen=True)
class Tolerance:
    """Largest difference between two runs that the drift gate accepts.

    ``cell`` is the limit for one value, ``mean`` the limit for the mean paired difference over
    songs, both in the unit of the value. ``reason`` is the evidence; reports print it.
    """

    cell: float
    mean: float
    reason: str


@dataclass(frozen=True)
class Companion:
    """A second value that must be shown beside a value, because the value alone is misleading."""

    question: Question
    """The value's table gets the best available value for this question as an additional column."""
    warning: str
    """Printed if the run has no such value."""


@dataclass(frozen=True)
class ValueTraits:
    """How to interpret, rank, compare and tabulate one value.

    All knowledge about a value is here: no other module has a table of metric names. The defaults
    are for third-party metrics; each value of benchsep sets every trait (a test checks this).
    """

    name: str
    """Empty: the column has the name of the metric."""
    direction: int
    """+1: higher is better; -1: lower is better; 0: neither, never ranked."""
    unit: str
    low: float | None
    high: float | None
    """Range of the value; ``None``: unbounded."""
    digits: int = 2
    aggregate: Literal["mean", "median"] = "mean"
    """Average over tracks, as is usual in the field for this value."""
    window_s: float | None = None
    """Length of windows in seconds, if a song's value is itself the ``aggregate`` over windows and
    publications say so (BSSEval: median over songs of the median over 1-s frames)."""
    waveform_matching: bool = False
    """True for values that compare samples, not spectra. They cannot compare generative with other
    systems, because generated audio is not sample-aligned, so they never lead a table with both."""
    speech_model: bool = False
    """True for a quality network that is trained on speech and uses no reference: shown with a
    warning, and ranked only if the value of the true stem is also in the table."""
    display: str = ""
    """Name in tables; empty: the column's name."""

    question: Question = "other"
    """The question of a listening test that the value answers."""
    companion: Companion | None = None
    companion_rank: int | None = None
    """Rank among the possible companions for ``question``, lowest first; ``None``: not a
    companion."""

    tie_margin: float | None = None
    """Largest negligible difference between two systems, in the value's unit. Systems with a
    smaller difference are tied (two one-sided tests). ``None``: there are no ties."""
    failure: float | None = None
    """Limit for failures, in the value's unit: a song with a worse value counts as failed.
    ``None``: failures are not counted."""
    drift: Tolerance | None = None
    """Tolerance of the drift gate for deterministic systems on other CPUs and thread counts.
    ``None``: only rounding or measured noise passes."""

    rank: int | None = None
    """Position of the metric in tables, lowest first. ``None``: after all others, by name."""
    overview: bool | None = None
    """Whether the value represents its metric in overviews with one value per metric. ``None``: the
    first value of the metric does."""
    own_table: bool = False
    """Whether the value has its own table by stem although it is not the overview value. Other
    values share one table per metric, averaged over stems."""
    aliases: tuple[str, ...] = ()
    """Names of this value in published listening data."""


@dataclass(frozen=True)
class Score:
    """One value of one estimate: ``value`` is finite or ``None``; ``frames`` are values per window,
    if the metric has windows.
    """

    value: float | None
    status: str = "ok"
    frames: tuple[float | None, ...] | None = None

    @classmethod
    def missing(cls, status: str) -> Score:
        return cls(None, status)


@dataclass(frozen=True)
class References:
    """The true stems of one track, shared by all systems that are scored on it.

    ``cache`` holds results that depend on the references only (a Gram matrix, a spectrogram of a
    reference), with keys per metric. It is deleted after the track is scored.
    """

    stems: dict[str, Audio]
    mixture: Audio | None = None
    expected: tuple[str, ...] = ()
    """Stems that should sum to the mixture, if there are no true stems."""
    cache: dict[Any, Any] = field(default_factory=dict, compare=False)


class Metric(Protocol):
    """The contract of an entry point in ``benchsep.metrics``: an instance, or a factory of one.

    ``score_track`` gets all stems of a track, because some metrics need the other stems (BSSEval's
    interference, leakage). It returns ``{stem: {value name: Score}}`` for exactly the requested
    stems.
    """

    name: str
    """An optional attribute ``known_as``, a tuple of texts, gives other names
    (:mod:`benchsep.metrics.names`)."""
    version: str
    """Must change whenever a value may change: it is part of each cell's key."""
    values: tuple[ValueTraits, ...]
    rate: int | None
    """Sample rate in Hz at which it works; ``None``: that of the signals. The functions of
    :mod:`benchsep.metrics.stems` resample to it."""
    channels: Channels
    """Channels on which it works; ``mono`` is their mean. The same functions convert to them."""
    domain: Domain
    default_stems: tuple[str, ...]
    """Stems that are scored by default (DNSMOS, NISQA: vocals)."""
    needs_reference: bool
    """False: it uses only the estimates and perhaps the mixture, so it can score songs without true
    stems. A metric without this attribute needs true stems."""
    default: int | None
    """Position in the default suite; ``None``: not in it. Only used for metrics of benchsep, so
    that the installation of a package changes no default."""
    licence: str
    source: str
    """Paper, equation, upstream package and version of the definition."""

    def settings(self) -> dict[str, Any]:
        """All other settings that affect a value (hash of weights, window): part of each cell's
        key.
        """
        ...

    def available(self) -> str:
        """``""`` if it can run here, else the reason and the command that solves it."""
        ...

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """The scores of each requested stem; ``estimates`` and references are at their own rates.

        Raises
        ------
        Undefined
            the values are not defined for these signals; a later run does not compute them again.
        Unavailable
            something is not installed here; computed in a later run in which :meth:`available`
            returns ``""``.
        """
        ...


def column(metric: Metric, value: ValueTraits) -> str:
    """The name of a value in tables and stores: ``bsseval.sdr``, ``visqol``."""
    return f"{metric.name}.{value.name}" if value.name else metric.name
