"""A folder of weights is clean after a write, whatever a killed writer left in it."""

from __future__ import annotations

import os
import subprocess
import sys

import torch

from benchsep._util.atomic import partial_beside
from benchsep._util.tensors import file_sha256, remembered_sha256, save_tensors


def test_what_a_dead_writer_left_goes_and_a_living_ones_file_stays(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from benchsep._util.atomic import partial_beside\n"
        "partial_beside(pathlib.Path(sys.argv[1]) / 'lm.json', '.json').touch()"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)  # it is gone now
    ours = partial_beside(tmp_path / "codec.json", ".json")
    ours.touch()
    assert len(list(tmp_path.iterdir())) == 2
    save_tensors(tmp_path / "lm.safetensors", {"w": torch.zeros(2)})
    assert {path.name for path in tmp_path.iterdir()} == {"lm.safetensors", ours.name}


def test_a_file_of_equal_size_and_time_is_hashed_again(tmp_path):
    """As rsync and tar leave it: the time of the content is set back."""
    path, found = tmp_path / "weights.bin", []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, ns=(0, 0))
        found.append(remembered_sha256(path))
        assert found[-1] == remembered_sha256(path) == file_sha256(path)
    assert found[0] != found[1]
