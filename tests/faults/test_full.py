"""No room: full disks, file-size limits, folders that cannot be written, damaged store files.

A clear error names the path, what was stored stays readable, and the run continues once there is
room. A real full disk is a small tmpfs; where none may be mounted those tests are skipped, and
the file-size limit (which needs no rights) covers the same paths.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import benchsep
from benchsep.audio import Audio, write_audio
from benchsep.errors import AudioError
from benchsep.runner.store import Store
from tests.faults.test_killed import cells, check_clean, digest, labelling, suite
from tests.helpers.noise import noise_songs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 512 KB."""
    root = tmp_path / "disk"
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield root
    subprocess.run(["umount", str(root)], check=True)


def fill(root: Path, leave: int) -> Path:
    """Take all but ``leave`` bytes."""
    ballast = root / "ballast"
    with ballast.open("wb", buffering=0) as handle:
        try:
            while handle.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    with ballast.open("r+b") as handle:
        handle.truncate(max(0, ballast.stat().st_size - leave))
    return ballast


def test_a_run_on_a_full_disk_says_so_and_continues_once_there_is_room(
    zygote, songs, disk, tmp_path, sizes, figures
):
    # Workers on a full disk: `test_a_full_disk_under_a_pool_is_one_message`, and the long form.
    command = ("benchsep", "run", suite(tmp_path, songs, inline=sizes(True, False)), "-o")
    zygote.ok(*command, tmp_path / "whole")
    expected, rng, said = cells(tmp_path / "whole"), random.Random(8), 0
    for number in range(sizes(1, 4)):
        run = disk / f"run-{number}"
        ballast = fill(disk, rng.randrange(0, 40_000))
        reply = zygote(*command, run)
        if reply["code"]:
            said += 1
            assert reply["code"] == 2 and "Traceback" not in zygote.said(), zygote.said()
            assert str(run) in zygote.said() and "No space left" in zygote.said()
        for record in (run / "cells").rglob("*.json"):
            assert record.stat().st_size, "a torn file under its final name"
        ballast.unlink()
        zygote.ok(*command, run)
        assert cells(run) == expected
        check_clean(run)
        subprocess.run(["rm", "-r", str(run)], check=True)
    figures.update(tries=sizes(1, 4), errors_that_name_the_path=said, different=0)


@pytest.mark.parametrize("limit", [1_500, 4_500])
def test_a_file_size_limit_is_named_and_lifted(zygote, songs, tmp_path, limit):
    """1,500 bytes let no manifest through; 4,500 let the manifest through and no record."""
    command = ("benchsep", "run", suite(tmp_path, songs, inline=True), "-o", tmp_path / "run")
    assert zygote(*command, file_size=limit)["code"] == 2
    said = zygote.said()
    assert "File too large" in said and str(tmp_path / "run") in said and "Traceback" not in said
    zygote.ok(*command)
    check_clean(tmp_path / "run")


def test_a_full_disk_under_a_pool_is_one_message(tmp_path, monkeypatch):
    """A worker that cannot write reports it and ends; the parent raises it, once."""
    import resource

    from benchsep.errors import StoreError

    songs = noise_songs(tmp_path / "songs", ("one",))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_500, before[1]))
    try:
        with pytest.raises(StoreError, match=r"one\.json: cannot be written \(File too large"):
            benchsep.run(
                out=tmp_path / "run", dataset=f"folder:{songs}", systems=("mixture",),
                metrics=("usdr", "sisdr", "lsd"), yardsticks=False, jobs=2, timeout=600,
            )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_pseudo_labels_and_training_say_which_file_found_no_room(zygote, tmp_path):
    music = noise_songs(tmp_path / "music", ("one",), seconds=2.5)
    out = tmp_path / "shards"
    assert zygote(*labelling(music, out), file_size=50_000)["code"] == 1
    assert "shard-000000.tar: cannot be written (File too large)" in zygote.said()
    assert not list(out.glob("*.partial"))
    zygote.ok(*labelling(music, out))
    assert zygote("train", tmp_path / "run", file_size=200_000)["code"] == 99
    last = zygote.said().splitlines()[-1]
    assert last.startswith(f"tokensep.errors.DataError: {tmp_path}/run/bank: cannot be written")
    zygote.ok("train", tmp_path / "run")


