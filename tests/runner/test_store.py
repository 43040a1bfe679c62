"""The store: names that cannot escape, checksums, claims."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep._util.atomic import partial_beside
from benchsep._util.digest import canonical, file_name
from benchsep.errors import StoreError
from benchsep.runner.claims import STALE_CLAIM_S, Owner, remove_abandoned
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


def _foreign(path: Path) -> None:
    """Turn a claim into one of another machine with the same host name."""
    host, pid, start = path.read_text().split()
    name, machine, token, _ = host.split(":")
    path.write_text(f"{name}:{machine[::-1]}x:{token}:another {pid} {start}\n")


@pytest.mark.parametrize("apart_s", [-1200, 1200])
def test_clocks_twenty_minutes_apart_make_no_claim_abandoned(tmp_path, monkeypatch, apart_s):
    store = Store(tmp_path)
    assert store.claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    _foreign(path)
    for minute in range(60):  # its owner touches it by its own clock
        now = time.monotonic() + 60.0
        monkeypatch.setattr("benchsep.runner.claims.time.monotonic", lambda now=now: now)
        touched = time.time() + apart_s + minute
        os.utime(path, (touched, touched))
        assert not store.claims.claim("s", "t") and not store.claims.is_free("s", "t")
    store.sweep()
    assert path.exists()
    later = now + STALE_CLAIM_S + 1  # nobody touches it any more
    monkeypatch.setattr("benchsep.runner.claims.time.monotonic", lambda: later)
    assert store.claims.is_free("s", "t") and store.claims.claim("s", "t")


@pytest.mark.parametrize(
    ("computer", "touched_s", "is_free"),
    [
        ("this", -300, True),
        ("this", -90, False),  # its owner may still be alive: two refreshes have not passed
        ("this", -30, False),  # since the start: somebody touches it
        ("another", -300, False),
        ("", -300, False),  # of a version, or in a container, that does not know
    ],
)
def test_a_claim_from_before_a_restart_of_this_computer_is_free_at_once(
    tmp_path, monkeypatch, computer, touched_s, is_free
):
    store, now = Store(tmp_path), time.time()
    monkeypatch.setattr("benchsep.runner.claims.computer", lambda: "this")
    monkeypatch.setattr("benchsep.runner.claims.boot_time", lambda: now - 60)
    assert store.claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    path.write_text(f"host:another-boot:token:{computer} {os.getpid()} 1\n")
    os.utime(path, (now + touched_s, now + touched_s))
    assert store.claims.is_free("s", "t") is is_free


def test_where_the_computer_is_unknown_nothing_is_of_it(tmp_path, monkeypatch):
    store, now = Store(tmp_path), time.time()
    monkeypatch.setattr("benchsep.runner.claims.computer", lambda: "")
    monkeypatch.setattr("benchsep.runner.claims.boot_time", lambda: now)
    assert store.claims.claim("s", "t")
    path = next((tmp_path / "claims").iterdir())
    path.write_text(f"host:another-boot:token: {os.getpid()} 1\n")
    os.utime(path, (now - 300, now - 300))
    assert not store.claims.is_free("s", "t")


def test_a_claim_is_released_by_its_owner_alone(tmp_path):
    store, other = Store(tmp_path), Store(tmp_path, Owner("host:machine:token", 1, 1))
    assert store.claims.claim("s", "t")
    other.claims.release("s", "t")
    assert not other.claims.claim("s", "t")
    store.claims.release("s", "t")
    assert not list((tmp_path / "claims").iterdir())


def test_a_partial_file_of_another_machine_is_left_alone_for_a_week(tmp_path):
    store = Store(tmp_path)
    store.write_manifest({})
    theirs = tmp_path / ".0123abcd-17-99-5.partial"
    for age_s, is_left in ((0, True), (7200, True), (86_400, True), (8 * 86_400, False)):
        theirs.touch()
        os.utime(theirs, (time.time() - age_s,) * 2)
        store.sweep()
        assert theirs.exists() == is_left
