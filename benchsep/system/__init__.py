"""Old import path of :mod:`benchsep.systems`, kept for plugins that use it."""

from benchsep.systems.contract import Family, FromTrack, Oracle, System, SystemInfo
from benchsep.systems.estimate import checked_estimates, estimate
from benchsep.systems.spec import Spec, load_system

__all__ = [
    "Family",
    "FromTrack",
    "Oracle",
    "Spec",
    "System",
    "SystemInfo",
    "checked_estimates",
    "estimate",
    "load_system",
]
