"""Write one token shard, completely or not at all."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import replacing, write_atomically
from tokensep.lm.config import TokenSepConfig
from tokensep.train.pseudo_labels.reading import Sample
from tokensep.train.pseudo_labels.shard import add_member, flac
from tokensep.train.tokenizing.clips import TokenClip, token_clips
from tokensep.train.tokenizing.inputs import Input
from tokensep.train.tokenizing.job import TokenJob


def write_token_shard(
    source: Input, target: Path, codec: Any, config: TokenSepConfig, job: TokenJob
) -> dict[str, Any]:
    """Encode all samples of ``source``; returns the facts that are stored beside ``target``.

    Raises
    ------
    DataError
        ``source`` is damaged.
    StoreError
        The disk is full, or the folder is read-only.
    """
    clips, frames = 0, 0
    with replacing(target) as partial:
        with tarfile.open(partial, "w") as tar:
            for name, sample in source.samples(job.rate):
                for clip in token_clips(sample, codec, config, job, name):
                    _add_clip(tar, f"{name}-v{clip.variant}", clip, sample, job)
                    clips += 1
                    frames += clip.codes.shape[-1]
        facts = {"source": source.name, "clips": clips, "frames": frames}
        # before the shard gets its name: a shard that is there has its facts beside it
        write_atomically(target.with_suffix(".json"), json.dumps(facts) + "\n")
    return facts


def _add_clip(
    tar: tarfile.TarFile, key: str, clip: TokenClip, sample: Sample, job: TokenJob
) -> None:
    waves = {"mixture": clip.mixture, **(clip.stems if job.stem_audio else {})}
    peak = max(float(np.abs(wave).max()) for wave in waves.values())
    gain = min(1.0, 0.99 / peak) if peak else 1.0
    add_member(tar, f"{key}.codes.npy", _npy(clip.codes))
    for name, wave in waves.items():
        add_member(tar, f"{key}.{name}.flac", flac(gain * wave[None], job.rate))
    facts = {
        "file": sample.facts.get("file"),
        "start": sample.facts.get("start"),
        "variant": clip.variant,
        "frames": clip.codes.shape[-1],
        "gain": gain,
    }
    add_member(tar, f"{key}.json", json.dumps(facts).encode())


def _npy(array: NDArray[np.int16]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
