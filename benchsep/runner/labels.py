"""The labels of the systems of a run, and notes for the user about these systems.

Conventions
-----------
label    the name in the spec (``mine=dir:PATH``), else ``name@checkpoint[option=value,…]``
folders  two folders with the same name get different labels, with as many parent folders as
         necessary (``dir:a/est``, ``dir:b/est``). A label in the run folder's manifest always stays
         with its folder, also in later runs
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep.datasets.references import has_references
from benchsep.errors import UsageError
from benchsep.stems.fitting import fitting_option, stems_of_option
from benchsep.systems.contract import SystemInfo
from benchsep.systems.reference import REFERENCE_FAMILIES
from benchsep.systems.spec import Spec
from benchsep.systems.stems import stems_in
from benchsep.systems.training import UNKNOWN

if TYPE_CHECKING:
    from benchsep.datasets.track import Track

Described = tuple[str, SystemInfo]
"""A canonical spec and the info of its system."""


def label_of(spec: str, info: SystemInfo) -> str:
    """The label of a system, if it is unique."""
    parsed = Spec.parse(spec)
    if parsed.label:
        return parsed.label
    shown = [f"{k}={v}" for k, v in sorted(parsed.options.items()) if k not in info.options_in_name]
    return info.label + (f"[{','.join(shown)}]" if shown else "")


def labelled(
    systems: Sequence[Described], before: Mapping[str, str] | None = None
) -> dict[str, Described]:
    """Label to system, in order; labels are unique.

    Parameters
    ----------
    before
        Label to spec of an earlier run in the same folder.

    Raises
    ------
    UsageError
        two systems have the same label, and they are not folders.
    """
    held = _folders_of(before or {})
    found: dict[str, Described] = {}
    for spec, info in systems:
        label = _label(spec, info, systems, held)
        if label in found:
            raise UsageError(
                f"{found[label][0]!r} and {spec!r} have the same name {label!r}; give one of them "
                f"another name, for example other={Spec.parse(spec).bare}, or leave it out"
            )
        found[label] = (spec, info)
    return found


def _label(
    spec: str, info: SystemInfo, systems: Sequence[Described], held: Mapping[str, Path]
) -> str:
    parsed, own = Spec.parse(spec), label_of(spec, info)
    if parsed.label or not info.from_files or not parsed.text:
        return own
    folder = _folder(parsed.text)
    for label, other in held.items():
        if other == folder and label.startswith("dir:"):
            return label
    rivals = {path for path in _unnamed_folders(systems) if path.name == folder.name}
    rivals |= {path for label, path in held.items() if label == own}
    rivals.discard(folder)
    return own if not rivals else f"dir:{_distinct(folder, rivals)}"


def _distinct(folder: Path, rivals: set[Path]) -> str:
    """The shortest unique end of a path, of at least two parts."""
    for depth in range(2, len(folder.parts)):
        if all(folder.parts[-depth:] != rival.parts[-depth:] for rival in rivals):
            return "/".join(folder.parts[-depth:])
    return str(folder)


def _unnamed_folders(systems: Sequence[Described]) -> list[Path]:
    parsed = [(Spec.parse(spec), info) for spec, info in systems]
    return [_folder(s.text) for s, info in parsed if info.from_files and s.text and not s.label]


def _folders_of(before: Mapping[str, str]) -> dict[str, Path]:
    """Label to folder of an earlier run; a folder that no longer exists does not keep its label."""
    found = {}
    for label, spec in before.items():
        parsed = Spec.parse(spec)
        if parsed.name == "dir" and not parsed.label and (path := _folder(parsed.text)).is_dir():
            found[label] = path
    return found


def _folder(text: str) -> Path:
    # resolve() would replace the name of a link, which is the name that the user knows.
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100


# -- messages -----------------------------------------------------------------------------------


def told_apart(systems: Mapping[str, Described]) -> list[str]:
    """A note if folders with the same name got longer labels."""
    longer = [label for label, (spec, info) in systems.items() if label != label_of(spec, info)]
    if not longer:
        return []
    return [
        f"folders of the same name were named {', '.join(longer)}; to choose a name: --systems "
        f"NAME={Spec.parse(systems[longer[0]][0]).bare}"
    ]


def undeclared(systems: Mapping[str, Described]) -> list[str]:
    """A note on systems without a declared family, one for all systems."""
    unknown = [
        label
        for label, (_, info) in systems.items()
        if info.family == UNKNOWN and info.family not in REFERENCE_FAMILIES
    ]
    if not unknown:
        return []
    spec = Spec.parse(systems[unknown[0]][0])
    said = replace(spec, family="generative")
    entry = {"spec": spec.bare, "name": spec.label, "family": said.family}
    mapping = json.dumps({key: text for key, text in entry.items() if text}, ensure_ascii=False)
    verbs = ("declares", "is") if len(unknown) == 1 else ("declare", "are")
    return [
        f"{', '.join(unknown)} {verbs[0]} no family (generative or discriminative) and {verbs[1]} "
        f"listed apart. To declare the family: --systems {shlex.quote(str(said))}, or in the "
        f"suite's YAML - {mapping}; stored results stay valid"
    ]


def files_left_out(systems: Mapping[str, Described]) -> list[str]:
    """Notes on files in folders of estimates that are not used."""
    return [f"{label}: {info.remark}" for label, (_, info) in systems.items()
            if info.from_files and info.remark]  # fmt: skip


def without_estimates(
    systems: Mapping[str, Described],
    stem_set: tuple[str, ...],
    asked: Sequence[str],
    tracks: Sequence[Track] = (),
) -> list[str]:
    """A note for each folder without estimates of some of the requested stems.

    It suggests a stem set that the folder provides completely and for which the ``tracks`` have
    references, if there is one.
    """
    sentences = []
    for label, (_, info) in systems.items():
        given = stems_in(info, stem_set)
        missing = [stem for stem in asked if stem not in given]
        if info.from_files and given and missing:
            sentences.append(
                f"{label}: no estimates of {', '.join(missing)}, so these stems have no value; "
                f"its files were read as {', '.join(info.stems)}"
                + (_other_run(info.stems, stem_set, tracks) or NAMES_UNDERSTOOD)
            )
    return sentences


NAMES_UNDERSTOOD = " (names that are understood: benchsep docs stems#names-of-stem-files)"


def _other_run(given: tuple[str, ...], stem_set: tuple[str, ...], tracks: Sequence[Track]) -> str:
    """A hint how to run with the stems of the folder, if they form another stem set."""
    option = fitting_option(given, stem_set)
    if not option or not has_references(tracks, stems_of_option(option)):
        return ""
    return f"; to score these, run with {option} and another -o"


def remarks(
    systems: Mapping[str, Described],
    stem_set: tuple[str, ...],
    asked: Sequence[str],
    tracks: Sequence[Track] = (),
) -> list[str]:
    """All notes on the systems at the end of a run; ``asked``: the scored stems."""
    return [
        *without_estimates(systems, stem_set, asked, tracks),
        *told_apart(systems),
        *undeclared(systems),
        *files_left_out(systems),
    ]
