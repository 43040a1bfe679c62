from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tokensep
import torch
from safetensors.torch import load_file, save_file
from tokensep.decode.guide import Guide, GuideConfig, load_guide, save_guide
from tokensep.errors import ConfigError
from tokensep.integration import system as plugin
from tokensep.integration.teachers import teacher
from tokensep.lm.config import InferenceConfig
from tokensep.lm.model import TokenLM
from tokensep.separator import Provenance, TokenSep

from benchsep.audio import STEMS, Audio
from benchsep.errors import AudioError, CheckpointError, Unavailable, UsageError
from benchsep.systems.contract import System, SystemInfo
from benchsep.systems.estimate import checked_estimates
from benchsep.systems.spec import Spec
from tests.helpers.lm_dummies import HOP, RATE, DummyCodec, tiny_config

MINI = Path(tokensep.__file__).parent / "weights" / "mini"


@pytest.fixture
def small(monkeypatch):
    torch.manual_seed(0)
    model = TokenSep(TokenLM(tiny_config()), DummyCodec(), Provenance("mini", "ab" * 32))
    monkeypatch.setattr(TokenSep, "from_checkpoint", lambda *_: model)
    return model


def song(channels: int = 2) -> Audio:
    rng = np.random.default_rng(0)
    return Audio(rng.normal(0, 0.1, (channels, 6000)).astype(np.float32), RATE)


def test_it_keeps_the_contract(small):
    system = plugin.load()
    assert isinstance(system, System)
    mixture = song()
    estimates = checked_estimates(system.separate(mixture, seed=3), system.info, mixture)
    assert tuple(estimates) == STEMS
    assert system.info.label == "tokensep@mini" and system.info.family == "generative"
    assert system.info.checkpoint_sha256 and "MUSDB18" in system.info.training_data


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_here_is_named_with_what_to_do():
    with pytest.raises(Unavailable, match=r"'cuda': torch .* finds no such device .* --device cpu"):
        plugin.load(device="cuda")
    with pytest.raises(UsageError, match="expected cpu, cuda or mps"):
        plugin.load(device="gpu")


def test_how_many_windows_are_decoded_together_can_be_said(small):
    assert plugin.load(batch="64").options.batch == 64
    with pytest.raises(UsageError, match="option batch='0'"):
        plugin.load(batch="0")


def test_the_short_spec_is_the_oracle(small):
    spec = Spec.parse("tokensep:oracle-tokens")
    oracle = plugin.load(**spec.options)
    assert oracle.info.needs_references
    assert oracle.info.label == "tokensep-oracle-tokens@mini" and oracle.info.family == "oracle"
    mixture = song()
    stems = oracle.separate(mixture, seed=0, references={s: mixture for s in STEMS})
    checked_estimates(stems, oracle.info, mixture)


def test_true_context_is_an_oracle_of_its_own(small):
    system = plugin.load(mode="oracle-context", order="other+bass+drums+vocals")
    assert system.info.needs_references and system.info.family == "oracle"
    assert system.info.label == "tokensep-oracle-context@mini"
    mixture = song()
    stems = system.separate(mixture, seed=0, references={s: mixture for s in STEMS})
    checked_estimates(stems, system.info, mixture)
    with pytest.raises(UsageError, match="expected each of vocals"):
        plugin.load(order="bass+drums")


def test_variants_have_their_own_names_and_options(small):
    masked = plugin.load(
        refine="mask", temperature="0.7", top_k="20", draws="2", decoding="parallel"
    )
    assert masked.info.name == "tokensep-parallel+mask"
    assert masked.info.options["temperature"] == 0.7 and masked.info.options["top_k"] == 20
    assert masked.info.options["draws"] == 2 and not masked.info.deterministic
    assert plugin.load(top_k="none").info.options["top_k"] is None


