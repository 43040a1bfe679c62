"""Keeps convolutions in float32 whose bf16 kernels on the CPU give wrong results.

oneDNN 3.12 (in torch 2.13), on processors with AMX, returns noise for convolutions with few input
channels (up to 24 observed) if channels times kernel width is a multiple of 64, e.g. 8 channels and
a kernel of 8. Transposed convolutions have the same fault in their gradient. No error is raised,
and a network still learns something: the fault is only visible when its weights are used in
float32. So each kind of convolution is tested.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

LARGEST_ERROR = 0.05
"""Largest allowed error of a bf16 result relative to float32; rounding gives 0.003, the fault about
1."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
OUTPUTS = 16
"""Size of the test's output (transposed: input) in each dimension."""
Convolution = nn.modules.conv._ConvNd


def keep_in_float32(module: nn.Module) -> list[str]:
    """Let the faulty convolutions in ``module`` compute in float32.

    Returns
    -------
    names : names of these convolutions; empty on most machines.
    """
    wrong: dict[Hashable, bool] = {}
    kept = []
    for name, part in module.named_modules():
        if not isinstance(part, (*CONVOLUTIONS, *TRANSPOSED)):
            continue
        kind = _kind(part)
        if kind not in wrong:
            wrong[kind] = bf16_error(part) > LARGEST_ERROR
        if wrong[kind]:
            part.forward = functools.partial(_in_float32, part.forward)  # type: ignore[method-assign]
            kept.append(name)
    return kept


def bf16_error(conv: Convolution) -> float:
    """Relative error of the convolution in bf16: of its output, or of the gradient of its input.

    Measured with random weights and input on the CPU; the caller's random state is not changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        twin = _twin(conv)
        shape = (1, conv.in_channels, *_trial_size(conv))
        wave, weights = torch.randn(shape), None
        results = []
        for enabled in (False, True):
            x = wave.clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                y = twin(x).float()
            weights = torch.randn_like(y) if weights is None else weights
            (gradient,) = torch.autograd.grad((weights * y).sum(), x)
            results.append((y.detach(), gradient))
    return max(float((b - a).norm() / a.norm()) for a, b in zip(*results, strict=True))


def _twin(conv: Convolution) -> nn.Module:
    """A plain convolution of the same kind: the given one may be on a device, or weight-normed."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    sizes = {name: getattr(conv, name) for name in (*names, "groups", "padding_mode")}
    made = next(c for c in (*CONVOLUTIONS, *TRANSPOSED) if isinstance(conv, c))
    return made(**sizes, bias=False)


def _kind(conv: Convolution) -> Hashable:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups")
    return (type(conv), *(getattr(conv, name) for name in names))


def _trial_size(conv: Convolution) -> list[int]:
    """Large enough for one kernel and :data:`OUTPUTS` steps."""
    if isinstance(conv, TRANSPOSED):
        return [OUTPUTS] * len(conv.kernel_size)
    steps = zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
    return [(kernel - 1) * dilation + 1 + OUTPUTS * stride for kernel, stride, dilation in steps]


def _in_float32(forward: Any, x: Tensor, *rest: Any) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = forward(x.float(), *rest)
    return result
