"""A folder of weights is clean after a write, whatever a killed writer left in it."""

from __future__ import annotations

import subprocess
import sys

import torch

from benchsep._util.atomic import partial_beside
from benchsep._util.tensors import save_tensors


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