def test_the_guided_decoder_of_the_shipped_checkpoint_makes_all_but_other():
    """Its own refinement has no suffix; that it is not refined shows in the name."""
    names = {how: plugin.load(refine=how).info.name for how in ("", "none", "blend")}
    assert list(names.values()) == ["tokensep", "tokensep-unrefined", "tokensep+blend"]
    assert plugin.load().info.options["refine"] == "vocals:guided+drums:guided+bass:guided"
    same = plugin.load(refine="drums:guided+vocals:guided+other:none+bass:guided")
    assert same.info.name == "tokensep"
    assert "vocals, drums and bass by a decoder of tokensep" in plugin.load().info.remark


def test_drawn_tokens_are_decoded_alone_under_a_name_of_their_own():
    """The paper's own output: no estimate of latents, no refinement, and a row that says so."""
    system = plugin.load(render="tokens")
    assert system.info.label == "tokensep-tokens@mini" and system.info.family == "generative"
    assert system.info.options["refine"] == "none" and "render" in system.info.options_in_name
    assert system.info.remark.startswith("the paper's rendering")
    blended = plugin.load(render="tokens", refine="blend").info
    assert blended.name == "tokensep-tokens+blend" and not blended.remark
    assert plugin.load().info.remark.startswith("not the paper's rendering")
    assert "draws (weight 0.5) and one pass without draws (0.5)" in plugin.load().info.remark
    assert "averaged over draws, not" in plugin.load(one_pass_share="0").info.remark
    other = plugin.load(render="mean").info
    assert other.name == "tokensep-unrefined", "the mean of one draw has no guided stems"
    assert "render" not in other.options_in_name


def test_drawn_tokens_are_what_the_codec_decodes(small):
    """Each stem is the codec's decoding of whole numbers: entries of its codebooks."""
    decoded = []
    decode = small.codec.decode
    small.codec.decode = lambda codes: decoded.append(codes) or decode(codes)
    plugin.load(render="tokens", draws="1").separate(song(), seed=0)
    assert decoded and not decoded[0].semantic.is_floating_point()


@pytest.fixture
def with_guide(small, tmp_path):
    torch.manual_seed(0)
    facts = {"rate": RATE, "frame_hop": HOP, "latent_dim": small.codebooks.shape[-1]}
    sizes = {"n_fft": 256, "hop": 64, "bands": 12, "dim": 16, "ffn": 24, "blocks": 2}
    save_guide(tmp_path, Guide(GuideConfig(**facts, **sizes)))
    small._folder = tmp_path
    inference = InferenceConfig(render="consensus")
    small.config = small.config.model_copy(update={"inference": inference})
    return small


@pytest.mark.parametrize("decoding", ["sequential", ""])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_decoder_that_hears_the_mixture_lies_on_it(with_guide, decoding, channels):
    """Each channel is the mixture's times positive factors: a silent channel stays silent."""
    system = plugin.load(render="guided", decoding=decoding)
    suffix = f"-{decoding}" if decoding else ""
    assert system.info.label == f"tokensep{suffix}-guided@mini"
    assert system.info.options["decoding"] == (decoding or "one-pass")
    assert system.info.options["draws"] == system.info.options["cfg"] == 1
    assert system.info.options["refine"] == "none" and system.info.family == "generative"
    mixture = song(channels)
    if channels == 2:
        mixture.samples[1] = 0
    stems = checked_estimates(system.separate(mixture, seed=1), system.info, mixture)
    for stem in stems.values():
        assert stem.samples.shape == mixture.samples.shape
        assert np.abs(stem.samples[0]).max() > 1e-3
        assert channels == 1 or np.abs(stem.samples[1]).max() < 1e-7
    assert not np.allclose(stems["bass"].samples, stems["vocals"].samples, atol=1e-3)


def test_a_guided_decoder_is_needed_and_said_how_to_get(small, tmp_path):
    small._folder = tmp_path
    with pytest.raises(CheckpointError, match=r"no guided.json; .*tokensep train guided"):
        plugin.load(render="guided")
    facts = {"rate": 2 * RATE, "frame_hop": HOP, "latent_dim": 5, "n_fft": 256, "hop": 64}
    save_guide(tmp_path, Guide(GuideConfig(**facts, bands=12, dim=16, ffn=24, blocks=1)))
    with pytest.raises(CheckpointError, match=r"frame hop \(4, 16000, 320\); the LM has 4, 8000"):
        plugin.load(render="guided")


