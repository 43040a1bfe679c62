"""Which tensor of the published state dict is which of ours.

Conventions
-----------
The public network is channels-first and writes a convolution as ``[out, in, taps]``; ours gathers
the taps in front of one matrix, ``[out, taps * in]``. Query, key and value, and gate and up, are
one matrix each here: their public parts follow each other, joined along the first axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tokensep.codec.layers import Conv
from tokensep.codec.model import HCodec
from tokensep.codec.rvq import ResidualVQ


def same(x: Tensor) -> Tensor:
    return x


def taps_first(x: Tensor) -> Tensor:
    """``[out, in, taps]`` → ``[out, taps * in]``."""
    return x.transpose(1, 2).flatten(1)


def first(x: Tensor) -> Tensor:
    """``[1, …]`` → ``[…]``: the public quantiser has an axis for several heads."""
    return x[0]


def flag(x: Tensor) -> Tensor:
    """One number → a boolean without axes."""
    return x.bool().reshape(())


@dataclass(frozen=True)
class Piece:
    """One public tensor.

    Attributes
    ----------
    name, shape : as in the public state dict.
    target : our key; empty for what is checked and not kept.
    convert : public tensor → ours, or one of the parts of ours.
    """

    name: str
    shape: tuple[int, ...]
    target: str = ""
    convert: Callable[[Tensor], Tensor] = same


def digest(pieces: list[Piece]) -> str:
    """SHA-256 over the lines ``name 1x2x3``, sorted: what a set of names and shapes is known by."""
    lines = sorted(f"{p.name} {'x'.join(map(str, p.shape))}\n" for p in pieces)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pieces_of(codec: HCodec) -> list[Piece]:
    """Every tensor of the public state dict of a network of this configuration."""
    return [
        *_encoder(codec),
        *_decoder(codec),
        *_quantiser(codec.acoustic_rvq, "quantizer", "acoustic_rvq"),
        *_quantiser(codec.semantic_rvq, "semantic_quantizer", "semantic_rvq"),
        *_semantic_encoder(codec),
        *_semantic_decoder(codec),
    ]


def _module(module: Any, theirs: str, ours: str) -> Iterator[Piece]:
    """A module whose parameters have the same names and shapes on both sides."""
    for name, value in module.named_parameters():
        yield Piece(f"{theirs}.{name}", tuple(value.shape), f"{ours}.{name}")


def _conv(module: Any, theirs: str, ours: str) -> Iterator[Piece]:
    """A :class:`Conv`."""
    out, width = module.linear.weight.shape
    shape = (out, width // module.kernel, module.kernel)
    yield Piece(f"{theirs}.weight", shape, f"{ours}.linear.weight", taps_first)
    if module.linear.bias is not None:
        yield Piece(f"{theirs}.bias", (out,), f"{ours}.linear.bias")


def _convnext(module: Any, theirs: str, ours: str) -> Iterator[Piece]:
    """A ConvNeXt block."""
    yield Piece(f"{theirs}.gamma", tuple(module.scale.shape), f"{ours}.scale")
    yield from _module(module.depthwise, f"{theirs}.dwconv.conv", f"{ours}.depthwise")
    yield from _module(module.norm, f"{theirs}.norm", f"{ours}.norm")
    yield from _module(module.up, f"{theirs}.pwconv1.linear", f"{ours}.up")
    yield from _module(module.down, f"{theirs}.pwconv2.linear", f"{ours}.down")


def _parts(module: nn.Linear, theirs: list[str], ours: str) -> Iterator[Piece]:
    """Public linear layers that are one of ours."""
    for name, value in module.named_parameters():
        shape = (value.shape[0] // len(theirs), *value.shape[1:])
        for part in theirs:
            yield Piece(f"{part}.{name}", shape, f"{ours}.{name}")


def _transformer(module: Any, theirs: str, ours: str) -> Iterator[Piece]:
    """A transformer layer."""
    if module.lstm is not None:
        yield from _module(module.lstm, f"{theirs}.self_attn.rnn", f"{ours}.lstm")
    heads = [f"{theirs}.self_attn.{name}_proj" for name in "qkv"]
    yield from _parts(module.qkv, heads, f"{ours}.qkv")
    yield from _module(module.out, f"{theirs}.self_attn.o_proj", f"{ours}.out")
    gate_up = [f"{theirs}.mlp.w1", f"{theirs}.mlp.w3"]
    yield from _parts(module.gate_up, gate_up, f"{ours}.gate_up")
    yield from _module(module.down, f"{theirs}.mlp.w2", f"{ours}.down")
    yield from _module(module.norm1, f"{theirs}.input_layernorm", f"{ours}.norm1")
    yield from _module(module.norm2, f"{theirs}.post_attention_layernorm", f"{ours}.norm2")


def _resnet(module: Any, theirs: str, ours: str) -> Iterator[Piece]:
    """A ResNet block."""
    yield from _module(module.norm1, f"{theirs}.norm1", f"{ours}.norm1")
    yield from _conv(module.conv1, f"{theirs}.conv1.conv", f"{ours}.conv1")
    yield from _module(module.norm2, f"{theirs}.norm2", f"{ours}.norm2")
    yield from _conv(module.conv2, f"{theirs}.conv2.conv", f"{ours}.conv2")


def _encoder(codec: HCodec) -> Iterator[Piece]:
    part: Any = codec.encoder
    theirs = ours = "encoder"
    yield Piece(f"{theirs}.stft.window", (codec.config.n_fft,))
    yield from _conv(part.entry, f"{theirs}.embed.conv", f"{ours}.entry")
    yield from _module(part.norm, f"{theirs}.norm", f"{ours}.norm")
    for i, block in enumerate(part.blocks):
        yield from _convnext(block, f"{theirs}.prior_net.{i}", f"{ours}.blocks.{i}")
    for i, layer in enumerate(part.transformers):
        # post_net: a transposition, the transformer, a transposition
        yield from _transformer(
            layer, f"{theirs}.post_net.1.layers.{i}", f"{ours}.transformers.{i}"
        )
    yield from _module(part.exit_norm, f"{theirs}.final_layer_norm", f"{ours}.exit_norm")
    yield from _conv(part.exit, f"{theirs}.out.conv", f"{ours}.exit")


def _decoder(codec: HCodec) -> Iterator[Piece]:
    part: Any = codec.decoder
    theirs = ours = "decoder"
    yield from _conv(part.entry.conv, f"{theirs}.embed.conv", f"{ours}.entry.conv")
    # prior_net: half of the ResNets, transposition, transformer, transposition, the rest, a norm
    half = len(part.resnets) // 2
    for i, block in enumerate(part.resnets):
        place = i if i < half else i + 3
        yield from _resnet(block, f"{theirs}.prior_net.{place}", f"{ours}.resnets.{i}")
    for i, layer in enumerate(part.transformers):
        names = f"{theirs}.prior_net.{half + 1}.layers.{i}", f"{ours}.transformers.{i}"
        yield from _transformer(layer, *names)
    norm = f"{theirs}.prior_net.{len(part.resnets) + 3}"
    yield from _module(part.prior_norm, norm, f"{ours}.prior_norm")
    yield from _module(part.norm, f"{theirs}.norm", f"{ours}.norm")
    for i, block in enumerate(part.blocks):
        yield from _convnext(block, f"{theirs}.post_net.{i}", f"{ours}.blocks.{i}")
    yield from _module(part.exit_norm, f"{theirs}.final_layer_norm", f"{ours}.exit_norm")
    yield from _module(part.head, f"{theirs}.head.out", f"{ours}.head")
    yield Piece(f"{theirs}.head.istft.window", (codec.config.n_fft,))


def _quantiser(part: ResidualVQ, theirs: str, ours: str) -> Iterator[Piece]:
    for i, book in enumerate(part.codebooks()):
        name, target = f"{theirs}.layers.{i}._codebook", f"{ours}.books.{i}"
        size, dim = book.entries.shape
        yield Piece(f"{name}.initted", (1,), f"{target}.ready", flag)
        # running averages of the training, which a checkpoint of ours leaves out
        yield Piece(f"{name}.cluster_size", (1, size))
        yield Piece(f"{name}.embed_avg", (1, size, dim))
        yield Piece(f"{name}.embed", (1, size, dim), f"{target}.entries", first)


def _unit(module: Any, theirs: str, ours: str) -> Iterator[Piece]:
    """A residual unit of the semantic branch."""
    yield from _conv(module.conv1, f"{theirs}.conv1.conv", f"{ours}.conv1")
    yield from _conv(module.conv2, f"{theirs}.conv2", f"{ours}.conv2")


def _semantic_encoder(codec: HCodec) -> Iterator[Piece]:
    layers, ours = codec.semantic_encoder.layers, "semantic_encoder.layers"
    yield from _conv(layers[0], "semantic_encoder.conv.conv", f"{ours}.0")
    for block in range(len(layers) // 3):  # two units, then a strided convolution
        theirs, at = f"semantic_encoder.conv_blocks.{block}", 1 + 3 * block
        for unit in range(2):
            names = f"{theirs}.res_units.{unit}", f"{ours}.{at + unit}"
            yield from _unit(layers[at + unit], *names)
        yield from _conv(layers[at + 2], f"{theirs}.conv.conv", f"{ours}.{at + 2}")
    last = len(layers) - 1
    yield from _conv(layers[last], "semantic_encoder.conv2.conv", f"{ours}.{last}")


def _semantic_decoder(codec: HCodec) -> Iterator[Piece]:
    layers, ours = codec.semantic_decoder.layers, "semantic_decoder.layers"
    yield from _conv(layers[0], "semantic_decoder.conv1.conv", f"{ours}.0")
    for block in range(len(layers) // 3):  # an upsampling or a convolution, then two units
        theirs, at = f"semantic_decoder.conv_blocks.{block}", 1 + 3 * block
        if isinstance(layers[at], Conv):
            yield from _conv(layers[at], f"{theirs}.conv.conv", f"{ours}.{at}")
        else:
            upsampling: Any = layers[at]
            yield from _module(upsampling.conv, f"{theirs}.conv.deconv", f"{ours}.{at}.conv")
        for unit in range(2):
            names = f"{theirs}.res_units.{unit}", f"{ours}.{at + 1 + unit}"
            yield from _unit(layers[at + 1 + unit], *names)
    last = len(layers) - 1
    yield from _conv(layers[last], "semantic_decoder.conv2.conv", f"{ours}.{last}")