def test_a_checkpoint_without_room_names_itself_and_keeps_the_one_before(tmp_path):
    import resource

    import torch
    from benchsep_training import checkpoint
    from tokensep.errors import CheckpointError

    checkpoint.save(tmp_path, 1, {"model": {"w": torch.zeros(10)}}, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match="step-2: cannot be written"):
            checkpoint.save(tmp_path, 2, {"model": {"w": torch.zeros(100_000)}}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]
    assert checkpoint.load(tmp_path / "step-1")[1] == {"step": 1}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_audio_is_written_whole_or_not_at_all(tmp_path, suffix):
    """Around the limit libsndfile loses the end of a FLAC file without a word."""
    import resource

    samples = np.random.default_rng(0).normal(0, 0.1, (2, 16_000)).astype(np.float32)
    path, before = tmp_path / f"a{suffix}", resource.getrlimit(resource.RLIMIT_FSIZE)
    written = refused = 0
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        for frames in range(5_000, 12_000, 250):
            try:
                write_audio(path, Audio(samples[:, :frames], 8000))
            except AudioError as error:
                assert str(path) in str(error)
                refused += 1
                continue
            written += 1
            found, _ = soundfile.read(str(path))
            assert len(found) == frames
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert written and refused
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_named(zygote, songs, tmp_path, request):
    """Root may write into read-only folders, so the folder is a file, or the mount is read-only."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    command = ("benchsep", "run", suite(tmp_path, songs, inline=True), "-o")
    assert zygote(*command, blocked / "run")["code"] == 2
    assert "blocked" in zygote.said() and "Traceback" not in zygote.said()
    frozen = tmp_path / "frozen"
    zygote.ok(*command, frozen)
    expected = cells(frozen)
    bind = ["mount", "--bind", str(frozen), str(frozen)]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("no bind mounts here: the file in place of the folder was checked")
    request.addfinalizer(lambda: subprocess.run(["umount", str(frozen)], check=True))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(frozen)], check=True)
    assert zygote(*command, frozen, "--overwrite", "always")["code"] == 2
    assert "Read-only file system" in zygote.said() and str(frozen) in zygote.said()
    assert cells(frozen) == expected
    zygote.ok("benchsep", "show", frozen)


def test_damaged_store_files_are_named_set_aside_and_computed_again(
    zygote, songs, tmp_path, sizes, figures
):
    run = tmp_path / "run"
    command = ("benchsep", "run", suite(tmp_path, songs, inline=True), "-o", run)
    zygote.ok(*command)
    expected, rng = cells(run), random.Random(8)
    paths = sorted((run / "cells").rglob("*.json"))
    damages = sizes(2, 40)
    for number in range(damages):
        path = rng.choice(paths)
        data = bytearray(path.read_bytes())
        if number % 3 == 0:
            data = data[: rng.randrange(len(data))]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        suite(tmp_path, songs, inline=number % 10 > 0 or not sizes(0, 1))  # seldom in a worker
        zygote.ok(*command)
        said = zygote.said()
        assert path.name in said and "set aside" in said
        aside = path.with_suffix(".json.corrupt")
        assert aside.read_bytes() == data
        aside.unlink()
        assert cells(run) == expected
    figures.update(damaged=damages, used_silently=0)


def test_a_damaged_manifest_is_named_and_written_anew(zygote, songs, tmp_path):
    run = tmp_path / "run"
    command = ("benchsep", "run", suite(tmp_path, songs, inline=True), "-o", run)
    zygote.ok(*command)
    expected, path = cells(run), run / "manifest.json"
    path.write_text(path.read_text().replace('"family": "oracle"', '"family": "mixture"'))
    with pytest.raises(benchsep.errors.StoreError, match=r"manifest.json: damaged \(its checksum"):
        Store(run).manifest()
    assert zygote("benchsep", "show", run)["code"] == 2
    zygote.ok(*command)
    assert cells(run) == expected


def test_a_report_on_a_full_disk_names_the_file(zygote, songs, tmp_path):
    zygote.ok("benchsep", "run", suite(tmp_path, songs, inline=True), "-o", tmp_path / "run")
    out = tmp_path / "report"
    code = zygote("benchsep", "report", tmp_path / "run", "-o", out, "--no-page", "--max-songs",
                  "0", file_size=9_000)["code"]  # fmt: skip
    assert code == 2 and "report/" in zygote.said() and "Traceback" not in zygote.said()
    assert not [name for name in digest(out) if "partial" in name]
