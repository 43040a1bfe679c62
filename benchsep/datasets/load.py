"""From a dataset's name to its tracks: ``musdb18hq``, ``folder:PATH``, ``clip`` …"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, cast

from benchsep import registry
from benchsep.datasets.track import Dataset
from benchsep.errors import UsageError

SPLITS = ("test", "train", "valid", "all")
"""Split names that a data set without splits accepts: each means all songs."""


def default_dataset(root: str | None) -> str:
    """The data set of a suite that names none: MUSDB18 if there is a root, else the embedded
    clip.
    """
    folder = root or os.environ.get("MUSDB_PATH")
    if not folder:
        return "clip"
    stems = next(Path(folder).expanduser().glob("*/*.stem.mp4"), None)
    return "musdb18" if stems else "musdb18hq"


def load_dataset(
    spec: str, *, root: str | None = None, split: str = "test", mixture: str | None = None
) -> Dataset:
    """The dataset that ``spec`` names.

    Raises
    ------
    UsageError
        unknown name, an argument that this dataset does not take (a root of ``clip``; a root beside
        the folder of ``folder:PATH``), or an unknown split of one that has no splits.
    DatasetError
        the folder is missing.
    """
    name, _, text = spec.partition(":")
    factory = registry.resolve("dataset", name)
    given = {"root": root, "split": split, "mixture": mixture, "text": text}
    parameters = inspect.signature(factory).parameters
    if text and "text" not in parameters:
        raise UsageError(f"data set {name!r} takes no text after a colon; leave out {text!r}")
    if root is not None and "root" not in parameters:
        raise UsageError(f"data set {name!r} needs no folder; leave out --root {root}")
    if root is not None and text and _place(root) != _place(text):
        raise UsageError(
            f"{spec} and --root {root} are two folders for one data set; give only one of them"
        )
    if "split" not in parameters and split not in SPLITS:
        raise UsageError(
            f"the data set {name!r} has no split {split!r}; expected one of {', '.join(SPLITS)}"
        )
    arguments: dict[str, Any] = {
        k: v for k, v in given.items() if k in parameters and v is not None
    }
    return cast(Dataset, factory(**arguments))


def _place(folder: str) -> Path:
    return Path(folder).expanduser().resolve()
