"""Builds wheel and sdist, checks both, and runs the demo from each in an empty environment.

``make release``. The files lie in ``dist/`` afterwards. The scores of the demo must pass
the gate of the repository.
"""

from __future__ import annotations

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


def run_demo(package: Path, folder: Path) -> None:
    """The demo, its gate and its report by ``package``, installed in an empty environment."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    pins = [line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines()]
    (folder / "pins.txt").write_text(
        "\n".join(pin for pin in pins if "==" in pin and pin[0] != "#")
    )
    call(python, "-m", "pip", "install", "-q", "-c", "pins.txt", "torch", cwd=folder)
    call(python, "-m", "pip", "install", "-q", "-c", "pins.txt", f"{package}[spleeter]", cwd=folder)
    benchsep = folder / "env" / "bin" / "benchsep"
    call(benchsep, "run", "demo", "-o", "run", cwd=folder)
    call(benchsep, "check", "run", "--baseline", ROOT / "reports/demo/baseline.json", cwd=folder)
    call(benchsep, "report", "run", "-o", "report", cwd=folder)


def main() -> None:
    wheel, sdist = build()
    check_contents(wheel, sdist)
    call(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    for package in (wheel, sdist):
        with tempfile.TemporaryDirectory() as folder:
            run_demo(package, Path(folder))
        print(f"{package.name}: installed, demo run, gate passed")


if __name__ == "__main__":
    main()
