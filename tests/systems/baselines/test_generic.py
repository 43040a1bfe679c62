"""``msst:``: every architecture of pymss-core gives the package's own output, with any stems."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
import yaml
from benchsep_baselines.architectures import NAMES, likeliest
from benchsep_baselines.generic import Msst

from benchsep.audio import Audio
from benchsep.errors import CheckpointError, SeparatorError, UsageError
from tests.helpers import msst_models
from tests.helpers.msst_models import CONFIGS, write
from tests.helpers.upstream_demix import upstream_demix


@pytest.fixture(scope="module")
def piece(clip):
    return Audio(clip.mixture.samples[:, 20000:31001], 44100)


def plain_loop(model, mix, content, *, overlap=2, apart=False):
    """The package's model in upstream's loop over chunks."""
    chunk = content["audio"]["chunk_size"]
    return upstream_demix(lambda part: one_chunk(model, part, apart), mix, chunk, overlap)


def one_chunk(model, part, apart=False):
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if apart:  # each channel as an input of its own
            channels = [model(channel[None, None])[0] for channel in part]
            return torch.cat(channels, dim=-2)
        out = model(part[None])[0]
    return out if out.ndim == 3 else out[None]


GENERIC = [name for name in CONFIGS if name not in ("htdemucs", "bandit_v2")]


@pytest.mark.parametrize("architecture", GENERIC)
def test_each_architecture_gives_the_packages_output_in_a_plain_loop(tmp_path, piece, architecture):
    path, model = write(tmp_path, architecture)
    content = CONFIGS[architecture]
    system = Msst(checkpoint=str(path))
    assert system.info.options["architecture"] == architecture
    theirs = plain_loop(model, piece.samples, content, apart=architecture == "bandit")
    ours = system._estimate(piece.samples, 0)
    assert np.abs(theirs).max() > 1e-4, "nothing was compared"
    for stem, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(ours[stem], expected, atol=2e-6, err_msg=stem)
    assert np.array_equal(system.separate(piece, seed=0)["vocals"].samples, ours["vocals"])


def test_bandit_2_works_at_its_own_rate(tmp_path, piece):
    path, model = write(tmp_path, "bandit_v2")
    system = Msst(checkpoint=str(path))
    assert system.info.rate == system.rate == 48000
    at_48 = Audio(piece.samples, 48000)
    theirs = plain_loop(model, piece.samples, CONFIGS["bandit_v2"])
    ours = system.separate(at_48, seed=0)["vocals"].samples
    np.testing.assert_allclose(ours, theirs[0], atol=2e-6)
    assert system.separate(piece, seed=0)["vocals"].samples.shape == piece.samples.shape


def test_htdemucs_is_averaged_without_windows_as_upstream_does(tmp_path, piece):
    path, model = write(tmp_path, "htdemucs")
    system = Msst(checkpoint=str(path))
    chunk = 22050
    assert system.info.options["chunk"] == chunk
    mix = torch.from_numpy(np.tile(piece.samples, 4))
    result, counter = torch.zeros(2, 2, mix.shape[-1]), torch.zeros(mix.shape[-1])
    for i in range(0, mix.shape[-1], chunk // 2):
        part = mix[:, i : i + chunk]
        size = part.shape[-1]
        part = torch.nn.functional.pad(part, (0, chunk - size))
        result[..., i : i + size] += one_chunk(model, part)[..., :size]
        counter[i : i + size] += 1
    ours = system._estimate(mix.numpy(), 0)
    np.testing.assert_allclose(ours["vocals"], (result / counter)[0], atol=2e-6)


def test_every_architecture_of_the_package_is_covered():
    from pymss_core import model_detection

    known = model_detection._MODEL_TYPES - {"vr"}
    assert set(NAMES) == known
    assert set(CONFIGS) == known - {"bs_roformer_hyperace"}, "HyperACE is 40 million numbers"


@pytest.mark.parametrize("architecture", CONFIGS)
def test_weights_tell_their_architecture(architecture):
    model = msst_models.build(architecture, copy.deepcopy(CONFIGS[architecture]))
    assert likeliest(model.state_dict()) == architecture


def test_a_configuration_that_says_nothing_is_read_by_the_weights(tmp_path, piece):
    """``num_bands`` alone is no BandIt, and no RoFormer either."""
    content = copy.deepcopy(CONFIGS["apollo"])
    content["model"].pop("win"), content["model"].pop("sr")
    path, _ = write(tmp_path, "apollo")
    path.with_suffix(".yaml").write_text(yaml.dump(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="is not a valid configuration of a apollo"):
        Msst(checkpoint=str(path))
    content["model"] = {"a": 1}
    path.with_suffix(".yaml").write_text(yaml.dump(content), encoding="utf-8")
    torch.save({"strange.weight": torch.ones(3)}, path)
    with pytest.raises(
        CheckpointError, match=r"is not recognised .*architecture=NAME, one of bs_rof"
    ):
        Msst(checkpoint=str(path))


@pytest.mark.parametrize("declared", ["model_type", "training.model_type"])
def test_a_declared_architecture_counts(tmp_path, declared):
    content = copy.deepcopy(CONFIGS["scnet"])
    section = content if declared == "model_type" else content["training"]
    section["model_type"] = "scnet"
    path, _ = write(tmp_path, "scnet", content)
    assert Msst(checkpoint=str(path)).architecture == "scnet"
    section["model_type"] = "swin_upernet"
    path.with_suffix(".yaml").write_text(yaml.dump(content), encoding="utf-8")
    torch.save({"x": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="swin_upernet"):
        Msst(checkpoint=str(path))


def test_unknown_names_of_architectures_are_usage_errors(tmp_path):
    path, _ = write(tmp_path, "scnet")
    with pytest.raises(UsageError, match="expected one of bs_roformer"):
        Msst(checkpoint=str(path), architecture="unet")
    with pytest.raises(UsageError, match="zero_dc: a scnet does not have this option"):
        Msst(checkpoint=str(path), zero_dc="true")
    with pytest.raises(UsageError, match="msst needs a checkpoint"):
        Msst()


# -- the message of a mismatch ---------------------------------------------------------------------


def test_a_mismatch_names_the_first_difference_and_the_likeliest_architecture(tmp_path):
    path, _ = write(tmp_path, "mel_band_roformer")
    text = yaml.dump(CONFIGS["bs_roformer"])
    path.with_suffix(".yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        Msst(checkpoint=str(path))
    message = str(caught.value)
    assert "the first difference is final_norm.gamma (absent)" in message
    assert "look like mel_band_roformer, the configuration is of bs_roformer" in message


def test_a_shape_that_differs_is_the_first_difference(tmp_path):
    path, _ = write(tmp_path, "bs_roformer")
    content = copy.deepcopy(CONFIGS["bs_roformer"])
    content["model"]["dim"] = 16
    path.with_suffix(".yaml").write_text(yaml.dump(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"norm\.gamma \(\(8,\) in the checkpoint, \(16,\)"):
        Msst(checkpoint=str(path))


def test_a_lora_is_refused_by_name(tmp_path):
    path, _ = write(
        tmp_path, "bs_roformer", wrap=lambda state: {"a.lora_A": torch.ones(2, 2), **state}
    )
    with pytest.raises(CheckpointError, match=r"a LoRA .*merge it"):
        Msst(checkpoint=str(path))


def test_as_many_stems_as_the_configuration_names(tmp_path):
    content = copy.deepcopy(CONFIGS["bs_roformer"])
    content["training"]["instruments"] = ["vocals", "drums", "bass"]
    path, _ = write(tmp_path, "bs_roformer", content)
    with pytest.raises(CheckpointError, match="returns 2 stems, its configuration names 3: vocals"):
        Msst(checkpoint=str(path))


def test_a_chunk_that_the_model_cannot_take_says_so(tmp_path, piece):
    content = copy.deepcopy(CONFIGS["mdx23c"])
    content["audio"]["chunk_size"] = 4000
    path, _ = write(tmp_path, "mdx23c", content)
    with pytest.raises(SeparatorError, match=r"chunks of 4000 samples .*multiple of the hop"):
        Msst(checkpoint=str(path)).separate(piece, seed=0)


def test_mel_band_works_where_the_chunk_is_no_multiple_of_the_hop(tmp_path, piece):
    content = copy.deepcopy(CONFIGS["mel_band_roformer"])
    content["audio"]["chunk_size"] = 4100
    path, _ = write(tmp_path, "mel_band_roformer", content)
    estimate = Msst(checkpoint=str(path)).separate(piece, seed=0)["vocals"]
    assert estimate.frames == piece.frames


# -- stems -----------------------------------------------------------------------------------------


def test_a_mono_model_gets_each_channel(tmp_path, piece):
    content = copy.deepcopy(CONFIGS["mel_band_roformer"])
    content["model"] |= {"stereo": False, "num_stems": 1}
    content["audio"]["num_channels"] = 1
    content["training"] |= {"target_instrument": "vocals"}
    path, _ = write(tmp_path, "mel_band_roformer", content)
    system = Msst(checkpoint=str(path))
    assert system.info.options["channels"] == "each apart"
    both = system.separate(piece, seed=0)["vocals"].samples
    for channel in (0, 1):
        alone = Audio(piece.samples[[channel, channel]], piece.rate)
        expected = system.separate(alone, seed=0)["vocals"].samples[0]
        np.testing.assert_allclose(both[channel], expected, atol=1e-6)


@pytest.mark.parametrize("architecture", ["bs_roformer", "mdx23c", "scnet"])
def test_normalize_is_followed_by_every_architecture(tmp_path, piece, architecture):
    content = copy.deepcopy(CONFIGS[architecture])
    path, _ = write(tmp_path / "plain", architecture, content)
    plain = Msst(checkpoint=str(path))
    content["inference"]["normalize"] = True
    path, _ = write(tmp_path / "normal", architecture, content)
    system = Msst(checkpoint=str(path))
    assert system.info.options["normalize"] is True and "normalize" not in plain.info.options
    mono = piece.samples.mean(0)
    mean, deviation = float(mono.mean()), float(mono.std())
    inside = plain._estimate((piece.samples - mean) / deviation, 0)["vocals"]
    ours = system.separate(piece, seed=0)["vocals"].samples
    np.testing.assert_allclose(ours, inside * deviation + mean, atol=1e-6)
