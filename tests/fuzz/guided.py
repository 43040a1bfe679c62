"""One target under atheris (libFuzzer): ``python -m tests.fuzz.guided NAME FOLDER SECONDS``.

FOLDER keeps what was found; a crash is written there as ``crash-SHA1``, and the exit code is not 0.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

from tests.fuzz.target import HERE, attempt, load_target, warm

INSTRUMENTED = ["benchsep", "benchsep_baselines", "benchsep_training", "tokensep", "yaml", "csv"]
LONGEST = 1 << 14
"""Bytes of an input."""
TOO_LONG_S = 60
"""On the clock, on a busy machine; libFuzzer ends what hangs in C, where Python cannot."""


def main() -> None:
    name, found, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = load_target(name)
        folder = Path(tempfile.mkdtemp(prefix="benchsep-fuzz-", dir=_memory_folder()))
        warm(target, name, folder)
    tokens = found.parent / f"{name}.dict"
    found.mkdir(parents=True, exist_ok=True)
    tokens.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))
    options = [
        f"-max_total_time={seconds:.0f}", f"-artifact_prefix={found}/", f"-dict={tokens}",
        f"-max_len={LONGEST}", "-len_control=20", f"-timeout={TOO_LONG_S}",
        "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    folders = [
        str(p) for p in (found, HERE / "corpus" / name, HERE / "crashes" / name) if p.is_dir()
    ]

    def one(data: bytes) -> None:
        try:
            attempt(target, data, folder)
        except BaseException:
            (found / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise  # libFuzzer ends the process, and does not always come to write the input

    atheris.Setup([sys.argv[0], *options, *folders], one)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
