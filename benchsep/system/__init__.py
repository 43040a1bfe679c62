"""Old import path of :mod:`benchsep.systems`, kept for plugins that use it."""

from benchsep.systems.contract import (
    Family,
    FromTrack,
    Oracle,
    Spec,
    System,
    SystemInfo,
    checked_estimates,
    load_system,
)

__all__ = [
    "Family",
    "FromTrack",
    "Oracle",
    "Spec",
    "System",
    "SystemInfo",
    "checked_estimates",
    "load_system",
]
