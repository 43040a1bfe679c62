"""One decoding step: everything it needs, prepared before the first.

Conventions
-----------
rows      R' of the decoder: rows to draw R (x S where stems are generated in parallel), twice as
          many with guidance
position  of the step among N (x S) steps; the decoder's cache has the prefix before them

A step is a function without arguments. It reads existing tensors at its
:class:`~tokensep.decode.position.Position` and writes to existing tensors. With a
:class:`~tokensep.decode.position.DevicePosition`, the operations and addresses are always the same,
so a CUDA graph can repeat it (:mod:`tokensep.decode.graph`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tokensep.decode.output import Output
from tokensep.decode.position import DevicePosition, HostPosition, Position
from tokensep.decode.sampling import Noise, Sampler, guided
from tokensep.decode.static import StaticDecoder, StaticTokens
from tokensep.lm.model import TokenLM

StepKind = Literal["plain", "graph", "compiled", "int8"]


class State:
    """Inputs of all positions, caches, and the embedding of the tokens fed last."""

    def __init__(
        self,
        model: TokenLM,
        cond: Tensor,
        decoding: str,
        guidance: float,
        order: list[int],
        kind: StepKind,
    ) -> None:
        self.guidance, self.is_guided = guidance, guidance != 1.0
        if self.is_guided:
            cond = torch.cat([cond, model.null.expand_as(cond)])  # the same rows without mixture
        stems, steps = len(model.config.stems), model.layout.steps(cond.shape[1])
        inputs = model.input_embeddings(cond)[:, order]  # [R, S, N, dim]
        prefix, prefix_positions = model.prefix_embeddings(cond)
        positions = torch.arange(steps, device=cond.device)
        if decoding == "parallel":
            inputs = inputs.flatten(0, 1)  # a row for each stem
            prefix = prefix.repeat_interleave(stems, dim=0)
        else:
            inputs, positions = inputs.flatten(1, 2), positions.repeat(stems)
        self.inputs = inputs.transpose(0, 1).contiguous()  # [positions, R', dim]
        self.previous = torch.zeros_like(self.inputs[0])
        cos, sin = model.decoder.rope(torch.cat([prefix_positions, positions]))
        rows = len(prefix)
        self.position = _position(kind, len(self.inputs), cond.device)
        self.tables = StaticTokens(model, rows, self.position)
        self.decoder = _decoder(model, rows, cos, sin, kind)
        if prefix.shape[1]:
            self.decoder.fill(model.decoder, prefix)

    def hidden(self) -> Tensor:
        """``[R', dim]`` of the next position."""
        return self.decoder.step(self.position.take(self.inputs, 0) + self.previous)

    def guide(self, logits: Tensor) -> Tensor:
        """Logits of the rows to draw, from those with and without the mixture."""
        return guided(logits, self.guidance) if self.is_guided else logits

    def repeat(self, tokens: Tensor) -> Tensor:
        """Tokens of the drawn rows for all rows: with guidance both halves get the same."""
        return torch.cat([tokens, tokens]) if self.is_guided else tokens

    def feed(self, tokens: Tensor) -> None:
        """The tokens of the position just decoded ``[R', K]``."""
        embedded = self.tables.embed(self.repeat(tokens))
        self.previous = self.position.keep(self.previous, embedded)


def _position(kind: StepKind, length: int, device: torch.device) -> Position:
    """The first of ``length`` positions."""
    return DevicePosition(length, device) if kind == "graph" else HostPosition()


def _decoder(model: TokenLM, rows: int, cos: Tensor, sin: Tensor, kind: StepKind) -> StaticDecoder:
    """The decoder that computes one position at a time, by torch or compiled."""
    length = len(cos)
    if kind in ("plain", "graph"):
        position = _position(kind, length, cos.device)
        return StaticDecoder(model.decoder, rows, length, cos, sin, position)
    from tokensep.decode.compiled import CompiledDecoder

    return CompiledDecoder(model.decoder, rows, length, cos, sin, int8=kind == "int8")


@dataclass
class DecodingStep:
    """The step of all rows: hidden state, logits, tokens, and the tokens' embedding.

    Attributes
    ----------
    given : int64 ``[R', positions, K]``, -1 where a token is to be drawn.
    gaps : bool ``[positions, K]``, where the layout has no token.
    noise : None where nothing is drawn.
    has_given, has_gaps : of each position, on the host: to ask a GPU would wait for it.
    """

    model: TokenLM
    state: State
    given: Tensor
    gaps: Tensor
    sample: Sampler
    noise: Noise | None
    output: Output

    def __post_init__(self) -> None:
        self.has_given: list[bool] = (self.given >= 0).any(2).any(0).tolist()
        self.has_gaps: list[bool] = self.gaps.any(1).tolist()

    def __call__(self) -> None:
        """Decode this position and go on to the next."""
        state, position = self.state, self.state.position
        hidden, here = state.hidden(), position.take(self.given, 1)
        gumbel = None if self.noise is None else self.noise.take()
        if self.model.depth is None:
            logits = state.guide(state.tables.logits(hidden))
            tokens = self.sample(logits, gumbel)
            if position.holds(self.has_given):
                tokens = torch.where(here >= 0, here, tokens)
        else:
            tokens, logits = self._depth_tokens(hidden, here, gumbel)
        if position.holds(self.has_gaps):
            tokens = tokens.masked_fill(position.take(self.gaps, 0), self.model.layout.pad)
        state.feed(tokens)
        self.output.put(position, tokens, logits, here, state.tables.latents)
        position.advance()
        if self.noise is not None:
            self.noise.position.advance()

    def _depth_tokens(
        self, hidden: Tensor, given: Tensor, gumbel: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The layers of one step one after the other: tokens ``[R', K]``, logits ``[R', K, V]``."""
        state = self.state
        tokens = torch.empty(len(given), 0, dtype=torch.long, device=hidden.device)
        logits = []
        for layer in range(given.shape[1]):
            # [R', layer + 1, V]; only the newest layer's logits are needed
            newest = self.model.depth_logits(hidden, state.repeat(tokens))[:, -1:]
            logits.append(state.guide(newest))
            here = given[:, layer : layer + 1]
            drawn = self.sample(logits[-1], gumbel, layer)
            tokens = torch.cat([tokens, torch.where(here >= 0, here, drawn)], 1)
        return tokens, torch.cat(logits, dim=1)

    def carried(self) -> list[Tensor]:
        """What a step changes that the next one reads, besides caches and output.

        Those hold nothing that a later step reads before it writes it.
        """
        state = self.state
        positions = [state.position, state.decoder.position]
        positions += [] if self.noise is None else [self.noise.position]
        carried = [p.index for p in positions if isinstance(p, DevicePosition)]
        history = [] if state.tables.latent_head is None else [state.tables.recent]
        return [*carried, state.previous, *history]


def make_noise(
    sample: Sampler,
    seeds: list[int],
    given: Tensor,
    entries: int,
    kind: StepKind,
    dtype: torch.dtype = torch.float32,
) -> Noise | None:
    """The noise of all steps of ``given [R', positions, K]``, if anything is drawn."""
    if not sample.draws:
        return None
    _, steps, layers = given.shape
    noise = Noise(seeds, (layers, entries), steps, given.device, HostPosition(), dtype)
    noise.position = _position(kind, noise.held, given.device)
    return noise
