"""``tokensep:codec=…,mode=oracle-tokens``: the ceilings of codecs as benchsep systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokensep.codec.hcodec2.weights import import_hcodec
from tokensep.integration import ceiling
from tokensep.integration import system as plugin

from benchsep.audio import STEMS, Audio
from benchsep.cli.info import diagnose
from benchsep.errors import CheckpointError, Unavailable, UsageError
from benchsep.systems.estimate import checked_estimates
from benchsep.systems.spec import load_system
from tests.helpers.hcodec2 import publish
from tests.helpers.public_codecs import saved

pytest.importorskip("transformers")

MODE = "mode=oracle-tokens"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("codecs")
    made = {name: saved(name, root) for name in ("dac", "encodec", "mimi", "hubert")}
    weights, config = publish(root)
    import_hcodec(weights, config, root / "my-hcodec", str(made["hubert"]))
    return {**made, "hcodec": root / "my-hcodec"}


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")


def song(rate: int, channels: int = 2, seconds: float = 0.4) -> Audio:
    rng = np.random.default_rng(0)
    shape = (channels, round(rate * seconds) + 1)
    return Audio(rng.normal(0, 0.1, shape).astype(np.float32), rate)


@pytest.mark.parametrize("name", ["dac", "encodec", "mimi", "hcodec"])
def test_a_folder_is_a_ceiling(folders: dict[str, Path], name: str) -> None:
    system = load_system(f"tokensep:codec={folders[name]},{MODE}")
    info = system.info
    assert info.family == "oracle" and info.needs_references and not info.unavailable
    assert info.label == f"codec-{name}@{folders[name].name}"
    assert len(info.checkpoint_sha256) == 64 and info.options["bits_per_second"] > 0
    assert info.options["channels_together"] == (2 if name == "encodec" else 1)
    for rate, channels in ((44_100, 2), (22_050, 1)):
        mixture = song(rate, channels)
        stems = system.separate(mixture, seed=0, references={s: mixture for s in STEMS})
        good = checked_estimates(stems, info, mixture)
        assert tuple(good) == STEMS
        assert all(isinstance(a, Audio) and np.abs(a.samples).max() > 0 for a in good.values())


def test_mono_codecs_code_left_and_right_alike(folders: dict[str, Path]) -> None:
    system = load_system(f"tokensep:codec={folders['dac']},{MODE}")
    mixture = song(44_100)
    swapped = Audio(mixture.samples[::-1].copy(), mixture.rate)
    a, b = (system.separate(m, seed=0, references={"bass": m})["bass"] for m in (mixture, swapped))
    np.testing.assert_array_equal(a.samples, b.samples[::-1])


def test_fewer_codebooks_are_another_system(folders: dict[str, Path]) -> None:
    spec = f"tokensep:codec={folders['dac']},{MODE}"
    all_of_it, one = load_system(spec), load_system(f"{spec},codebooks=1")
    assert one.info.options["codebooks"] == 1 and all_of_it.info.options["codebooks"] == 3
    narrow = load_system(f"tokensep:codec={folders['encodec']},bandwidth=3,{MODE}")
    assert narrow.info.options["bits_per_second"] == 3000


@pytest.mark.usefixtures("nothing_here")
@pytest.mark.parametrize(
    ("codec", "label", "command"),
    [
        ("dac", "codec-dac@dac_44khz", "hf download descript/dac_44khz"),
        ("encodec", "codec-encodec@encodec_48khz", "hf download facebook/encodec_48khz"),
        ("mimi", "codec-mimi@mimi", "hf download kyutai/mimi"),
        ("hcodec", "codec-hcodec@hcodec-2", "tokensep import-hcodec"),
    ],
)
def test_a_codec_that_is_not_here_says_so_and_is_listed(
    codec: str, label: str, command: str
) -> None:
    system = load_system(f"tokensep:codec={codec},{MODE}")
    assert system.info.label == label and command in system.info.unavailable
    mixture = song(8000)
    with pytest.raises(Unavailable, match=command):
        system.separate(mixture, seed=0, references={"bass": mixture})
    assert command in ceiling.codecs()[codec]
    assert f"{codec} (weights absent)" in plugin.load.about["checkpoints"]()
    checks = {check.what: check for check in diagnose()}
    found = checks[f"system tokensep, codec {codec}"]
    assert found.state == "missing" and command in found.remedy
    assert checks["system tokensep, codec mini"].state == "ok"


@pytest.mark.usefixtures("nothing_here")
def test_an_imported_codec_is_found_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hcodec-2").symlink_to(folders["hcodec"])
    assert ceiling.codecs()["hcodec"] == ""
    info = load_system(f"tokensep:codec=hcodec,{MODE}").info
    assert info.label == "codec-hcodec@hcodec-2" and info.licence == "Apache-2.0"


def test_a_teacher_that_is_not_here_is_no_crash(folders: dict[str, Path], tmp_path: Path) -> None:
    weights, config = publish(tmp_path)
    import_hcodec(weights, config, tmp_path / "codec", str(tmp_path / "nowhere"))
    system = load_system(f"tokensep:codec={tmp_path / 'codec'},{MODE}")
    assert "no HuBERT" in system.info.unavailable


def test_mini_is_the_systems_own_oracle() -> None:
    spelled = load_system(f"tokensep:codec=mini,{MODE}").info
    assert spelled == load_system("tokensep:oracle-tokens").info


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("codec=dac", "is for mode=oracle-tokens"),
        ("codebooks=3", "is for mode=oracle-tokens"),
        (f"codec=mini,codebooks=3,{MODE}", "codec=mini has no option codebooks"),
        (f"codec=hcodec,bandwidth=3,{MODE}", "codec=hcodec has no option bandwidth"),
        (f"codec=dac,bandwidth=6,{MODE}", "dac has no option bandwidth"),
        (f"codec=dac,codebooks=many,{MODE}", "codebooks=many, expected a number"),
        (f"codec=opus,{MODE}", "expected mini, bands, hcodec, dac, encodec, mimi or a folder"),
        (f"codek=dac,{MODE}", "did you mean 'codec'"),
        (f"temperature=2,{MODE}", "temperature would change nothing"),
        (f"codec=mini,refine=mask,{MODE}", "refine would change nothing"),
        (
            "refine=vocals:nope",
            "option refine='vocals:nope': found 'nope', expected 'none'",
        ),
        ("top_k=0", "option top_k='0': found '0', expected 1 or more"),
    ],
)
def test_bad_options_are_usage_errors(options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_system(f"tokensep:{options}")


def test_a_damaged_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a codec configuration"):
        load_system(f"tokensep:codec={tmp_path},{MODE}")


def test_the_newer_codec_is_shipped_and_nearer_to_the_true_stems_than_the_minis():
    """On the embedded clip, mean ViSQOL over the stems; and it declares what it saw."""
    from benchsep.datasets.clip import ClipDataset
    from benchsep.metrics.metric import References
    from benchsep.metrics.visqol import Visqol

    track = ClipDataset().tracks()[0].load()
    means = {}
    for name in ("mini", "bands"):
        system = load_system(f"tokensep:codec={name},mode=oracle-tokens")
        made = system.separate(track.mixture, seed=0, references=track.stems)
        found = Visqol().score_track(References(track.stems), made, tuple(track.stems))
        means[name] = np.mean([scores[""].value for scores in found.values()])
    assert means["bands"] > means["mini"] + 0.05, means
    info = load_system("tokensep:codec=bands,mode=oracle-tokens").info
    assert info.label == "codec-bands@bands" and "game music" in info.training_data
    assert "musdb18:train-less-validation" in info.trained_on


def test_the_files_of_a_hubert_folder_are_part_of_the_identity(folders: dict[str, Path]) -> None:
    spec = f"tokensep:codec={folders['hcodec']},{MODE}"
    before = load_system(spec).info.checkpoint_sha256
    config = folders["hubert"] / "config.json"
    text = config.read_text()
    config.write_text(text + "\n")
    assert load_system(spec).info.checkpoint_sha256 != before
    config.write_text(text)
    assert load_system(spec).info.checkpoint_sha256 == before
