"""One version everywhere, and a changelog in the form of keepachangelog.com."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

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
