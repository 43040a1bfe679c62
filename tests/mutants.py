"""Mutation testing of gate, statistics, store and rules of done cells: ``make mutants``.

    python -m tests.mutants [GROUP …] [--draw 150] [--seed 22] [--work runs/mutants] [--show]

For each group of ``tests/mutants.toml`` the tracked files are copied to a folder of its own; there
mutmut changes one expression at a time and runs the tests that reach it. ``--draw`` mutants are
drawn (0: all are tried). One that slows a test down beyond its limit counts as killed. Scores go to
``reports/reliability.md``; ``--show`` prints the survivors as differences. Changes that no test can
notice are listed in the toml file with the reason, by function and changed line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.helpers.environment import ROOT, environment

CONFIG = Path(__file__).with_suffix(".toml")
COPIED = ["systems", "configs", "benchmarks", "docs", "reports", "README.md", "CHANGELOG.md"]
KILLED = {1, 3, 24, -24, 36, 152, 255}
"""Exit codes of mutmut: a test failed, pytest itself did, the limit of CPU time was reached."""

GENERATE = """
from mutmut import __main__ as program
program.makedirs("mutants", exist_ok=True)
program.set_mutant_under_test("mutant_generation")
program.copy_src_dir(); program.copy_also_copy_files(); program.setup_source_paths()
program.create_mutants(1)
"""


def main() -> None:
    groups = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["groups"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(groups))
    parser.add_argument("--draw", type=int, default=150, help="mutants of a group; 0: all")
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "mutants")
    parser.add_argument("--show", action="store_true", help="print what survived")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(groups):
        parser.error(f"unknown group {', '.join(sorted(unknown))}; there are {', '.join(groups)}")
    for name in options.groups or groups:
        group = Group(name, groups[name], options.work / name)
        group.prepare()
        group.run(group.drawn(options.draw, options.seed))
        print(group.summary(options.show), flush=True)
        publish(name, group.row())


class Group:
    """One set of modules with its tests, in a copy of the tree."""

    def __init__(self, name: str, settings: dict[str, Any], folder: Path) -> None:
        self.name, self.settings, self.folder = name, settings, folder.resolve()
        self.names: list[str] = []
        self._differences: dict[str, str] = {}

    def prepare(self) -> None:
        """Copy the tree and write mutmut's settings into it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
        for name in filter(None, files.stdout.decode().split("\0")):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.folder / name)
        skip = self.settings["skip"]
        settings = {
            "source_paths": ["benchsep"],
            "only_mutate": self.settings["mutate"],
            "pytest_add_cli_args_test_selection": self.settings["tests"],
            "pytest_add_cli_args": ["-q", "-n", "0", "-p", "no:cacheprovider",
                                    *(["-k", f"not ({skip})"] if skip else [])],
            "also_copy": COPIED,
        }  # fmt: skip
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += ["timeout_multiplier = 30.0", "timeout_constant = 10.0",
                  "use_git_change_detection = false"]  # fmt: skip
        with (self.folder / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write("\n[tool.mutmut]\n" + "\n".join(lines) + "\n")
        self._call("-c", GENERATE)

    def drawn(self, count: int, seed: int) -> list[str]:
        """Names of mutants, the same for the same tree."""
        names = sorted(self._codes())
        rng = random.Random(seed)
        return sorted(rng.sample(names, count)) if 0 < count < len(names) else names

    def run(self, names: list[str]) -> None:
        self.names = names
        self._call("-m", "mutmut", "run", "--max-children", "1", *names)

    def _call(self, *words: str, log: str = "mutmut.log") -> str:
        paths = [str(self.folder), str(self.folder / "systems"), os.environ.get("PYTHONPATH", "")]
        place = {**environment(), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        path = self.folder / log
        with path.open("w", encoding="utf-8") as file:
            done = subprocess.run([sys.executable, *words], cwd=self.folder, env=place,
                                  stdout=file, stderr=subprocess.STDOUT)  # fmt: skip
        said = path.read_text(encoding="utf-8", errors="replace")
        if done.returncode:
            raise SystemExit(f"{path}: mutmut failed\n{said[-3000:]}")
        return said

    def _codes(self) -> dict[str, int | None]:
        """Mutant to the exit code of its tests, ``None`` where it was not run."""
        found: dict[str, int | None] = {}
        for path in (self.folder / "mutants").rglob("*.meta"):
            found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        return found

    # -- results ----------------------------------------------------------------------------

    def survivors(self) -> list[str]:
        codes = self._codes()
        return [name for name in self.names if codes[name] not in KILLED]

    def excused(self, name: str) -> str:
        """Why no test can notice a mutant; empty where one should."""
        change = self.difference(name)
        for entry in self.settings.get("equivalent", []):
            if f"{entry['function']}__mutmut_" in name and f"+{entry['line']}" in change:
                return str(entry["why"])
        return ""

    def difference(self, name: str) -> str:
        """The changed lines of a mutant."""
        if name not in self._differences:
            lines = self._call("-m", "mutmut", "show", name, log="show.log").splitlines()
            self._differences[name] = "\n".join(
                line[0] + line[1:].strip()
                for line in lines
                if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")
            )
        return self._differences[name]

    def row(self) -> list[Any]:
        left = self.survivors()
        excused = sum(bool(self.excused(name)) for name in left)
        drawn, killed = len(self.names), len(self.names) - len(left)
        score = killed / (drawn - excused)
        return [self.name, drawn, len(self._codes()), killed, len(left), excused, f"{score:.0%}"]

    def summary(self, show: bool) -> str:
        name, drawn, total, killed, left, excused, score = self.row()
        lines = [f"{name}: {drawn} of {total} mutants, {killed} killed, {left} survived, of these "
                 f"{excused} without an effect: {score}"]  # fmt: skip
        where = Counter(n.rpartition("__mutmut_")[0] for n in self.survivors())
        lines += [f"  {count} in {place}" for place, count in where.most_common()]
        if show:
            lines += [f"{n}\n{self.difference(n)}\n{self.excused(n)}" for n in self.survivors()]
        return "\n".join(lines)


def publish(name: str, row: list[Any]) -> None:
    """Put the row of a group in place of its old one in the report."""
    from tests.faults.reliability import write_report

    reports = ROOT / "reports"
    known = json.loads((reports / "reliability.json").read_text(encoding="utf-8"))
    mutants = known.get("mutants", {})
    rows = [old for old in mutants.get("modules", []) if old[0] != name]
    write_report({"mutants": {**mutants, "modules": sorted([*rows, row])}}, reports)


if __name__ == "__main__":
    main()
