"""``index.json`` of a folder of shards: which shards exist and what each one holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from benchsep._util.atomic import write_atomically
from tokensep.train.own_json import read_json
from tokensep.train.pseudo_labels.reading import JOB, shards_in

INDEX = "index.json"


def write_index(folder: Path) -> None:
    """Clips (and frames of codes) of each shard, their totals, and a hash of the job.

    It is made from the file beside each shard, so the process that finishes last writes the
    complete index. Shards of older versions, which did not count clips, have no index.
    """
    shards = {path.name: read_json(path.with_suffix(".json")) for path in shards_in(folder)}
    if not all("clips" in facts for facts in shards.values()):
        return
    kept = {name: _numbers(facts) for name, facts in shards.items()}
    index = {
        "job": hashlib.sha256((folder / JOB).read_bytes()).hexdigest(),
        "clips": sum(facts["clips"] for facts in kept.values()),
        "frames": sum(facts.get("frames", 0) for facts in kept.values()),
        "shards": kept,
    }
    write_atomically(folder / INDEX, json.dumps(index, indent=1) + "\n")


def _numbers(facts: dict[str, Any]) -> dict[str, int]:
    return {name: facts[name] for name in ("clips", "frames") if name in facts}
