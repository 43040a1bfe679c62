"""BS-RoFormer and SCNet: chunking equals upstream's, checkpoints load strictly and safely."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import yaml
from benchsep_baselines import availability, msst
from benchsep_baselines.bs_roformer import BSRoformer
from benchsep_baselines.chunking import demix
from benchsep_baselines.scnet import SCNet

from benchsep.audio import STEMS, Audio
from benchsep.errors import CheckpointError, UsageError
from benchsep.systems.estimate import checked_estimates
from tests.helpers.by_hand import by_hand
from tests.helpers.upstream_demix import upstream_demix

SOURCES = ["drums", "bass", "other", "vocals"]
ROFORMER = {
    "dim": 8,
    "depth": 1,
    "heads": 1,
    "dim_head": 8,
    "stereo": True,
    "num_stems": 4,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "freqs_per_bands": (64, 65),
    "stft_n_fft": 256,
    "stft_hop_length": 128,
    "stft_win_length": 256,
    "mask_estimator_depth": 1,
    "mlp_expansion_factor": 1,
}
SCNET = {"sources": SOURCES, "dims": [4, 8, 8, 8], "num_dplayer": 2, "nfft": 512, "hop_size": 128,
         "win_size": 512}  # fmt: skip


def config_of(model, **inference):
    return {
        "audio": {"chunk_size": 4410},
        "model": dict(model),
        "training": {"instruments": SOURCES, "target_instrument": None},
        "inference": {"num_overlap": 2, **inference},
    }


def write_pair(folder, model, arguments, config, *, under=None, name="model"):
    torch.manual_seed(0)
    state = model(**arguments).state_dict()
    weights = folder / f"{name}.ckpt"
    torch.save({under: state} if under else state, weights)
    # PyYAML's full dumper writes !!python/tuple, as the public configurations have it.
    weights.with_suffix(".yaml").write_text(yaml.dump(config), encoding="utf-8")
    return weights


def roformer_class():
    from pymss_core.modules.bs_roformer.bs_roformer import BSRoformer as Model

    return Model


def scnet_class():
    from pymss_core.modules.scnet import SCNet as Model

    return Model


@pytest.fixture
def roformer(tmp_path):
    return write_pair(tmp_path, roformer_class(), ROFORMER, config_of(ROFORMER))


@pytest.fixture
def scnet(tmp_path):
    return write_pair(tmp_path, scnet_class(), SCNET, config_of(SCNET), name="scnet")


@pytest.fixture(scope="module")
def piece(clip):
    return Audio(clip.mixture.samples[:, 20000:42001], clip.mixture.rate)


# --- chunking --------------------------------------------------------------------------------


def in_torch(model):
    """A model of arrays as one of tensors."""
    return lambda part: torch.from_numpy(model(part.numpy()))


def position_dependent(stems):
    """A model whose output depends on where in the chunk a sample is: it shows every window."""

    def model(part):
        ramp = np.linspace(0.1, 1, part.shape[1], dtype=np.float32)
        return np.stack([part * ramp ** (k + 1) for k in range(stems)])

    return model


def batched(model):
    """A model of one chunk as one of several."""
    return lambda parts: np.stack([model(part) for part in parts])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("overlap", [1, 2, 3, 4])
@pytest.mark.parametrize("frames", [120, 1000, 1501, 2000, 2999, 5000])
def test_chunking_equals_upstreams(frames, overlap, batch):
    mix = np.random.default_rng(frames).normal(size=(2, frames)).astype(np.float32)
    model = position_dependent(3)
    ours = demix(batched(model), mix, chunk=1000, overlap=overlap, stems=3, batch=batch)
    theirs = upstream_demix(in_torch(model), mix, 1000, overlap)
    if frames == 1000 and overlap == 1:  # the documented deviation: 0/0 at the very end
        assert theirs[..., -1].max() == 0
        ours, theirs = ours[..., :-1], theirs[..., :-1]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 99, 500, 501, 1000, 1001, 12345])
@pytest.mark.parametrize("overlap", [2, 4])
def test_a_model_that_does_nothing_gives_the_mixture_back(frames, overlap):
    mix = np.random.default_rng(1).normal(size=(2, frames)).astype(np.float32)
    out = demix(lambda parts: parts[:, None], mix, chunk=1000, overlap=overlap, stems=1)
    np.testing.assert_allclose(out[0], mix, rtol=2e-6, atol=1e-6)


def test_chunks_without_a_step_are_refused():
    with pytest.raises(UsageError, match="leave no step"):
        demix(
            lambda parts: parts[:, None], np.ones((2, 9), np.float32), chunk=4, overlap=5, stems=1
        )


# --- loading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("under", [None, "state", "state_dict", "model_state_dict"])
def test_a_checkpoint_gives_the_upstream_models_output(tmp_path, piece, under):
    path = write_pair(tmp_path, roformer_class(), ROFORMER, config_of(ROFORMER), under=under)
    system = BSRoformer(checkpoint=str(path))
    torch.manual_seed(0)
    model = roformer_class()(**ROFORMER, zero_dc=True).eval()

    def forward(part):
        with torch.inference_mode():
            return model(torch.from_numpy(part)[None])[0].numpy()

    theirs = upstream_demix(in_torch(forward), piece.samples, 4410, 2)
    ours = checked_estimates(system.separate(piece, seed=0), system.info, piece)
    for stem, expected in zip(SOURCES, theirs, strict=True):
        np.testing.assert_allclose(ours[stem].samples, expected, atol=1e-6)
    assert list(ours) == list(STEMS)


def test_chunks_in_batches_give_the_same_stems(tmp_path, piece):
    path = write_pair(tmp_path, roformer_class(), ROFORMER, config_of(ROFORMER))
    one, three = (BSRoformer(checkpoint=str(path), batch=batch) for batch in (1, 3))
    assert "batch" not in one.info.options and three.info.options["batch"] == 3
    sizes, model = [], three.model
    three.model = lambda x: sizes.append(len(x)) or model(x)
    ours, theirs = three.separate(piece, seed=0), one.separate(piece, seed=0)
    assert max(sizes) == 3
    for stem in STEMS:
        np.testing.assert_allclose(ours[stem].samples, theirs[stem].samples, atol=1e-5)


def test_the_lowest_bin_is_a_declared_choice(roformer, piece):
    default = BSRoformer(checkpoint=str(roformer))
    without = BSRoformer(checkpoint=str(roformer), zero_dc="false")
    assert default.info.options["zero_dc"] is True
    assert without.info.options["zero_dc"] is False
    a, b = (s.separate(piece, seed=0)["vocals"].samples for s in (default, without))
    assert not np.array_equal(a, b)


def test_scnet_loads_and_follows_its_configuration(scnet, tmp_path, piece):
    plain = SCNet(checkpoint=str(scnet))
    normal = tmp_path / "n"
    normal.mkdir()
    path = write_pair(normal, scnet_class(), SCNET, config_of(SCNET, normalize=True))
    scaled = SCNet(checkpoint=str(path))
    assert (plain.info.options["normalize"], scaled.info.options["normalize"]) == (False, True)
    estimates = checked_estimates(scaled.separate(piece, seed=0), scaled.info, piece)
    mono = piece.samples.mean(0)
    mean, deviation = float(mono.mean()), float(mono.std())
    inside = Audio((piece.samples - mean) / deviation, piece.rate)
    for stem, audio in plain.separate(inside, seed=0).items():
        expected = audio.samples * deviation + mean
        np.testing.assert_allclose(estimates[stem].samples, expected, atol=1e-5)


@pytest.mark.parametrize("system", [BSRoformer, SCNet])
def test_silence_gives_silence_even_from_a_model_that_regresses(system, roformer, scnet):
    path = roformer if system is BSRoformer else scnet
    silence = Audio(np.zeros((2, 3000), np.float32), 44100)
    assert all(a.silent for a in system(checkpoint=str(path)).separate(silence, seed=0).values())


@pytest.mark.parametrize(("rate", "channels", "frames"), [(48000, 1, 9000), (44100, 2, 1)])
@pytest.mark.parametrize("system", [BSRoformer, SCNet])
def test_odd_shapes_come_back(system, rate, channels, frames, roformer, scnet, clip):
    path = roformer if system is BSRoformer else scnet
    mixture = Audio(clip.mixture.samples[:channels, 40000 : 40000 + frames], rate)
    loaded = system(checkpoint=str(path))
    estimates = checked_estimates(loaded.separate(mixture, seed=0), loaded.info, mixture)
    expected = by_hand(loaded, mixture)
    for stem, audio in estimates.items():
        assert audio.samples.shape == (channels, frames) and audio.rate == rate
        assert np.allclose(audio.samples, expected[stem], atol=1e-6)


def test_keys_that_do_not_fit_are_named(roformer):
    state = torch.load(roformer, weights_only=True)
    first, *_ = state
    state["layers.9.stranger"] = state.pop(first)
    torch.save(state, roformer)
    with pytest.raises(CheckpointError, match=rf"1 absent: {first}; 1 unexpected: layers\.9\.str"):
        BSRoformer(checkpoint=str(roformer))


def test_a_shape_that_does_not_fit_is_named(roformer):
    config = config_of(ROFORMER | {"dim": 16})
    roformer.with_suffix(".yaml").write_text(yaml.dump(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"of another shape: .*\(8,\) for \(16,\)"):
        BSRoformer(checkpoint=str(roformer))


def test_configurations_cannot_run_code(roformer):
    bad = roformer.with_suffix(".yaml")
    text = bad.read_text(encoding="utf-8")
    assert "!!python/tuple" in text
    bad.write_text(text + "\nx: !!python/object/apply:os.system ['true']\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="not a usable configuration"):
        BSRoformer(checkpoint=str(roformer))


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the checkpoint ran code')",))


def test_checkpoints_cannot_run_code(roformer):
    torch.save({"state_dict": {"a": Bomb()}}, roformer)
    with pytest.raises(CheckpointError, match=r"refers to .*exec"):
        BSRoformer(checkpoint=str(roformer))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {**ROFORMER, "nonsense": 1}}, "is not a valid configuration|nonsense"),
        ({"model": {**ROFORMER, "freqs_per_bands": [1, 2]}}, "is not a valid configuration"),
        ({"audio": {}, "inference": {}}, "chunk_size"),
        ({"training": {"instruments": ["speech"]}}, "expected vocals, .* among them|another shape"),
    ],
)
def test_a_bad_configuration_is_an_answer(roformer, change, message):
    config = config_of(ROFORMER) | change
    roformer.with_suffix(".yaml").write_text(yaml.dump(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        BSRoformer(checkpoint=str(roformer))


def test_a_missing_configuration_says_what_to_add(roformer, tmp_path):
    roformer.with_suffix(".yaml").unlink()
    with pytest.raises(CheckpointError, match=r"add config=PATH\.yaml"):
        BSRoformer(checkpoint=str(roformer))
    with pytest.raises(CheckpointError, match="expected auto, official, mini or a file"):
        BSRoformer(checkpoint=str(roformer), config=str(tmp_path / "no.yaml"))


def test_official_files_are_looked_for_and_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path))
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"scnet_checkpoint_musdb18\.ckpt"):
        SCNet()
    with pytest.raises(CheckpointError, match=r"no mini .*config_musdb18_scnet\.yaml"):
        SCNet(checkpoint="mini")
    with pytest.raises(CheckpointError, match=r"config_bs_roformer_384_8_2_485100\.yaml"):
        BSRoformer(checkpoint="official")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    write_pair(folder, scnet_class(), SCNET, config_of(SCNET), name="scnet_checkpoint_musdb18")
    (folder / "scnet_checkpoint_musdb18.yaml").rename(folder / "config_musdb18_scnet.yaml")
    system = SCNet()
    assert system.info.label == "scnet@official"
    assert availability.availability()["scnet"]["official"] == ""
    assert capsys.readouterr().err == ""


def test_one_file_may_hold_weights_and_configuration(tmp_path, piece):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = {k: v.half() for k, v in roformer_class()(**ROFORMER).state_dict().items()}
    path = tmp_path / "one.safetensors"
    save_file(state, str(path), {"config": json.dumps(config_of(ROFORMER))})
    info = BSRoformer(checkpoint=str(path)).info
    assert info.label == "bs_roformer@one" and info.options["chunk"] == 4410
    save_file(state, str(path))
    with pytest.raises(CheckpointError, match="holds no configuration"):
        BSRoformer(checkpoint=str(path))


def test_the_public_configuration_has_the_published_size():
    """1,355 keys and 131,704,164 parameters, as the published file has (baselines.md)."""
    bands = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)
    arguments = {
        "dim": 384, "depth": 8, "stereo": True, "num_stems": 4, "time_transformer_depth": 1,
        "freq_transformer_depth": 1, "freqs_per_bands": bands, "dim_head": 64, "heads": 8,
        "stft_n_fft": 2048, "stft_hop_length": 441, "stft_win_length": 2048,
        "mask_estimator_depth": 2, "mlp_expansion_factor": 2,
    }  # fmt: skip
    with torch.device("meta"):  # shapes only: half a gigabyte is not needed to count
        model = roformer_class()(**arguments)
    assert len(model.state_dict()) == 1355
    assert sum(p.numel() for p in model.parameters()) == 131_704_164
    assert math.isclose(4 * 131_704_164, 527_385_512, rel_tol=2e-3)


def test_settings_name_the_missing_section(tmp_path):
    with pytest.raises(CheckpointError, match="expected the sections model"):
        msst.settings_of({"model": {}}, tmp_path / "x.yaml")


# --- what the instruments mean, and how a checkpoint may be wrapped ------------------------------


def test_six_stems_are_themselves_and_other_is_a_sum(tmp_path, piece):
    six = {**ROFORMER, "num_stems": 6}
    config = config_of(six)
    config["training"]["instruments"] = [*SOURCES, "guitar", "piano"]
    system = BSRoformer(checkpoint=str(write_pair(tmp_path, roformer_class(), six, config)))
    assert system.info.stems == (*STEMS, "guitar", "piano", "other6")
    assert system.info.options["stems"] == "other=guitar+other+piano"
    parts = system._estimate(piece.samples, 0)
    expected = parts["other"] + parts["guitar"] + parts["piano"]
    found = system.separate(piece, seed=0)
    assert np.allclose(found["other"].samples, expected, atol=1e-6)
    for stem, name in (("other6", "other"), ("guitar", "guitar"), ("piano", "piano")):
        assert np.array_equal(found[stem].samples, parts[name])


def test_other_of_a_pair_is_never_musdbs_other(tmp_path):
    single = {**ROFORMER, "num_stems": 1}
    config = config_of(single)
    config["training"] = {"instruments": ["vocals", "other"], "target_instrument": "vocals"}
    path = write_pair(tmp_path, roformer_class(), single, config)
    assert BSRoformer(checkpoint=str(path)).info.stems == ("vocals",)
    config["training"]["target_instrument"] = "other"
    path = write_pair(tmp_path, roformer_class(), single, config)
    assert BSRoformer(checkpoint=str(path)).info.stems == ("instrumental",)
    config["training"]["instruments"] = SOURCES
    path = write_pair(tmp_path, roformer_class(), single, config)
    assert BSRoformer(checkpoint=str(path)).info.stems == ("other",)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{k}": v for k, v in state.items()},
        lambda state: {"model": state},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
        lambda state: {"model_state_dict": state, "best_metric": np.float64(7)},
        lambda state: {"state_dict": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    ],
    ids=["DataParallel", "model", "Lightning", "numpy scalar", "compiled"],
)
def test_wrapped_checkpoints_are_opened(roformer, wrap):
    plain = BSRoformer(checkpoint=str(roformer)).model.state_dict()
    torch.save(wrap(dict(plain)), roformer)
    wrapped = BSRoformer(checkpoint=str(roformer)).model.state_dict()
    assert all(torch.equal(plain[key], wrapped[key]) for key in plain)
