"""The message of an exception as text that can be stored: short and valid Unicode."""

from __future__ import annotations

LONGEST = 500
"""Most characters of a reason, because it is stored and shown in tables."""


def bounded(text: str, longest: int = LONGEST) -> str:
    r"""Text of at most about ``longest`` characters; lone surrogates are written as ``\ud800``."""
    if len(text) > longest:
        end = longest // 5
        left_out = len(text) - longest
        text = f"{text[: longest - end]} … ({left_out:,} characters) … {text[-end:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def message_of(error: BaseException) -> str:
    """The message of an exception, without its type."""
    return bounded(_said(error))


def reason_of(error: BaseException) -> str:
    """Type and message of an exception."""
    if isinstance(error, MemoryError):
        return "out of memory"
    return bounded(f"{type(error).__name__}: {_said(error)}")


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:  # ``__str__`` is third-party code, too
        return f"its message cannot be shown ({type(failure).__name__})"


def without_path(error: BaseException) -> str:
    """The message of an exception, for a text that names the file already.

    The message of an OSError would have an error number and the path again, as in
    ``[Errno 2] No such file or directory: 'a.csv'``.
    """
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _said(error)
