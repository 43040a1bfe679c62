"""Work and memory of one training step, counted by running it on tensors without data.

Conventions
-----------
The step runs under ``FakeTensorMode``: every operation is carried out on shapes alone, so that a
model of any size can be counted on any machine. FLOPs count a multiply-add as two, in matrix
products, convolutions and attention, forward and backward. Memory is what autograd keeps for the
backward pass; the parameters themselves are not in it.

Under bf16 the casts are those of torch's CPU autocast, whose lists of operations differ from
CUDA's in details.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils.flop_counter import FlopCounterMode

from tokensep.codec.discriminators import Discriminators
from tokensep.codec.model import HCodec
from tokensep.config import CodecConfig, LossConfig
from tokensep.describe import NoTeacher
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.lm.model import TokenLM
from tokensep.recompute import recompute, recomputed_blocks
from tokensep.train.objective import Objective

Size = Sequence[int]
Loss = Callable[[], Tensor]
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Step:
    """One training step of one crop."""

    parameters: int
    """Trainable ones."""
    forward_flops: int
    flops: int
    """Forward and backward."""
    activations: int
    """Bytes that each crop of a batch adds to what the backward pass needs."""
    overhead: int
    """Bytes that it needs once for the batch: copies of the weights in bf16."""


def count_lm(config: TokenSepConfig, train: LMTrainConfig) -> Step:
    """A step of the LM and its conditioner, on crops of ``config.window_frames`` token frames."""

    def loss_of(batch: int) -> tuple[nn.Module, Loss]:
        model = _without_data(lambda: TokenLM(config))
        recompute(model, train.recompute)
        objective = Objective(model, train)
        frames, stems = config.window_frames, len(config.stems)
        wave = torch.zeros(batch, frames * config.frame_hop)
        codes = torch.zeros(batch, stems, config.layers, frames, dtype=torch.long)
        latents = None
        if config.encoder.codec_latents:
            latents = torch.zeros(batch, frames, config.encoder.latent_dim)
        keep = torch.ones(batch, stems, model.layout.steps(frames), dtype=torch.bool)
        hide = torch.zeros(batch, dtype=torch.bool)
        return model, lambda: objective(wave, codes, latents, hide=hide, keep=keep)[0]

    return _count(loss_of, train.precision)


def count_codec(
    config: CodecConfig, seconds: float, precision: str, *, recomputing: bool = False
) -> Step:
    """A step of the codec on crops of ``seconds``, without teacher and discriminators.

    The search for the nearest codebook entries is counted; it has no backward pass.
    """
    frames = round(seconds * config.frame_rate)

    def loss_of(batch: int) -> tuple[nn.Module, Loss]:
        codec, wave, features = _codec_inputs(config, batch, frames)
        recompute(codec, recomputing)

        def loss() -> Tensor:
            acoustic, semantic = _encode(codec, wave, features)
            out = codec.decoder(torch.cat([acoustic, semantic], -1))
            target = codec.semantic_decoder(semantic)
            return out.float().square().mean() + target.float().mean()

        return codec, loss

    return _count(loss_of, precision)


def encode_flops(config: CodecConfig, seconds: float) -> int:
    """FLOPs to encode ``seconds`` of one signal, without the teacher."""
    frames = round(seconds * config.frame_rate)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        codec, wave, features = _codec_inputs(config, 1, frames)
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            _encode(codec, wave, features)
    return int(counter.get_total_flops())


def _codec_inputs(config: CodecConfig, batch: int, frames: int) -> tuple[HCodec, Tensor, Tensor]:
    """A codec, waves ``[B, F x frame_hop]`` and teacher features ``[B, F x stride, width]``."""
    teacher = NoTeacher(config)
    codec = _without_data(lambda: HCodec(config, teacher=teacher))
    features = torch.zeros(batch, frames * config.stride, teacher.dim)
    return codec, torch.zeros(batch, frames * config.frame_hop), features


def _encode(codec: HCodec, wave: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Latents ``[B, F, W]`` of both branches, and the products of the search for their codes."""
    acoustic, semantic = codec.encoder(wave), codec.semantic_encoder(features)
    with torch.no_grad():
        for quantiser, latents in (
            (codec.acoustic_rvq, acoustic),
            (codec.semantic_rvq, semantic),
        ):
            for book in quantiser.codebooks():
                latents.float().flatten(0, 1) @ book.entries.T  # [B F, V]
    return acoustic, semantic


def count_discriminators(losses: LossConfig, samples: int, precision: str) -> Step:
    """The discriminators on one wave of ``samples``, forward and backward."""

    def loss_of(batch: int) -> tuple[nn.Module, Loss]:
        model = _without_data(lambda: Discriminators(losses))
        wave = torch.zeros(batch, samples)
        return model, lambda: torch.stack([x.float().mean() for x, _ in model(wave)]).sum()

    return _count(loss_of, precision)


def _convolution_backward(
    output: Size, x: Size, weight: Size, *rest: Any, out_shape: Any = None, **_: Any
) -> int:
    """FLOPs of the gradients of a convolution; torch's own formula ignores ``groups``.

    Each of the two gradients (input, weight) costs what the forward pass costs: two FLOPs per
    weight and position of the output (of the input, where the convolution is transposed).
    """
    transposed, wanted = rest[4], rest[7]
    positions = math.prod((x if transposed else output)[2:]) * x[0]
    return 2 * positions * math.prod(weight) * sum(wanted[:2])


def _attention(query: Size, key: Size, value: Size, *_: Any, **__: Any) -> int:
    """Two products, q k^T and its product with v: ``[B, heads, n, width]`` each."""
    return 4 * math.prod(query) * key[-2]


def _attention_backward(output: Size, query: Size, key: Size, *_: Any, **__: Any) -> int:
    """Four products, and q k^T again, which flash attention does not keep."""
    return 10 * math.prod(query) * key[-2]


FORMULAS = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    # torch has formulas for CUDA's attention only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Formulas that torch's counter lacks or has wrong; they get the shapes of an operation."""


def _without_data(build: Callable[[], M]) -> M:
    """A module whose tensors have no data, as tensors of the CPU, to which autocast applies.

    Some constructors look at values (filters): they run outside the mode, on meta tensors.
    """
    with unset_fake_temporarily(), torch.device("meta"):
        module = build()
    return module.to_empty(device="cpu")


def _count(loss_of: Callable[[int], tuple[nn.Module, Loss]], precision: str) -> Step:
    """Counts of a step for one crop; two batch sizes tell what grows with the batch."""
    one, two = (_run(loss_of, batch, precision) for batch in (1, 2))
    kept = two.activations - one.activations
    return Step(one.parameters, one.forward_flops, one.flops, kept, one.activations - kept)


def _run(loss_of: Callable[[int], tuple[nn.Module, Loss]], batch: int, precision: str) -> Step:
    with FakeTensorMode(allow_non_fake_inputs=True):
        model, loss = loss_of(batch)
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        saved: dict[int, int] = {}

        def keep(x: Tensor) -> Tensor:
            storage = x.untyped_storage()  # views of one storage are kept once
            if storage._cdata not in own:
                saved[storage._cdata] = storage.nbytes()
            return x

        def keep_input(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            keep(given[0])

        for block in recomputed_blocks(model):  # of these only the inputs are kept
            block.register_forward_pre_hook(keep_input)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter, hooks, autocast:
            value = loss()
            forward = int(counter.get_total_flops())
            value.backward()
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        total = int(counter.get_total_flops())
    return Step(trainable, forward, total, sum(saved.values()), 0)
