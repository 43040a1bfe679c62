"""The counts of a plan against the same steps done with data."""

from __future__ import annotations

import pytest
import torch
from tokensep.codec.discriminators import Discriminators
from tokensep.config import PRESETS as CODECS
from tokensep.config import CodecTrainConfig, LossConfig
from tokensep.lm.config import PRESETS, EncoderConfig, LMConfig, LMTrainConfig, TokenSepConfig
from tokensep.lm.model import TokenLM
from tokensep.plan import counts
from tokensep.plan.costs import DISCRIMINATOR_PASSES
from tokensep.recompute import recompute
from tokensep.train.adversary import Adversary
from tokensep.train.objective import Objective
from torch import nn
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

TINY = TokenSepConfig(
    encoder=EncoderConfig(dim=32, layers=2, heads=2, ffn_mult=2, latent_dim=8, kernel=7),
    lm=LMConfig(dim=64, layers=2, heads=2, ffn=96, code_dim=16, prefix_pool=1),
    window_frames=16,
)


def step_inputs(config: TokenSepConfig, batch: int) -> tuple[tuple, dict]:
    frames, stems = config.window_frames, len(config.stems)
    steps = TokenLM(config).layout.steps(frames)
    wave = torch.randn(batch, frames * config.frame_hop)
    codes = torch.randint(0, config.codebook_size, (batch, stems, config.layers, frames))
    latents = torch.randn(batch, frames, config.encoder.latent_dim)
    hide = torch.zeros(batch, dtype=torch.bool)
    keep = torch.ones(batch, stems, steps, dtype=torch.bool)
    return (wave, codes, latents), {"hide": hide, "keep": keep}


def test_forward_flops_are_those_of_the_layers_that_ran() -> None:
    """2 x weights x rows of every linear layer and convolution, and 4 n^2 dim of attention."""
    model = TokenLM(TINY)
    total, positions = 0, []

    def layer(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += 2 * module.weight.numel() * (out.numel() // out.shape[-1])
        elif isinstance(module, nn.Conv1d):
            total += 2 * module.weight.numel() * out.shape[0] * out.shape[-1]

    def decoder(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        positions.append(given[0].shape[1])

    for module in model.modules():
        module.register_forward_hook(layer)
    model.decoder.register_forward_pre_hook(decoder)
    args, kwargs = step_inputs(TINY, 1)
    Objective(model, LMTrainConfig())(*args, **kwargs)
    lm, encoder = TINY.lm, TINY.encoder
    mel_frames = TINY.window_frames * encoder.frames_per_token
    frames = TINY.window_frames if encoder.subsample == "before" else mel_frames
    steps = model.layout.steps(TINY.window_frames) * len(TINY.stems)
    total += 4 * lm.layers * lm.dim * positions[0] ** 2
    total += 4 * encoder.layers * encoder.dim * frames**2
    total += 2 * steps * TINY.layers * TINY.codebook_size * lm.code_dim  # scores of the entries
    filters = model.encoder.logmel.filters
    total += 2 * mel_frames * filters.numel()
    counted = counts.count_lm(TINY, LMTrainConfig())
    assert counted.forward_flops == total
    learned = total - 2 * mel_frames * filters.numel()  # the filters have no gradient
    assert 1.9 * learned < counted.flops - counted.forward_flops < 2.1 * learned


@pytest.mark.parametrize("recomputing", [False, True])
def test_activations_of_a_crop_are_what_the_allocator_holds(recomputing: bool) -> None:
    """The memory profiler's balance after the forward pass, of two crops less one."""

    def held(batch: int) -> int:
        torch.manual_seed(0)
        objective = Objective(TokenLM(TINY), LMTrainConfig())
        recompute(objective, recomputing)
        args, kwargs = step_inputs(TINY, batch)
        with profile(profile_memory=True) as record:
            loss = objective(*args, **kwargs)[0]
        assert loss.requires_grad
        return sum(event.self_cpu_memory_usage for event in record.key_averages())

    expected = held(3) - held(2)
    counted = counts.count_lm(TINY, LMTrainConfig(recompute=recomputing)).activations
    inputs = 4 * TINY.window_frames * TINY.frame_hop  # the mixture is there already
    assert abs(counted - expected) < 0.05 * expected + inputs


def test_a_step_of_bf16_keeps_less_for_each_crop() -> None:
    full = counts.count_lm(PRESETS["mini"], LMTrainConfig(precision="no"))
    half = counts.count_lm(PRESETS["mini"], LMTrainConfig(precision="bf16"))
    assert half.activations < 0.9 * full.activations
    assert half.overhead > full.overhead  # copies of the weights
    assert half.flops == full.flops


def test_gradients_of_grouped_convolutions_cost_twice_the_forward_pass() -> None:
    wave = torch.randn(2, 8, 50, requires_grad=True)
    convolution = nn.Conv1d(8, 8, 5, groups=8, padding=2)
    with FlopCounterMode(display=False, custom_mapping=counts.FORMULAS) as counter:
        out = convolution(wave)
        forward = counter.get_total_flops()
        out.sum().backward()
    assert forward == 2 * 5 * 8 * 2 * 50
    assert counter.get_total_flops() == 3 * forward


def test_the_codec_s_backward_pass_costs_twice_its_forward_pass() -> None:
    step = counts.count_codec(CODECS["mini"], 1.0, "no")
    assert 2.7 < step.flops / step.forward_flops < 3.1
    assert counts.count_codec(CODECS["mini"], 2.0, "no").flops > 1.9 * step.flops


def test_passes_of_the_discriminators(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The adversary's two passes of a training step, against one pass over one wave."""
    from benchsep_training.batches import Turn
    from benchsep_training.processes import Processes

    losses = LossConfig(
        adversarial=1.0, mpd_periods=(2, 3), mrd_windows=(256,), discriminator_channels=4
    )
    adversary = Adversary(CodecTrainConfig(losses=losses), tmp_path, Processes("no"))
    real, latent = torch.randn(1, 4000), torch.zeros(1, 4000, requires_grad=True)
    with FlopCounterMode(display=False, custom_mapping=counts.FORMULAS) as counter:
        fake = latent + torch.randn(1, 4000)
        adversary.step(real, fake, Turn(0, 0), 1e-4)
        adversarial, matching = adversary.generator_losses(real, fake)
        (adversarial + matching).backward()
    one = counts.count_discriminators(losses, 4000, "no")
    assert one.parameters == sum(p.numel() for p in Discriminators(losses).parameters())
    assert abs(counter.get_total_flops() / one.flops - DISCRIMINATOR_PASSES) < 0.1
