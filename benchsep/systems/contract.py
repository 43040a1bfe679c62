"""The contract of a separation system.

A system is a class (or a function that returns an instance) registered under the entry point
group ``benchsep.systems``. It is called with the options of its spec string
(:mod:`benchsep.systems.spec`) as keyword arguments, plus ``device``, and has two members::

    class Quarter:
        info = SystemInfo(name="quarter", family="discriminative")

        def separate(self, mixture, *, seed):
            return {stem: Audio(mixture.samples / 4, mixture.rate) for stem in STEMS}

Two kinds of systems are called differently, and declare it: an oracle gets the true stems
(:class:`Oracle`), and a system whose estimates are files gets the track (:class:`FromTrack`).
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
    """The sampling rate at which it works, in Hz; it returns the mixture's rate all the same."""
    checkpoint: str = ""
    """Short name of the weights (``mini``, ``official``, a file's stem); empty without weights."""
    checkpoint_sha256: str = ""
    training_data: str = "undeclared"
    trained_on: tuple[str, ...] = ("unknown",)
    """The same for machines, as data sets and splits (:mod:`benchsep.systems.training`): a table
    marks a system that saw its songs. Empty: nothing was trained."""
    licence: str = "undeclared"
    deterministic: bool = True
    """The seed does not move the output: one draw is enough."""
    needs_references: bool = False
    """An oracle: ``separate`` also gets ``references``, the true stems."""
    needs_other_song: bool = False
    """A yardstick that also gets ``other``, the true stems of the next song of the data set."""
    needs_accelerator: bool = True
    """It computes on the device that the suite asks for; False: on the CPU, whatever that is."""
    from_files: bool = False
    """Its estimates are files: it has the members of :class:`FromTrack`."""
    from_program: bool = False
    """Another program makes its estimates, of which benchsep sees little: they are known by their
    samples, whatever the family that its user declares."""
    version: str = "1"
    """Changes whenever the output may change."""
    options: dict[str, Any] = field(default_factory=dict)
    """Every option that moves an output, as resolved (defaults included)."""
    unavailable: str = ""
    """Why it cannot run here, with the command that helps. A run then gives it a row of
    ``unavailable`` cells with this reason, which is no failure; :meth:`System.separate` raises."""
    remark: str = ""
    """What a reader must know of its rows, in a clause; tables say it in a note."""
    options_in_name: tuple[str, ...] = ("checkpoint",)
    """Options of the spec that ``name`` or ``checkpoint`` show already. The label of a run shows
    every other option that the spec gives, so that two variants never share a row."""

    @property
    def label(self) -> str:
        """``name@checkpoint``: what the system is called in every output."""
        return f"{self.name}@{self.checkpoint}" if self.checkpoint else self.name


@runtime_checkable
class System(Protocol):
    """A separator. Each stem it returns has the rate and the length of ``mixture``."""

    @property
    def info(self) -> SystemInfo: ...

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]: ...


class Oracle(Protocol):
    """A system that gets the true stems, to bound what the others can reach."""

    @property
    def info(self) -> SystemInfo: ...

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]: ...


class FromTrack(Protocol):
    """A system whose estimates are files, which it finds by track (``dir:PATH``)."""

    @property
    def info(self) -> SystemInfo: ...

    def estimates(self, track: Track, mixture: Audio) -> dict[str, Audio]:
        """The estimates, at the rate and the length of ``mixture``."""
        ...

    def stamp(self, track: Track) -> str:
        """Changes when a file behind the track's estimates changes."""
        ...
