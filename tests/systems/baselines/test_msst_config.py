"""Every setting of a configuration is followed, known to be irrelevant, named, or refused."""

from __future__ import annotations

import copy

import pytest
import yaml
from benchsep_baselines.msst_config import IGNORED, read_yaml, settings_of

from benchsep.errors import CheckpointError
from tests.helpers.msst_models import CONFIGS


@pytest.fixture
def content():
    return copy.deepcopy(CONFIGS["scnet"])


def test_what_is_followed(content, tmp_path):
    content["audio"] |= {"chunk_size": 999, "sample_rate": 48000, "num_channels": 1}
    content["inference"] |= {"num_overlap": 3, "normalize": True}
    content["training"] |= {"instruments": ["Vocals", "other"], "target_instrument": "Vocals"}
    settings = settings_of(content, tmp_path)
    assert (settings.chunk, settings.rate, settings.channels) == (999, 48000, 1)
    assert (settings.overlap, settings.normalize) == (3, True)
    assert (settings.names, settings.instruments) == (["vocals", "other"], ["vocals"])
    content["inference"]["chunk_size"] = 777
    assert settings_of(content, tmp_path).chunk == 777


def test_what_is_known_not_to_count(content, tmp_path, capsys):
    content["inference"] |= {"batch_size": 8, "dim_t": 801}
    content["training"] |= {"use_amp": True, "lr": 1, "loss": "l1", "anything": [1]}
    content["loss_multistft"] = {"fft_sizes": [1024]}
    settings_of(content, tmp_path)
    assert capsys.readouterr().err == ""
    assert all(reason for reason in IGNORED.values())


@pytest.mark.parametrize("setting", ["use_tta", "shifts", "standardize", "fade", "future_option"])
def test_an_unknown_setting_of_inference_is_refused_by_name(content, tmp_path, setting):
    content["inference"][setting] = True
    with pytest.raises(CheckpointError, match=rf"inference\.{setting} = 'True' is not supported"):
        settings_of(content, tmp_path)
    content["inference"][setting] = False
    settings_of(content, tmp_path)


def test_other_unknown_settings_are_named_once(content, tmp_path, capsys):
    content["audio"]["emphasis"] = 1
    content["postprocessing"] = {"gate": 1}
    settings_of(content, tmp_path / "x.yaml")
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "x.yaml: not read: audio.emphasis, postprocessing" in err


def test_numbers_without_a_point_are_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1e-3\nb: 5E6\nc: 1e\nd: e3\ne: '1e-3'\n", encoding="utf-8")
    assert read_yaml(path) == {"a": 1e-3, "b": 5e6, "c": "1e", "d": "e3", "e": "1e-3"}


@pytest.mark.parametrize("tag", ["object/apply:os.system", "name:os.system", "module:os", "set"])
def test_only_tuples_are_made_of_tags(tmp_path, tag):
    path = tmp_path / "x.yaml"
    path.write_text(f"a: !!python/{tag} ['true']\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="not a usable configuration"):
        read_yaml(path)
    path.write_text(yaml.dump({"a": (1, (2, 3))}), encoding="utf-8")
    assert read_yaml(path) == {"a": (1, (2, 3))}
