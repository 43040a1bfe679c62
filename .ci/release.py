"""Builds wheel and sdist, checks both, and runs the demo from each in an empty environment.

``make release``. The files lie in ``dist/`` afterwards. From the wheel, with the extra
``spleeter``, the scores of the demo must pass the gate of the repository; from the sdist, without
an extra, the demo must run. NISQA's weights are not part of either: its values are compared where
``BENCHSEP_NISQA_WEIGHTS`` names them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
NISQA_WEIGHTS = "BENCHSEP_NISQA_WEIGHTS"
NEEDED = ("benchsep/py.typed", "benchsep/configs/demo.yaml", "tokensep/weights/mini/lm.safetensors")


def call(*command: str | Path, cwd: Path = ROOT) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, check=True, cwd=cwd)


def build() -> tuple[Path, Path]:
    """The wheel, built from the sdist, and the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    call(sys.executable, "-m", "build", "--outdir", DIST, ".")
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def check_contents(wheel: Path, sdist: Path) -> None:
    """Suites, types, weights (each once) are in; no link of the description is dead."""
    names = zipfile.ZipFile(wheel).namelist()
    absent = [name for name in NEEDED if name not in names]
    if absent:
        raise SystemExit(f"{wheel.name} lacks {absent}")
    with tarfile.open(sdist) as archive:
        weights = [(m.name, m.size) for m in archive if m.name.endswith(".safetensors")]
    inside = [name for name in names if name.endswith(".safetensors")]
    if len(weights) != len(inside):
        raise SystemExit(f"{len(weights)} weights in the sdist, {len(inside)} in the wheel")
    (metadata,) = (name for name in names if name.endswith("/METADATA"))
    text = message_from_bytes(zipfile.ZipFile(wheel).read(metadata)).get_payload()
    if "](docs/" in text or "](CHANGELOG" in text:
        raise SystemExit("the description holds relative links, which are dead on an index")


def install(package: str, folder: Path) -> Path:
    """``package`` in an empty environment inside ``folder``; its ``benchsep``."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    pins = [line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines()]
    (folder / "pins.txt").write_text(
        "\n".join(pin for pin in pins if "==" in pin and pin[0] != "#")
    )
    call(python, "-m", "pip", "install", "-q", "-c", "pins.txt", "torch", cwd=folder)
    call(python, "-m", "pip", "install", "-q", "-c", "pins.txt", package, cwd=folder)
    return folder / "env" / "bin" / "benchsep"


def run_demo(benchsep: Path, folder: Path) -> None:
    """The demo, as a user runs it: a report, and this version in it."""
    call(benchsep, "run", "demo", "-o", "run", cwd=folder)
    call(benchsep, "report", "run", "-o", "report", cwd=folder)
    report = (folder / "report" / "tables.md").read_text(encoding="utf-8")
    shown = subprocess.run([benchsep, "--version"], capture_output=True, text=True, check=True)
    if shown.stdout.strip() not in report:
        raise SystemExit(f"the report does not name {shown.stdout.strip()}")


def check_scores(benchsep: Path, folder: Path) -> None:
    """The gate of the repository on the demo's scores."""
    baseline = ROOT / "reports" / "demo" / "baseline.json"
    held = json.loads(baseline.read_text(encoding="utf-8"))["directions"]
    here = [m for m in held if NISQA_WEIGHTS in os.environ or not m.startswith("nisqa.")]
    if len(here) < len(held):
        print(f"{NISQA_WEIGHTS} is not set: NISQA's values are not compared")
    only = ("--metrics", ",".join(here))
    call(benchsep, "check", "run", "--baseline", baseline, *only, cwd=folder)


def main() -> None:
    wheel, sdist = build()
    check_contents(wheel, sdist)
    call(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    with tempfile.TemporaryDirectory() as name:
        benchsep = install(f"{wheel}[spleeter]", Path(name))
        run_demo(benchsep, Path(name))
        check_scores(benchsep, Path(name))
    print(f"{wheel.name}: installed, demo run, gate passed")
    with tempfile.TemporaryDirectory() as name:
        run_demo(install(str(sdist), Path(name)), Path(name))
    print(f"{sdist.name}: installed without extras, demo run")


if __name__ == "__main__":
    main()
