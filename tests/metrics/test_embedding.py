"""Embedding distances: against SciPy's matrix square root, and through real loading code."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.errors import MetricError, Unavailable
from benchsep.metrics.embedding import (
    ClapEmbedding,
    EmbeddingDistance,
    MertEmbedding,
    clap,
    frechet,
    mert,
    mse,
    voice,
)
from benchsep.metrics.metric import References
from tests.helpers.tiny_networks import save_tiny_clap, save_tiny_mert


class Loudness:
    """A user's embedding in ten lines: level and crest of each tenth of a second."""

    name, rate, shortest, identity = "loudness", 8000, 800, "1"
    domain, licence, source = "any", "MIT", "this test"

    def available(self):
        return ""

    def __call__(self, signal):
        frames = signal[: len(signal) // 800 * 800].reshape(-1, 800)
        return np.stack([frames.std(1), np.abs(frames).max(1)], 1).astype(float)


@pytest.fixture
def pair(clip):
    return References({"vocals": clip.stems["vocals"]}), {"vocals": clip.mixture}


@pytest.mark.parametrize("steps", [30, 200])
def test_frechet_is_that_of_the_formula(steps):
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(steps)
    a = generator.standard_normal((steps, 6)) @ generator.standard_normal((6, 6))
    b = generator.standard_normal((steps, 6)) + 1
    c, d = np.cov(a.T), np.cov(b.T)
    shift = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected = shift + np.trace(c + d - 2 * np.real(sqrtm(c @ d)))
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_takes_fewer_rows_than_dimensions():
    rows = np.random.default_rng(0).standard_normal((3, 64))
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-9)
    assert frechet(rows, rows + 2) == pytest.approx(4 * 64)
    assert frechet(rows[:1], rows[1:2]) == pytest.approx(((rows[0] - rows[1]) ** 2).sum())


def test_order_in_time_matters_to_mse_only():
    rows = np.random.default_rng(0).standard_normal((50, 4))
    assert frechet(rows, rows[::-1]) == pytest.approx(0, abs=1e-9)
    assert mse(rows, rows[::-1]) > 1
    assert mse(rows, np.vstack([rows, rows])) == 0


def test_embeddings_that_cannot_be_compared_are_named():
    for function in (mse, frechet):
        with pytest.raises(MetricError, match="expected rows"):
            function(np.zeros((3, 4)), np.zeros((3, 5)))
        with pytest.raises(MetricError, match="expected rows"):
            function(np.zeros((0, 4)), np.zeros((3, 4)))


def test_any_callable_is_a_metric(pair, clip):
    metric = EmbeddingDistance(Loudness())
    assert metric.name == "emb-loudness"
    far = metric.score_track(*pair, ("vocals",))["vocals"]
    same = metric.score_track(pair[0], clip.stems, ("vocals",))["vocals"]
    assert far["mse"].value > same["mse"].value == 0
    assert far["fad"].value > 0
    assert ("emb-loudness", "prepared", "vocals") in pair[0].cache


def test_the_packaged_embedding_orders_bleed(clip):
    references, vocals = References({"vocals": clip.stems["vocals"]}), clip.stems["vocals"].samples
    rest = clip.mixture.samples - vocals
    found = []
    for level in (0, 0.3, 1):
        estimate = {"vocals": Audio(vocals + level * rest, 44_100)}
        found.append(voice().score_track(references, estimate, ("vocals",))["vocals"])
    for name in ("mse", "fad"):
        values = [scores[name].value for scores in found]
        assert values == sorted(values) and values[0] == pytest.approx(0, abs=1e-9)


def test_statuses(clip):
    metric = EmbeddingDistance(Loudness())
    zero = Audio(np.zeros_like(clip.mixture.samples), 44_100)
    one = Audio(np.ones((1, 1)), 44_100)
    references = References({"a": zero, "b": clip.mixture, "c": one})
    scores = metric.score_track(references, {"a": zero, "b": zero, "c": one}, ("a", "b", "c", "d"))
    statuses = [scores[stem]["mse"].status for stem in "abcd"]
    assert statuses[:3] == ["ref_silent", "ok", "too_short"]
    assert statuses[3].startswith("undefined: the track")


