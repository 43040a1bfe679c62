"""The shipped tokensep, held by quantities that no single token can move.

A separation by draws moves with one token that falls otherwise on another processor, so the demo's
gate must leave it much room. The likelihood of true stems, the codec's ceiling and the one-pass
estimate are smooth: their limits are tight, and a small loss of the model fails here.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from tokensep.errors import AudioError
from tokensep.likelihood import stem_nll
from tokensep.lm.config import LMTrainConfig
from tokensep.separator import TokenSep
from tokensep.train.objective import Objective

from benchsep.audio import Audio
from tests.golden.make_tokensep_smooth import PATH, measure
from tests.helpers.lm_dummies import RATE, DummyCodec
from tests.systems.tokensep.decode.test_generate import model_and_cond

NLL_LIMIT, VISQOL_LIMIT = 0.01, 0.02
"""Nats (mean over stems and layers) and MOS (mean over stems)."""


def losses(found: dict, golden: dict) -> tuple[float, float, float]:
    """What was lost: NLL, ViSQOL of the ceiling, ViSQOL of one pass; means."""
    nll = np.mean([found["nll"][s] for s in golden["nll"]]) - np.mean(list(golden["nll"].values()))
    visqol = [
        np.mean(list(golden[k].values())) - np.mean([found[k][s] for s in golden[k]])
        for k in ("ceiling", "one_pass")
    ]
    return float(nll), float(visqol[0]), float(visqol[1])


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(PATH.read_text())


def test_the_shipped_model_has_lost_nothing(golden):
    nll, ceiling, one_pass = losses(measure(TokenSep.from_checkpoint("mini")), golden)
    assert abs(nll) < NLL_LIMIT and abs(ceiling) < VISQOL_LIMIT and abs(one_pass) < VISQOL_LIMIT


def test_a_small_loss_of_the_lm_or_of_the_codec_is_seen(golden):
    """Noise on the weights that costs some hundredths: more than the limits, and not much more."""
    model = TokenSep.from_checkpoint("mini")
    worse = copy.deepcopy(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in worse.lm.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2 * parameter.std())
        for parameter in worse.codec.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05 * parameter.std().nan_to_num())
    nll, ceiling, _ = losses(measure(worse), golden)
    assert NLL_LIMIT < nll < 0.05, nll
    assert VISQOL_LIMIT < ceiling < 0.15, ceiling


def test_nll_is_the_objective_of_the_training():
    lm, _ = model_and_cond("grouped-delay")
    codec = DummyCodec()
    separator = TokenSep(lm, codec)
    config = lm.config
    frames = config.window_frames * config.frame_hop
    rng = np.random.default_rng(0)
    stems = {s: Audio(0.1 * rng.standard_normal((1, frames)).astype(np.float32), RATE)
             for s in config.stems}  # fmt: skip
    mixture = Audio(np.sum([a.samples for a in stems.values()], 0), RATE)
    found = stem_nll(separator, mixture, stems)
    gain = separator._gain(float(np.sqrt(np.mean(mixture.samples**2))))
    wave = torch.from_numpy(gain * mixture.samples)
    codes = codec.encode(
        torch.cat([torch.from_numpy(gain * stems[s].samples) for s in config.stems])
    ).stack()[None]
    objective = Objective(lm, LMTrainConfig()).eval()
    with torch.no_grad():
        _, expected, _ = objective(wave, codes, codec.latents(codec.encode(wave)))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)
    with pytest.raises(AudioError, match="vocals is missing"):
        stem_nll(separator, mixture, {s: a for s, a in stems.items() if s != "vocals"})
    short = {**stems, "bass": Audio(stems["bass"].samples[:, :-9], RATE)}
    with pytest.raises(AudioError, match="different rates or lengths"):
        stem_nll(separator, mixture, short)
    with pytest.raises(AudioError, match="silent"):
        stem_nll(separator, Audio(0 * mixture.samples, RATE), stems)
