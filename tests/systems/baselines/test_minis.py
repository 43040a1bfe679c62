"""The shipped minis: small, described, loadable offline, and as good as their cards say."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
from benchsep_baselines import locate
from benchsep_baselines.bs_roformer import BSRoformer
from benchsep_baselines.htdemucs import htdemucs
from benchsep_baselines.train import data, export

from benchsep._util.tensors import file_sha256
from benchsep.audio import STEMS

FAMILIES = {"htdemucs": htdemucs, "bs_roformer": BSRoformer}


def usdr(true, estimate) -> float:
    true = true.astype(np.float64)
    return float(10 * np.log10((true**2).sum() / ((true - estimate) ** 2).sum()))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_file_is_small_and_its_card_names_it(name):
    path = locate.bundled_path(name)
    assert path.stat().st_size <= 12_000_000
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert file_sha256(path) in card
    for said in ("non-commercial", "validation songs", "parameters", "CPU-minutes"):
        assert said in card


@pytest.mark.parametrize("name", FAMILIES)
def test_it_separates_a_song_it_has_not_heard(name, clip, monkeypatch):
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    system = FAMILIES[name](checkpoint="mini")
    assert system.info.label == f"{name}@mini"
    assert system.info.checkpoint_sha256 == file_sha256(locate.bundled_path(name))
    assert "non-commercial" in system.info.licence
    estimates = system.separate(clip.mixture, seed=0)
    scores = [usdr(clip.stems[s].samples, estimates[s].samples) for s in STEMS]
    doing_nothing = [usdr(clip.stems[s].samples, clip.mixture.samples) for s in STEMS]
    assert np.mean(scores) > 1.5
    assert np.mean(scores) > np.mean(doing_nothing) + 5


def test_upstreams_own_loader_reads_the_htdemucs_mini(clip):
    """``demucs.hf`` rebuilds the model from our metadata, with the same weights."""
    hf = pytest.importorskip("demucs.hf")
    import torch

    theirs = hf.load_safetensors_model(locate.bundled_path("htdemucs")).state_dict()
    ours = htdemucs(checkpoint="mini").model.state_dict()
    assert all(torch.equal(theirs[key], ours[key]) for key in ours)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(
    importlib.util.find_spec("musdb") is None, reason="the split is the musdb package's"
)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_card_tells_the_truth_and_the_mini_reaches_three_decibels(name, shared):
    folder = shared / "data/musdb18-7s/train"
    songs = [data.decode_stems(folder / f"{n}.stem.mp4") for n in sorted(data.validation_songs())]
    path = locate.bundled_path(name)
    scores = export.score(path, name, songs)
    assert scores["mean"] >= 3
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    row = re.search(r"\| mean of 4 \|\n\|[-|]+\n\|(.+)\|\n", card)
    assert row is not None
    stated = [float(cell.strip(" *")) for cell in row[1].split("|")]
    columns = ("vocals", "drums", "bass", "other", "mean")
    assert stated == pytest.approx([scores[c] for c in columns], abs=0.02)
