"""Whatever moves a cell moves its key, each part alone: two different inputs never share a cell."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchsep.datasets.track import Track
from benchsep.metrics.status import Status
from benchsep.runner import done
from benchsep.runner.job import Job
from benchsep.runner.record import TrackFacts
from benchsep.systems.contract import SystemInfo

INFO = SystemInfo("net", "generative", checkpoint_sha256="aa", options={"x": 1}, version="1")


def metric(name="m", version="1", settings=None, packages=(), lacks=""):
    return SimpleNamespace(name=name, version=version, packages=packages,
                           settings=lambda: settings or {"k": 1},
                           available=lambda: lacks)  # fmt: skip


def facts(**changes):
    track = Track("t", "test", "folder", lambda: None)
    known = {"mixture_sha256": "mm", "reference_sha256": {"vocals": "rr"}}
    return SimpleNamespace(name=track.name, **{**known, **changes})


def job(info=INFO, **changes):
    track = Track("t", "test", "folder", lambda: None)
    return Job("net", "net", info, track, ("vocals",), ("usdr",), **changes)


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"version": "2"}, {"checkpoint_sha256": "bb"}, {"options": {"x": 2}}],
    ids=str,
)
def test_each_part_of_a_system_moves_its_identity(change):
    assert done.system_id(replace(INFO, **change)) != done.system_id(INFO)


@pytest.mark.parametrize(
    "change",
    [{"name": "n"}, {"version": "2"}, {"settings": {"k": 2}}, {"packages": ("numpy",)}],
    ids=str,
)
def test_each_part_of_a_metric_moves_its_identity(change):
    assert done.metric_id(metric(**change)) != done.metric_id(metric())


def test_each_part_of_a_cell_moves_its_key():
    keys = [
        done.cell_key("e", "vocals", "v", metric(), facts()),
        done.cell_key("f", "vocals", "v", metric(), facts()),
        done.cell_key("e", "drums", "v", metric(), facts()),
        done.cell_key("e", "vocals", "w", metric(), facts()),
        done.cell_key("e", "vocals", "v", metric(version="2"), facts()),
        done.cell_key("e", "vocals", "v", metric(), facts(mixture_sha256="nn")),
        done.cell_key("e", "vocals", "v", metric(), facts(reference_sha256={"vocals": "ss"})),
    ]
    assert len(set(keys)) == len(keys)


def test_each_input_of_an_estimate_moves_its_identity():
    seen = [
        done.inputs_of(job(), facts(), 0),
        done.inputs_of(job(seed=1), facts(), 0),
        done.inputs_of(job(), facts(), 1),
        done.inputs_of(job(device="cuda:0"), facts(), 0),
        done.inputs_of(job(align=True), facts(), 0),
        done.inputs_of(job(keep_estimates="all"), facts(), 0),
        done.inputs_of(job(), facts(mixture_sha256="nn"), 0),
        done.inputs_of(job(replace(INFO, version="2")), facts(), 0),
        done.inputs_of(job(replace(INFO, needs_references=True)), facts(), 0),
    ]
    identities = [inputs.estimate_id for inputs in seen]
    assert all(identities) and len(set(identities)) == len(identities)


@pytest.mark.parametrize(
    "change",
    [{"family": "unknown"}, {"from_files": True}, {"from_program": True},
     {"needs_other_song": True}],
    ids=str,
)  # fmt: skip
def test_what_others_make_has_no_identity_before_it_is_made(change):
    assert done.inputs_of(job(replace(INFO, **change)), facts(), 0).estimate_id == ""
    assert done.engine(replace(INFO, from_files=True), "cpu") == {}
    assert done.engine(replace(INFO, from_program=True), "cpu") == {}
    assert done.engine(INFO, "cuda:1")["device"] == "cuda"
    assert done.engine(replace(INFO, family="discriminative"), "cpu")["device"] == "cpu"
    assert done.engine(replace(INFO, family="oracle"), "cpu") == {}


@pytest.mark.parametrize(
    ("status", "metric_lacks", "system_lacks", "retried"),
    [
        ("ok", "", "", False),
        ("ref_silent", "", "", False),
        ("failed: x", "", "", True),
        ("failed: x", "y", "z", True),
        ("unavailable: x", "", "", True),
        ("unavailable: x", "still", "", False),
        ("unavailable: x", "", "still", False),
    ],
)
def test_failures_and_what_became_available_are_computed_again(
    status, metric_lacks, system_lacks, retried
):
    found = done.is_retried(Status.parse(status), metric(lacks=metric_lacks), system_lacks)
    assert found is retried
    if not system_lacks:
        assert done.is_retried(Status.parse(status), metric(lacks=metric_lacks)) is retried


def test_a_cell_is_done_if_its_metric_is_the_same_and_it_is_no_failure():
    def is_done(cell, metric, job):
        return done.Identities()._is_cell_done(cell, metric, job)

    known, never = metric(), job(overwrite="never")
    same = done.metric_id(known)
    assert is_done((same, "ok"), known, job())
    assert not is_done(None, known, job())
    assert not is_done(None, known, never)
    assert not is_done(("old", "ok"), known, job())
    assert not is_done((same, "failed: x"), known, job())
    assert is_done(("old", "failed: x"), known, never)
    assert not is_done((same, "unavailable: x"), known, job())
    assert is_done((same, "unavailable: x"), known, job(replace(INFO, unavailable="no GPU")))
    assert is_done((same, "unavailable: x"), metric(lacks="no weights"), job())


def test_identities_of_a_plan_are_those_of_each_part():
    """Hashed once by name, and anew where a label stands for another system."""
    ids, other = done.Identities(), replace(INFO, version="2")
    for info in (INFO, INFO, other, INFO):
        assert ids.system(job(info)) == done.system_id(info)
    for name in ("m", "m", "n"):
        assert ids.metric(metric(name)) == done.metric_id(metric(name))


@pytest.mark.parametrize(
    ("free", "finished", "overwrite", "begun"),
    [
        (False, False, "missing", False),
        (True, False, "missing", True),
        (True, True, "missing", False),
        (True, True, "always", True),
    ],
)
def test_a_job_that_another_run_has_done_is_free_again(
    monkeypatch, free, finished, overwrite, begun
):
    said = []
    claims = SimpleNamespace(
        claim=lambda *names: said.append(("claim", *names)) or free,
        release=lambda *names: said.append(("release", *names)),
    )
    monkeypatch.setattr(done, "is_done", lambda *_: finished)
    assert done.begin(job(overwrite=overwrite), SimpleNamespace(claims=claims)) is begun
    released = [("release", "net", "t")] if free and not begun else []
    assert said == [("claim", "net", "t"), *released]


def test_tracks_of_a_manifest_become_a_set_and_the_rest_stays():
    manifest = {"suite": {"seed": 1}, "dataset": {"name": "d", "tracks": ["a", "b", "a"]}}
    found = done.with_track_set(manifest)
    assert found == {"suite": {"seed": 1}, "dataset": {"name": "d", "tracks": {"a", "b"}}}
    assert type(found["dataset"]["tracks"]) is frozenset
    assert manifest["dataset"]["tracks"] == ["a", "b", "a"]
    for bare in ({}, {"dataset": {"name": "d"}}):
        assert done.with_track_set(bare) == bare


@pytest.mark.parametrize(
    ("info", "family", "asked", "shown"),
    [
        ({}, "generative", 1, True),
        ({}, "generative", 2, False),
        ({}, "unknown", 2, False),
        ({}, "generative", None, True),
        ({}, "discriminative", 2, True),
        ({"deterministic": True}, "generative", 2, True),
        ({"deterministic": False}, "discriminative", 2, False),
        ({"deterministic": False, "from_files": True}, "generative", 2, True),
    ],
)
def test_a_draw_of_another_seed_is_shown_where_seeds_change_nothing(info, family, asked, shown):
    """The record's draws were made with seed 1."""
    record = SimpleNamespace(
        draws={n: SimpleNamespace(seed=done.seed_of(1, n, "t"), aligned=None) for n in (0, 1)},
        system=SimpleNamespace(label="net", family=family),
        track=SimpleNamespace(name="t", mixture_sha256="mm"),
    )
    suite = {} if asked is None else {"seed": asked}
    manifest = {"suite": suite, "systems": {"net": {"info": info}, "other": {"info": {}}}}
    assert done.is_draw_shown(record, 0, manifest) is shown
    assert done.is_draw_shown(record, 1, manifest) is shown
    assert done.is_draw_shown(record, 2, manifest), "nothing is known of it"
    assert done.is_draw_shown(record, 0, {}), "no request is known"


