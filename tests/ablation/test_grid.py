"""From YAML to variants, and from variants to trainings with an identity."""

from __future__ import annotations

import subprocess
import time

import pytest

from benchsep.ablation import training
from benchsep.ablation.grid import Ablation, expand, load
from benchsep.ablation.training import fingerprint, tasks_of
from benchsep.errors import UsageError

PRODUCT = {
    "title": "t",
    "system": "tokensep:checkpoint=mini",
    "base": {"spec.temperature": 0.9},
    "axes": {
        "decoding": {"sequential": {}, "parallel": {"spec.decoding": "parallel"}},
        "output": {"generated": {}, "masks": {"spec.refine": "mask"}},
    },
}
TRAINED = {
    "title": "t",
    "trainer": "tokensep",
    "base": {"train.max_steps": 5},
    "variants": {
        "Conformer": {},
        "HuBERT": {"model.encoder.kind": "ssl"},
        "guided": {"spec.cfg": 1.5},
    },
}


def test_a_product_has_every_combination_and_the_base_first():
    variants = expand(Ablation.model_validate(PRODUCT))
    assert [v.name for v in variants] == [
        "sequential, generated",
        "sequential, masks",
        "parallel, generated",
        "parallel, masks",
    ]
    assert variants[3].options == {"temperature": "0.9", "decoding": "parallel", "refine": "mask"}
    assert variants[3].levels == {"decoding": "parallel", "output": "masks"}
    assert not any(v.trained for v in variants)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": {}}, "either axes"),
        ({"variants": {"a": {}}}, "either axes"),
        ({"trainer": "tokensep"}, "either a trainer or a system"),
        ({"control": "sequentail, masks"}, "did you mean 'sequential, masks'"),
        ({"base": {"model.lm.dim": 8}}, "needs a trainer"),
        ({"axes": {"decoding": {}}}, "no levels"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"suite": {"metric": ["visqol"]}}, "did you mean 'metrics'"),
    ],
)
def test_a_grid_that_says_nothing_is_refused(tmp_path, change, message):
    import yaml

    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({**PRODUCT, **change}))
    with pytest.raises(UsageError, match=message):
        load(path)


def test_the_shipped_grids_can_be_read():
    from pathlib import Path

    folder = Path(__file__).resolve().parents[2] / "configs" / "ablations"
    names = {path.stem for path in folder.glob("*.yaml")}
    assert names >= {"encoder", "loss-weighting", "decoding", "mixture-frame", "layout", "refine"}
    for path in folder.glob("*.yaml"):
        assert load(path).caveat


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "song.wav").write_bytes(b"RIFF" + bytes(100))
    return folder


def test_identities_follow_configuration_seed_and_data_alone(tmp_path, data):
    ablation = Ablation.model_validate(TRAINED)
    tasks = tasks_of(ablation, data, tmp_path / "work")
    ids = {key: task.identity for key, task in tasks.items()}
    assert ids["Conformer", 0] == ids["guided", 0], "an option of the spec needs no training"
    assert len(set(ids.values())) == 4  # two configurations, two seeds
    more = Ablation.model_validate({**TRAINED, "base": {"train.max_steps": 6}})
    assert tasks_of(more, data, tmp_path)["Conformer", 0].identity != ids["Conformer", 0]
    moved = data.rename(tmp_path / "elsewhere")
    assert tasks_of(ablation, moved, tmp_path)["Conformer", 0].identity == ids["Conformer", 0]
    (moved / "song.wav").write_bytes(b"RIFF" + bytes(99) + b"x")
    assert tasks_of(ablation, moved, tmp_path)["Conformer", 0].identity != ids["Conformer", 0]
    (moved / "song.wav").unlink()
    with pytest.raises(UsageError, match="no training data"):
        fingerprint(moved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modle.lm.dim": 64}, "setting 'modle.lm.dim'"),
        ({"model.lm.dmi": 64}, "dmi"),
        ({"train.cpu_minutes": 3}, "set train.max_steps"),
        ({"preset": "minni"}, "did you mean 'mini'"),
        ({"codec": "nowhere"}, "no codec.safetensors"),
        ({"init": "nowhere"}, "the init folder nowhere has no lm.safetensors"),
        ({"songs": "nowhere"}, "songs: found no songs with stems in nowhere"),
        ({"shards": "nowhere"}, "shards: found no pseudo-label shards .* in nowhere"),
        ({"model.lm.dim.x": 1}, "has no settings below it"),
    ],
)
def test_settings_that_no_trainer_knows_are_refused_before_anything_runs(settings, message):
    from tokensep.integration.trainer import TokenSepTrainer

    with pytest.raises(UsageError, match=message):
        TokenSepTrainer().resolve(settings, 0)


def test_more_data_and_a_start_are_part_of_what_a_variant_is(tmp_path):
    from tokensep.integration.trainer import TokenSepTrainer

    def resolved(**settings: str) -> dict:
        return TokenSepTrainer().resolve(settings, 0)

    song = tmp_path / "songs" / "one"
    song.mkdir(parents=True)
    for stem in ("vocals", "drums", "bass", "other"):
        (song / f"{stem}.wav").write_bytes(b"RIFF")
    (tmp_path / "piece-0.tar").write_bytes(b"tar")
    plain = resolved()
    assert not {"songs", "shards", "init"} & plain.keys(), (
        "a variant without them stays what it was"
    )
    more = resolved(songs=str(tmp_path / "songs"), shards=str(tmp_path), init="mini")
    assert {k: v for k, v in more.items() if k in plain} == plain
    (song / "bass.wav").write_bytes(b"RIFF more")
    again = resolved(songs=str(tmp_path / "songs"), shards=str(tmp_path), init="mini")
    assert again["songs_mark"] != more["songs_mark"] and again["shards_mark"] == more["shards_mark"]


def test_the_plan_reckons_with_every_draw(tmp_path):
    from benchsep.ablation.execute import plan_lines

    def hours(**changes) -> float:
        grid = {"title": "t", "system": "tokensep:checkpoint=mini", "seeds": [0]}
        grid |= {
            "variants": {"a": {}},
            "suite": {"dataset": "clip", "metrics": ["usdr"]},
            **changes,
        }
        last = plan_lines(Ablation.model_validate(grid), None, tmp_path)[-1]
        return float(last.split()[1])

    many = {"a": {"spec.draws": 2000}}
    assert hours(variants=many) > 100 * max(hours(), 0.005)
    assert hours(variants=many, seeds=[0, 1]) == pytest.approx(2 * hours(variants=many), rel=0.05)


def test_each_child_sees_one_of_several_gpus_and_no_gpu_has_two_children_more(
    tmp_path, data, monkeypatch
):
    from collections import Counter

    now, most, seen = Counter(), Counter(), []

    def run(command, *, env, **_):
        gpu = env["CUDA_VISIBLE_DEVICES"]
        now[gpu] += 1
        most[gpu] = max(most[gpu], now[gpu])
        seen.append(gpu)
        time.sleep(0.05)
        now[gpu] -= 1
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(training.subprocess, "run", run)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    grid = Ablation.model_validate({**TRAINED, "seeds": [0, 1, 2, 3]})
    tasks = list(tasks_of(grid, data, tmp_path).values())
    assert not training.train_all(tasks, 4, lambda _: None)
    assert len(seen) == 8 and most == {"3": 2, "5": 2}


def test_where_there_is_one_gpu_or_none_the_environment_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert training.slots(3) == [{}, {}, {}]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [s["CUDA_VISIBLE_DEVICES"] for s in training.slots(3)] == ["0", "1", "0"]
