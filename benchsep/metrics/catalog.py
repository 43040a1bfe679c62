"""The registered metrics by name, and the traits of their values."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from benchsep import registry
from benchsep.audio import STEMS
from benchsep.errors import UsageError
from benchsep.metrics.combined import COMBINED
from benchsep.metrics.metric import Metric, ValueTraits, column

if TYPE_CHECKING:
    from collections.abc import Iterable


_made: dict[str, tuple[Any, Metric]] = {}
"""Name to what was registered under it in this process (else ``None``), and the metric."""


def get_metric(name: str) -> Metric:
    """The metric of that name; a class or factory is called once per process, and again if another
    one is registered under the name.

    Raises
    ------
    UsageError
        unknown name (with a suggestion), its plugin cannot be imported, or it has another name than
        the one under which it is registered.
    """
    local = registry.local("metric", name)
    known = _made.get(name)
    if known is None or known[0] is not local:
        target = registry.resolve("metric", name)
        made = target() if callable(target) and not hasattr(target, "score_track") else target
        known = local, cast(Metric, made() if isinstance(made, type) else made)
        own = getattr(known[1], "name", None)
        if own != name:  # a subclass of usdr would write into the column of usdr
            raise UsageError(
                f"the metric that is registered as {name!r} has the name {own!r}; expected the "
                "same, because its name is the column of its values"
            )
        _made[name] = known
    return known[1]


def traits_of(names: tuple[str, ...]) -> dict[str, ValueTraits]:
    """Column name to traits, for all values of these metrics, in order."""
    return {
        column(metric, value): value for metric in map(get_metric, names) for value in metric.values
    }


def traits_of_columns(columns: Iterable[str]) -> dict[str, ValueTraits]:
    """Traits of the columns whose metric is registered or combined; other columns are left out."""
    wanted = list(columns)
    found = _registered_traits(name.split(".")[0] for name in wanted)
    found |= {name: each.traits for name, each in COMBINED.items()}
    return {name: found[name] for name in wanted if name in found}


def columns_by_alias() -> dict[str, str]:
    """``{name in published listening data: column}`` over all registered metrics."""
    traits = _registered_traits(registry.names("metric"))
    return {alias: name for name, value in traits.items() for alias in value.aliases}


def _registered_traits(metrics: Iterable[str]) -> dict[str, ValueTraits]:
    """As :func:`traits_of`; a metric that is unknown or cannot be imported is left out."""
    found: dict[str, ValueTraits] = {}
    for name in dict.fromkeys(metrics):
        with contextlib.suppress(UsageError):
            found |= traits_of((name,))
    return found


@cache
def default_metrics() -> tuple[str, ...]:
    """The metrics of the default suite, in the order of their trait ``default``.

    Only metrics that benchsep ships: the installation of a package must not change a run.
    """
    shipped = [
        get_metric(name) for name in registry.names("metric") if registry.is_ours("metric", name)
    ]
    places = {metric.name: metric.default for metric in shipped if metric.default is not None}
    return tuple(sorted(places, key=places.__getitem__))


def stems_scored(metric: Metric, stems: tuple[str, ...], *, all_stems: bool) -> tuple[str, ...]:
    """Those of ``stems`` that a metric scores: its default stems, or all with ``all_stems``.

    A metric whose default stems are the standard four scores every stem of any stem set.
    """
    if all_stems or set(STEMS) <= set(metric.default_stems):
        return stems
    return tuple(s for s in stems if s in metric.default_stems)


NO_REFERENCE = "not applicable, because there is no reference"
"""Why a metric has no value for a song without true stems."""


def default_metrics_without_stems() -> tuple[str, ...]:
    """The default suite, and all shipped metrics that need no true stem."""
    names = [n for n in registry.names("metric") if registry.is_ours("metric", n)]
    free = [n for n in names if not needs_reference(get_metric(n))]
    return tuple(dict.fromkeys((*default_metrics(), *free)))


def needs_reference(metric: Metric) -> bool:
    """Whether a metric needs true stems; the default is True."""
    return bool(getattr(metric, "needs_reference", True))
