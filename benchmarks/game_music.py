"""Freely licensed game music, downloaded by the names of its Debian packages.

    python -m benchmarks.game_music OUT [--packages NAME …]

Writes ``OUT/PACKAGE/*.ogg``, and beside them the package's ``copyright`` file, which has the
licence of each recording. Uses ``apt-get download`` and ``dpkg-deb`` of Debian or Ubuntu; nothing
is installed and no root rights are needed. A package that is there already is skipped.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchsep.errors import UsageError

PACKAGES: tuple[tuple[str, ...], ...] = (
    ("nexuiz-music",),
    ("singularity-music",),
    ("ufoai-music",),
    ("wesnoth-1.16-music", "wesnoth-1.18-music"),
)
"""What the codec ``bands`` was trained on; of several names, the first that the release has."""
PROGRAMS = ("apt-get", "dpkg-deb")
RECORDINGS = (".ogg", ".flac", ".opus")
ARCHIVES = (".pk3", ".zip")

Call = Callable[[Sequence[str], Path], int]


def fetch(out: Path, names: Sequence[str], call: Call) -> Path:
    """Download one package and put its recordings into a folder of its name.

    Parameters
    ----------
    names
        Names of the package in different releases.
    call
        Runs a command in a folder and returns its status.

    Returns
    -------
    The folder.

    Raises
    ------
    UsageError
        No package of these names can be downloaded or unpacked, or it holds no recordings.
    """
    for name in names:
        if (out / name / "copyright").is_file():
            return out / name
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        name = _downloaded(folder, names, call)
        package = next(folder.glob("*.deb"))
        if call(("dpkg-deb", "-x", package.name, "tree"), folder):
            raise UsageError(f"dpkg-deb cannot unpack {package.name}; run the command again")
        ready = folder / name
        ready.mkdir()
        if not _collect(folder / "tree", ready):
            raise UsageError(
                f"the package {name} holds no recordings ({', '.join(RECORDINGS)}); leave it out "
                "with --packages"
            )
        shutil.copy2(folder / "tree/usr/share/doc" / name / "copyright", ready)
        ready.replace(out / name)
    return out / name


def _downloaded(folder: Path, names: Sequence[str], call: Call) -> str:
    for name in names:
        if call(("apt-get", "download", name), folder) == 0:
            return name
    raise UsageError(
        f"apt-get cannot download {' or '.join(names)}; run `apt-get update`, or leave it out with "
        "--packages"
    )


def _collect(tree: Path, into: Path) -> int:
    """Copy the recordings of an unpacked package, also those in archives; how many they are."""
    found = 0
    for path in sorted(tree.rglob("*")):
        if path.suffix in RECORDINGS and path.is_file():
            shutil.copy2(path, into / path.name)
            found += 1
        elif path.suffix in ARCHIVES and path.is_file():
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(RECORDINGS):
                        (into / Path(name).name).write_bytes(archive.read(name))
                        found += 1
    return found


def _call(command: Sequence[str], folder: Path) -> int:
    return subprocess.call(command, cwd=folder)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--packages", nargs="+", help="only these packages, by any of their names")
    given = parser.parse_args(argv)
    chosen = [(name,) for name in given.packages] if given.packages else PACKAGES
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    try:
        if missing:
            raise UsageError(f"found no {' and no '.join(missing)}: expected Debian or Ubuntu")
        given.out.mkdir(parents=True, exist_ok=True)
        for names in chosen:
            print(fetch(given.out, names, _call), flush=True)
    except UsageError as error:
        print(f"game_music: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