def test_a_guided_decoder_is_not_refined_twice(with_guide):
    with pytest.raises(UsageError, match=r"already uses the mixture; .* found blend"):
        plugin.load(render="guided", refine="blend")
    with pytest.raises(UsageError, match=r"render=guided averages windows"):
        plugin.load(render="guided", prime="true", decoding="sequential")


def test_some_stems_are_those_of_the_guided_decoder(with_guide):
    """From the same latents as the others, in whatever way they are decoded."""
    mixed = plugin.load(refine="vocals:guided+drums:blend")
    assert mixed.info.name == "tokensep+vocals-guided+drums-blend"
    assert len(mixed.info.options["guide_sha256"]) == 64
    assert "vocals by a decoder of tokensep" in mixed.info.remark
    found = mixed.separate(song(), seed=0)
    guided = plugin.load(render="guided", decoding="sequential").separate(song(), seed=0)
    plain = plugin.load(refine="drums:blend").separate(song(), seed=0)
    for stem, one in found.items():
        expected = guided if stem == "vocals" else plain
        np.testing.assert_array_equal(one.samples, expected[stem].samples)
    with pytest.raises(UsageError, match="refine=guided would leave no generated stem"):
        plugin.load(refine="guided")
    with pytest.raises(UsageError, match=r"expected render=consensus, found render=tokens"):
        plugin.load(render="tokens", refine="vocals:guided")


def test_a_guided_decoder_may_name_the_stems_that_are_its_by_default(with_guide, tmp_path):
    """They are the checkpoint's own rendering then: no suffix; others have one."""
    lm, codec = with_guide.lm, with_guide.codec
    lm.config = lm.config.model_copy(update={"inference": InferenceConfig(render="consensus")})
    save_guide(tmp_path, load_guide(tmp_path), renders=["vocals", "bass"])
    model = TokenSep(lm, codec, Provenance("mini", "ab" * 32), tmp_path)
    assert model.config.inference.refine == {"vocals": "guided", "bass": "guided"}
    systems = [
        plugin.TokenSepSystem(model, model.config.inference.model_copy(update={"refine": refine}))
        for refine in (model.config.inference.refine, {"vocals": "blend"}, "none")
    ]
    names = [system.info.name for system in systems]
    assert names == ["tokensep", "tokensep+vocals-blend", "tokensep-unrefined"]
    assert "guide_sha256" in systems[0].info.options
    save_guide(tmp_path, load_guide(tmp_path), renders=["piano"])
    with pytest.raises(ConfigError, match="renders of the guided decoder names piano; the stems"):
        TokenSep(lm, codec, folder=tmp_path)


def test_the_weights_of_the_guided_decoder_are_part_of_the_cells_key(with_guide):
    options = plugin.load(render="guided").info.options
    assert len(options["guide_sha256"]) == 64
    assert "guide_sha256" not in plugin.load().info.options


def test_stems_are_refined_one_by_one(small):
    """A refined stem is as if all were; the others are as if none was."""
    systems = {how: plugin.load(refine=how) for how in ("none", "mask", "blend")}
    mixed = plugin.load(refine="vocals:blend+bass:mask")
    assert mixed.info.name == "tokensep+vocals-blend+bass-mask"
    assert mixed.info.options["refine"] == "vocals:blend+bass:mask"
    alone = {how: system.separate(song(), seed=0) for how, system in systems.items()}
    found = mixed.separate(song(), seed=0)
    chosen = {"vocals": "blend", "drums": "none", "bass": "mask", "other": "none"}
    for stem, how in chosen.items():
        np.testing.assert_allclose(
            found[stem].samples, alone[how][stem].samples, atol=1e-6, err_msg=stem
        )
    assert not np.allclose(alone["blend"]["vocals"].samples, alone["none"]["vocals"].samples)


