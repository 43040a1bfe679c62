"""Runs merged: one run of all gives the same tables, and every conflict is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import benchsep
from benchsep.audio import STEMS, write_audio
from benchsep.cli.app import app
from benchsep.datasets.load import load_dataset
from benchsep.errors import FormatError, UsageError
from benchsep.metrics.status import Status
from benchsep.runner.merge.board import merge
from benchsep.runner.record import Record
from benchsep.runner.store import Store
from benchsep.systems.fit import Change

Edit = Callable[[Record], Record]


def run(out: Path, *systems: str, **options: Any) -> Path:
    options = {"dataset": "clip", "metrics": ("usdr",), **options}
    result = benchsep.run(out=out, systems=systems, yardsticks=False, inline=True, **options)
    assert not result.failed
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the clip: ``a``, ``b``, and ``both`` of all their systems; estimates in ``est``."""
    root = tmp_path_factory.mktemp("runs")
    (track,) = load_dataset("clip").tracks()
    audio = track.load()
    for folder, level in (("est", 0.5), ("louder/est", 0.9)):
        for stem in STEMS:
            half = replace(audio.stems[stem], samples=audio.stems[stem].samples * level)
            write_audio(root / folder / track.name / f"{stem}.wav", half)
    files = f"dir:{root / 'est'}"
    run(root / "a", "mixture", files)
    run(root / "b", "mixture", "oracle-irm")
    run(root / "both", "mixture", files, "oracle-irm")
    return root


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    for name in ("a", "b"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def shown(folder: Path) -> str:
    result = CliRunner().invoke(app, ["show", str(folder), "--format", "csv"])
    assert result.exit_code == 0
    return result.stdout


def costs(lines: list[str]) -> list[str]:
    return [line for line in lines if ",cost," in line]


def scores(lines: list[str]) -> list[str]:
    return [line for line in lines if ",cost," not in line]


def values(lines: list[str], system: str) -> list[str]:
    """The rows of a system without their ids, which depend on the other rows."""
    return [line.partition(",")[2] for line in lines if f",{system}," in line]


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def edit_records(folder: Path, edit: Edit) -> None:
    for record in Store(folder).records():
        Store(folder).write(edit(record))


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    store = Store(folder)
    manifest = store.manifest()
    edit(manifest)
    store.write_manifest(manifest)


def conflicts(runs: Path) -> dict[str, str]:
    """Kind and subject of each conflict of ``a`` and ``b``, with what was found; none is written"""
    found = merge([runs / "a", runs / "b"], runs / "board").conflicts
    assert not (runs / "board").exists()
    return {f"{c.kind}: {c.subject}": c.found for c in found}


# -- without a conflict --------------------------------------------------------------------------


def test_two_runs_merged_are_one_run_of_both(made: Path, tmp_path: Path) -> None:
    before = content(made)
    assert not merge([made / "a", made / "b"], tmp_path / "board").conflicts
    board, both, a = (
        shown(f).splitlines() for f in (tmp_path / "board", made / "both", made / "a")
    )
    assert scores(board) == scores(both) != []
    # Time and memory are measured anew in each run: the board has those of the run it has them of.
    assert len(board) == len(both)
    assert values(costs(board), "dir:est") == values(costs(a), "dir:est") != []
    assert content(made) == before


def test_order_and_repetition_change_no_byte(made: Path, tmp_path: Path) -> None:
    a, b, board = made / "a", made / "b", tmp_path / "board"
    merge([a, b], board)
    first = content(board)
    merge([b, a, b], tmp_path / "other")
    merge([a], tmp_path / "grown")
    merge([b], tmp_path / "grown")
    merge([b, board], tmp_path / "again")
    merge([a], board)
    for folder in ("board", "other", "grown", "again"):
        assert content(tmp_path / folder) == first, folder


def test_stems_and_metrics_of_several_people_add_up(made: Path, tmp_path: Path) -> None:
    run(tmp_path / "vocals", "mixture", stems=("vocals",), metrics=("usdr", "mrstft"))
    assert not merge([made / "a", tmp_path / "vocals"], tmp_path / "board").conflicts
    cells = benchsep.load_run(tmp_path / "board")
    mixture = cells[cells["system"] == "mixture"]
    assert set(zip(mixture["metric"], mixture["stem"], strict=True)) == {
        *(("usdr", stem) for stem in STEMS),
        ("mrstft", "vocals"),
    }
    assert Store(tmp_path / "board").manifest()["suite"]["metrics"] == ["mrstft", "usdr"]


def test_a_value_stands_before_one_that_a_machine_lacks(runs: Path) -> None:
    absent = Status("unavailable", "no weights here")
    edit_records(
        runs / "b",
        lambda r: replace(
            r, cells=tuple(c._replace(value=None, status=absent, metric_id="x") for c in r.cells)
        ),
    )
    assert not merge([runs / "b", runs / "a"], runs / "board").conflicts
    cells = benchsep.load_run(runs / "board")
    assert set(cells[cells["system"] == "mixture"]["status"]) == {"ok"}


def test_rounding_is_no_conflict(runs: Path) -> None:
    edit_records(runs / "b", lambda r: moved(r, 1e-9))
    assert conflicts_or_none(runs) == {}


def conflicts_or_none(runs: Path) -> dict[str, str]:
    found = merge([runs / "a", runs / "b"], runs / "board", check=True).conflicts
    return {c.subject: c.found for c in found}


def moved(record: Record, step: float) -> Record:
    cells = (c._replace(value=None if c.value is None else c.value + step) for c in record.cells)
    return replace(record, cells=tuple(cells))


def test_a_check_writes_nothing(made: Path, tmp_path: Path) -> None:
    merged = merge([made / "a", made / "b"], tmp_path / "board", check=True)
    assert not merged.conflicts and len(merged.records) == 3
    assert not (tmp_path / "board").exists()


def test_a_board_that_was_left_half_written_is_completed(made: Path, tmp_path: Path) -> None:
    a, board = made / "a", tmp_path / "board"
    merge([a], board)
    whole = content(board)
    edit_manifest(board, lambda m: m.update(finished=False))
    Store(board).path("mixture", Store(a).records()[0].track.name).unlink()
    merge([a], board)
    assert content(board) == whole


# -- conflicts -----------------------------------------------------------------------------------


def test_another_value_of_a_cell(runs: Path) -> None:
    edit_records(runs / "b", lambda r: moved(r, 0.01) if r.system.label == "mixture" else r)
    found = conflicts(runs)
    assert len(found) == len(STEMS)
    assert all(key.startswith("value: mixture / ") for key in found)
    (text, *_) = found.values()
    assert f"{runs / 'a'}: " in text and f"{runs / 'b'}: " in text


def test_a_failure_and_a_value(runs: Path) -> None:
    failed = Status("failed", "out of memory")
    edit_records(
        runs / "b",
        lambda r: replace(r, cells=tuple(c._replace(value=None, status=failed) for c in r.cells)),
    )
    assert "failed: out of memory" in " ".join(conflicts(runs).values())


def test_another_metric_version(runs: Path) -> None:
    edit_records(
        runs / "b",
        lambda r: replace(
            r, cells=tuple(c._replace(metric_version="1", metric_id="old") for c in r.cells)
        ),
    )
    found = conflicts(runs)
    assert list(found) == ["metric: usdr"]
    assert "version 2" in found["metric: usdr"] and "version 1" in found["metric: usdr"]


def test_other_settings_of_a_metric_without_cells(runs: Path) -> None:
    edit_manifest(runs / "b", lambda m: m["metrics"]["usdr"].update(settings={"delta": 1}))
    assert "metric: usdr / settings" in conflicts(runs)


@pytest.mark.parametrize(
    ("fact", "value", "subject"),
    [
        ("mixture_sha256", "f" * 64, "mixture"),
        ("reference_sha256", {"vocals": "f" * 64}, "vocals"),
        ("split", "train", "split"),
        ("audio_seconds", 7.0, "seconds"),
        ("mixture_source", "file", "how the mixture is made"),
    ],
)
def test_other_data_of_a_track(runs: Path, fact: str, value: Any, subject: str) -> None:
    edit_records(runs / "b", lambda r: replace(r, track=replace(r.track, **{fact: value})))
    edit_manifest(runs / "b", lambda m: (m.pop("mixtures"), m.pop("references")))
    assert [key.rpartition(" / ")[2] for key in conflicts(runs)] == [subject]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checkpoint_sha256", "f" * 64),
        ("options", {"power": 1.0}),
        ("version", "9"),
        ("family", "generative"),
        ("trained_on", ["musdb18:test"]),
    ],
)
def test_another_system_of_the_same_label(runs: Path, field: str, value: Any) -> None:
    edit_manifest(runs / "b", lambda m: m["systems"]["mixture"]["info"].update({field: value}))
    assert f"system: mixture / {field}" in conflicts(runs)


