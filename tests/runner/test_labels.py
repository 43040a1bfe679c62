"""What a run calls its systems: names that were given, folders of one name, families asked for."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from benchsep.audio import STEMS
from benchsep.errors import UsageError
from benchsep.runner.frame import load_costs, load_run
from benchsep.runner.labels import (
    label_of,
    labelled,
    told_apart,
    undeclared,
    without_estimates,
)
from benchsep.runner.plan import make_plan
from benchsep.runner.run import run
from benchsep.runner.store import Store
from benchsep.runner.suite import load_suite
from benchsep.systems.contract import SystemInfo
from benchsep.systems.spec import Spec, load_system
from tests.helpers.noise import noise_songs


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Three folders of estimates of one name, and the songs."""
    for name in ("songs", "a/est", "b/est", "c/a/est"):
        noise_songs(tmp_path / name, ("one",), seconds=0.2)
    return {name: tmp_path / name for name in ("songs", "a/est", "b/est", "c/a/est")}


def ran(folders: dict[str, Path], out: Path, *systems: str, **more):
    return run(
        out=out, dataset=f"folder:{folders['songs']}", systems=systems, yardsticks=False,
        metrics=("usdr",), jobs=1, **more,
    )  # fmt: skip


def test_names_are_those_of_rows_and_two_of_a_folder_may_stand_together(folders, tmp_path) -> None:
    path = folders["a/est"]
    result = ran(folders, tmp_path / "run", f"mine=dir:{path}", f'"B, 2"=dir:{path}::generative')
    assert list(result.plan.systems) == ["mine", "B, 2"]
    cells = load_run(tmp_path / "run")
    assert dict(zip(cells["system"], cells["family"], strict=True)) == {
        "mine": "unknown",
        "B, 2": "generative",
    }
    with pytest.raises(UsageError, match="have the same name 'mine'"):
        ran(folders, tmp_path / "other", f"mine=dir:{path}", "mine=mixture")


@pytest.mark.parametrize("order", list(itertools.permutations(["a/est", "b/est", "c/a/est"])))
def test_folders_of_one_name_get_the_parents_that_tell_them_apart(folders, tmp_path, order) -> None:
    specs = [f"dir:{folders[name]}" for name in order]
    systems = labelled([(spec, load_system(spec).info) for spec in specs])
    names = {Path(Spec.parse(spec).text): label for label, (spec, _) in systems.items()}
    root = tmp_path.name
    assert names[folders["a/est"]] == f"dir:{root}/a/est"
    assert names[folders["b/est"]] == "dir:b/est"
    assert names[folders["c/a/est"]] == "dir:c/a/est"
    assert "folders of the same name" in told_apart(systems)[0]


def test_a_folder_keeps_its_label_in_later_runs_and_another_never_takes_it(folders, tmp_path):
    out = tmp_path / "run"
    a, b = (f"dir:{folders[name]}" for name in ("a/est", "b/est"))
    assert list(ran(folders, out, a).plan.systems) == ["dir:est"]
    second = ran(folders, out, b)
    assert list(second.plan.systems) == ["dir:b/est"]
    assert told_apart(second.plan.systems)
    assert set(load_run(out)["system"]) == {"dir:est", "dir:b/est"}
    again = ran(folders, out, b, a)
    assert not again.outcomes, "nothing is computed again"
    assert list(again.plan.systems) == ["dir:b/est", "dir:est"]


def test_the_same_folder_twice_is_refused_with_the_way_to_name_one(folders) -> None:
    info = load_system(f"dir:{folders['a/est']}").info
    with pytest.raises(UsageError, match="another name, for example other=dir:"):
        labelled([(f"dir:{folders['a/est']}", info), (f"dir:{folders['a/est']}/.", info)])


def test_a_family_that_is_said_later_moves_the_row_and_computes_nothing(folders, tmp_path) -> None:
    out, spec = tmp_path / "run", f"dir:{folders['a/est']}"
    asked = undeclared(ran(folders, out, spec, f"mine={spec}").plan.systems)
    assert len(asked) == 1 and "dir:est, mine declare no family" in asked[0]
    assert f"--systems {spec}::generative, or" in asked[0]
    entry = asked[0].partition("YAML - ")[2].partition(";")[0]
    assert Spec.of(json.loads(entry)) == Spec.parse(f"{spec}::generative")
    later = ran(folders, out, f"{spec}::generative", f"mine={spec}::discriminative::none")
    assert not later.outcomes and not undeclared(later.plan.systems)
    for table in (load_run(out), load_costs(out)):
        assert set(zip(table["system"], table["family"], strict=True)) == {
            ("dir:est", "generative"),
            ("mine", "discriminative"),
        }
    assert Store(out).manifest()["systems"]["mine"]["info"]["trained_on"] == []


def test_a_program_with_a_family_is_still_known_by_its_samples(folders, tmp_path) -> None:
    program = tmp_path / "copy.py"
    program.write_text(
        "import shutil, sys, pathlib\n"
        "shutil.copy(sys.argv[1], pathlib.Path(sys.argv[2]) / 'vocals.wav')\n"
    )
    text = f'cmd:"python3 {program} {{mixture}} {{out}}"'
    ran(folders, tmp_path / "run", f"a={text}", f"b={text}::generative")
    records = {r.system.label: r for r in Store(tmp_path / "run").records()}
    assert records["a"].draws[0].estimate_id == records["b"].draws[0].estimate_id
    assert records["a"].input_stamp == records["b"].input_stamp


def test_a_folder_named_by_a_dot_has_a_name(folders, monkeypatch) -> None:
    monkeypatch.chdir(folders["a/est"])
    assert label_of("dir:.", load_system("dir:.").info) == "dir:est"


def test_the_plan_knows_folders_of_one_name_before_anything_runs(folders, tmp_path) -> None:
    suite = load_suite(
        dataset=f"folder:{folders['songs']}", yardsticks=False, metrics=("usdr",),
        systems=(f"dir:{folders['a/est']}", f"dir:{folders['b/est']}"),
    )  # fmt: skip
    plan = make_plan(suite, Store(tmp_path / "none"))
    assert [job.label for job in plan.jobs] == list(plan.systems)
    assert len(set(plan.systems)) == 2


def test_a_folder_without_estimates_of_a_stem_is_told():
    def told(*stems, **facts):
        info = SystemInfo("dir:est", "unknown", stems=stems, **facts)
        return without_estimates({"dir:est": ("dir:est", info)}, STEMS, ("vocals", "bass"))

    (sentence,) = told("vocals", "drums", "guitar", from_files=True)
    assert (
        "no estimates of bass, so" in sentence and "were read as vocals, drums, guitar" in sentence
    )
    assert not told("vocals", "bass", from_files=True)
    assert not told("vocals")  # a model of vocals alone is no mistake
