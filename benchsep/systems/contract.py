"""The contract of a separation system.

A system is a class (or a function that returns an instance) registered under the entry point
group ``benchsep.systems``. It is called with the options of its spec string
(:mod:`benchsep.systems.spec`) as keyword arguments, plus ``device``, and has two members::

    class Quarter:
        info = SystemInfo(name="quarter", family="discriminative")

        def separate(self, mixture, *, seed):
            return {stem: Audio(mixture.samples / 4, mixture.rate) for stem in STEMS}

Two kinds of systems are called in another way, and declare it in their ``info``: an oracle gets the
true stems (:class:`Oracle`); a system whose estimates are files gets the track
(:class:`FromTrack`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from benchsep.audio import STEMS, Audio

if TYPE_CHECKING:
    from benchsep.datasets.track import Track

Family = Literal["generative", "discriminative", "oracle", "mixture", "unknown"]


@dataclass(frozen=True)
class SystemInfo:
    """What a system declares about itself; the manifest and ``benchsep list`` show all of it.

    ``version``, ``checkpoint_sha256`` and ``options`` are part of each cell's key: a change of any
    of them makes benchsep compute the cells again.
    """

    name: str
    family: Family
    stems: tuple[str, ...] = STEMS
    """The stems that it returns."""
    rate: int = 44_100
    """The sample rate at which it works, in Hz. Its estimates still have the mixture's rate."""
    checkpoint: str = ""
    """Short name of the weights (``mini``, ``official``, a file's stem); empty without weights."""
    checkpoint_sha256: str = ""
    training_data: str = "undeclared"
    trained_on: tuple[str, ...] = ("unknown",)
    """Training data as data sets and splits (:mod:`benchsep.systems.training`): tables mark a
    system that was trained on their songs. Empty: nothing was trained."""
    licence: str = "undeclared"
    deterministic: bool = True
    """The output does not depend on the seed: one draw is enough."""
    needs_references: bool = False
    """An oracle: ``separate`` also gets ``references``, the true stems."""
    needs_other_song: bool = False
    """A reference system that also gets ``other``, the true stems of the next song of the data
    set."""
    needs_accelerator: bool = True
    """True: it computes on the device of the suite. False: it always computes on the CPU."""
    from_files: bool = False
    """Its estimates are files: it implements :class:`FromTrack`."""
    from_program: bool = False
    """Another program computes its estimates. benchsep cannot know when that program changes, so
    estimates are identified by their samples, whatever family the user declares."""
    version: str = "1"
    """Must change whenever the output may change."""
    options: dict[str, Any] = field(default_factory=dict)
    """Every option that can change an output, with its resolved value (defaults included)."""
    unavailable: str = ""
    """Why it cannot run here, with the command that helps; empty: it can. A run then stores
    ``unavailable`` cells with this reason, which do not count as failures; :meth:`System.separate`
    raises."""
    remark: str = ""
    """A short note for readers of its rows; tables show it."""
    options_in_name: tuple[str, ...] = ("checkpoint",)
    """Options of the spec that ``name`` or ``checkpoint`` already show. The label of a run shows
    all other options of the spec, so that two variants never share a row."""

    @property
    def label(self) -> str:
        """``name@checkpoint``: the system's name in every output."""
        return f"{self.name}@{self.checkpoint}" if self.checkpoint else self.name


@runtime_checkable
class System(Protocol):
    """A separator. Each stem that it returns has the rate and the length of ``mixture``."""

    @property
    def info(self) -> SystemInfo: ...

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]: ...


class Oracle(Protocol):
    """A system that gets the true stems: an upper bound for separators."""

    @property
    def info(self) -> SystemInfo: ...

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]: ...


class FromTrack(Protocol):
    """A system whose estimates are files, found by the name of the track (``dir:PATH``)."""

    @property
    def info(self) -> SystemInfo: ...

    def estimates(self, track: Track, mixture: Audio) -> dict[str, Audio]:
        """The estimates, at the rate and the length of ``mixture``."""
        ...

    def stamp(self, track: Track) -> str:
        """A text that changes when a file of the track's estimates changes."""
        ...
