"""HTDemucs equals upstream bit for bit, and refuses files that could run code."""

from __future__ import annotations

import json
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from benchsep_baselines import availability, download, locate
from benchsep_baselines.htdemucs import Demucs, find_weights, htdemucs, htdemucs_ft, load_model
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from benchsep._util.tensors import file_sha256
from benchsep.audio import STEMS, Audio
from benchsep.errors import CheckpointError, UsageError
from benchsep.systems.estimate import checked_estimates
from tests.helpers.by_hand import by_hand

SOURCES = ["drums", "bass", "other", "vocals"]
TINY = {
    "channels": 8,
    "depth": 3,
    "t_layers": 1,
    "t_heads": 2,
    "nfft": 1024,
    "bottom_channels": 16,
    "segment": Fraction(3, 5),
}


def package(klass=HTDemucs, kwargs=TINY, sources=SOURCES, seed=0, **more):
    """What upstream's exporter writes: class, arguments, half-precision state."""
    torch.manual_seed(seed)
    model = klass(list(sources), **kwargs)
    state = {key: value.half() for key, value in model.state_dict().items()}
    return {
        "klass": klass,
        "args": (list(sources),),
        "kwargs": dict(kwargs),
        "state": state,
        "training_args": {"lr": 3e-4, "seed": 1},
        **more,
    }


@pytest.fixture(scope="module")
def th(tmp_path_factory):
    """A ``.th`` named as upstream's are: signature and the first digits of its hash."""
    folder = tmp_path_factory.mktemp("repo")
    draft = folder / "draft.th"
    torch.save(package(), draft)
    path = folder / f"0a1b2c3d-{file_sha256(draft)[:8]}.th"
    return draft.rename(path)


@pytest.fixture(scope="module")
def piece(clip):
    return Audio(clip.mixture.samples[:, 20000:70001], clip.mixture.rate)


def upstream(th, piece, *, shifts, seed, **options):
    api = pytest.importorskip("demucs.api")
    separator = api.Separator(
        model="0a1b2c3d", repo=th.parent, device="cpu", shifts=shifts, **options
    )
    random.seed(seed)
    return separator.separate_tensor(torch.from_numpy(piece.samples), 44100)[1]


@pytest.mark.parametrize("options", [{"shifts": 0}, {"shifts": 1}, {"shifts": 2, "overlap": 0.5}])
def test_the_output_is_upstreams_bit_for_bit(th, piece, options):
    ours = htdemucs(checkpoint=str(th), **options).separate(piece, seed=11)
    theirs = upstream(th, piece, seed=11, **options)
    for stem in STEMS:
        np.testing.assert_array_equal(ours[stem].samples, theirs[stem].numpy())


def test_a_shorter_segment_is_upstreams_too(th, piece):
    ours = htdemucs(checkpoint=str(th), shifts=0, segment="0.5").separate(piece, seed=0)
    theirs = upstream(th, piece, shifts=0, seed=0, segment=0.5)
    np.testing.assert_array_equal(ours["bass"].samples, theirs["bass"].numpy())


def test_the_seed_decides_and_the_callers_random_state_survives(th, piece):
    system = htdemucs(checkpoint=str(th))
    random.seed(5)
    before = random.getstate()
    first, again, other = (system.separate(piece, seed=seed) for seed in (1, 1, 2))
    assert random.getstate() == before
    assert np.array_equal(first["drums"].samples, again["drums"].samples)
    assert not np.array_equal(first["drums"].samples, other["drums"].samples)


def test_stems_are_mapped_by_name(tmp_path, th, piece):
    """The same weights under permuted source names give permuted stems."""
    permuted = ["vocals", "other", "drums", "bass"]
    path = tmp_path / "permuted.th"
    torch.save(package(sources=permuted), path)
    a = htdemucs(checkpoint=str(th), shifts=0).separate(piece, seed=0)
    b = htdemucs(checkpoint=str(path), shifts=0).separate(piece, seed=0)
    for old, new in zip(SOURCES, permuted, strict=True):
        assert np.array_equal(a[old].samples, b[new].samples)


def test_guitar_and_piano_are_added_to_other(tmp_path, piece):
    path = tmp_path / "six.th"
    torch.save(package(sources=[*SOURCES, "guitar", "piano"]), path)
    system = htdemucs(checkpoint=str(path), shifts=0)
    raw = system._estimate(piece.samples, 0)
    assert system.info.stems == (*STEMS, "guitar", "piano", "other6") and len(raw) == 6
    expected = raw["other"] + raw["guitar"] + raw["piano"]
    found = system.separate(piece, seed=0)
    assert np.allclose(found["other"].samples, expected, atol=1e-6)
    assert np.array_equal(found["other6"].samples, raw["other"])


