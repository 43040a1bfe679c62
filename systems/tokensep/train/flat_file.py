"""A one-dimensional ``.npy`` file: written piece by piece (one in memory), then mapped."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from tokensep.errors import DataError

HEADER_BYTES = 128
"""Size of a flat array's header: NumPy pads it to a multiple of 64; this one needs 70 to 90
bytes."""


class FlatFile:
    """Append arrays to a file; at the end of the ``with`` it holds what ``np.save`` would write.

    The header states the length, so it is written last. If the writer was killed, the file has no
    header and ``np.load`` refuses it.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        self.length = 0
        """Elements written so far."""
        self._file: IO[bytes]

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._file.write(bytes(HEADER_BYTES))
        return self

    def append(self, array: NDArray[Any]) -> None:
        """Add the elements of ``array``, of any shape, in C order."""
        flat = np.ascontiguousarray(array, self.dtype).ravel()
        self._file.write(flat.data)
        self.length += flat.size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file as file:
            if kind is None:
                file.seek(0)
                description = npy.dtype_to_descr(self.dtype)
                shape = {"descr": description, "fortran_order": False, "shape": (self.length,)}
                npy.write_array_header_1_0(file, shape)
                assert file.tell() == HEADER_BYTES, file.tell()


def read_flat(path: Path, dtype: DTypeLike) -> NDArray[Any]:
    """The array of a file, memory-mapped.

    Raises
    ------
    DataError
        The file cannot be read, is cut short, or holds something else.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype != np.dtype(dtype) or array.ndim != 1:
            raise ValueError(
                f"{array.dtype} in {array.ndim} axes, expected {np.dtype(dtype)} in one"
            )
    except (OSError, ValueError, EOFError, AttributeError) as error:  # a zip file has no dtype
        raise damaged(path, error) from error
    return array


def damaged(path: Path, reason: object) -> DataError:
    """The error for prepared data that is not what was written."""
    said = getattr(reason, "strerror", None) or str(reason).partition(". ")[0]
    return DataError(f"{path} is damaged ({said}); delete its folder and make it again")
