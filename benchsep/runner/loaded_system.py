"""Loads systems in this process: for their info, and for jobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchsep import registry
from benchsep.errors import BenchsepError, SeparatorError
from benchsep.runner.done import system_id
from benchsep.runner.failure import failure
from benchsep.runner.warmup import forget
from benchsep.systems.contract import SystemInfo
from benchsep.systems.spec import Spec, load_system
from benchsep.systems.surroundings import own_surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchsep.datasets.track import Track
    from benchsep.runner.job import Job


@contextmanager
def _asked(spec: str, fails: str) -> Iterator[None]:
    """Context for calls to a system: any exception becomes an error that names the system."""
    try:
        with own_surroundings(spec):
            yield
    except BenchsepError:
        raise
    except BaseException as error:
        raise SeparatorError(f"{spec}{fails}: {failure(error)}") from error


def describe(spec: str, device: str, *, keep: bool = False) -> SystemInfo:
    """The ``info`` of a system; with ``keep`` it stays loaded for the jobs of this process.

    Raises
    ------
    BenchsepError
        it cannot be loaded, for any reason.
    """
    with _asked(spec, " cannot be loaded"):
        info: SystemInfo = _loaded(spec, device, keep).info
        if not isinstance(info, SystemInfo):
            raise SeparatorError(f"{spec}: info is {type(info).__name__}, expected SystemInfo")
    return info


def estimate_stamps(
    spec: str, device: str, tracks: Sequence[Track], *, keep: bool = False
) -> list[str]:
    """For a system whose estimates are files: the stamp of each track (``FromTrack.stamp``).

    Raises
    ------
    BenchsepError
        ``stamp`` raises any exception or returns no text.
    """
    with _asked(spec, ": stamp(track) failed"):
        system = _loaded(spec, device, keep)
        stamps = [system.stamp(track) for track in tracks]
        if wrong := [type(stamp).__name__ for stamp in stamps if not isinstance(stamp, str)]:
            raise SeparatorError(f"{spec}: stamp(track) is {wrong[0]}, expected a text")
        return [str(stamp) for stamp in stamps]


def _loaded(spec: str, device: str, keep: bool) -> Any:
    return _system(spec, device) if keep else load_system(spec, device=device)


_systems: dict[tuple[str, str], tuple[Any, Any]] = {}
"""Spec and device to what was registered under the name in this process (else ``None``), and the
system. A worker loads each system once for all its tracks."""


def _system(spec: str, device: str) -> Any:
    local = registry.local("system", Spec.parse(spec).name)
    known = _systems.get((spec, device))
    if known is not None and known[0] is not local:  # registered anew
        forget()
        known = None
    if known is None:
        known = _systems[spec, device] = local, load_system(spec, device=device)
    return known[1]


_session = ""
"""Id of the call of ``run`` whose jobs this process did last."""


def _forget_files(session: str) -> None:
    """Drop the folders of estimates that an earlier call of ``run`` has listed: files may have been
    added since then.
    """
    global _session
    if _session and session != _session:
        for key, (_, system) in list(_systems.items()):
            if system.info.from_files:
                del _systems[key]
    _session = session


def system_of(job: Job) -> Any:
    """The system of a job, as the plan described it.

    Raises
    ------
    SeparatorError
        the loaded system has another version, weights or options than planned, so its results would
        be stored under a wrong identity.
    """
    _forget_files(job.session)
    if system_id(_system(job.spec, job.device).info) != system_id(job.info):
        forget()
        _systems.clear()  # weights may have changed since this process loaded them
    system = _system(job.spec, job.device)
    if system_id(system.info) != system_id(job.info):
        here, planned = _identity(system.info), _identity(job.info)
        raise SeparatorError(
            f"{job.spec} is {here} on this worker and was {planned} when the run was planned; its "
            "weights, code or options changed, or this worker has different ones. Start the run "
            "again"
        )
    return system


def _identity(info: SystemInfo) -> str:
    weights = f" ({info.checkpoint_sha256[:8]})" if info.checkpoint_sha256 else ""
    return f"{info.label}{weights} version {info.version}"
