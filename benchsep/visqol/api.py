"""``VisqolApi`` with the methods of visqol-python and the scores of Google's program.

Conventions
-----------
signals    a file of any rate and channels, or an array ``[samples]``; channels are averaged and
           the rate becomes 48 kHz (soxr HQ)
score      MOS-LQO of audio mode, 1 to 4.738; see :mod:`benchsep.metrics.visqol.engine`
silence    a silent reference is an error (Google's program gives 4.732 for any estimate); a silent
           estimate has 1.0
threads    a batch runs in threads, because the kernels release the GIL; pairs with the same
           reference share its spectrogram

visqol-python uses another envelope for the alignment than Google's program, so its scores differ by
up to 0.024 on the compared pairs (``docs/metrics/visqol.md``). Unsupported options (speech mode,
other models, other search windows, no alignment) are errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.visqol import gammatone
from benchsep.metrics.visqol.engine import RATE, Reference, Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pair = tuple[str | os.PathLike[str], str | os.PathLike[str]]

QUANTILE = 0.10
SEARCH_WINDOW = 60


@dataclass(frozen=True)
class SimilarityResult:
    """The result of a comparison, with visqol-python's names.

    ``moslqo`` is the score, ``vnsim`` the mean similarity, ``fvnsim`` ``[32]`` that of each band,
    ``fvnsim10`` ``[32]`` the mean of its lowest tenth of patches, ``center_freq_bands`` ``[32]``
    the bands' centres in Hz.
    """

    moslqo: float
    vnsim: float
    fvnsim: NDArray[np.float64]
    fvnsim10: NDArray[np.float64]
    center_freq_bands: NDArray[np.float64]

    @classmethod
    def of(cls, result: Result) -> SimilarityResult:
        """From the engine's result."""
        patches = np.sort(result.patches, axis=0)  # [patches, bands]
        lowest = patches[: max(1, int(len(patches) * QUANTILE))].mean(0)
        centres = gammatone.centre_frequencies()
        return cls(result.score, result.similarity, result.similarities, lowest, centres)


class VisqolApi:
    """Compare recordings; :meth:`create` first, as in visqol-python."""

    def __init__(self) -> None:
        self._created = False

    def create(
        self,
        mode: str = "audio",
        model_path: str | None = None,
        search_window: int = SEARCH_WINDOW,
        **others: object,
    ) -> None:
        """Set the options. Only the defaults of audio mode are supported.

        Raises
        ------
        ValueError
            for any other option; use visqol-python for these.
        """
        given = {"mode": mode.lower(), "model_path": model_path, "search_window": search_window}
        usual = {"mode": "audio", "model_path": None, "search_window": SEARCH_WINDOW}
        changed = [f"{k}={v!r}" for k, v in given.items() if v != usual[k]]
        changed += [f"{k}={v!r}" for k, v in others.items() if v]
        if changed:
            raise ValueError(
                f"{', '.join(changed)}: benchsep has ViSQOL's audio mode with Google's settings "
                "and model only; use the package visqol-python for anything else"
            )
        self._created = True

    def measure(
        self, ref_path: str | os.PathLike[str], deg_path: str | os.PathLike[str]
    ) -> SimilarityResult:
        """Compare two files.

        Raises
        ------
        RuntimeError
            before :meth:`create`.
        FileNotFoundError
            a file does not exist.
        benchsep.errors.AudioError
            a file is not audio.
        ValueError
            a signal is shorter than 0.96 s, or the reference is silent.
        """
        self._check()
        reference = _reference(*_identity(ref_path))
        return SimilarityResult.of(reference.compare(_mono(*_identity(deg_path)[:1])))

    def measure_from_arrays(
        self, ref_array: NDArray[np.floating], deg_array: NDArray[np.floating], sample_rate: int
    ) -> SimilarityResult:
        """Compare two arrays ``[samples]`` of one rate.

        Raises
        ------
        RuntimeError, ValueError
            as :meth:`measure`; or an array that is empty or not one-dimensional.
        benchsep.errors.AudioError
            samples are not finite or not in full scale 1 (divide integers by their full scale), or
            the rate is implausible.
        """
        from benchsep.audio import Audio, scale_fault
        from benchsep.errors import AudioError

        self._check()
        signals = []
        for name, array in (("ref_array", ref_array), ("deg_array", deg_array)):
            if np.ndim(array) != 1 or np.size(array) == 0:
                raise ValueError(f"{name} has shape {np.shape(array)}, expected [samples]")
            audio = Audio.of(array, sample_rate)
            if fault := scale_fault(audio):
                raise AudioError(f"{name}: {fault}")
            signals.append(audio.resampled(RATE).samples[0])
        return SimilarityResult.of(_sounding(Reference(signals[0])).compare(signals[1]))

    def measure_batch(
        self,
        file_pairs: Sequence[Pair],
        *,
        max_workers: int | None = None,
        parallel: bool = True,
        progress_callback: Callable[[int, int], None] | None = None,
    ) -> list[SimilarityResult | Exception]:
        """Compare many pairs of files; for a pair with an error, the list holds the exception.

        Raises
        ------
        RuntimeError
            before :meth:`create`.
        """
        self._check()

        def one(pair: Pair) -> SimilarityResult | Exception:
            try:
                return self.measure(*pair)
            except Exception as error:
                return error

        workers = (max_workers or os.cpu_count() or 1) if parallel else 1
        found: list[SimilarityResult | Exception] = []
        with ThreadPoolExecutor(workers) as pool:
            for result in pool.map(one, file_pairs):
                found.append(result)
                if progress_callback is not None:
                    progress_callback(len(found), len(file_pairs))
        return found

    def _check(self) -> None:
        if not self._created:
            raise RuntimeError("call create() first")


def _identity(path: str | os.PathLike[str]) -> tuple[str, tuple[int, ...]]:
    """Path, and inode, size and times of a file, the key of the cache."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{os.fspath(path)}: no such file")
    status = Path(path).stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    return os.fspath(path), (status.st_ino, status.st_size, *times)


@lru_cache(maxsize=2)
def _reference(path: str, facts: tuple[int, ...]) -> Reference:
    """Cached references, because several estimates of one reference are usually compared in
    sequence.
    """
    return _sounding(Reference(_mono(path)))


def _sounding(reference: Reference) -> Reference:
    """The reference; raises if it is silent, because Google's program gives a perfect score to any
    estimate of it.
    """
    if not reference.sound.samples.any():
        raise ValueError("the reference is silent (as the mean of its channels): it has no score")
    return reference


def _mono(path: str) -> NDArray[np.float32]:
    from benchsep.audio import read_audio

    samples: NDArray[np.float32] = read_audio(path).mono().resampled(RATE).samples[0]
    return samples
