"""The published H-Codec-2.0 against ours: names, shapes, values of every stage, a strict import.

``tests/golden/hcodec2.json`` holds what the authors' own class gives. To make it again: take their
repository at the commit that the file names. Give their codec class the configuration of
``settings()`` and, as weights, ``weights()`` over the names and shapes of its state dict (both in
``tests/helpers/hcodec2.py``). Run it in eval mode on ``wave()`` and ``features()``. Keep the
largest magnitude and six values, evenly spaced over the flattened ``[1, frames, channels]`` output,
of every layer that ``stages`` names, and all codes. The published configuration is counted on the
meta device. Nothing here is their code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from tokensep.codec.hcodec2.names import digest, pieces_of
from tokensep.codec.hcodec2.settings import PublicSettings, read_settings
from tokensep.codec.hcodec2.weights import Width, import_hcodec, skeleton
from tokensep.codec.interface import Codes
from tokensep.codec.model import HCodec
from tokensep.codec.teacher import resample, sinc_kernels, sinc_resample
from tokensep.config import PRESETS, PUBLIC_SWITCHES, CodecConfig, load
from tokensep.errors import CheckpointError, ConfigError, UsageError

from tests.helpers.hcodec2 import HOP, LARGE, WIDTH, features, publish, settings, wave

ROOT = Path(__file__).parents[4]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "hcodec2.json").read_text())


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights and configuration as the authors publish them, tiny."""
    folder = tmp_path_factory.mktemp("published")
    publish(folder)
    return folder


@pytest.fixture(scope="module")
def imported(published: Path, tmp_path_factory: pytest.TempPathFactory) -> HCodec:
    folder = tmp_path_factory.mktemp("imported") / "hcodec-2"
    import_hcodec(published / "weights.pt", published / "config.yaml", folder)
    return HCodec.from_checkpoint(folder, teacher=Width(WIDTH))


def test_names_shapes_and_sizes_are_those_of_the_published_network() -> None:
    expected = GOLDEN["published"]
    public = load(PublicSettings, settings(LARGE))
    codec = skeleton(public, public.codec())
    pieces = pieces_of(codec)
    assert digest(pieces) == expected["names_sha256"]
    assert len(pieces) == expected["tensors"]
    shapes = {p.name: list(p.shape) for p in pieces}
    assert {name: shapes[name] for name in expected["some_shapes"]} == expected["some_shapes"]
    found = {name: sum(p.numel() for p in part.parameters()) for name, part in _parts(codec)}
    lstm = sum(p.numel() for n, p in codec.decoder.named_parameters() if ".lstm." in n)
    found["decoder_without_lstm"] = found["decoder"] - lstm
    assert found == expected["parameters"]
    assert round(found["decoder_without_lstm"] / 1e6) == 578


def _parts(codec: HCodec) -> list[tuple[str, torch.nn.Module]]:
    named = ("encoder", "decoder", "semantic_encoder", "semantic_decoder")
    return [*((name, getattr(codec, name)) for name in named), ("total", codec)]


def test_the_preset_is_the_published_configuration() -> None:
    assert load(PublicSettings, settings(LARGE)).codec() == PRESETS["hcodec-2"]


