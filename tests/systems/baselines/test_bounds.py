"""Arguments of a stranger's checkpoint: bounded before memory or time is spent."""

from __future__ import annotations

import copy
import json
import resource
import time
from pathlib import Path

import pytest
import torch
import yaml
from benchsep_baselines import msst_config
from benchsep_baselines.generic import Msst
from benchsep_baselines.htdemucs import load_model
from safetensors.torch import save_file

from benchsep._util.model_bounds import bounded, check_arguments
from benchsep.errors import CheckpointError
from tests.helpers.msst_models import CONFIGS, write


def claiming(tmp_path, architecture, changes):
    """A small checkpoint whose configuration claims something else."""
    path, _ = write(tmp_path, architecture)
    content = copy.deepcopy(CONFIGS[architecture])
    for dotted, value in changes.items():
        section = content
        *parents, last = dotted.split(".")
        for parent in parents:
            section = section[parent]
        section[last] = value
    path.with_suffix(".yaml").write_text(yaml.dump(content), encoding="utf-8")
    return path


CLAIMS = [
    ("bs_roformer", {"model.dim": 6000, "model.dim_head": 6000}, "give a model with more"),
    ("bs_roformer", {"model.depth": 10**6}, "give a model with more"),
    ("bs_roformer", {"model.depth": 10**40}, "model.depth is a number of more than 30 digits"),
    ("bs_roformer", {"model.freqs_per_bands": [1] * 5000}, "has 5,000 items"),
    ("bs_roformer", {"model.num_stems": 10**6}, "give a model with more"),
    ("bs_roformer", {"model.stft_n_fft": 2**20 + 1}, "stft_n_fft is 1,048,577"),
    ("mel_band_roformer", {"model.num_bands": 2**19, "model.stft_n_fft": 2**19}, "product of"),
    ("scnet", {"model.dims": [4, 6000, 6000, 6000]}, "give a model with more"),
    ("scnet", {"model.num_dplayer": 10**6}, "give a model with more"),
    ("mdx23c", {"model.num_channels": 6000, "model.growth": 6000}, "give a model with more"),
    ("mdx23c", {"audio.n_fft": 10**9}, "audio.n_fft is 1,000,000,000"),
    (
        "mdx23c",
        {"model.scale": [2**19, 2**19]},
        "give a model with more|is not a valid configuration",
    ),
    ("bandit", {"model.emb_dim": 6000, "model.rnn_dim": 6000}, "give a model with more"),
    ("bandit", {"model.window_fn": "load"}, "window_fn = 'load' is not supported"),
    ("bandit", {"model.hidden_activation": "warnings"}, "hidden_activation = 'warnings'"),
    ("bandit_v2", {"kwargs.n_bands": 2**20}, "product of"),
    ("bandit_v2", {"kwargs.rnn_type": "Module"}, "rnn_type = 'Module'"),
    ("apollo", {"model.feature_dim": 6000}, "give a model with more"),
    ("htdemucs", {"htdemucs.channels": 6000}, "give a model with more"),
    ("htdemucs", {"htdemucs.bottom_channels": 600000}, "give a model with more"),
    ("scnet", {"audio.chunk_size": 10**12}, "chunk_size is 1,000,000,000,000"),
    ("scnet", {"audio.chunk_size": -5}, "chunk_size is -5"),
    ("scnet", {"inference.num_overlap": 10**9}, "num_overlap is 1,000,000,000"),
    ("scnet", {"inference.num_overlap": 0}, "num_overlap is 0"),
    ("scnet", {"audio.sample_rate": 1}, "sample_rate is 1"),
    ("scnet", {"audio.num_channels": 60}, "num_channels is 60"),
    ("scnet", {"training.instruments": ["vocals"] * 9}, "occurs twice"),
    ("scnet", {"training.instruments": ["v" * 200]}, "1 instruments"),
]


@pytest.mark.parametrize(("architecture", "changes", "message"), CLAIMS)
def test_what_a_checkpoint_cannot_hold_is_refused_before_it_is_built(
    tmp_path, architecture, changes, message
):
    path = claiming(tmp_path, architecture, changes)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(CheckpointError, match=message) as caught:
        Msst(checkpoint=str(path))
    assert len(str(caught.value)) < 1500
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 600_000 and time.process_time() - start < 20


def test_a_demucs_file_claims_no_more_than_it_holds(tmp_path):
    path = tmp_path / "x.safetensors"
    arguments = {"args": "[]", "klass": "demucs.htdemucs.HTDemucs"}
    kwargs = {"sources": ["a"], "channels": 6000}
    save_file({"w": torch.ones(3)}, path, {**arguments, "kwargs": json.dumps(kwargs)})
    with pytest.raises(CheckpointError, match="give a model with more than"):
        load_model(path)
    deep = "[" * 10_000 + "]" * 10_000
    save_file({"w": torch.ones(3)}, path, {**arguments, "kwargs": deep})
    with pytest.raises(CheckpointError, match=r"has no arguments of the model|levels deep"):
        load_model(path)


def test_deep_json_in_a_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    for text in ("[" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "[]", '{"model": 1}'):
        save_file({"w": torch.ones(3)}, path, {"config": text})
        with pytest.raises(CheckpointError, match=r"no configuration|expected the sections"):
            Msst(checkpoint=str(path))


def test_a_configuration_has_a_size(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: " + "x" * msst_config.LARGEST_FILE, encoding="utf-8")
    with pytest.raises(CheckpointError, match="larger than 1,000,000 bytes"):
        msst_config.read_yaml(path)


def test_a_model_as_large_as_its_checkpoint_is_built():
    layer = bounded(lambda: torch.nn.Linear(1000, 1000), 1_001_000, 2, Path("x"))
    assert layer.weight.shape == (1000, 1000)
    with pytest.raises(CheckpointError, match="has 10 in 2"):
        bounded(lambda: torch.zeros(40_000_000), 10, 2, Path("x"))
    with pytest.raises(CheckpointError, match=r"5,0\d\d tensors"):
        bounded(lambda: [torch.zeros(1) for _ in range(10**6)], 10, 2, Path("x"))


def test_ordinary_arguments_pass():
    arguments = {"dim": 384, "freqs": (2,) * 62, "dropout": 0.1, "stereo": True, "x": None}
    check_arguments(arguments, Path("x"))
