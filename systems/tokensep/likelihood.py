"""The teacher-forced negative log-likelihood of true stems under an LM.

Nothing is sampled, so the value is a smooth function of the weights. It shows a small degradation
of the model more reliably than a separation, in which one different token changes the whole song.

Conventions
-----------
nll       nats per token ``[S, K]``: stems in the LM's order, layers semantic first
windows   of the LM's training length, without overlap; an incomplete last window is left out,
          unless it is the only one
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsep.audio import Audio
from tokensep.decode.render import TokenSource
from tokensep.dsp.stereo import SILENT, rms
from tokensep.errors import AudioError
from tokensep.lm.losses import token_nll
from tokensep.separator import TokenSep


@torch.no_grad()
def stem_nll(model: TokenSep, mixture: Audio, stems: dict[str, Audio]) -> NDArray[np.float64]:
    """NLL ``[S, K]`` in nats per token of the true stems, each token given the true ones before it.

    Parameters
    ----------
    mixture : any rate, level and number of channels (their mean is taken).
    stems : the true stem for each stem of the LM, as long as the mixture.

    Raises
    ------
    AudioError
        A stem is missing, lengths differ, or the mixture is silent.
    """
    names = model.config.stems
    if missing := [name for name in names if name not in stems]:
        raise AudioError(f"{', '.join(missing)} is missing; expected all of {', '.join(names)}")
    parts = [mixture, *(stems[name] for name in names)]
    shapes = {(part.rate, part.samples.shape[1]) for part in parts}
    if len(shapes) != 1:
        raise AudioError(f"mixture and stems have different rates or lengths: {sorted(shapes)}")
    mono = Audio(np.stack([part.samples.mean(0) for part in parts]), mixture.rate)
    level = rms(mono.samples[0])
    if level < SILENT:
        raise AudioError("the mixture is silent")
    waves = model._to_model(mono, model._gain(level))  # [1 + S, T]
    config = model.config
    length = config.window_frames * config.frame_hop
    count = max(1, waves.shape[1] // length)
    padded = torch.nn.functional.pad(waves, (0, max(0, length - waves.shape[1])))
    windows = padded[:, : count * length].unflatten(1, (count, length))  # [1 + S, W, T]
    total = sum(
        (_window_nll(model, windows[:, w].to(model.device)) for w in range(count)),
        torch.zeros(len(names), config.layers, dtype=torch.float64),
    )
    return np.asarray((total / count).numpy())


def _window_nll(model: TokenSep, waves: Tensor) -> Tensor:
    """``[1 + S, T]``, mixture first → ``[S, K]``, float64."""
    codec, lm = model.codec, model.lm
    codes = codec.encode(waves[1:]).stack()[None]  # [1, S, K, F]
    source = TokenSource(lm, codec, lm.config.inference, codebooks=None)
    logits, grid = lm(codes, source.condition(waves[:1]))
    return token_nll(logits, grid)[0].double().cpu()
