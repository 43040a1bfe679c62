"""``benchsep list``: what is registered, without loading any model."""

from __future__ import annotations

from benchsep import registry
from benchsep._util.suggest import did_you_mean
from benchsep.errors import BenchsepError, UsageError


def table_of(what: str) -> str:
    """A plain-text table of ``systems``, ``datasets`` or ``metrics``.

    Raises
    ------
    UsageError
        for any other word.
    """
    tables = {"systems": _systems, "datasets": _datasets, "metrics": _metrics}
    if what not in tables:
        raise UsageError(f"cannot list {what!r}{did_you_mean(what, list(tables))}")
    return _aligned(tables[what]())


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def _systems() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("system", "family", "checkpoints", "licence", "what")]
    rows.append(("dir:PATH", "any", "-", "-", "a folder of estimates (five layouts)"))
    rows.append(("cmd:TEMPLATE", "any", "-", "-", "any program: cmd:'prog {mixture} {out}'"))
    for name in registry.names("system"):
        if name in ("dir", "cmd"):
            continue
        rows.append((name, *_system_facts(name)))
    return rows


def _system_facts(name: str) -> tuple[str, ...]:
    try:
        factory = registry.resolve("system", name)
    except BenchsepError as error:
        return ("-", "-", "-", f"broken: {error}")
    about = getattr(factory, "about", {})
    what = about.get("what") or (factory.__doc__ or "").strip().split("\n")[0]
    checkpoints = about.get("checkpoints", "-")
    shown = checkpoints() if callable(checkpoints) else checkpoints
    return (about.get("family", "-"), shown, about.get("licence", "-"), what)


def _datasets() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("dataset", "what")]
    for name in registry.names("dataset"):
        try:
            text = (registry.resolve("dataset", name).__doc__ or "").strip().split("\n")[0]
        except BenchsepError as error:
            text = f"broken: {error}"
        rows.append((name, text))
    return rows


def _metrics() -> list[tuple[str, ...]]:
    from benchsep.metrics.catalog import get_metric
    from benchsep.metrics.metric import column

    rows: list[tuple[str, ...]] = [
        ("metric", "better", "range", "domain", "stems", "licence", "state")
    ]
    for name in registry.names("metric"):
        try:
            metric = get_metric(name)
        except BenchsepError as error:
            rows.append((name, "-", "-", "-", "-", "-", f"broken: {error}"))
            continue
        state = metric.available() or "ready"
        for value in metric.values:
            better = {1: "higher", -1: "lower"}.get(value.direction, "-")
            span = f"{_bound(value.low, '-∞')} to {_bound(value.high, '∞')}"
            stems = ",".join(metric.default_stems)
            rows.append(
                (column(metric, value), better, span, metric.domain, stems, metric.licence, state)
            )
    return rows


def _bound(value: float | None, unbounded: str) -> str:
    return unbounded if value is None else f"{value:g}"