def test_every_stage_gives_the_values_of_the_published_network(imported: HCodec) -> None:
    expected = GOLDEN["tiny"]
    assert digest(pieces_of(imported)) == expected["names_sha256"]
    assert sum(p.numel() for p in imported.parameters()) == expected["parameters"]
    found: dict[str, torch.Tensor] = {}
    for name, module in imported.named_modules():
        if name in expected["stages"] and name not in ("semantic_encoder", "semantic_decoder"):
            module.register_forward_hook(lambda _, __, out, name=name: found.update({name: out}))
    acoustic = imported.acoustic_rvq(imported.encoder(wave()))[1]
    found["semantic_encoder"] = imported.semantic_encoder(features())
    semantic = imported.semantic_rvq(found["semantic_encoder"])[1]
    assert acoustic[0].tolist() == expected["acoustic"]
    assert semantic[0].tolist() == expected["semantic"]
    codes = Codes(acoustic, semantic)
    found["latents"] = imported.latents(codes)
    found["semantic_decoder"] = imported.semantic_decoder(imported.semantic_rvq.decode(semantic))
    found["wave"] = imported.decode(codes)
    assert found.keys() == expected["stages"].keys()
    for name, golden in expected["stages"].items():
        out = found[name]
        assert list(out.shape) == golden["shape"], name
        at = np.linspace(0, out.numel() - 1, 6).round().astype(int)
        values = out.detach().flatten().numpy()[at]
        np.testing.assert_allclose(
            values, golden["values"], atol=1e-5 * golden["max"], err_msg=name
        )
        assert float(out.detach().abs().max()) == pytest.approx(golden["max"], rel=1e-5), name


def test_magnitudes_are_clipped_at_100(imported: HCodec) -> None:
    head = GOLDEN["tiny"]["stages"]["decoder.head"]
    assert head["max"] > np.log(100), "the golden run must reach the limit"
    assert imported.config.log_magnitude_ceiling == pytest.approx(np.log(100))


def test_the_folder_says_what_it_is_and_loads(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "codec"
    result = import_hcodec(published / "weights.pt", published / "config.yaml", out, "my-hubert")
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "codec.safetensors",
        "config.json",
    ]
    assert result.tensors == GOLDEN["tiny"]["tensors"]
    card = (out / "README.md").read_text()
    assert "Apache-2.0" in card and "alibaba/unified-audio" in card and "`my-hubert`" in card
    data = json.loads((out / "config.json").read_text())
    assert load(CodecConfig, data["codec"]).teacher.name == "my-hubert"
    assert data["source"]["licence"] == "Apache-2.0"
    with pytest.raises(UsageError, match="not empty"):
        import_hcodec(published / "weights.pt", published / "config.yaml", out)


def test_safetensors_and_the_newer_flags_are_read_too(published: Path, tmp_path: Path) -> None:
    state = torch.load(published / "weights.pt", weights_only=True)
    state = {k: v.reshape(()) if k.endswith("initted") else v for k, v in state.items()}
    save_file(state, tmp_path / "weights.safetensors")
    config = published / "config.yaml"
    import_hcodec(published / "weights.pt", config, tmp_path / "a")
    import_hcodec(tmp_path / "weights.safetensors", config, tmp_path / "b")
    a, b = ((tmp_path / name / "codec.safetensors").read_bytes() for name in "ab")
    assert a == b