def test_draws_are_reproducible_and_move_with_the_seed(small):
    system, mixture = plugin.load(temperature="1"), song(1)
    a, b, c = (system.separate(mixture, seed=s)["other"].samples for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.allclose(a, c)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "dream"},
        {"temperature": "hot"},
        {"refine": "polish"},
        {"draws": "0"},
        {"refine": "piano:blend"},
        {"refine": "vocals:polish"},
        {"refine": "bass:mask+bass:blend"},
    ],
)
def test_bad_options_are_usage_errors(small, options):
    with pytest.raises(UsageError, match="tokensep"):
        plugin.load(**options)


def test_errors_are_benchseps(small, tmp_path, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="no such folder"):
        plugin.load(checkpoint=str(tmp_path / "nothing"))
    system = plugin.TokenSepSystem(small, small.config.inference)
    bad = song()
    bad.samples[0, 0] = np.nan
    with pytest.raises(AudioError, match="NaN"):
        system.separate(bad, seed=0)


def test_any_system_teaches(small, monkeypatch):
    from benchsep import registry

    class Quarter:
        info = plugin.SystemInfo(name="quarter", family="discriminative")

        def separate(self, mixture, *, seed):
            return {s: Audio(mixture.samples / 4, mixture.rate) for s in STEMS}

    registry.register("system", "quarter-test", lambda device: Quarter())
    try:
        label = teacher("quarter-test")
        stems = label(song().samples, RATE)
    finally:
        registry.unregister("system", "quarter-test")
    np.testing.assert_allclose(stems["bass"], song().samples / 4)
    with pytest.raises(UsageError, match="unknown system"):
        teacher("quarter-test")


def test_one_system_gives_the_vocals_and_another_the_rest():
    """Vocals: half of the mixture; of the rest a tenth for every stem of the other teacher."""
    from benchsep import registry

    class Half:
        info = plugin.SystemInfo(name="half", family="discriminative", stems=("vocals",))

        def separate(self, mixture, *, seed):
            return {"vocals": Audio(mixture.samples / 2, mixture.rate)}

    class Tenth:
        info = plugin.SystemInfo(name="tenth", family="discriminative")

        def separate(self, mixture, *, seed):
            return {s: Audio(mixture.samples / 10, mixture.rate) for s in STEMS}

    registry.register("system", "half-test", lambda device: Half())
    registry.register("system", "tenth-test", lambda device: Tenth())
    try:
        label = teacher("tenth-test", vocals="half-test")
        samples = song().samples
        stems = label(samples, RATE)
        with pytest.raises(UsageError, match="expected vocals, drums"):
            teacher("half-test", vocals="tenth-test")(samples, RATE)
    finally:
        registry.unregister("system", "half-test")
        registry.unregister("system", "tenth-test")
    assert label.label == "tenth, vocals by half"
    shares = {"vocals": 0.5, "drums": 0.05, "bass": 0.05, "other": 0.1}
    for stem, share in shares.items():
        np.testing.assert_allclose(stems[stem], share * samples, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name",
    [
        *("lm.safetensors", "codec.safetensors", "hubert.safetensors", "guided.safetensors"),
        *("lm.json", "config.json", "guided.json"),
    ],
)
def test_each_file_of_a_checkpoint_is_part_of_the_identity(tmp_path, name):
    """Values of an old codec must not stand for a new one beside the same LM."""
    folder = tmp_path / "mine"
    shutil.copytree(MINI, folder)
    before = plugin.load(checkpoint=folder).info
    changed = folder / name
    if changed.suffix == ".json":
        changed.write_text(changed.read_text() + "\n")
    else:
        tensors = load_file(changed)
        first = next(k for k, v in tensors.items() if v.is_floating_point())
        save_file({**tensors, first: tensors[first] * 0.999}, changed)
    assert cell_identity(plugin.load(checkpoint=folder).info) != cell_identity(before)


def cell_identity(info: SystemInfo) -> tuple[str, dict[str, object]]:
    return info.checkpoint_sha256, dict(info.options)