@pytest.mark.parametrize("factory", [mert, clap])
def test_absent_weights_are_a_status_with_the_command(factory, pair, monkeypatch, tmp_path):
    pytest.importorskip("transformers", reason="an optional extra: benchsep[embeddings]")
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a: None)
    metric = factory()
    assert "hf download" in metric.available()
    score = metric.score_track(*pair, ("vocals",))["vocals"]["mse"]
    assert score.value is None and score.status == f"unavailable: {metric.available()}"


@pytest.fixture(scope="module")
def tiny_mert(tmp_path_factory):
    return save_tiny_mert(tmp_path_factory.mktemp("mert"))


def test_mert_is_loaded_from_a_folder_without_running_its_code(tiny_mert, clip):
    import torch
    from transformers import HubertModel

    embedding = MertEmbedding(str(tiny_mert), layer=2)
    signal = clip.stems["vocals"].mono().resampled(24_000).samples[0][:24_000]
    found = embedding(signal)
    assert found.shape == (74, 16)
    scaled = torch.from_numpy((signal - signal.mean()) / signal.std())[None]
    theirs = HubertModel.from_pretrained(tiny_mert, config=embedding._model().config).eval()
    with torch.no_grad():
        expected = theirs(scaled, output_hidden_states=True).hidden_states[2][0].numpy()
    assert found == pytest.approx(expected, abs=1e-3)


def test_other_weights_in_the_same_folder_are_another_identity(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny_mert = save_tiny_mert(tmp_path)
    loaded, signal = MertEmbedding(str(tiny_mert), layer=2), np.ones(24_000, np.float32)
    signal[::7] = -1
    before, rows = loaded.identity, loaded(signal)
    assert MertEmbedding(str(tiny_mert), layer=2).identity == before
    assert MertEmbedding(str(tiny_mert), layer=1).identity != before
    weights = next(tiny_mert.glob("*.safetensors"))
    tensors = load_file(weights)
    save_file({k: v + 1 for k, v in tensors.items()}, weights, metadata={"format": "pt"})
    fresh = MertEmbedding(str(tiny_mert), layer=2)
    assert fresh.identity == loaded.identity != before
    # In one process: rows of the weights before stood under the hash of the new file.
    np.testing.assert_array_equal(loaded(signal), fresh(signal))
    assert not np.array_equal(loaded(signal), rows)


def test_rows_of_two_weights_are_not_compared(clip):
    """The rows of a reference are kept for all systems of a song."""
    embedding = Loudness()
    metric, references = EmbeddingDistance(embedding), References({"vocals": clip.mixture})
    estimates = {"vocals": clip.stems["vocals"]}
    assert metric.score_track(references, estimates, ("vocals",))["vocals"]["mse"].status == "ok"
    embedding.identity = "other weights"
    with pytest.raises(MetricError, match="changed during the run"):
        metric.score_track(references, estimates, ("vocals",))
    fresh = References({"vocals": clip.mixture})
    assert metric.score_track(fresh, estimates, ("vocals",))["vocals"]["mse"].status == "ok"


def test_mert_with_weights_missing_or_another_architecture_is_refused(tiny_mert, tmp_path):
    import json
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(tiny_mert, tmp_path / "mert")
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layers.0.attention.k_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Unavailable, match="weights are missing"):
        MertEmbedding(str(folder), layer=2)(np.zeros(24_000, np.float32))
    raw = json.loads((folder / "config.json").read_text()) | {"deepnorm": True}
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(Unavailable, match="not a plain Hubert"):
        MertEmbedding(str(folder), layer=2)(np.zeros(24_000, np.float32))


def test_clap_is_loaded_from_a_folder(tmp_path, clip):
    signal = clip.stems["vocals"].mono().resampled(48_000).samples[0]
    found = ClapEmbedding(str(save_tiny_clap(tmp_path)))(np.resize(signal, 12 * 48_000))
    assert found.shape == (3, 24)
    assert np.isfinite(found).all()
