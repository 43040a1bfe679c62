"""Token shards of labelled noise, encoded by the codec without training."""

from __future__ import annotations

from pathlib import Path

from tokensep.train.shard_index import write_index
from tokensep.train.tokenizing.inputs import find_inputs
from tokensep.train.tokenizing.job import claim, new_job
from tokensep.train.tokenizing.shard import write_token_shard

from tests.helpers.lm_dummies import DummyCodec, tiny_config


def tokenized(shards: Path, out: Path, codec=None, **settings) -> Path:
    """``tokensep tokenize`` in this process."""
    out.mkdir(parents=True)
    codec, config = codec or DummyCodec(), tiny_config()
    job = new_job(codec, config, **settings)
    claim(out, job)
    for source in find_inputs([shards], [], "all"):
        write_token_shard(source, out / f"{source.name}.tar", codec, config, job)
    write_index(out)
    return out
