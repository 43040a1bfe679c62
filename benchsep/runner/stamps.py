"""Fast fingerprints of files, so that a plan of a finished run reads no audio and loads no model.

Conventions
-----------
stamp    a digest of names, sizes and times of files; equal stamps mean that no file has changed, as
         far as the file system shows. The ctime is included, because some programs set the
         modification time back (rsync, tar)
system   the files of the package or module that registers a system, files and folders that an
         option names, and the files in caches of weights, because changes there may change which
         weights the spec loads
input    the files of a track and, for a system that reads estimates, the files of these; for a data
         set of another package also that package's code. A track without files, or of a data set
         that is registered in this process only, is loaded, and its audio is hashed
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.cache import cache_folder
from benchsep._util.digest import digest
from benchsep.errors import BenchsepError, UsageError
from benchsep.registry import installed, is_local, is_ours
from benchsep.runner.info import info_from_json
from benchsep.runner.loaded_track import load_track
from benchsep.systems.command import is_file
from benchsep.systems.spec import Spec

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.runner.store import Store
    from benchsep.systems.contract import SystemInfo


def system_stamp(spec: str, device: str) -> str:
    """A stamp that changes with the code or the weights of a spec; imports nothing."""
    parsed = Spec.parse(spec)
    paths = _named(parsed)
    paths += _code_of("system", parsed.name)
    return digest(device, spec, _stats(sorted(paths)), _stats(sorted(_cached_weights())))


def _named(spec: Spec) -> list[Path]:
    """The files that a spec names, and the files in folders that an option names."""
    paths = [Path(v) for v in (*spec.options.values(), spec.text) if v and is_file(v)]
    for value in filter(None, spec.options.values()):
        with suppress(OSError, ValueError):  # a word that is no path
            folder = Path(value).expanduser()
            paths += [p for p in folder.glob("*") if p.is_file()] if folder.is_dir() else []
    return paths


def _code_of(kind: str, name: str) -> list[Path]:
    """The files of the package that registers a name, or the file of its module."""
    modules = {p.value.split(":")[0].split(".")[0] for p in installed(kind) if p.name == name}
    return [path for module in sorted(modules) for path in _files_of(module)]


def _files_of(module: str) -> list[Path]:
    spec = find_spec(module)
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        return [Path(spec.origin)] if spec.origin else []
    return [
        path
        for folder in spec.submodule_search_locations
        for path in Path(folder).rglob("*")
        if path.suffix not in (".pyc", "")
    ]


def _cached_weights() -> list[Path]:
    """Files in the caches of torch hub, the Hugging Face hub and benchsep."""
    home = Path.home() / ".cache"
    environment = os.environ.get
    torch_home = Path(environment("TORCH_HOME") or home / "torch")
    hub = Path(environment("HF_HOME") or home / "huggingface") / "hub"
    hub = Path(environment("HF_HUB_CACHE") or hub)
    return [
        *(torch_home / "hub" / "checkpoints").glob("*"),
        *hub.glob("models--*/snapshots/*/*"),
        *cache_folder().rglob("*"),
    ]


class InputStamps:
    """Stamps of inputs, with a cache for each track's files.

    ``dataset``: name of the data set; empty: one of benchsep.
    """

    def __init__(self, dataset: str = "") -> None:
        self._reads = is_local("dataset", dataset)
        foreign = bool(dataset) and not is_ours("dataset", dataset)
        self._code = _stats(_code_of("dataset", dataset)) if foreign else []
        self._files: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
        self._plain: dict[tuple[str, tuple[str, ...]], str] = {}

    def of(self, track: Track, estimates: str | None = None, other: Track | None = None) -> str:
        """As :func:`input_stamp`."""
        key = (track.name, track.paths)
        if estimates is None and other is None:
            if key not in self._plain:
                self._plain[key] = digest([self._stats(track)])
            return self._plain[key]
        parts: list[Any] = [self._stats(track)]
        if estimates is not None:
            parts.append(estimates)
        if other is not None:
            parts.append([other.name, self._stats(other)])
        return digest(parts)

    def _stats(self, track: Track) -> list[list[Any]]:
        key = (track.name, track.paths)
        if key not in self._files:
            reads = self._reads or not track.paths
            self._files[key] = _hashes(track) if reads else _stats(_by_path(track.paths))
            self._files[key] += self._code
        return self._files[key]


def input_stamp(track: Track, estimates: str | None = None, other: Track | None = None) -> str:
    """A stamp that changes with the files of the track or other input files.

    ``estimates``: the stamp of the track's estimates, for a system whose estimates are files
    (:func:`benchsep.runner.loaded_system.estimate_stamps`). ``other``: another song that the system
    gets; its name and files are included.
    """
    return InputStamps().of(track, estimates, other)


def _hashes(track: Track) -> list[list[Any]]:
    """The hashes of a track's audio; empty if it cannot be loaded (its job stores the error)."""
    audio = load_track(track).audio
    signals = {} if audio is None else {"mixture": audio.mixture, **audio.stems}
    return [[name, signal.sha256()] for name, signal in signals.items()]


def _by_path(paths: Sequence[str]) -> Sequence[str | Path]:
    """Files in the form for :func:`_stats`; texts if possible, because creating many ``Path``
    objects is slow.
    """
    if len({path.rpartition(os.sep)[0] for path in paths}) == 1:
        return sorted(paths)  # in one folder: by name, as paths are sorted
    return sorted(map(Path, paths))


def _stats(paths: Sequence[str | Path]) -> list[list[Any]]:
    """Name, size in bytes and times in ns of each file that exists, in their order."""
    stats = []
    for path in paths:
        try:
            stat = os.stat(path)  # noqa: PTH116 -- a text, or a path
        except OSError:
            continue
        name = path.rpartition(os.sep)[2] if isinstance(path, str) else path.name
        stats.append([name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
    return stats


# -- what the manifest remembers of a system ---------------------------------------------------


def remembered_systems(store: Store) -> dict[str, tuple[str, SystemInfo]]:
    """Spec to (stamp, info) from the manifest of an earlier run; empty if there is none."""
    try:
        entries = store.manifest().get("systems", {})
        return {e["spec"]: (e["stamp"], info_from_json(e["info"])) for e in entries.values()}
    except (BenchsepError, KeyError, TypeError, AttributeError):
        return {}


def check_pinned(spec: str, old: tuple[str, SystemInfo] | None, now: SystemInfo) -> None:
    """Raise if the weights at an address in a spec have changed since an earlier run in the folder.

    A change of a local file is normal (further training), and its cells are computed again. A
    change at an address is unexpected, and new cells would be mixed with old ones.

    Raises
    ------
    UsageError
        the run's manifest has another hash for this spec.
    """
    before = old[1].checkpoint_sha256 if old and "://" in spec else ""
    if before and now.checkpoint_sha256 and before != now.checkpoint_sha256:
        raise UsageError(
            f"{spec}: its files changed since this run began: sha256 {before[:16]}… in "
            f"its manifest, {now.checkpoint_sha256[:16]}… now; choose another -o, "
            "or name a revision (@COMMIT) or a hash (#sha256=…) in the address"
        )


def remembered_labels(store: Store) -> dict[str, str]:
    """Label to spec of all earlier runs in the folder; empty if there is none."""
    try:
        manifest = store.manifest()
        last = {label: entry["spec"] for label, entry in manifest.get("systems", {}).items()}
        labels = {**manifest.get("labels", {}), **last}
        return {str(label): str(spec) for label, spec in labels.items()}
    except (BenchsepError, KeyError, TypeError, AttributeError):
        return {}
