"""Google's published support vector regression, from similarities to a mean opinion score.

Conventions
-----------
similarities   float64 ``[32]``, the mean NSIM of each band over all patches
score          MOS-LQO, 1 to 5; equal signals give 4.732

``svr.npz`` holds the numbers of ``model/libsvm_nu_svr_model.txt`` of google/visqol (nu-SVR with
a Gaussian kernel, 317 support vectors), copyright Google LLC, Apache License 2.0; see ``NOTICE``
beside it. It was made by::

    python -m benchsep.metrics.visqol.svr libsvm_nu_svr_model.txt svr.npz
"""

from __future__ import annotations

import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchsep.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = Path(__file__).with_name("svr.npz")
MODEL_SHA256 = "8f2b55580eb58737c75830a534c749594a6baff25d90d796298223cf3c690906"
SOURCE_SHA256 = "1e8246ed33bf36dc5c859351f7110f2cd31f98661989715c0fcf974ec48d3e2e"
"""Hash of Google's text file, the source of the numbers."""


@dataclass(frozen=True)
class Model:
    """``vectors`` ``[317, 32]``, ``weights`` ``[317]``, the kernel's ``gamma``, offset ``rho``."""

    vectors: NDArray[np.float64]
    weights: NDArray[np.float64]
    gamma: float
    rho: float

    def score(self, similarities: NDArray[np.float64]) -> float:
        """MOS-LQO, clipped to 1 to 5."""
        distance = ((self.vectors - similarities) ** 2).sum(1)
        value = float(self.weights @ np.exp(-self.gamma * distance)) - self.rho
        return min(5.0, max(1.0, value))


@functools.cache
def model() -> Model:
    """The published model.

    Raises
    ------
    MetricError
        if the file is missing or is not the one of this package.
    """
    try:
        content = MODEL.read_bytes()
    except OSError as error:
        raise MetricError(
            f"{MODEL}: ViSQOL's model cannot be read ({error}); reinstall benchsep"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != MODEL_SHA256:
        raise MetricError(
            f"{MODEL}: sha256 {found}, expected {MODEL_SHA256}: not the model that the scores "
            "are defined by; reinstall benchsep"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as numbers:
        return Model(
            numbers["vectors"], numbers["weights"], float(numbers["gamma"]), float(numbers["rho"])
        )


def convert(text: str) -> Model:
    """Read libsvm's text format (``index:value`` pairs, zeros left out).

    Raises
    ------
    MetricError
        if it is not a nu-SVR with a Gaussian kernel.
    """
    head, _, body = text.partition("\nSV\n")
    header = dict(line.split(" ", 1) for line in head.splitlines())
    if header.get("svm_type") != "nu_svr" or header.get("kernel_type") != "rbf":
        raise MetricError(
            f"svm_type {header.get('svm_type')}, kernel_type {header.get('kernel_type')}; "
            "expected nu_svr and rbf"
        )
    rows = [line.split() for line in body.splitlines() if line.strip()]
    vectors = np.zeros((len(rows), 32))
    for row, (_, *pairs) in enumerate(rows):
        for pair in pairs:
            index, value = pair.split(":")
            vectors[row, int(index) - 1] = float(value)
    weights = np.array([float(row[0]) for row in rows])
    return Model(vectors, weights, float(header["gamma"]), float(header["rho"]))


def main(source: str, target: str) -> None:
    """Write ``target`` (npz) from Google's text file, and print its sha256."""
    content = Path(source).read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        raise MetricError(f"{source}: not the model of google/visqol 3.3.3")
    read = convert(content.decode())
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, vectors=read.vectors, weights=read.weights, gamma=read.gamma, rho=read.rho
    )
    Path(target).write_bytes(buffer.getvalue())
    print(hashlib.sha256(buffer.getvalue()).hexdigest())


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
