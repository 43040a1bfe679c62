"""The decoder that also gets the mixture: factors, alignment, lengths, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tokensep.decode import guide as guided
from tokensep.decode.guide import Guide, GuideConfig, default_stems, load_guide, save_guide
from tokensep.errors import CheckpointError, ConfigError

RATE, HOP = 8000, 320
SMALL = GuideConfig(
    rate=RATE,
    frame_hop=HOP,
    latent_dim=6,
    n_fft=256,
    hop=64,
    bands=12,
    dim=16,
    ffn=24,
    blocks=2,
    fine=8,
)


def new(seed: int = 0, config: GuideConfig = SMALL) -> Guide:
    torch.manual_seed(seed)
    return Guide(config).eval()


def signals(length: int, channels: int = 2):
    rng = torch.Generator().manual_seed(1)
    mixture = 0.1 * torch.randn(channels, length, generator=rng)
    stems = 0.1 * torch.randn(4, length, generator=rng)
    return mixture, stems, torch.randn(4, -(-length // HOP), 6, generator=rng)


@pytest.mark.parametrize("length", [1, 100, 2 * HOP, 6001])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_stems_have_the_shape_of_the_mixture(length, channels):
    out = new().separate(*signals(length, channels))
    assert out.shape == (4, channels, length) and bool(out.isfinite().all())


def test_a_mask_of_ones_and_a_closed_gate_give_the_mixture(monkeypatch):
    """Sample by sample: analysis, factors and synthesis move nothing."""
    model = new()
    monkeypatch.setattr(
        Guide, "forward", lambda self, x, made, z: torch.ones_like(made)[:, :, None]
    )
    mixture, stems, latents = signals(5000)
    out = model.separate(mixture, stems, latents)
    for stem in out:
        torch.testing.assert_close(stem, mixture, atol=1e-5, rtol=0)


def test_with_closed_gates_the_stems_add_up_to_the_mixture():
    """Masks are shares."""
    model = new()
    with torch.no_grad():
        model.gate.weight.zero_()
        model.gate.bias.fill_(-100.0)
    mixture, stems, latents = signals(5000)
    out = model.separate(mixture, stems, latents)
    torch.testing.assert_close(out.sum(0), mixture, atol=1e-5, rtol=0)
    assert not torch.allclose(out[0], mixture, atol=1e-3)


def test_an_open_gate_sets_the_generated_magnitude_on_the_mixtures_phase():
    x = torch.complex(torch.tensor([[[3.0, -0.5]]]), torch.tensor([[[4.0, 0.0]]]))  # [B, N, bins]
    made = torch.tensor([[[[2.5, 0.25]]]])
    found = guided.factors(torch.zeros(1), made.log() - x.abs().log(), torch.ones(1))
    stem = found[:, 0] * x
    torch.testing.assert_close(stem.abs(), made[:, 0])
    torch.testing.assert_close(stem.angle(), x.angle())


def test_half_a_gate_is_the_geometric_mean_and_factors_are_bounded():
    x, made, mask = torch.tensor([[[0.5, 1e-4]]]), torch.tensor([[[[0.2, 0.4]]]]), 0.1
    log_mask = torch.full((1, 1, 1, 2), mask).log()
    found = guided.factors(log_mask, made.log() - x.log(), torch.tensor(0.5))
    expected = np.sqrt(mask * 0.2 / 0.5)
    np.testing.assert_allclose(found.flatten().numpy(), [expected, guided.CEILING], rtol=1e-5)


def test_views_of_stereo_and_of_mono():
    left, right = torch.tensor([[[3.0 + 4.0j]]]), torch.tensor([[[3.0 - 4.0j]]])
    stereo = new().views(torch.stack([left, right], 1))
    assert stereo.flatten().tolist() == [5.0, 5.0, 3.0, 4.0]  # left, right, mid, side
    mono = new().views(left[:, None])
    assert mono.flatten().tolist() == [5.0, 5.0, 5.0, 0.0]


def test_two_equal_channels_of_a_new_network_are_the_mono_mixture():
    mixture, stems, latents = signals(5000, 1)
    mono = new().separate(mixture, stems, latents)
    stereo = new().separate(mixture.expand(2, -1), stems, latents)
    torch.testing.assert_close(stereo, mono.expand(-1, 2, -1), atol=1e-6, rtol=0)


def test_it_begins_as_the_soft_mask_of_what_was_generated():
    """Before training, and with closed gates: shares of the generated levels."""
    model = new()
    with torch.no_grad():
        model.gate.weight.zero_()
        model.gate.bias.fill_(-100.0)
    views = torch.rand(1, 4, 9, 129)
    made = torch.rand(1, 4, 9, 1).expand(-1, -1, -1, 129)
    found = model(views, made, torch.randn(1, 4, 2, 6))
    expected = (made / made.sum(1, keepdim=True))[:, :, None].expand(-1, -1, 2, -1, -1)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_where_nothing_was_generated_stems_begin_alike():
    model = new()
    with torch.no_grad():
        model.gate.weight.zero_()
    found = model(torch.rand(1, 4, 9, 129), torch.zeros(1, 4, 9, 129), torch.zeros(1, 4, 2, 6))
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found, found[:, :1].expand_as(found), atol=1e-5, rtol=0)


def test_latents_are_read_where_they_sound():
    """A ramp over token frames is a ramp over spectra; it stays at its ends."""
    model, frames = new(), 10
    ramp = (torch.arange(frames) + 0.5)[None, None, :, None] * HOP  # centre of a frame, in samples
    found = model._at_spectra(ramp, 1 + frames * HOP // SMALL.hop)[0, 0, :, 0]
    place = torch.arange(len(found)) * float(SMALL.hop)
    expected = place.clamp(HOP / 2, (frames - 0.5) * HOP)
    torch.testing.assert_close(found, expected)


def test_pieces_of_a_long_song_are_the_whole(monkeypatch):
    """Pieces overlap by more than what the network sees at once."""
    mixture, stems, latents = signals(160 * HOP)
    whole = new().separate(mixture, stems, latents)
    monkeypatch.setattr(guided, "PIECE_FRAMES", 96)
    pieces = new().separate(mixture, stems, latents)
    torch.testing.assert_close(whole, pieces, atol=2e-2, rtol=0)
    middle = slice(0, 60 * HOP)
    torch.testing.assert_close(whole[..., middle], pieces[..., middle], atol=1e-5, rtol=0)


def test_files_hold_the_network(tmp_path):
    model = new(3)
    save_guide(tmp_path, model, {"steps": 7})
    read = load_guide(tmp_path)
    assert read.config == SMALL and not read.training
    assert json.loads((tmp_path / "guided.json").read_text())["training"] == {"steps": 7}
    given = signals(3000)
    torch.testing.assert_close(read.separate(*given), model.separate(*given), atol=1e-3, rtol=0)


def test_the_network_that_ships_fits_ten_megabytes():
    assert 2 * sum(p.numel() for p in Guide(GuideConfig()).parameters()) <= 10e6


def test_weights_without_their_configuration_are_no_checkpoint_without_a_guide(tmp_path):
    assert default_stems(tmp_path) == ()
    save_guide(tmp_path, new(), renders=("vocals",))
    assert default_stems(tmp_path) == ("vocals",)
    (tmp_path / "guided.json").unlink()
    with pytest.raises(CheckpointError, match=r"guided\.safetensors but no file guided\.json"):
        default_stems(tmp_path)


def test_bad_files_and_foreign_latents_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no guided.json; .*tokensep train guided"):
        load_guide(tmp_path)
    save_guide(tmp_path, new())
    (tmp_path / "guided.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not a guided decoder's configuration"):
        load_guide(tmp_path)
    save_guide(tmp_path, new())
    data = json.loads((tmp_path / "guided.json").read_text())
    (tmp_path / "guided.json").write_text(json.dumps({"guide": {**data["guide"], "n_fft": 1000}}))
    with pytest.raises(ConfigError, match="n_fft 1000, expected a multiple of 64"):
        load_guide(tmp_path)
    save_guide(tmp_path, new())
    (tmp_path / "guided.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"guided\.safetensors"):
        load_guide(tmp_path)
    mixture, stems, _ = signals(3000)
    with pytest.raises(ConfigError, match=r"4 stems x 5.* trained on 4 x 6"):
        new().separate(mixture, stems, torch.zeros(4, 10, 5))
