"""The benchmarks and the Slurm script import names that exist, also inside their functions."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted((ROOT / "benchmarks").glob("*.py")), ROOT / "docs" / "slurm_cluster.py"]
OURS = {"benchsep", "tokensep", "benchsep_baselines", "benchmarks", "tests"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_name_that_a_script_imports_exists(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_command_answers_help_and_takes_it_for_no_file_name(script):
    text = script.read_text(encoding="utf-8")
    assert "__main__" not in text or "ArgumentParser(" in text or "parser(" in text