@pytest.mark.parametrize(
    ("gives", "lacks", "scored"),
    [
        (("vocals",), "", ("vocals",)),
        (("vocals",), "no weights", ("vocals",)),
        (("piano",), "", ()),
        (("piano",), "no weights", ("vocals", "drums")),
    ],
)
def test_what_cannot_run_here_has_a_reason_on_every_stem(gives, lacks, scored):
    track = Track("t", "test", "folder", lambda: None, stems=("vocals", "drums"))
    asked = replace(
        job(replace(INFO, stems=gives, unavailable=lacks)),
        track=track, stems=("vocals", "drums"), stem_set=("vocals", "drums"),
    )  # fmt: skip
    found = {m.name: stems for m, stems in done.metrics_to_score(asked)}
    assert found == ({"usdr": scored} if scored else {})


@pytest.mark.parametrize(
    ("metrics", "scored"),
    [(("usdr",), {}), (("usdr", "dnsmos"), {"dnsmos": ("vocals",)})],
)
def test_songs_without_true_stems_are_scored_by_what_needs_none(metrics, scored):
    asked = replace(job(replace(INFO, stems=("vocals",))), metrics=metrics)
    asked = replace(asked, track=Track("t", "test", "folder", lambda: None, stems=()))
    assert {m.name: stems for m, stems in done.metrics_to_score(asked)} == scored


