"""``benchsep … | head``: nothing is printed about the pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.environment import environment

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    "words", [("benchsep", "suites"), ("benchsep", "list", "metrics"), ("tokensep", "--help")]
)
def test_a_reader_that_has_gone_is_no_message(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", *words], stdout=writer, stderr=subprocess.PIPE,
        env=environment(), check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_an_error():
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchsep", "suites"], stdout=full, stderr=subprocess.PIPE,
            env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr and b"Traceback" not in done.stderr
