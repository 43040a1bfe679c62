"""One process prepares, the others wait, and none waits for a dead one."""

from __future__ import annotations

import threading
import time

import pytest
from benchsep_training import once

from benchsep.errors import TrainingError


def as_rank(monkeypatch, rank, ranks=2):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(ranks))


def no_work():
    raise AssertionError("this process must not prepare anything")


def test_the_first_process_makes_what_is_missing_once(monkeypatch, tmp_path):
    as_rank(monkeypatch, 0)
    folder, made = tmp_path / "data", []
    for _ in range(2):
        once.prepare(folder, lambda: bool(made), lambda: made.append(1))
    assert made == [1]
    assert not (tmp_path / ".data.alive").exists()


def test_the_others_wait_as_long_as_the_first_shows_signs_of_life(monkeypatch, tmp_path):
    as_rank(monkeypatch, 1)
    monkeypatch.setattr(once, "PATIENCE_SECONDS", 0.4)
    monkeypatch.setattr(once, "POLL_SECONDS", 0.01)
    folder = tmp_path / "data"

    def first():
        for _ in range(10):  # a second in all, longer than the patience
            (tmp_path / ".data.alive").touch()
            time.sleep(0.1)
        folder.mkdir()

    thread = threading.Thread(target=first)
    thread.start()
    once.prepare(folder, folder.exists, no_work)
    thread.join()
    assert folder.exists()


def test_a_first_process_that_died_ends_the_others(monkeypatch, tmp_path):
    as_rank(monkeypatch, 1)
    monkeypatch.setattr(once, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(once, "POLL_SECONDS", 0.01)
    (tmp_path / ".data.alive").touch()
    with pytest.raises(TrainingError, match=r"data: process 0, .* has not responded"):
        once.prepare(tmp_path / "data", (tmp_path / "data").exists, no_work)


def test_a_sign_is_given_while_the_work_lasts(monkeypatch, tmp_path):
    as_rank(monkeypatch, 0)
    monkeypatch.setattr(once, "BEAT_SECONDS", 0.01)
    sign, seen = tmp_path / ".data.alive", set()

    def make():
        deadline = time.monotonic() + 5
        while len(seen) < 3 and time.monotonic() < deadline:
            if sign.exists():
                seen.add(sign.stat().st_mtime_ns)
            time.sleep(0.01)

    once.prepare(tmp_path / "data", lambda: False, make)
    assert len(seen) == 3 and not sign.exists()


def test_two_trainings_on_one_machine_prepare_a_folder_once(monkeypatch, tmp_path):
    as_rank(monkeypatch, 0, 1)
    made = []

    def make():
        time.sleep(0.1)
        made.append(1)

    threads = [
        threading.Thread(target=once.prepare, args=(tmp_path / "data", lambda: bool(made), make))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
