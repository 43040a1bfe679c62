"""Shards elsewhere: fetched by WebDataset's opener, a bounded number of them kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokensep.errors import DataError
from tokensep.lm.config import LMTrainConfig
from tokensep.train.stream import remote
from tokensep.train.stream.shards import find_shards
from tokensep.train.stream.token_crops import TokenCrops
from tokensep.train.tokenizing.job import common_job

from tests.helpers.labelled import labelled
from tests.helpers.lm_dummies import tiny_config
from tests.helpers.token_shards import tokenized

pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokens")
    return tokenized(labelled(root, clips=8, seconds=0.6, per_shard=1), root / "tokens")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHSEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


def crops_of(place, window):
    train = LMTrainConfig(remix=0.5, shuffle_shards=window)
    return TokenCrops(find_shards([place]), common_job([place]), tiny_config(), train)


def test_the_crops_are_those_of_the_folder_and_few_shards_are_kept(tokens, cache):
    here, there = crops_of(tokens, 1), crops_of(remote.place(f"pipe:cat {tokens}/{{}}"), 1)
    for number in range(16):
        for one, two in zip(here.crop(number), there.crop(number), strict=True):
            np.testing.assert_array_equal(one, two)
        assert len(list(cache.iterdir())) <= 4
    assert there.shards.counts == here.shards.counts == [1] * 8


def test_a_shard_is_fetched_once_for_all_processes(tokens, cache, tmp_path):
    address = f"pipe:echo x >> {tmp_path}/log; cat {tokens}/{{}}"
    one, two = crops_of(address, 8), crops_of(address, 8)
    fetched = len((tmp_path / "log").read_text().split())
    for number in range(16):
        one.crop(number)
        two.crop(number)
    assert len((tmp_path / "log").read_text().split()) == fetched + 8


def test_what_cannot_be_fetched_is_named_and_leaves_nothing(tokens, cache):
    with pytest.raises(DataError, match=r"nowhere/job\.json cannot be fetched"):
        common_job(["pipe:cat /nowhere"])
    crops = crops_of(f"pipe:cat {tokens}/{{}}", 2)
    crops.shards.paths[:] = [path.replace("cat ", "false ") for path in crops.shards.paths]
    with pytest.raises(DataError, match=r"pipe:false .*\.tar cannot be fetched"):
        crops.crop(0)
    assert not list(cache.iterdir())


def test_a_name_in_an_index_cannot_become_a_command(tmp_path):
    index = '{"shards": {"x; touch evil.tar": {"clips": 1}}}'
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(DataError, match="which is not the name of a shard"):
        find_shards([f"pipe:cat {tmp_path}/{{}}"])


def test_addresses_are_told_from_paths():
    assert remote.place("runs/tokens") == Path("runs/tokens")
    assert remote.place("https://host/t") == "https://host/t"
    assert remote.address_of("https://host/t/", "a.tar") == "https://host/t/a.tar"
    assert remote.address_of("pipe:get {} -", "a.tar") == "pipe:get a.tar -"


def test_shards_of_labels_can_lie_elsewhere_too(tmp_path):
    from tokensep.train.stream.audio_crops import AudioCrops

    shards = labelled(tmp_path, clips=3, per_shard=1)
    places = (shards, f"pipe:cat {shards}/{{}}")
    here, there = (
        AudioCrops(find_shards([place]), length=800, rate=8000, seed=0, window=2)
        for place in places
    )
    for number in range(5):
        np.testing.assert_array_equal(here.crop(number), there.crop(number))
