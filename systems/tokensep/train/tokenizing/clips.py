"""Make clips of codes and waves from a labelled piece, one for each variant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from benchsep_training.seeds import hashed
from numpy.typing import NDArray

from tokensep.codec.interface import device_of
from tokensep.lm.config import TokenSepConfig
from tokensep.train.encoding import song_variants
from tokensep.train.pseudo_labels.reading import RESIDUAL, Sample, mono_stems
from tokensep.train.tokenizing.job import TokenJob


@dataclass(frozen=True)
class TokenClip:
    """Codes ``[S, K, F]`` (int16) and mono waves ``[F x hop]``: the mixture and the stems."""

    variant: int
    codes: NDArray[np.int16]
    mixture: NDArray[np.float32]
    stems: dict[str, NDArray[np.float32]]


def token_clips(
    sample: Sample, codec: Any, config: TokenSepConfig, job: TokenJob, name: str
) -> Iterator[TokenClip]:
    """The variants of a sample, one at a time; their draws are functions of the seed and ``name``.

    A piece that is shorter than a token frame has none.
    """
    waves = mono_stems(sample, config.rate, mixture=job.mixture)
    seed = [job.seed, hashed("variants", name)]
    for variant, version in enumerate(song_variants(waves, job.variants, config, seed)):
        frames = min(len(wave) for wave in version.values()) // config.frame_hop
        if not frames:
            return
        cut = {name: wave[: frames * config.frame_hop] for name, wave in version.items()}
        stems = {stem: cut[stem] for stem in config.stems}
        mixture = np.asarray(np.sum(list(stems.values()), axis=0), np.float32)
        if RESIDUAL in cut:
            mixture += cut[RESIDUAL]
        yield TokenClip(variant, encode(np.stack(list(stems.values())), codec), mixture, stems)


@torch.no_grad()
def encode(waves: NDArray[np.float32], codec: Any) -> NDArray[np.int16]:
    """Codes ``[S, K, F]`` of the stems ``[S, T]`` of one clip, encoded as one batch."""
    codes = codec.encode(torch.from_numpy(waves).to(device_of(codec))).stack()
    return np.asarray(codes.cpu().numpy(), np.int16)
