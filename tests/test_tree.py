"""The layers of the packages: imports point downwards only, and no modules import in a circle.

Every import counts, also one inside a function and one for the type checker.
``docs/design/tree.md`` gives the reasons.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {
    # Top to bottom. Modules on one line are at the same level; a module may import from its own
    # level and from the levels below it.
    "benchsep": """
        __init__ __main__ system
        cli
        museval visqol
        ablation
        report
        listeners
        imported
        runner
        gate
        stats
        systems
        metrics
        datasets
        stems
        audio registry
        _util
        errors
    """,
    "tokensep": """
        __init__ __main__
        cli
        integration
        plan
        train
        songs
        likelihood
        separator describe
        decode
        codec lm
        dsp recompute
        config
        errors
    """,
    "benchsep_baselines": """
        __init__ train
        bs_roformer generic htdemucs mixture oracles scnet spleeter
        msst
        availability download
        zoo
        locate architectures msst_config
        fetch bounds chunking common demucs_batches safe_load wrapped
        transfer
    """,
    "benchsep_training": """
        __init__ loop
        batches bf16 budget checkpoint ema guard logs monitor once processes schedule seeds
    """,
}
PLUGINS = ("tokensep", "benchsep_baselines", "benchsep_training")
FOLDERS = {"benchsep": ROOT / "benchsep", **{name: ROOT / "systems" / name for name in PLUGINS}}
FLAT = {"__init__", "__main__", "audio", "errors", "registry"}
"""The modules that may be files in the root of ``benchsep``."""
SHARED = {"benchsep.audio", "benchsep._util", "benchsep.errors"}
"""What ``tokensep`` (outside ``integration``) and the trainings may import from ``benchsep``."""
KNOWN: set[str] = set()
"""Imports that still break a rule; each must exist, so that the list shrinks."""


@cache
def modules(package: str) -> dict[str, Path]:
    """All modules of a package by their dotted names."""
    folder = FOLDERS[package]
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def all_modules() -> dict[str, Path]:
    """Those of every package."""
    return {name: path for package in FOLDERS for name, path in modules(package).items()}


def imports(path: Path, known: set[str]) -> set[str]:
    """The modules that a file imports; ``from a import b`` is ``a.b`` where that is a module."""
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import in line {node.lineno}"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            targets |= {name if name in known else str(node.module) for name in names}
    return targets


@cache
def graph() -> dict[str, set[str]]:
    """Each module of the packages with what it imports from them."""
    paths = all_modules()
    return {
        name: {
            target
            for target in imports(path, set(paths)) & set(paths) - {name}
            if f"{name} -> {target}" not in KNOWN
        }
        for name, path in paths.items()
    }


def level(module: str) -> int:
    package, _, rest = module.partition(".")
    name = rest.partition(".")[0] or "__init__"
    lines = [line.split() for line in LAYERS[package].strip().splitlines()]
    found = [number for number, names in enumerate(lines) if name in names]
    assert found, f"{module}: add {name} to LAYERS"
    return found[0]


def circle(imported: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, or nothing."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(imported[module]):
            if found := visit(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(imported) if (found := visit(module, []))), [])


@pytest.mark.parametrize("package", FOLDERS)
def test_each_import_points_to_the_same_level_or_one_below(package):
    upward = {
        f"{module} -> {target}"
        for module, targets in graph().items()
        for target in targets
        if module.split(".")[0] == target.split(".")[0] == package and level(target) < level(module)
    }
    assert not upward


def test_no_modules_import_in_a_circle():
    assert not circle(graph())


def test_the_search_finds_a_circle():
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]


def test_packages_of_one_level_do_not_import_each_other_in_a_circle():
    """A circle of packages can exist without one of modules: ``codec.a -> lm.b -> codec.c``."""
    packages: dict[str, set[str]] = {}
    for module, targets in graph().items():
        heads = {".".join(target.split(".")[:2]) for target in targets}
        head = ".".join(module.split(".")[:2])
        packages.setdefault(head, set()).update(heads - {head})
    assert not circle({head: targets & set(packages) for head, targets in packages.items()})


def test_benchsep_does_not_import_its_plugins():
    known = set(modules("benchsep"))
    for name, path in modules("benchsep").items():
        heads = {target.split(".")[0] for target in imports(path, known)}
        assert not heads & {*PLUGINS, "tests", "benchmarks"}, name


def test_tokensep_imports_few_modules_of_benchsep_outside_its_integration():
    outside = {
        f"{module} -> {target}"
        for module, targets in graph().items()
        for target in targets
        if module.startswith("tokensep") and not module.startswith("tokensep.integration")
        if target.split(".")[0] == "benchsep" and ".".join(target.split(".")[:2]) not in SHARED
    }
    assert not outside


def test_trainings_share_the_loop_and_nothing_else():
    """``benchsep_training`` knows no trainer, and the two packages with trainers not each other."""
    forbidden = {
        "benchsep_training": {"tokensep", "benchsep_baselines"},
        "tokensep": {"benchsep_baselines"},
        "benchsep_baselines": {"tokensep"},
    }
    for module, targets in graph().items():
        package = module.split(".")[0]
        heads = {target.split(".")[0] for target in targets}
        assert not heads & forbidden.get(package, set()), module
        if package == "benchsep_training":
            used = {".".join(t.split(".")[:2]) for t in targets if t.split(".")[0] == "benchsep"}
            assert used <= SHARED, module


def test_the_root_of_benchsep_holds_only_the_shared_modules():
    assert {path.stem for path in FOLDERS["benchsep"].glob("*.py")} <= FLAT


def test_every_package_has_a_level():
    for name in all_modules():
        level(name)


def test_each_known_violation_still_exists():
    paths = all_modules()
    known = set(paths)
    for violation in KNOWN:
        module, target = violation.split(" -> ")
        assert module in paths and target in imports(paths[module], known), violation