def test_the_stamps_of_stored_runs_stay():
    """Another text in what is hashed, and every finished run would be computed again."""
    reference = job(replace(INFO, family="oracle"))
    assert done.planning_stamp("files", reference, "sum") == "f9076e7101b7fa3fceae29309387b3c8"
    kept = replace(reference, keep_estimates="flac")
    assert done.planning_stamp("files", kept, "sum") == "ba6b6a4032fc8c173dab9255ba6c6ec8"


@pytest.mark.parametrize("draws", [1, 2])
def test_stored_cells_of_a_metric_are_used_again_if_all_are_there_and_valid(draws):
    known, track = metric(), facts()
    known.values = (SimpleNamespace(name=""),)

    def cell(stem, draw=0, status="ok"):
        return SimpleNamespace(draw=draw, status=Status.parse(status), stem=stem)

    def asked(cells, draw=0):
        stored = {done.cell_key("e", c.stem, "", known, track): c for c in cells}
        return done.cached_cells(known, ("vocals", "bass"), stored, "e", track, draw)

    both = [cell("vocals", draws - 1), cell("bass", draws - 1)]
    assert asked(both, draws - 1) == both
    assert asked(both, draws) is None, "of another draw"
    assert asked(both[:1], draws - 1) is None, "one is missing"
    assert asked([cell("vocals"), cell("bass", status="failed: x")]) is None


def test_facts_of_a_track_have_the_fields_that_these_tests_use():
    assert {"name", "mixture_sha256", "reference_sha256"} <= set(TrackFacts.__dataclass_fields__)