def test_safetensors_give_the_same_output(tmp_path, th, piece):
    from safetensors.torch import save_file

    content = package()
    path = tmp_path / "same.safetensors"
    kwargs = {**TINY, "segment": {"_type": "fraction", "numerator": 3, "denominator": 5}}
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": json.dumps([SOURCES]),
        "kwargs": json.dumps(kwargs),
    }
    save_file(content["state"], str(path), metadata)
    a = htdemucs(checkpoint=str(th), shifts=0).separate(piece, seed=0)
    b = htdemucs(checkpoint=str(path), shifts=0).separate(piece, seed=0)
    assert np.array_equal(a["vocals"].samples, b["vocals"].samples)
    save_file(content["state"], str(path), {**metadata, "klass": "os.path.join"})
    with pytest.raises(CheckpointError, match=r"names the class 'os.path.join', expected one of"):
        load_model(path)


def test_hdemucs_loads_too(tmp_path, piece):
    path = tmp_path / "h.th"
    torch.save(package(HDemucs, {"channels": 8, "nfft": 1024, "depth": 4, "segment": 2}), path)
    estimates = htdemucs(checkpoint=str(path), shifts=0).separate(piece, seed=0)
    assert np.isfinite(estimates["vocals"].samples).all()


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the checkpoint ran code')",))


@pytest.mark.parametrize("where", ["training_args", "kwargs", "bare"])
def test_a_pickle_that_would_run_code_is_refused_and_named(tmp_path, where):
    path = tmp_path / "bomb.th"
    torch.save(Bomb() if where == "bare" else {**package(), where: Bomb()}, path)
    with pytest.raises(CheckpointError, match=r"refers to .*exec.*trust_pickle"):
        htdemucs(checkpoint=str(path))


