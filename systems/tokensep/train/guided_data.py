"""Training examples of the guided decoder: mixtures, the LM's output for them, and the true stems.

Each example is made once, by the LM and codec that the decoder will work with, and stored in its
own file, so a killed run continues with the next example. Latents come from one pass with all
tokens hidden (:mod:`tokensep.decode.one_pass`), which is the LM's estimate from the mixture alone,
or from drawn tokens, as the checkpoint draws them, at more than ten times the computation.

Conventions
-----------
example   ``stems [S, 2, T]`` and ``generated [S, T]`` fp16 at the LM's level, ``latents [S, F, D]``
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from benchsep_training import once
from benchsep_training.batches import Stateless, Turn
from benchsep_training.seeds import generator
from numpy.random import Generator
from torch import Tensor

from benchsep._util.atomic import write_atomically
from benchsep._util.tensors import read_tensors, save_tensors
from tokensep.codec.codebooks import codebooks
from tokensep.decode.render import Renderer, TokenSource, window_seed
from tokensep.lm.config import Rendering
from tokensep.lm.model import TokenLM
from tokensep.train import cache
from tokensep.train.stereo_songs import StereoSongs, Wave

AT_ONCE = 4
"""Examples that the LM makes together."""
MONO = 0.1
"""Probability that an example is mono."""
LARGEST_LEAK = 0.7
"""Largest share of the other stems in a generated stem."""
Example = tuple[Tensor, Tensor, Tensor]
"""Stems, generated stems, latents; a batch has a first dimension B."""


@dataclass(frozen=True)
class Maker:
    """Makes examples with one LM and its codec."""

    lm: TokenLM
    codec: Any

    @torch.no_grad()
    def examples(self, crops: list[Wave], seeds: Sequence[int] | None = None) -> list[Example]:
        """One example per crop, on the CPU; with ``seeds`` (one each), latents of drawn tokens."""
        device = self.lm.tables.device
        # the LM gets the mono mixture
        waves = torch.from_numpy(np.stack([c.sum(0).mean(0) for c in crops])).to(device)
        render: Rendering = "guided" if seeds is None else "consensus"
        options = self.lm.config.inference.rendered_as(render)
        source = TokenSource(self.lm, self.codec, options, codebooks(self.codec).to(device))
        if seeds is None:
            latents = source.one_pass_latents(source.condition(waves))
        else:
            latents = Renderer(source).window_latents(waves, [window_seed(s, 0) for s in seeds])
        generated = self.codec.decoder(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        return [
            (torch.from_numpy(crop).half(), made.cpu().half(), z.cpu().half())
            for crop, made, z in zip(crops, generated, latents, strict=True)
        ]

    def write(self, folder: Path, crops: list[Wave], first: int, drawn: bool = False) -> None:
        """The files of examples ``first`` … that are not there yet."""
        numbers = range(first, first + len(crops))
        if all(_file(folder, number).is_file() for number in numbers):
            return
        made = self.examples(crops, numbers if drawn else None)
        for i, (stems, generated, latents) in enumerate(made):
            tensors = {"stems": stems, "generated": generated, "latents": latents}
            save_tensors(_file(folder, first + i), {k: v.contiguous() for k, v in tensors.items()})


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.safetensors"


def prepared(
    folder: Path,
    maker: Maker,
    crops: Iterator[list[Wave]],
    count: int,
    source: dict[str, Any],
    drawn: float = 0.0,
) -> Path:
    """Write the examples of ``crops``, chunks of :data:`AT_ONCE`, until ``folder`` is complete.

    ``drawn``: share of the chunks whose latents come from drawn tokens; these chunks are spread
    evenly.
    """

    def make() -> None:
        cache.declare(folder, source)
        for number, chunk in enumerate(crops):
            is_drawn = int((number + 1) * drawn) > int(number * drawn)
            maker.write(folder, chunk, number * AT_ONCE, is_drawn)
        write_atomically(folder / cache.INDEX, f"{count}\n")

    once.prepare(folder, lambda: cache.is_ready(folder, source), make)
    return folder


def random_crops(songs: StereoSongs, count: int, remix: float, seed: int) -> Iterator[list[Wave]]:
    """``count`` crops in chunks; each is a function of the seed and its number."""
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        yield [songs.crop(generator("guided", seed, i), remix) for i in numbers]


def chunks(crops: list[Wave]) -> Iterator[list[Wave]]:
    """Fixed crops in chunks."""
    for first in range(0, len(crops), AT_ONCE):
        yield crops[first : first + AT_ONCE]


def read_example(folder: Path, number: int) -> Example:
    """One example, float32."""
    found = read_tensors(_file(folder, number))
    return found["stems"].float(), found["generated"].float(), found["latents"].float()


def _turned(stems: Tensor, rng: Generator) -> Tensor:
    """``[S, 2, T]`` with left and right swapped, or mono: the LM hears the same."""
    chance = rng.random()
    if chance < MONO:
        return stems.mean(1, keepdim=True).expand_as(stems)
    return stems.flip(1) if chance < (1 + MONO) / 2 else stems


class Worse(NamedTuple):
    """How often generated stems are made worse: ``nothing`` at all, or ``leaks`` between them.

    The LM has seen its training songs; it separates the stems of new songs less well.
    """

    nothing: float
    leaks: float

    def __call__(self, generated: Tensor, latents: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """``[S, T]`` and ``[S, F, D]`` of the same shapes."""
        chance, share = rng.random(), float(rng.uniform(0, LARGEST_LEAK))
        if chance < self.nothing:
            return torch.zeros_like(generated), torch.zeros_like(latents)
        if chance > self.nothing + self.leaks:
            return generated, latents
        return _leaked(generated, share), _leaked(latents, share)


def _leaked(stems: Tensor, share: float) -> Tensor:
    """``(1 - share) x_s + share * mean of the other stems``."""
    others = (stems.sum(0, keepdim=True) - stems) / (len(stems) - 1)
    return torch.lerp(stems, others, share)


class GuidedBatches(Stateless):
    """Batches of ``size`` examples of a folder of ``count``, varied in what the LM does not see."""

    def __init__(self, folder: Path, count: int, size: int, seed: int, worse: Worse) -> None:
        self.folder, self.count, self.size, self.seed = folder, count, size, seed
        self.worse = worse

    def batch(self, turn: Turn) -> Example:
        """Stems ``[B, S, 2, T]``, generated stems, latents ``[B, S, F, D]``."""
        picked = []
        for index in turn.indices(self.size):
            rng = generator("guided-batch", self.seed, turn.step, index)
            stems, made, z = read_example(self.folder, int(rng.integers(self.count)))
            picked.append((_turned(stems, rng), *self.worse(made, z, rng)))
        stems, generated, latents = (torch.stack(part) for part in zip(*picked, strict=True))
        return stems, generated, latents