def _changed(state: dict[str, Any], case: str) -> dict[str, Any]:
    if case == "absent":
        del state["encoder.norm.bias"], state["decoder.norm.bias"]
    if case == "renamed":
        state["encoder.norm.shift"] = state.pop("encoder.norm.bias")
    if case == "shape":
        state["decoder.head.out.bias"] = torch.zeros(7)
    if case == "unknown":
        state["decoder.more"] = torch.zeros(2, 3)
    if case == "nan":
        state["decoder.norm.weight"][3] = float("nan")
    if case == "unstarted":
        state["quantizer.layers.1._codebook.initted"] *= 0
    if case == "window":
        state["encoder.stft.window"] = torch.ones(2 * HOP)
    if case == "nested":
        return {"state_dict": state}
    return state


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "absent",
            r"encoder\.norm\.bias is missing, expected .* 128; .* no other tensor",
        ),
        ("renamed", r"encoder\.norm\.bias is missing.*the first is encoder\.norm\.shift \(128\)"),
        ("shape", r"decoder\.head\.out\.bias has shape 7, expected 66"),
        ("unknown", r"decoder\.more with shape 2 x 3 is unknown"),
        ("nan", r"decoder\.norm\.weight has NaN"),
        ("unstarted", r"quantizer\.layers\.1\._codebook\.initted is 0, .*never trained"),
        ("window", r"encoder\.stft\.window is not a Hann window"),
        ("nested", r"'state_dict' is a dict, expected a tensor"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    published: Path, tmp_path: Path, case: str, message: str
) -> None:
    state = _changed(torch.load(published / "weights.pt", weights_only=True), case)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=message):
        import_hcodec(tmp_path / "weights.pt", published / "config.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Harmful:
    """A pickle that would run code when it is read as one."""

    def __reduce__(self) -> Any:
        return print, ("this must not run",)


def test_a_pickle_is_never_run(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"encoder.norm.bias": Harmful()}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="cannot be read as a file of tensors only"):
        import_hcodec(tmp_path / "weights.pt", published / "config.yaml", tmp_path / "out")
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_hcodec(tmp_path / "broken.pt", published / "config.yaml", tmp_path / "out")
    with pytest.raises(CheckpointError, match="does not exist"):
        import_hcodec(tmp_path / "nowhere.pt", published / "config.yaml", tmp_path / "out")
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_config": {"causal": True}}, "encoder_config.causal"),
        ({"encoder_config": {"heads": 3}}, "encoder_config.heads"),
        ({"quantizer_config": {"codebook_dim": 8}}, "quantizer_config.codebook_dim"),
        ({"semantic_encoder_config": {"channel_ratios": [1, 2, 1]}}, "channel_ratios"),
        ({"decoder_config": {"dim": 64}}, "encoder and decoder dim: found 128 and 64"),
        ({"decoder_config": {"input_channels": 16}}, "both latents: found 16 and 32"),
        ({"semantic_encoder_config": {"strides": [2, 2, 2]}}, "strides"),
    ],
)
def test_another_network_is_refused_by_its_configuration(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings(**changes)))
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "config.yaml")


def test_each_switch_moves_the_output_or_the_weights(imported: HCodec) -> None:
    """Back at our own value, a switch gives another network: none is without effect."""
    codec_config = imported.config
    plain = CodecConfig()
    state = {k: v for k, v in imported.state_dict().items() if not k.startswith("teacher.")}
    expected = imported.decode(Codes(*_codes()))
    for name in PUBLIC_SWITCHES:
        other = codec_config.model_copy(update={name: getattr(plain, name)})
        codec = HCodec(other, Width(WIDTH)).eval()
        shapes = {k: v.shape for k, v in codec.state_dict().items()}
        if shapes != {k: v.shape for k, v in state.items()}:
            continue
        codec.load_state_dict(state)
        latents = codec.encoder(wave()), imported.encoder(wave())
        same = torch.equal(*latents) and torch.equal(codec.decode(Codes(*_codes())), expected)
        assert not same or name == "log_magnitude_floor", name


def _codes() -> tuple[torch.Tensor, torch.Tensor]:
    golden = GOLDEN["tiny"]
    return torch.tensor([golden["acoustic"]]), torch.tensor([golden["semantic"]])


def test_sinc_resampling_is_a_low_pass_with_the_right_phase() -> None:
    kernels = sinc_kernels(3, 1)
    assert float(kernels.sum()) == pytest.approx(1, abs=0.02)  # gain at 0 Hz
    time = torch.arange(4800) / 48000
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    down = sinc_resample(tone, 48000, 16000)
    assert down.shape == (1, 1600)
    torch.testing.assert_close(down[:, 50:-50], tone[:, ::3][:, 50:-50], atol=2e-3, rtol=0)
    torch.testing.assert_close(
        down[:, 50:-50], resample(tone, 48000, 16000)[:, 50:-50], atol=5e-3, rtol=0
    )
    above = torch.sin(2 * torch.pi * 12000 * time)[None]
    assert float(sinc_resample(above, 48000, 16000)[:, 50:-50].abs().max()) < 1e-2
    assert sinc_resample(tone, 44100, 16000).shape == (1, 1742)
    assert torch.equal(sinc_resample(tone, 16000, 16000), tone)