def test_corrupt_foreign_and_misnamed_files_are_refused(tmp_path, th):
    data = th.read_bytes()
    cases = {
        "cut.th": (data[: len(data) // 2], "not a readable checkpoint"),
        "empty.th": (b"", "not a readable checkpoint"),
        "noise.safetensors": (b"\x00" * 64, "not a readable safetensors"),
        "0a1b2c3d-00000000.th": (data, "expected 00000000 as in its name"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            htdemucs(checkpoint=str(tmp_path / name))
    with pytest.raises(CheckpointError, match="expected auto, official, mini or a file"):
        htdemucs(checkpoint=str(tmp_path / "absent.th"))


def test_weights_of_another_model_are_refused_with_the_first_keys(tmp_path):
    content = package()
    state = content["state"]
    first = next(iter(state))
    state["stranger"] = state.pop(first)
    path = tmp_path / "other.th"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=rf"1 absent: {first}; 1 unexpected: stranger"):
        htdemucs(checkpoint=str(path))


def test_auto_offline_uses_the_mini_and_says_so(monkeypatch, tmp_path, capsys):
    for name in ("TORCH_HOME", "HF_HOME", "BENCHSEP_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"955717e8-8726e21a\.th .* into .*checkpoints"):
        find_weights("htdemucs", "official")
    with pytest.raises(CheckpointError, match=r"f7e0c4bc-ba3fe64a\.th, d12395a8-e57c48e6\.th"):
        htdemucs_ft()
    assert capsys.readouterr().err == ""
    assert find_weights("htdemucs", "auto").label == "mini"
    assert "htdemucs@mini" in capsys.readouterr().err


def test_official_weights_are_found_where_torch_and_the_hub_keep_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path / "own"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    bag = locate.demucs_bag("htdemucs")
    assert locate.cached_official(bag) is None
    snapshot = tmp_path / "hf/hub/models--adefossez--HTDemucs/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "955717e8.safetensors").touch()
    assert locate.cached_official(bag) == [snapshot / "955717e8.safetensors"]
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    (folder / "955717e8-8726e21a.th").touch()
    assert locate.cached_official(bag) == [folder / "955717e8-8726e21a.th"]
    assert availability.availability()["htdemucs"]["official"] == ""
    assert find_weights("htdemucs", "auto").label == "official"


def test_a_download_is_checked_against_the_hash_in_its_name(monkeypatch, tmp_path, th, capsys):
    """From a folder that plays upstream's server."""
    server = tmp_path / "server" / "hybrid_transformer"
    server.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("BENCHSEP_OFFLINE", raising=False)
    monkeypatch.setattr(locate, "DEMUCS_ROOT", server.parent.as_uri() + "/")
    monkeypatch.setattr(download, "_reachable", lambda url: True)
    with pytest.raises(CheckpointError, match="fetched over https only"):
        download.fetch_official(locate.Bag("x", (f"hybrid_transformer/{th.name}",), None, None))
    monkeypatch.setattr(download, "TLS", "file://")
    good = locate.Bag("x", (f"hybrid_transformer/{th.name}",), None, None)
    assert download.fetch_official(good) is None, "absent on the server: no weights, no crash"
    (server / th.name).write_bytes(th.read_bytes())
    assert download.fetch_official(good) == [locate.torch_cache() / th.name]
    bad = locate.Bag("x", ("hybrid_transformer/0a1b2c3d-00000000.th",), None, None)
    (server / "0a1b2c3d-00000000.th").write_bytes(th.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="expected 00000000 as in its name"):
        download.fetch_official(bad)
    kept = [p.name for p in locate.torch_cache().iterdir() if p.suffix != ".lock"]
    assert kept == [th.name]
    assert "fetching" in capsys.readouterr().err


def test_a_bag_weighs_its_models_per_stem(monkeypatch, tmp_path, piece):
    """Two models, one for drums and one for the rest, as htdemucs_ft is built."""
    from benchsep_baselines import htdemucs as module

    paths = [tmp_path / "a.th", tmp_path / "b.th"]
    for seed, path in enumerate(paths):
        torch.save(package(seed=seed), path)
    weights = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]]
    bag = module.Weights("official", paths, "", "", weights, None)
    monkeypatch.setattr(module, "find_weights", lambda *_: bag)
    together = Demucs("htdemucs_ft", shifts=0).separate(piece, seed=0)
    monkeypatch.undo()
    alone = [htdemucs(checkpoint=str(p), shifts=0).separate(piece, seed=0) for p in paths]
    assert np.array_equal(together["drums"].samples, alone[0]["drums"].samples)
    assert np.array_equal(together["vocals"].samples, alone[1]["vocals"].samples)


@pytest.mark.parametrize(
    ("option", "value"),
    [("shifts", "-1"), ("shifts", "1.5"), ("overlap", "1"), ("segment", "60"), ("device", "tpu")],
)
def test_bad_options_are_usage_errors(th, option, value):
    with pytest.raises(UsageError, match=option):
        htdemucs(checkpoint=str(th), **{option: value})


@pytest.mark.parametrize(
    ("rate", "channels", "frames"),
    [(48000, 2, 60001), (44100, 1, 30000), (8000, 6, 9000), (44100, 2, 1)],
)
def test_rate_channels_and_length_come_back(th, clip, rate, channels, frames):
    source = np.resize(clip.mixture.samples[:, 30000:], (channels, frames))
    mixture = Audio(source, rate)
    system = htdemucs(checkpoint=str(th), shifts=0)
    estimates = checked_estimates(system.separate(mixture, seed=0), system.info, mixture)
    expected = by_hand(system, mixture)
    for stem, audio in estimates.items():
        assert audio.samples.shape == (channels, frames) and audio.rate == rate
        assert np.allclose(audio.samples, expected[stem], atol=1e-6)


def test_anti_phase_stereo_keeps_its_level(piece):
    """Its mono mean is zero, so the normalisation divides by 1e-8."""
    left = piece.samples[:1]
    mixture = Audio(np.concatenate([left, -left]), piece.rate)
    estimates = htdemucs(checkpoint="mini", shifts=0).separate(mixture, seed=0)
    for audio in estimates.values():
        assert 0.05 < np.abs(audio.samples).max() / np.abs(left).max() < 1


def test_silence_gives_silence(th):
    silence = Audio(np.zeros((2, 5000), np.float32), 44100)
    assert all(a.silent for a in htdemucs(checkpoint=str(th)).separate(silence, seed=0).values())


def test_the_declaration_names_what_moves_an_output(th):
    info = htdemucs(checkpoint=str(th), overlap="0.1").info
    assert info.label == f"htdemucs@{th.stem}"
    assert info.checkpoint_sha256 == file_sha256(th)
    assert info.options == {"shifts": 1, "overlap": 0.1, "segment": None}
    assert info.deterministic and info.family == "discriminative"
