"""Shows each warning once per process, for all stems and calls."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_SHOWN: set[tuple[type[Warning], str]] = set()


@contextmanager
def warn_once() -> Iterator[None]:
    """Show the warnings of the block at its end, except those that an earlier block has shown.

    The caller's filters apply: an ignored warning is not shown, and a warning that is an error
    raises.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        _show_new(caught)


def _show_new(caught: list[warnings.WarningMessage]) -> None:
    for warning in caught:
        key = (warning.category, str(warning.message))
        if key not in _SHOWN:
            _SHOWN.add(key)
            warnings.showwarning(
                warning.message, warning.category, warning.filename, warning.lineno
            )
