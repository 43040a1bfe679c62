"""Weights are found in whatever a training put around them; nothing of a stranger is run."""

from __future__ import annotations

import argparse
import pathlib
import types
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from benchsep_baselines import safe_load
from benchsep_baselines.generic import Msst
from benchsep_baselines.wrapped import chosen, states

from benchsep.errors import CheckpointError
from tests.helpers.msst_models import write


def prefixed(prefix):
    return lambda state: {prefix + key: value for key, value in state.items()}


def zeros(state):
    return {key: torch.zeros_like(value) for key, value in state.items()}


def lightning(state):
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5",
        "state_dict": {
            **prefixed("model.")(state),
            "loss.stft.window": torch.ones(9),
            "val_metric.sum": torch.zeros(1),
        },
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
        "callbacks": {"ModelCheckpoint{'monitor': 'sdr'}": {"best": torch.ones(1)}},
    }


def msst_training(state):
    """What upstream's own training saves."""
    return {
        "epoch": 7,
        "model_state_dict": prefixed("module.")(state),
        "optimizer_state_dict": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []},
        "best_metric": np.float64(9.8),
        "all_metrics": {"sdr": [np.float32(1), np.arange(3.0)]},
        "args": argparse.Namespace(lr=1e-4, paths=["a"]),
        "where": pathlib.PurePosixPath("/x/y"),
    }


WRAPS = {
    "bare": dict,
    "OrderedDict": OrderedDict,
    "state": lambda s: {"state": s},
    "state_dict": lambda s: {"state_dict": s},
    "model": lambda s: {"model": s},
    "unknown key": lambda s: {"weights_of_the_net": s},
    "nested": lambda s: {"checkpoint": {"model": {"state_dict": s}}},
    "DataParallel": prefixed("module."),
    "compiled and parallel": prefixed("_orig_mod.module."),
    "Lightning": lightning,
    "MSST's training": msst_training,
    "EMA beside raw": lambda s: {"state_dict": zeros(s), "ema": {"shadow": s}},
    "EMA state dict": lambda s: {"ema_state_dict": s, "model_state_dict": zeros(s)},
    "ema_pytorch": lambda s: {
        **prefixed("ema_model.")(s),
        **prefixed("online_model.")(zeros(s)),
        "initted": torch.tensor(True),
        "step": torch.tensor(5),
    },
    "optimiser first": lambda s: {
        "optimizer": {"state": {k: v + 1 for k, v in s.items()}},
        "net": s,
    },
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_weights_are_found_by_rule(tmp_path, wrap):
    path, model = write(tmp_path, "scnet", wrap=wrap)
    loaded = Msst(checkpoint=str(path)).model.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded[key], value), key


def test_averaged_weights_are_declared(tmp_path):
    path, _ = write(tmp_path, "scnet", wrap=WRAPS["EMA beside raw"])
    assert Msst(checkpoint=str(path)).info.options["weights"] == "ema/shadow"
    path, _ = write(tmp_path, "scnet")
    assert "weights" not in Msst(checkpoint=str(path)).info.options


def test_half_precision_is_widened(tmp_path):
    halved = {}
    for dtype in (torch.float16, torch.bfloat16):
        path, model = write(tmp_path, "scnet", wrap=lambda s, d=dtype: {
            k: v.to(d) for k, v in s.items()})  # fmt: skip
        halved[dtype] = Msst(checkpoint=str(path)).model.state_dict()
        assert all(v.dtype == torch.float32 for v in halved[dtype].values())
        for key, value in model.state_dict().items():
            assert torch.equal(halved[dtype][key], value.to(dtype).float())


def test_a_part_of_a_model_is_never_padded(tmp_path):
    path, _ = write(tmp_path, "scnet", wrap=lambda s: {"state_dict": dict(list(s.items())[:-1])})
    with pytest.raises(CheckpointError, match="1 absent: separation_net"):
        Msst(checkpoint=str(path))


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ([1, 2], "found a list"),
        ({}, "no named weights"),
        ({"epoch": 3, "params": [torch.ones(2)]}, "its keys: 'epoch', 'params'"),
        ({0: torch.ones(2)}, "no named weights"),
        ({"a": {"b": {"c": {"d": {"e": {"w": torch.ones(1)}}}}}}, "no named weights"),
    ],
)
def test_what_holds_no_weights_is_said(tmp_path, package, message):
    with pytest.raises(CheckpointError, match=message):
        states(package, tmp_path / "x.ckpt")


def test_the_nearest_state_explains_a_mismatch(tmp_path):
    wanted = {"a": torch.ones(2), "b": torch.ones(3)}
    found = states({"x": {"c": torch.ones(9)}, "y": {"a": torch.ones(2)}}, tmp_path)
    assert chosen(found, wanted).path == "y"


SETTINGS = {
    "Namespace": argparse.Namespace(a=1, b=[2]),
    "SimpleNamespace": types.SimpleNamespace(a=1),
    "defaultdict of lists": defaultdict(list, a=[1]),
    "defaultdict of dicts": defaultdict(dict, a={"b": 1}),
    "path": pathlib.Path("/x/y"),
    "numpy number": np.float64(1),
    "numpy text": np.str_("x"),
    "numpy array": np.arange(3.0),
    "frozen set": frozenset([1]),
}


@pytest.mark.parametrize("content", SETTINGS.values(), ids=SETTINGS)
def test_settings_beside_the_weights_do_no_harm(tmp_path, content):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}, "settings": content}, path)
    package = safe_load.load_pickle(path, admitted=safe_load.harmless(), trust_pickle=False)
    assert torch.equal(package["state_dict"]["w"], torch.ones(2))


class Runs:
    """A reduce gadget by a class that is admitted elsewhere."""

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("function", [exec, eval, getattr, __import__, open, np.load, torch.load])
def test_nothing_else_is_called(tmp_path, function):
    path, mark = tmp_path / "x.ckpt", tmp_path / "mark"
    torch.save({"w": torch.ones(2), "x": Runs(function, f"open({str(mark)!r}, 'w')")}, path)
    with pytest.raises(CheckpointError, match=r"could run code|not a readable"):
        safe_load.load_pickle(path, admitted=safe_load.harmless(), trust_pickle=False)
    assert not mark.exists()
