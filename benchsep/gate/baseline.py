"""The baseline file: the scores of a run and the identity of its inputs.

Conventions
-----------
file    strict JSON, one line per estimate, sorted, so that a diff of two baselines is readable
values  rounded to six decimals; a cell without a value has its status
hashes  shortened (:mod:`benchsep.gate.facts`)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.atomic import write_atomically
from benchsep.errors import DriftError
from benchsep.gate.cells import UNMEASURED, Group, cells_of_run, rows_of_baseline
from benchsep.gate.facts import input_facts
from benchsep.metrics.device import CPU
from benchsep.metrics.status import Status

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.gate.tolerance import Noise
    from benchsep.metrics.metric import Tolerance, ValueTraits

FORMAT = "benchsep-baseline/1"
SECTIONS: dict[str, type] = {
    "run": dict, "edition": str, "metric_versions": dict, "checkpoints": dict, "mixtures": dict,
    "references": dict, "directions": dict, "tolerances": dict, "noise": list, "cells": list,
}  # fmt: skip


# --------------------------------------------------------------------------- writing


def write_baseline(
    frame: pd.DataFrame,
    manifest: Mapping[str, Any],
    path: str | Path,
    traits: Mapping[str, ValueTraits],
    *,
    tolerances: Mapping[str, Tolerance] | None = None,
    measured: Mapping[Group, Noise] | None = None,
) -> dict[str, Any]:
    """Write a baseline: strict JSON, one line per estimate, written atomically.

    Parameters
    ----------
    frame
        The long table of the run.
    manifest
        The run's manifest; its code revision and seed are recorded.
    traits
        Traits by metric column (the direction defines improvements).
    tolerances
        Overrides by metric column (``"bsseval.sdr"``) or metric (``"bsseval"``); for one system,
        with its label as prefix (``"tokensep@mini bsseval"``).
    measured
        Noise by group, from :func:`benchsep.gate.tolerance.noise`; widens the declared
        tolerances.

    Returns
    -------
    dict
        The written content, as :func:`read_baseline` returns it.

    Raises
    ------
    DriftError
        the run is empty, has a failed cell or several editions, or a metric has no traits.
    """
    cells = {
        key: reading
        for key, reading in cells_of_run(frame).items()
        if reading.status.kind not in UNMEASURED
    }
    if failed := [key for key in sorted(cells) if cells[key].status.kind == "failed"]:
        raise DriftError(
            f"a run with failed cells cannot be a baseline; found {len(failed)}, e.g. "
            f"{failed[0]}: {cells[failed[0]].status}; fix the cause and run again"
        )
    if not any(reading.status.kind == "ok" for reading in cells.values()):
        raise DriftError(
            "the run has no value, and a check against it would never fail; use a run with values"
        )
    metrics = sorted({key.metric for key in cells})
    if unknown := [metric for metric in metrics if metric not in traits]:
        raise DriftError(
            f"the direction of the metric {', '.join(unknown)} is unknown, because no package "
            "defines it; install its package"
        )
    facts = input_facts(frame, cells)
    content = {
        "format": FORMAT,
        "run": run_facts(manifest),
        **facts,
        "directions": {metric: traits[metric].direction for metric in metrics},
        "tolerances": {k: tolerance_entry(t) for k, t in sorted((tolerances or {}).items())},
        "noise": [
            {"system": g[0], "stem": g[1], "metric": g[2], **vars(spread)}
            for g, spread in sorted((measured or {}).items())
        ],
        "cells": rows_of_baseline(cells),
    }
    write_content(Path(path), content)
    return read_baseline(path)


def run_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Information for readers of the baseline; it does not affect checks."""
    suite = manifest.get("suite", {})
    packages = manifest.get("packages", {})
    facts = {
        "benchsep": packages.get("benchsep") if isinstance(packages, dict) else None,
        "code": manifest.get("code"),
        "seed": suite.get("seed"),
        "draws": suite.get("draws"),
        "metric_device": _other_device(suite.get("metric_device")),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _other_device(device: Any) -> Any:
    """The devices of the metrics; empty for the CPU, as in older baselines."""
    return None if device == CPU else device


def tolerance_entry(tolerance: Tolerance) -> dict[str, Any]:
    """A tolerance in the form of a baseline."""
    return {"cell": tolerance.cell, "mean": tolerance.mean, "reason": tolerance.reason}


def write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Write the content that :func:`read_baseline` returns, one line per row, so that a diff shows
    changes.
    """
    parts = []
    for key, value in content.items():
        if key in ("noise", "cells") and value:
            lines = ",\n    ".join(_dump(row) for row in value)
            parts.append(f"  {_dump(key)}: [\n    {lines}\n  ]")
        elif key in ("mixtures", "references", "tolerances") and value:
            lines = ",\n    ".join(f"{_dump(k)}: {_dump(v)}" for k, v in value.items())
            parts.append(f"  {_dump(key)}: {{\n    {lines}\n  }}")
        else:
            parts.append(f"  {_dump(key)}: {_dump(value)}")
    write_atomically(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


# --------------------------------------------------------------------------- reading


def read_baseline(path: str | Path) -> dict[str, Any]:
    """Read a baseline that :func:`write_baseline` wrote.

    Raises
    ------
    DriftError
        the file does not exist, is not strict JSON, or is of another format.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise DriftError(
            f"{path}: no readable baseline ({error.strerror}); write one: benchsep baseline RUN "
            f"-o {path}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DriftError(f"{path} is not strict JSON: {error}; write it again") from error
    form = content.get("format") if isinstance(content, dict) else type(content).__name__
    if form != FORMAT:
        raise DriftError(f"{path} has format {form!r}, expected {FORMAT!r}; write it again")
    if problem := _problem(content):
        raise DriftError(f"{path}: {problem}; write it again: benchsep baseline RUN -o {path}")
    return dict(content)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"literal {name}")


def _problem(content: Mapping[str, Any]) -> str:
    """An error text if the structure is not that of :func:`write_baseline`, else empty."""
    for name, kind in SECTIONS.items():
        if not isinstance(content.get(name), kind):
            return f"{name} is {type(content.get(name)).__name__}, expected {kind.__name__}"
    texts = [(n, content[n]) for n in ("metric_versions", "checkpoints", "mixtures")]
    texts += [(f"references.{k}", v) for k, v in content["references"].items()]
    for name, part in texts:
        if not isinstance(part, dict) or not all(isinstance(v, str) for v in part.values()):
            return f"{name} is not an object of texts"
    for name, direction in content["directions"].items():
        if type(direction) is not int or direction not in (-1, 0, 1):
            return f"directions.{name} is {direction!r}, expected -1, 0 or 1"
    for name, entry in content["tolerances"].items():
        if not _numbers(entry, {"cell", "mean"}, {"reason"}):
            return f"tolerances.{name} lacks numbers cell and mean, and a reason"
    for number, entry in enumerate(content["noise"]):
        if not _is_noise(entry):
            return f"noise[{number}] is not a measured spread"
    for number, row in enumerate(content["cells"]):
        if not _is_row(row):
            return f"cells[{number}] is not a row of values"
        if unknown := sorted(set(row["values"]) - set(content["directions"])):
            return f"directions lacks {unknown[0]}"
    return ""


def _finite(value: Any) -> bool:
    # Integers in JSON have no limit, but those beyond the range of float cannot be compared.
    return type(value) in (int, float) and abs(value) < 1e300


def _numbers(entry: Any, numbers: set[str], texts: set[str]) -> bool:
    """Whether an object has exactly these non-negative finite numbers and these texts."""
    if not isinstance(entry, dict) or set(entry) != numbers | texts:
        return False
    return all(isinstance(entry[key], str) for key in texts) and all(
        _finite(entry[key]) and entry[key] >= 0 for key in numbers
    )


def _is_noise(entry: Any) -> bool:
    return _numbers(entry, {"sd", "df", "runs", "worst"}, {"system", "stem", "metric"}) and all(
        type(entry[key]) is int and entry[key] >= 1 for key in ("df", "runs")
    )


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("values"), dict)
        and type(row.get("draw")) is int
        and all(isinstance(row.get(key), str) for key in ("system", "track", "stem"))
        and all(map(_is_entry, row["values"].values()))
    )


def _is_entry(entry: Any) -> bool:
    """A value, a status, or a value with its status."""
    if isinstance(entry, list) and len(entry) == 2:
        value, status = entry
        return (value is None or _finite(value)) and _is_status(status)
    return _is_status(entry) or _finite(entry)


def _is_status(text: Any) -> bool:
    try:
        return isinstance(text, str) and bool(Status.parse(text))
    except ValueError:
        return False
