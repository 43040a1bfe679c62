"""What int8 weights (``step=int8``) cost: teacher-forced NLL and accuracy on validation songs.

    python -m benchmarks.int8_quality mini --musdb MUSDB/train [--songs 3]

The decoder's matrices are replaced by what their int8 form stands for (norm gains folded in first,
as decoding does), and the same windows are scored with both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from tokensep.decode.compiled import quantised
from tokensep.lm.config import LMTrainConfig
from tokensep.separator import TokenSep
from tokensep.train.data import StemStore, musdb_files, validation_songs
from tokensep.train.encoding import store_songs
from tokensep.train.objective import Objective, validate
from tokensep.train.token_dataset import TokenDataset


@torch.no_grad()
def to_int8(decoder: torch.nn.Module) -> None:
    """Round every matrix of the blocks in place."""
    for block in decoder.blocks:
        for linear, norm in (
            (block.qkv, block.norm1),
            (block.out, None),
            (block.gate_up, block.norm2),
            (block.down, None),
        ):
            gain = torch.ones(linear.in_features) if norm is None else norm.weight
            whole, scale = quantised((linear.weight * gain).t()[None])
            linear.weight.copy_((whole * scale[:, None])[0].t() / gain)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--musdb", type=Path, required=True)
    parser.add_argument("--songs", type=int, default=14)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TokenSep.from_checkpoint(args.checkpoint)
    names = set(validation_songs()[: args.songs])
    with tempfile.TemporaryDirectory() as folder:
        files = musdb_files(args.musdb, names, set())
        store = StemStore.build(Path(folder), files, model.codec.rate)
        songs = store_songs(store, names)
        crops = TokenDataset.build(songs, model.codec, model.config).windows(2)
    objective = Objective(model.lm, LMTrainConfig())
    found = {"fp32": validate(objective, crops, model.codec)}
    to_int8(model.lm.decoder)
    found["int8"] = validate(objective, crops, model.codec)
    keys = ("nll", "accuracy", "latent_error")
    print(json.dumps({s: {k: r[k] for k in keys} for s, r in found.items()}, indent=1))
    print(f"{len(crops)} windows of {len(names)} validation songs")


if __name__ == "__main__":
    main()
