"""Audiobox Aesthetics: values of the authors' class on tiny random weights in its own layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from benchsep.audio import Audio
from benchsep.metrics.audiobox import HUB, VARIABLE, Audiobox
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.metric import References
from tests.helpers.tiny_networks import save_tiny_audiobox

pytest.importorskip("transformers", reason="an optional extra")

AXES = ("ce", "cu", "pc", "pq")
OFFICIAL = {
    400: (5.749001, 6.071373, 4.376926, 7.589721),
    47_123: (5.751936, 5.875148, 4.616833, 7.614072),
    160_000: (5.741396, 5.828379, 4.608055, 7.630001),
    200_001: (5.721370, 5.981828, 4.676691, 7.670888),
}
"""AesMultiOutput of facebookresearch/audiobox-aesthetics 0.0.4 (float32, its windows and weights of
windows), its WavLM's sizes set to those of ``tiny_audiobox``; run outside this repository."""


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def noise(frames: int) -> Audio:
    samples = np.random.default_rng(frames).standard_normal(frames) * 0.1
    return Audio(samples.astype(np.float32)[None], 16_000)


def scores(metric: Audiobox, audio: Audio):
    found = metric.score_track(References({}), {"vocals": audio}, ("vocals",))
    return found["vocals"]


@pytest.mark.parametrize("as_pickle", [False, True])
def test_the_values_of_the_authors_class(tmp_path, as_pickle: bool) -> None:
    metric = Audiobox(str(save_tiny_audiobox(tmp_path / "weights", as_pickle=as_pickle)))
    for frames, expected in OFFICIAL.items():
        found = scores(metric, noise(frames))
        assert [found[axis].value for axis in AXES] == pytest.approx(expected, abs=5e-6)
        assert len(found["pq"].frames) == -(-frames // 160_000)


def test_weights_by_variable_and_what_is_said_without(tmp_path, monkeypatch) -> None:
    metric = get_metric("audiobox")
    assert metric.available().startswith("weights absent: no weights of facebook/audiobox")
    assert f"hf download {HUB}" in metric.available()
    score = scores(Audiobox(), noise(8000))["pq"]
    assert score.value is None and score.status.startswith("unavailable: weights absent")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent.pt"))
    assert "absent.pt, which is not there" in metric.available()
    monkeypatch.setenv(VARIABLE, str(save_tiny_audiobox(tmp_path / "here")))
    assert Audiobox().available() == ""
    assert scores(Audiobox(), noise(8000))["pq"].value is not None
    assert Audiobox().settings() != {"weights": HUB}
    # the content counts, not where it lies: keys are the same on every machine
    other = save_tiny_audiobox(tmp_path / "elsewhere")
    assert Audiobox(str(other)).settings() == Audiobox().settings()
    assert len(Audiobox().settings()["weights"]) == 16


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_changed_file_is_another_identity_and_is_loaded(tmp_path, name: str) -> None:
    """In one process: the values of the network before stood under the hash of the new file."""
    folder = save_tiny_audiobox(tmp_path / "weights", as_pickle=False)
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "config.json"}
    metric = Audiobox(str(folder))
    before, value = metric.settings(), scores(metric, noise(8000))["pq"].value
    if name == "config.json":
        config = json.loads((folder / name).read_text())
        config["target_transform"]["PQ"]["mean"] += 1.0
        (folder / name).write_text(json.dumps(config))
    else:
        tensors = load_file(folder / name)
        save_file({k: 1.1 * v for k, v in tensors.items()}, folder / name)
    assert metric.settings() != before
    fresh = Audiobox(str(folder))
    assert metric.settings() == fresh.settings()
    assert scores(metric, noise(8000)) == scores(fresh, noise(8000))
    assert scores(metric, noise(8000))["pq"].value != value


def test_silence_and_short_signals_have_no_value(tmp_path) -> None:
    metric = Audiobox(str(save_tiny_audiobox(tmp_path)))
    silent = Audio(np.zeros((2, 16_000), np.float32), 16_000)
    assert {s.status for s in scores(metric, silent).values()} == {"est_silent"}
    assert {s.status for s in scores(metric, noise(399)).values()} == {"too_short"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop wavlm_model.encoder.layers.1.fc1.bias", "weights of the trunk do not fit"),
        ("drop wavlm_model.post_extract_proj.weight", "post_extract_proj.weight is missing"),
        ("drop proj_layer.PQ.4.bias", "weights of the head PQ do not fit"),
        ("drop layer_weights.CE", "layer_weights.CE is None"),
        ("add other.weight", "unknown weights: other.weight"),
        ("set nth_layer 5", "nth_layer=5; expected 3"),
        ("set proj_act_fn relu", "proj_act_fn='relu' is not known"),
        ("set target_transform none", "no mean and std of CE"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_reason(
    tmp_path, change: str, said: str
) -> None:
    import json

    from safetensors.torch import load_file, save_file

    folder = save_tiny_audiobox(tmp_path)
    what, name, *value = change.split()
    weights = load_file(folder / "model.safetensors")
    if what == "drop":
        del weights[name]
    elif what == "add":
        weights[name] = weights["layer_weights.CE"].clone()
    else:
        config = json.loads((folder / "config.json").read_text())
        given = {"5": 5, "none": {}}.get(value[0], value[0])
        (folder / "config.json").write_text(json.dumps({**config, name: given}))
    save_file(weights, folder / "model.safetensors")
    status = scores(Audiobox(str(folder)), noise(8000))["pq"].status
    assert status.startswith("unavailable: weights absent: no weights of") and said in status


def test_a_file_that_holds_code_is_not_run(tmp_path) -> None:
    import pickle

    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code of a stranger was run')",))

    path = tmp_path / "checkpoint.pt"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    status = scores(Audiobox(str(path)), noise(8000))["pq"].status
    assert "is no file of weights alone" in status
