"""Published codecs by name: folders, the hub's cache, and what is said when they are not here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokensep.codec.public import models
from tokensep.codec.public.models import Choice, architecture, missing, open_public, present
from tokensep.errors import CheckpointError, Unavailable, UsageError

from tests.helpers.public_codecs import saved

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("codecs")
    return {name: saved(name, root) for name in ("dac", "encodec", "mimi")}


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("BENCHSEP_OFFLINE", "1")


def test_a_folder_of_transformers_opens(folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        assert architecture(folder) == name
        codec, weights = open_public(Choice(name, folder))
        assert weights == folder / "model.safetensors"
        assert not any(p.requires_grad for p in codec.parameters())
        codec.save_checkpoint(folder.parent / "again" / name)
        again, _ = open_public(Choice(name, folder.parent / "again" / name))
        shape = (1, 2, 30_000) if codec.channels == 2 else (1, 30_000)
        wave = 0.1 * torch.randn(shape)
        assert torch.equal(again.encode(wave).acoustic, codec.encode(wave).acoustic)


def test_options_reach_the_codec(folders: dict[str, Path]) -> None:
    codec, _ = open_public(Choice("dac", folders["dac"], codebooks=1))
    assert codec.acoustic_layers == 1
    codec, _ = open_public(Choice("encodec", folders["encodec"], bandwidth=3.0))
    assert codec.acoustic_layers == 2
    with pytest.raises(UsageError, match="dac has no option bandwidth; its option is codebooks"):
        open_public(Choice("dac", folders["dac"], bandwidth=6.0))
    with pytest.raises(UsageError, match="revision=main is only for files of the hub"):
        open_public(Choice("dac", folders["dac"], revision="main"))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("choice", "command"),
    [
        (Choice("dac"), "hf download descript/dac_44khz"),
        (Choice("encodec"), "hf download facebook/encodec_48khz"),
        (Choice("mimi", revision="abc"), "hf download kyutai/mimi --revision abc"),
    ],
)
def test_offline_the_one_command_is_named(choice: Choice, command: str) -> None:
    with pytest.raises(Unavailable, match="offline") as caught:
        open_public(choice)
    assert str(caught.value).endswith(command)
    assert command in missing(choice) and command in present(choice)


def test_a_failed_download_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHSEP_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def fails(*_: object, **__: object) -> str:
        raise OSError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    monkeypatch.setattr(models, "_cached", lambda _: False)
    assert missing(Choice("dac")) == ""
    assert "hf download" in present(Choice("dac"))
    with pytest.raises(Unavailable, match=r"fetching failed \(no route\).*hf download"):
        open_public(Choice("dac"))


def test_the_cached_snapshot_is_used_without_a_network(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def snapshot(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(folders["dac"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr(models, "_cached", lambda _: True)
    open_public(Choice("dac", revision="v1"))
    assert asked["local_files_only"] is True and asked["revision"] == "v1"
    assert asked["repository"] == "descript/dac_44khz"
    assert present(Choice("dac")) == ""


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda _: None)
    assert missing(Choice("dac")) == (
        "package absent: codec dac needs transformers: pip install 'benchsep[codecs]'"
    )


def test_damaged_folders_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    assert architecture(tmp_path) == ""
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        open_public(Choice("dac", tmp_path))
    whole = (folders["dac"] / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "config.json").write_text((folders["dac"] / "config.json").read_text())
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        open_public(Choice("dac", tmp_path))
    with pytest.raises(CheckpointError, match="no MimiModel"):
        open_public(Choice("mimi", tmp_path))
    (tmp_path / "model.safetensors").write_bytes(whole)
    config = json.loads((folders["dac"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_codebooks": 4}))
    with pytest.raises(CheckpointError, match=r"weights are missing, e\.g\. quantizer"):
        open_public(Choice("dac", tmp_path))