def test_another_checkpoint_that_only_records_name(runs: Path) -> None:
    edit_manifest(runs / "b", lambda m: m["systems"].pop("mixture"))
    edit_records(
        runs / "b",
        lambda r: replace(r, system=replace(r.system, checkpoint_sha256="f" * 64)),
    )
    found = conflicts(runs)
    assert "none" in found["system: mixture / checkpoint_sha256"]


def test_estimates_of_two_people_under_one_label(made: Path, runs: Path) -> None:
    files = f"dir:{made / 'louder' / 'est'}"
    shutil.rmtree(runs / "b")
    run(runs / "b", files)
    assert {key.partition(":")[0] for key in conflicts(runs)} == {"value"}


def test_files_of_one_label_without_a_song_in_common(made: Path, runs: Path) -> None:
    shutil.copytree(made / "a", runs / "c")
    shutil.rmtree(runs / "b")
    (runs / "c").rename(runs / "b")
    shutil.rmtree(runs / "b" / "cells")
    for record in Store(runs / "a").records():
        Store(runs / "b").write(replace(record, track=replace(record.track, name="another")))
    edit_manifest(
        runs / "b", lambda m: (m["dataset"].update(tracks=["another"]), m.pop("mixtures"))
    )
    found = conflicts(runs)
    assert list(found) == ["system: dir:est"]
    assert "no value in common" in found["system: dir:est"]


