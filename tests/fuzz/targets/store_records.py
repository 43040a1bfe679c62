"""A record and a manifest of a run folder, as the file is and with a checksum that holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchsep._util.digest import digest
from benchsep.errors import StoreError
from benchsep.runner.frame import load_costs, load_run
from benchsep.runner.stamps import remembered_labels, remembered_systems
from benchsep.runner.store import Store
from tests.fuzz.target import Target

MANIFEST = {"format": 1, "suite": {"seed": 0, "draws": 1}, "dataset": {"tracks": ["t"]},
            "systems": {}, "metrics": {}, "packages": {"benchsep": "0"}}  # fmt: skip


def read(data: bytes, folder: Path) -> object:
    run = Store(folder / "run")
    for content in (data, _with_checksum(data)):
        for kind in ("record", "manifest"):
            shutil.rmtree(run.root, ignore_errors=True)
            (run.cells_root / "s").mkdir(parents=True)
            run.write_manifest(MANIFEST)
            target = run.path("s", "t") if kind == "record" else run.root / "manifest.json"
            target.write_bytes(content)
            _use(run)
    return None


def _with_checksum(data: bytes) -> bytes:
    """As somebody would leave it who edits a file and its checksum."""
    try:
        tree = json.loads(data)
        body = {k: v for k, v in tree.items() if k != "checksum"}
        return json.dumps({**body, "checksum": digest(body)}).encode()
    except (ValueError, AttributeError, RecursionError, StoreError):
        return data


def _use(run: Store) -> None:
    for reader in (
        lambda: run.records(),
        lambda: run.read("s", "t"),
        lambda: load_run(run.root),
        lambda: load_costs(run.root),
        lambda: remembered_systems(run),
        lambda: remembered_labels(run),
        lambda: run.refuse_other_formats(),
    ):
        try:
            reader()
        except StoreError:
            continue


TARGET = Target(
    read,
    (b'"format"', b'"checksum"', b'"system"', b'"track"', b'"cells"', b'"draws"', b'"suite"',
     b'"dataset"', b'"systems"', b'"metrics"', b'"packages"', b'"tracks"', b'"labels"', b'"info"',
     b'"spec"', b'"stamp"', b'"mixtures"', b'"seed"', b"null", b"[]", b"{}", b"1e999", b"-1"),
)  # fmt: skip
