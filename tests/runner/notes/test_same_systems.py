"""One system under two labels counts twice: tables, compare and merge say so."""

from __future__ import annotations

from typing import Any

from benchsep.runner.notes.same_systems import same_systems


def manifest(**changes: dict[str, Any]) -> dict[str, Any]:
    """Two labels of one system, the second with ``changes``."""
    usual = {"name": "htdemucs", "version": "1", "checkpoint_sha256": "a" * 64,
             "options": {"shifts": 1}, "family": "discriminative", "from_files": False,
             "from_program": False}  # fmt: skip
    changed = {**usual, **changes.get("other", {})}
    return {"systems": {"anna": {"info": usual}, "ben": {"info": changed}}}


def test_the_same_weights_and_options_under_two_names_are_told() -> None:
    (line,) = same_systems(manifest(), {"anna", "ben"})
    assert "anna = ben" in line and "counts" in line


def test_systems_that_differ_or_are_not_shown_are_not() -> None:
    for other in (
        {"options": {"shifts": 4}},
        {"checkpoint_sha256": "b" * 64},
        {"version": "2"},
        {"family": "oracle"},
        {"from_files": True},
        {"checkpoint_sha256": ""},
    ):
        assert same_systems(manifest(other=other), {"anna", "ben"}) == []
    assert same_systems(manifest(), {"anna"}) == []
    assert same_systems({}, {"anna"}) == same_systems({"systems": {"anna": {}}}, {"anna"}) == []
