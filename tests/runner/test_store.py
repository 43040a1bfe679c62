"""The store: names that cannot escape, checksums, claims."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep._util.atomic import partial_beside
from benchsep._util.digest import canonical, file_name
from benchsep.errors import StoreError
from benchsep.runner.claims import remove_abandoned
from benchsep.runner.store import Store


@given(st.text(max_size=300))
def test_no_name_leaves_its_folder(name):
    made = file_name(name)
    assert made not in ("", ".", "..") and "/" not in made and "\0" not in made
    assert len(made.encode()) < 200
    assert (Path("/base") / made).resolve().parent == Path("/base")


@given(st.lists(st.text(max_size=40), min_size=2, max_size=2, unique=True))
def test_distinct_names_stay_distinct_even_where_case_is_folded(names):
    first, second = map(file_name, names)
    assert first.casefold() != second.casefold()


def test_nan_is_refused():
    with pytest.raises(StoreError, match="strict JSON"):
        canonical({"value": float("nan")})


def test_a_claim_is_exclusive_and_a_dead_owner_loses_it(tmp_path):
    store = Store(tmp_path)
    assert store.claims.claim("s", "t") and not Store(tmp_path).claims.claim("s", "t")
    store.claims.release("s", "t")
    assert store.claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    host = path.read_text().split()[0]
    path.write_text(f"{host} {dead} 0\n")
    assert Store(tmp_path).claims.claim("s", "t")


def test_a_claim_whose_owners_number_was_given_again_is_abandoned(tmp_path):
    """As in a container that restarts: same host name, same process number, another process."""
    assert Store(tmp_path).claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    host, pid, start = path.read_text().split()
    assert not Store(tmp_path).claims.claim("s", "t")
    path.write_text(f"{host} {pid} {int(start) + 1}\n")
    assert Store(tmp_path).claims.claim("s", "t")


def test_a_torn_claim_holds_nobody_up_for_long(tmp_path):
    assert Store(tmp_path).claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    path.write_text(path.read_text()[:-2])
    assert not Store(tmp_path).claims.claim("s", "t")
    os.utime(path, (1, 1))
    assert Store(tmp_path).claims.claim("s", "t")


def test_a_partial_file_of_a_process_that_is_gone_is_swept(tmp_path):
    store = Store(tmp_path)
    store.write_manifest({})
    mine = partial_beside(tmp_path / "cells")
    pid = str(os.getpid())
    left = mine.with_name(re.sub(rf"-{pid}-(\d+)-", rf"-{pid}-1\1-", mine.name))
    for path in (mine, left):
        path.touch()
    store.sweep()
    assert mine.exists() and not left.exists()


def test_writing_where_one_may_not_names_the_path(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StoreError, match="file"):
        Store(blocked).write_manifest({})


def test_clearing_an_abandoned_claim_gives_back_one_that_is_new(tmp_path):
    """Two find a dead owner's claim; the slower one meets the quicker one's new claim."""
    assert Store(tmp_path).claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    remove_abandoned(path)
    assert [p.name for p in (tmp_path / "claims").iterdir()] == [path.name]
    assert not Store(tmp_path).claims.claim("s", "t")


def test_a_claim_that_finds_no_room_leaves_nothing(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            Store(tmp_path).claims.claim("s", "t")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "claims").iterdir())
