"""Limits the size of a model to that of its checkpoint, before memory is allocated.

The arguments of a model come from an untrusted file. They may describe 6,000 channels or a million
layers, and the tensors would be allocated before any weight is compared. Here the sizes of all
allocations of the constructor are summed before each allocation; an allocation beyond the size of
the checkpoint is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from benchsep.errors import CheckpointError

SLACK_ELEMENTS = 32_000_000
"""Allowance for windows, filter banks and other buffers that are not in a checkpoint: 128 MB."""
SLACK_TENSORS = 5_000
LARGEST_ARGUMENT = 2**20
"""Largest integer argument; widths, rates and transform sizes for audio are smaller."""
LARGEST_BANK = 2**24
"""Most numbers in a filter bank (bands times points of the transform), which numpy computes."""
FUNCTIONS = {
    "window_fn": r"(hann|hamming|blackman|bartlett|kaiser)_window",
    "rnn_type": r"LSTM|GRU|RNN",
    "hidden_activation": r"(Leaky|P)?ReLU6?|C?ELU|[GS]ELU|GLU|SiLU|Mish|Tanh|Sigmoid|Softplus",
}
"""Arguments that a class uses to look up a torch function by name, with the allowed values."""
MOST_ITEMS = 4096
"""Most items of a list argument: bands, instruments."""

T = TypeVar("T")


def check_arguments(arguments: Any, path: Path, name: str = "model") -> None:
    """Raise for implausible numbers and lists, before the model's class gets them.

    Raises
    ------
    CheckpointError
        an argument is too large; the message names it.
    """
    if isinstance(arguments, dict):
        _check_lookups(arguments, path, name)
        for key, value in arguments.items():
            check_arguments(value, path, f"{name}.{key}")
    elif isinstance(arguments, (list, tuple)):
        if len(arguments) > MOST_ITEMS:
            raise CheckpointError(
                f"{path}: {name} has {len(arguments):,} items, expected at most {MOST_ITEMS:,}"
            )
        for value in arguments:
            check_arguments(value, path, name)
    elif isinstance(arguments, int) and abs(arguments) > LARGEST_ARGUMENT:
        raise CheckpointError(
            f"{path}: {name} is {_short(arguments)}, expected at most {LARGEST_ARGUMENT:,}"
        )


def _check_lookups(arguments: dict[str, Any], path: Path, name: str) -> None:
    for key, pattern in FUNCTIONS.items():
        value = arguments.get(key)
        if value is not None and not re.fullmatch(pattern, str(value)):
            raise CheckpointError(f"{path}: {name}.{key} = {str(value)[:60]!r} is not supported")
    bands = arguments.get("num_bands") or arguments.get("n_bands") or arguments.get("mels")
    points = arguments.get("stft_n_fft") or arguments.get("n_fft") or 2048
    if isinstance(bands, int) and isinstance(points, int) and bands * points > LARGEST_BANK:
        raise CheckpointError(
            f"{path}: {name} asks for {_short(bands)} bands of {_short(points)} points; expected a "
            f"product of at most {LARGEST_BANK:,}"
        )


def _short(number: int) -> str:
    """A number as text; Python cannot print integers of more than 4,300 digits."""
    return f"{number:,}" if abs(number) < 10**30 else "a number of more than 30 digits"


MISFITS = (
    *(TypeError, ValueError, AssertionError, KeyError, AttributeError),
    *(RuntimeError, ArithmeticError, MemoryError, IndexError),
)
"""Exceptions of a model's class for wrong arguments."""


def built(build: Callable[[], T], arguments: Any, tensors: Mapping[str, Any], path: Path) -> T:
    """``build()`` of the model that ``arguments`` describe, no larger than its ``tensors``.

    Raises
    ------
    CheckpointError
        the arguments are invalid, or their model is too large; the message names their file
        ``path``.
    """
    check_arguments(arguments, path, "its configuration")
    held = sum(int(tensor.numel()) for tensor in tensors.values())
    try:
        return bounded(build, held, len(tensors), path)
    except MISFITS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(f"{path}: is not the description of a model ({reason})") from error


def bounded(build: Callable[[], T], held: int, tensors: int, path: Path) -> T:
    """``build()`` with a limit on allocations: the size of the checkpoint plus a slack.

    Parameters
    ----------
    held
        Numbers in the checkpoint.
    tensors
        Tensors in the checkpoint.

    Raises
    ------
    CheckpointError
        a tensor would exceed the limit; raised before its allocation.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    most, many = held + held // 2 + SLACK_ELEMENTS, 4 * tensors + SLACK_TENSORS
    used = [0, 0]

    class Bound(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            used[0] += (size := _requested(str(func), args))
            used[1] += size > 0
            if used[0] > most or used[1] > many:
                raise CheckpointError(
                    f"{path}: its arguments give a model with more than {used[0]:,} numbers in "
                    f"{used[1]:,} tensors, but the checkpoint has {held:,} in {tensors:,}; use a "
                    "checkpoint and a configuration that belong together"
                )
            return func(*args, **(kwargs or {}))

    with Bound():  # type: ignore[no-untyped-call]
        return build()


_BY_SHAPE = tuple(
    f"aten.{name}." for name in ("empty", "zeros", "ones", "full", "rand", "randn", "randint")
)
_BY_LENGTH = tuple(f"aten.{name}." for name in ("hann_window", "hamming_window", "eye"))


def _requested(operation: str, args: tuple[Any, ...]) -> int:
    """Number of elements that an allocating operation creates; 0 for other operations."""
    if operation.startswith(_BY_SHAPE):
        shape = next((a for a in args if isinstance(a, (list, tuple))), ())
        return max(1, prod(shape))
    if operation.startswith(_BY_LENGTH):
        return max(1, int(args[0]))
    if operation.startswith("aten.arange"):
        numbers = [a for a in args if isinstance(a, (int, float))]
        start, end = (0, *numbers)[-2:] if len(numbers) < 2 else numbers[:2]
        return max(1, int(end - start))
    return 0