def test_other_remarks_of_a_system_are_kept_together(made: Path, runs: Path) -> None:
    """That of a folder of estimates counts its files; another file made the two in conflict."""
    shutil.copytree(made / "a", runs / "c")
    label = next(name for name in Store(runs / "a").manifest()["systems"] if name[:4] == "dir:")

    def remark(text: str) -> Callable[[dict[str, Any]], None]:
        return lambda manifest: manifest["systems"][label]["info"].update(remark=text)

    edit_manifest(runs / "a", remark("x.wav as vocals (1 file); old"))
    edit_manifest(runs / "c", remark("x.wav as vocals (2 files)"))
    merge([runs / "a", runs / "c"], runs / "board")
    merge([runs / "c", runs / "a"], runs / "again")
    for board in ("board", "again"):
        found = Store(runs / board).manifest()["systems"][label]["info"]["remark"]
        assert found == "old; x.wav as vocals (1 file); x.wav as vocals (2 files)"


def test_cells_of_two_estimates_in_one_draw(runs: Path) -> None:
    """Other metrics of other estimates: no value shows that they are the same."""

    def other_metric(record: Record) -> Record:
        draws = {n: replace(d, estimate_id="other") for n, d in record.draws.items()}
        cells = tuple(c._replace(metric="sisdr", metric_id="m") for c in record.cells)
        return replace(record, draws=draws, cells=cells)

    edit_records(runs / "b", other_metric)
    assert [key.partition(":")[0] for key in conflicts(runs)] == ["estimates"]


def test_another_edition(runs: Path) -> None:
    edit_records(runs / "b", lambda r: replace(r, track=replace(r.track, edition="hq")))
    edit_manifest(runs / "b", lambda m: m["dataset"].update(edition="hq"))
    assert "edition: data" in conflicts(runs)


def test_another_stem_set(runs: Path) -> None:
    edit_manifest(
        runs / "b", lambda m: m["suite"].update(stem_set="vi", stems=["vocals", "instrumental"])
    )
    assert "vi" in conflicts(runs)["stem set: stems"]


@pytest.mark.parametrize(
    ("section", "field", "value", "subject"),
    [
        ("dataset", "name", "folder:mine", "data set"),
        ("dataset", "mixture", "file", "mixture"),
        ("suite", "split", "train", "split"),
        ("suite", "align", True, "align"),
    ],
)
def test_another_request(runs: Path, section: str, field: str, value: Any, subject: str) -> None:
    edit_manifest(runs / "b", lambda m: m[section].update({field: value}))
    assert f"request: {subject}" in conflicts(runs)


