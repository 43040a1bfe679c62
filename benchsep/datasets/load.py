"""From a dataset's name to its tracks: ``musdb18hq``, ``folder:PATH``, ``clip`` …"""

from __future__ import annotations

import inspect
import os
from typing import Any, cast

from benchsep import registry
from benchsep.datasets.track import Dataset
from benchsep.errors import UsageError


def default_dataset(root: str | None) -> str:
    """What is meant when nothing is said: MUSDB18 if a root is known, else the embedded clip."""
    known = root or os.environ.get("MUSDB_PATH")
    if not known:
        return "clip"
    from pathlib import Path

    stems = next(Path(known).expanduser().glob("*/*.stem.mp4"), None)
    return "musdb18" if stems else "musdb18hq"


def load_dataset(
    spec: str, *, root: str | None = None, split: str = "test", mixture: str | None = None
) -> Dataset:
    """The dataset that ``spec`` names.

    Raises
    ------
    UsageError
        unknown name, or an argument that this dataset does not take.
    DatasetError
        the folder is missing.
    """
    name, _, text = spec.partition(":")
    factory = registry.resolve("dataset", name)
    offered = {"root": root, "split": split, "mixture": mixture, "text": text}
    taken = inspect.signature(factory).parameters
    if text and "text" not in taken:
        raise UsageError(f"dataset {name!r} takes nothing after a colon, got {text!r}")
    arguments: dict[str, Any] = {k: v for k, v in offered.items() if k in taken and v is not None}
    return cast(Dataset, factory(**arguments))
