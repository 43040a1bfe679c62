"""Start a script as several processes of one training, as ``torchrun`` would on one machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.helpers.environment import environment


def launch(script: Path, *arguments: str, count: int = 2, timeout: float = 240) -> list[str]:
    """The output of each process; all must end well.

    Raises
    ------
    AssertionError
        A process failed, or they did not end in time; with what they printed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=environment() | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    deadline, outputs, ended = time.monotonic() + timeout, [], True
    for process in started:
        try:
            outputs.append(process.communicate(timeout=deadline - time.monotonic())[0])
        except subprocess.TimeoutExpired:
            for other in started:
                other.kill()
            outputs.append(process.communicate()[0])
            ended = False
    codes = [process.returncode for process in started]
    assert ended and not any(codes), f"exit codes {codes}\n" + "\n---\n".join(outputs)
    return outputs
