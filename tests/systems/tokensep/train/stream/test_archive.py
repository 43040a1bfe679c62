"""Shards read by position give what a reader from front to back gives."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tokensep.errors import DataError
from tokensep.train.pseudo_labels import add_member, shards_in, stream
from tokensep.train.stream.archive import Archive, Archives
from tokensep.train.stream.audio_crops import held_out_stems
from tokensep.train.stream.shards import find_shards, spread

from tests.helpers.labelled import labelled


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("labels"), clips=7)


def test_any_stretch_of_any_member_can_be_read(shards):
    path = shards_in(shards)[1]
    archive = Archive(path)
    samples = list(stream([path]))
    assert archive.keys == [sample.key for sample in samples]
    for clip in (2, 0, 1):
        recording = archive.flac(clip, "drums.flac")
        whole = samples[clip].stems["drums"]
        assert (recording.frames, recording.rate) == (whole.shape[1], 8000)
        np.testing.assert_array_equal(recording.read(5000, 777), whole[:, 5000:5777])
        np.testing.assert_array_equal(recording.read(15990, 100), whole[:, 15990:])
        np.testing.assert_array_equal(recording.read(0, 10), whole[:, :10])


def test_a_stretch_costs_its_own_bytes(tmp_path, monkeypatch):
    """A second of twenty is decoded from a part of the bytes."""
    archive = Archive(shards_in(labelled(tmp_path, clips=1, seconds=20.0))[0])
    size = archive._place(0, "mixture.flac")[1]
    read, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda f, n, at: read.append(n) or pread(f, n, at))
    archive.flac(0, "mixture.flac").read(80_000, 8000)
    assert 8000 < sum(read) < 0.7 * size


def test_damaged_shards_are_named(shards, tmp_path):
    whole = shards_in(shards)[0].read_bytes()
    for name, data in {"cut": whole[: len(whole) // 2], "text": b"no tar", "empty": b""}.items():
        path = tmp_path / f"{name}.tar"
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"{name}\.tar is not a complete shard"):
            Archive(path)
    archive = Archive(shards_in(shards)[0])
    with pytest.raises(DataError, match=r"has no piano\.flac, only mixture\.flac, vocals\.flac"):
        archive.read(0, "piano.flac")
    flipped = bytearray(whole)
    at = archive._place(1, "bass.flac")[0]
    flipped[at : at + 100] = bytes(100)
    (tmp_path / "flipped.tar").write_bytes(flipped)
    with pytest.raises(DataError, match=r"flipped\.tar is not a complete shard .*bass\.flac"):
        Archive(tmp_path / "flipped.tar").flac(1, "bass.flac")


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_few_shards_are_open_at_a_time(shards):
    opened = open_files()
    archives = Archives(shards_in(shards) * 40, 2)
    for shard in range(len(archives.paths)):
        assert archives[shard].parts(0) >= {"mixture.flac", "json"}
    assert open_files() <= opened + 2


def test_clips_are_counted_by_the_file_beside_a_shard_or_by_its_members(shards, tmp_path):
    found = find_shards([shards])
    assert found.counts == [3, 3, 1] and found.clips == 7
    for path in shards_in(shards):
        (tmp_path / path.name).symlink_to(path)
    assert find_shards([tmp_path]).counts == [3, 3, 1]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing: found no shards"):
        find_shards([tmp_path / "nothing"])


def test_clips_spread_over_all_shards(shards):
    assert spread(find_shards([shards]), 3) == [(0, 0), (1, 0), (2, 0)]
    assert spread(find_shards([shards]), 99) == [
        (shard, clip) for shard, count in enumerate((3, 3, 1)) for clip in range(count)
    ]


def retarred(path: Path, change) -> None:
    """The shard with other members: ``change`` of a list of (name, content)."""
    with tarfile.open(path) as tar:
        members = [(entry.name, tar.extractfile(entry).read()) for entry in tar]
    with tarfile.open(path, "w") as tar:
        for name, data in change(members):
            add_member(tar, name, data)


def flac(frames: int, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((frames, 2)), rate, format="FLAC")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("bass.flac", flac(100), r"bass\.flac has \(100, 2\) samples at 8000 Hz, the mixture"),
        ("bass.flac", flac(16_000, 4000), r"at 4000 Hz, the mixture .* at 8000 Hz"),
        ("json", b"[1]", "json is not a JSON object"),
    ],
)
def test_members_that_do_not_belong_together_are_named(tmp_path, part, content, said):
    """They ended in a ValueError of numpy, or were cut to the shortest."""
    shards = labelled(tmp_path, clips=2)
    path = shards_in(shards)[0]
    retarred(path, lambda m: [(n, content if n.endswith(part) else data) for n, data in m])
    with pytest.raises(DataError, match=rf"not a complete shard \(ValueError: .*{said}"):
        list(stream([path]))
    if content == flac(100):
        with pytest.raises(DataError, match=r"different lengths \(mixture\.flac 16000, .* 100"):
            held_out_stems(find_shards([shards]), 8000, 1.0, 4)


@pytest.mark.parametrize("clips", ["50", "-3", "1e400", "Infinity", "true", '"2"', "null"])
def test_a_count_of_clips_beside_a_shard_is_not_believed_blindly(tmp_path, clips):
    shards = labelled(tmp_path, clips=2)
    path = shards_in(shards)[0]
    path.with_suffix(".json").write_text(f'{{"clips": {clips}}}')
    found = find_shards([shards])
    if clips == "50":
        assert found.counts == [50]
        with pytest.raises(DataError, match="2 clips in it, expected at least 50"):
            Archives(found.paths, 1)[0].read(49, "json")
    else:
        assert found.counts == [2]
