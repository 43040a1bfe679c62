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
never ranked), ``not_finite`` (a perfect or infinite score), ``undefined: reason``,
``unavailable: reason``, ``failed: reason``; :mod:`benchsep.metrics.status` says which is which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from benchsep.audio import Audio

Channels = Literal["mono", "stereo", "any"]
Domain = Literal["music", "speech", "any"]
Question = Literal["quality", "interference", "both", "other"]
"""What a listener would be asked: how good does it sound (``quality``), how much of the rest is
still there (``interference``); ``both``: the value mixes the two; ``other``: none of them."""


@dataclass(frozen=True)
class Tolerance:
    """Largest difference between two runs that the drift gate lets pass.

    ``cell`` bounds one value, ``mean`` the mean paired difference over songs, both in the unit
    of the value; ``reason`` is the evidence, printed with the report.
    """

    cell: float
    mean: float
    reason: str


@dataclass(frozen=True)
class Companion:
    """What a value must be shown with, because it misleads when it is read alone."""

    question: Question
    """The table of the value gets the best value for this question as a further column."""
    warning: str
    """Printed where the run holds no such value."""


@dataclass(frozen=True)
class ValueTraits:
    """How to read, rank, compare and tabulate one number.

    Everything that benchsep knows about a value is here: no other module has a table of metric
    names. The defaults are for third parties; each value that benchsep ships names every trait
    (a test holds this).
    """

    name: str
    """Empty for the value that is called as the metric is."""
    direction: int
    """+1: higher is better; -1: lower is better; 0: neither, and never ranked."""
    unit: str
    low: float | None
    high: float | None
    """Range of the value; ``None``: unbounded."""
    digits: int = 2
    aggregate: Literal["mean", "median"] = "mean"
    """Over tracks; the convention of the field for this value."""
    window_s: float | None = None
    """Set where a song's value is itself the ``aggregate`` over windows of so many seconds, and
    the field names that (BSSEval: median over songs of the median over 1-s frames)."""
    waveform_matching: bool = False
    """True for values that compare samples, not spectra: they fail across families of systems,
    since generated audio is not sample-aligned, and must not head a mixed table."""
    speech_model: bool = False
    """True for a quality network trained on speech that reads no reference: shown with a warning
    and ranked only beside the true stem's own value."""
    display: str = ""
    """The name in tables; empty: the column's name."""

    question: Question = "other"
    """Which question of a listening test the value answers."""
    companion: Companion | None = None
    companion_rank: int | None = None
    """Place among the values that may serve as a companion for the ``question`` (lowest first)."""

    tie_margin: float | None = None
    """Largest difference of two systems that matters to nobody, in the value's unit: systems
    within it are tied (two one-sided tests). ``None``: there are no ties."""
    failure: float | None = None
    """A song on the wrong side of it (below it where higher is better) counts as failed.
    ``None``: no failures are counted."""
    drift: Tolerance | None = None
    """For deterministic systems on other CPUs and thread counts. ``None``: only rounding passes,
    or noise that was measured."""

    rank: int | None = None
    """Order of metrics in tables, lowest first. ``None``: after all others, by name."""
    overview: bool | None = None
    """Whether the value stands for its metric where there is room for one of each. ``None``: the
    first value of the metric does."""
    own_table: bool = False
    """Whether it has a table by stem although it does not stand for its metric. Values that have
    none share a table with the others of their metric, averaged over stems."""
    aliases: tuple[str, ...] = ()
    """Names of this value in published listening data."""


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
    expected: tuple[str, ...] = ()
    """Stems that sum to the mixture, where there are no true ones."""
    cache: dict[Any, Any] = field(default_factory=dict, compare=False)


class Metric(Protocol):
    """The contract of an entry point in ``benchsep.metrics``: an instance, or a factory of one.

    ``score_track`` gets every stem at once because some metrics need the other stems
    (BSSEval's interference, leakage). It returns ``{stem: {value name: Score}}`` for exactly
    the stems asked for.
    """

    name: str
    """Its other names may stand in ``known_as``, a tuple of texts, which a metric can do without
    (:mod:`benchsep.metrics.names`)."""
    version: str
    """Changes whenever a value may change: it is part of each cell's key."""
    values: tuple[ValueTraits, ...]
    rate: int | None
    """Rate at which it works, ``None`` for the signal's own. The loops of
    :mod:`benchsep.metrics.stems` convert to it."""
    channels: Channels
    """Channels on which it works; ``mono`` is their mean. Converted by the same loops."""
    domain: Domain
    default_stems: tuple[str, ...]
    """Stems scored unless the user asks for more (DNSMOS, NISQA: vocals)."""
    needs_reference: bool
    """False: it reads the estimates, and the mixture at most, so it scores songs without true
    stems. A metric without this member needs them."""
    default: int | None
    """Place in the default suite; ``None``: not in it. Read for metrics that benchsep ships only:
    installing a package changes no default."""
    licence: str
    source: str
    """Paper, equation, upstream package and version."""

    def settings(self) -> dict[str, Any]:
        """Whatever moves a value besides ``version`` (weights hash, window): part of the key."""
        ...

    def available(self) -> str:
        """Empty when it can run here, else the reason with the command that fixes it."""
        ...

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """The scores of each stem asked for.

        Raises
        ------
        Undefined
            these signals do not have its values: nothing asks for them again.
        Unavailable
            something is absent here: asked again once :meth:`available` gives no reason.
        """
        ...


def column(metric: Metric, value: ValueTraits) -> str:
    """The name of a value in tables and stores: ``bsseval.sdr``, ``visqol``."""
    return f"{metric.name}.{value.name}" if value.name else metric.name