def test_a_damaged_record_and_an_unfinished_run(runs: Path) -> None:
    path = next((runs / "b" / "cells").glob("*/*.json"))
    path.write_text(path.read_text().replace('"draw": 0', '"draw": 1'))
    edit_manifest(runs / "a", lambda m: m.update(finished=False))
    text = " ".join(conflicts(runs).values())
    assert "checksum" in text and "not finished" in text


def test_every_conflict_of_a_submission_is_listed(runs: Path) -> None:
    edit_manifest(runs / "b", lambda m: m["suite"].update(align=True))
    edit_records(runs / "b", lambda r: moved(r, 1.0))
    words = ["merge", runs / "a", runs / "b", "-o", runs / "board", "--check", "--format", "json"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 1
    kinds = [row["conflict"] for row in json.loads(result.stdout)]
    assert kinds == ["request"] + ["value"] * len(STEMS)


def test_a_board_with_a_conflict_keeps_its_bytes(runs: Path) -> None:
    merge([runs / "a"], runs / "board")
    before = content(runs / "board")
    edit_records(runs / "b", lambda r: moved(r, 1.0))
    assert merge([runs / "b"], runs / "board").conflicts
    assert content(runs / "board") == before


# -- wrong calls ---------------------------------------------------------------------------------


def test_a_board_is_never_a_run_or_a_strange_folder(runs: Path) -> None:
    a, b = runs / "a", runs / "b"
    for folders, out in (([b], a), ([a], a), ([a], a / "board"), ([a], runs)):
        with pytest.raises(UsageError):
            merge(folders, out)


def test_no_run_is_made_in_a_board(runs: Path) -> None:
    merge([runs / "a"], runs / "board")
    with pytest.raises(UsageError, match="is a board"):
        run(runs / "board", "mixture")


def test_another_format_is_refused(runs: Path) -> None:
    path = runs / "b" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    with pytest.raises(FormatError):
        merge([runs / "a", runs / "b"], runs / "board")


def test_what_one_run_says_of_an_estimate_or_a_song_is_kept_whatever_the_order(runs: Path) -> None:
    """An early version of benchsep did not look for mistakes: its record says nothing."""
    shutil.copytree(runs / "a", runs / "early")

    def noted(record: Record) -> Record:
        draws = {
            number: replace(draw, session="z", mistakes={"vocals": "inverted"},
                            changes={"bass": Change(rate=48_000)})
            for number, draw in record.draws.items()
        }  # fmt: skip
        return replace(record, draws=draws, track=replace(record.track, residue_db=-12.0))

    edit_records(runs / "a", noted)
    for order in (["early", "a"], ["a", "early"]):
        board = runs / "-".join(order)
        assert not merge([runs / name for name in order], board).conflicts
        for record in Store(board).records():
            assert record.track.residue_db == -12.0
            for draw in record.draws.values():
                assert draw.mistakes == {"vocals": "inverted"}
                assert draw.changes == {"bass": Change(rate=48_000)}
    assert content(runs / "early-a") == content(runs / "a-early")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "mrstft", "value": -3.0}, "-3.0, expected at least 0"),
        ({"metric": "bleedless.bleedless", "value": 4125.0}, "4125.0, expected 0 to 100"),
        ({"metric": "bsseval.sdr", "value": 4.0, "frames": (1.0, None, 3.0)},
         "4.0, the median of its windows is 2.0"),
    ],
)  # fmt: skip
def test_a_value_that_no_run_writes(runs: Path, change: dict[str, Any], said: str) -> None:
    """Though its system stands in one run alone."""

    def changed(record: Record) -> Record:
        if record.system.label != "oracle-irm":
            return record
        return replace(record, cells=(record.cells[0]._replace(**change), *record.cells[1:]))

    edit_records(runs / "b", changed)
    ((subject, found),) = (pair for pair in conflicts(runs).items() if pair[0].startswith("value"))
    assert subject.startswith("value: oracle-irm / ") and said in found


def test_values_of_a_song_without_a_hash(runs: Path) -> None:
    """Nothing shows that it is the song of the other runs."""
    edit_records(runs / "b", lambda r: replace(r, track=replace(r.track, mixture_sha256="")))
    assert any("values of a song without a hash" in text for text in conflicts(runs).values())
