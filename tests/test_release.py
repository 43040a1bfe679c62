"""One version everywhere, and a changelog in the form of keepachangelog.com."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet

import benchsep

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_citation_and_the_changelog_name_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == benchsep.__version__
    released = f"## [{benchsep.__version__}] - {citation['date-released']}"
    headings = [line for line in CHANGELOG.splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## [Unreleased]", released]


def test_the_changelog_has_the_sections_of_keep_a_changelog():
    sections = set(re.findall(r"^### (.+)$", CHANGELOG, re.M))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for heading in re.findall(r"^## (.+)$", CHANGELOG, re.M):
        assert re.fullmatch(
            r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d|not published)", heading
        )


def test_the_manifest_and_a_baseline_name_the_version_of_the_code(tmp_path):
    from benchsep.gate.baseline import run_facts

    result = benchsep.run(
        systems=["mixture"],
        metrics=["usdr"],
        dataset="clip",
        yardsticks=False,
        jobs=1,
        inline=True,
        out=tmp_path,
    )
    manifest = json.loads((result.root / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["packages"]["benchsep"] == benchsep.__version__
    assert run_facts(manifest)["benchsep"] == benchsep.__version__


def test_the_locked_versions_install_on_the_oldest_python_that_is_promised():
    """One of them asked for 3.11.5: `make test` failed on Debian 12, which has 3.11.2."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = re.fullmatch(r">=(\d+\.\d+)(,.*)?", project["requires-python"])
    assert oldest is not None
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    seen = 0
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M):
        try:
            found = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        if found["Version"] == version:
            seen += 1
            needs = found.get("Requires-Python") or ""
            assert SpecifierSet(needs).contains(f"{oldest[1]}.0"), f"{name} {version}: {needs}"
    assert seen > 20
