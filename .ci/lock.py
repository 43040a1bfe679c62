"""Writes the hashes of ``requirements.lock``: ``make lock``, after a change of one of its versions.

Reads the lines ``name==version`` of the file, asks pip which file it would install for each one on
this platform (pip's installation report), and writes the lines again with the sha256 of that file.
torch has two hashes: the file on PyPI and the CPU build, where this machine offers one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
ONLY_PYPI = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}


def hashes(pins: list[str], **environment: str) -> dict[str, str]:
    """The sha256 of the file that pip would install for each pin."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--no-deps", "--quiet", "--report", "-", *pins]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    found = {}
    for entry in json.loads(done.stdout)["install"]:
        digest = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        found[_normal(entry["metadata"]["name"])] = digest
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    pins = [line.split()[0] for line in lines if "==" in line and not line.startswith("#")]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    maps = [hashes(pins), hashes(torch, **ONLY_PYPI)]
    body = []
    for pin in sorted(pins, key=str.lower):
        name = _normal(pin.split("==")[0])
        digests = sorted({found[name] for found in maps if name in found})
        body.append(" ".join([pin, *(f"--hash=sha256:{digest}" for digest in digests)]))
    LOCK.write_text("\n".join([*head, *body]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
