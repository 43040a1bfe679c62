"""Fast fingerprints of files, so that a plan of a finished run reads no audio and loads no model.

Conventions
-----------
stamp    a digest of names, sizes and times of files; equal stamps mean that no file has changed, as
         far as the file system shows. The ctime is included, because some programs set the
         modification time back (rsync, tar)
system   what may change the weights or the code that a spec loads: the files of the package or
         module that registers the system, and the versions of the packages that it requires; files
         and folders that an option names, configurations beside them, and what a JSON file among
         these names; the files in caches of weights
input    the files of a track and, for a system that reads estimates, the files of these; for a data
         set of another package also that package's code. A track without files, or of a data set
         that is registered in this process only, is loaded, and its audio is hashed
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.cache import cache_folder
from benchsep._util.digest import digest
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import remembered_sha256
from benchsep.errors import BenchsepError, UsageError
from benchsep.registry import installed, is_local, is_ours
from benchsep.runner.done import installed as packages_installed
from benchsep.runner.info import info_from_json
from benchsep.runner.loaded_track import load_track
from benchsep.systems.spec import Spec

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.runner.store import Store
    from benchsep.systems.contract import SystemInfo


def system_stamp(spec: str, device: str, own: str = "") -> str:
    """A stamp that changes with the code or the weights of a spec; imports nothing.

    ``own``: an earlier result of :func:`own_stamp`. A stamp for a loaded system is made with that
    from before the load: if a file was replaced since then, the stamp is no longer valid. The
    caches of weights are read after the load, which may download weights.
    """
    return digest(device, spec, own or own_stamp(spec), _facts(_cached_weights()))


def own_stamp(spec: str) -> str:
    """The part of a stamp for the code, and for the files that a spec names."""
    parsed = Spec.parse(spec)
    paths = [*_named(parsed), *_code_of("system", parsed.name)]
    return digest(_facts(paths), packages_installed(_required("system", parsed.name)))


def _facts(paths: Sequence[Path]) -> list[list[Any]]:
    """Path, size in bytes, times in ns and inode of each file; the path alone if there is none."""
    facts: list[list[Any]] = []
    for path in sorted(set(paths)):
        facts.append([os.fsencode(path).hex()])  # a name may be no UTF-8
        with suppress(OSError):
            stat = path.stat()
            facts[-1] += [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    return facts


CONFIGURATIONS = (".yaml", ".yml", ".json", ".toml")
MOST_FILES = 10_000
"""Most files of a folder that are compared; the stamp of a larger one is always new."""
LARGEST_JSON = 1 << 20
"""Bytes; a larger file is data rather than a configuration."""


def _named(spec: Spec) -> list[Path]:
    """The files that a spec may read: those that its options name, in folders also below these;
    configurations beside a file; and what JSON files among all of these name.
    """
    found = [path for text in (*spec.options.values(), spec.text) for path in _at(text)]
    for path in [path for path in found if path.suffix == ".json"]:
        found += [inner for text in _texts(path) for inner in _at(text)]
    return found


def _at(text: str) -> list[Path]:
    """The files at a path, if the text is one."""
    with suppress(OSError, ValueError, RuntimeError):  # a word that is no path, an unknown user
        path = Path(text).expanduser() if text else None
        if path is not None and path.is_file():
            return [path, *(p for p in path.parent.iterdir() if _configures(p, path))]
        if path is not None and path.is_dir():
            return _below(path)
    return []


def _configures(path: Path, weights: Path) -> bool:
    return path.suffix.lower() in CONFIGURATIONS or path.stem == weights.stem


def _below(folder: Path) -> list[Path]:
    """The files below a folder, at most :data:`MOST_FILES`; of a larger folder, a path that no
    other call gives.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        found += [Path(place, name) for name in names]
        if len(found) > MOST_FILES:
            return [*found[:MOST_FILES], Path(place, str(time.time_ns()))]
    return found


def _texts(path: Path) -> Iterator[str]:
    """The texts with a ``/`` in a JSON file, if it is a small one."""
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= LARGEST_JSON:
            left = [parse_json(path.read_text(encoding="utf-8"))]
            while left:
                item = left.pop()
                if isinstance(item, str) and os.sep in item:
                    yield item
                elif isinstance(item, dict | list):
                    left += item.values() if isinstance(item, dict) else item


def _code_of(kind: str, name: str) -> list[Path]:
    """The files of the package that registers a name, or the file of its module."""
    modules = {p.value.split(":")[0].split(".")[0] for p in installed(kind) if p.name == name}
    return [path for module in sorted(modules) for path in _files_of(module)]


def code_id(kind: str, name: str) -> str:
    """A hash of the Python files of the package that registers a system or a metric; empty for
    those of benchsep, and for what is registered in this process only.

    It is no part of an identity: the author of a package raises the version when a value may
    change. A run notes that the code changed and the version did not.
    """
    if not is_of_another_package(kind, name):
        return ""
    files = sorted(path for path in _code_of(kind, name) if path.suffix == ".py")
    return digest([[path.name, remembered_sha256(path)] for path in files[:MOST_FILES]])


def is_of_another_package(kind: str, name: str) -> bool:
    """Whether a name is registered by an installed package that is not benchsep."""
    points = [point for point in installed(kind) if point.name == name]
    return bool(points) and all(p.dist is not None and p.dist.name != "benchsep" for p in points)


def remembered_codes(store: Store) -> dict[str, str]:
    """Specs of systems and names of metrics to their :func:`code_id` in an earlier run's manifest;
    empty if there is none.
    """
    try:
        manifest = store.manifest()
        codes = {e["spec"]: e["code"] for e in manifest["systems"].values() if e.get("code")}
        metrics = manifest["metrics"].items()
        return codes | {name: e["code"] for name, e in metrics if e.get("code")}
    except (BenchsepError, KeyError, TypeError, AttributeError):
        return {}


def _required(kind: str, name: str) -> tuple[str, ...]:
    """The distribution that registers a name, and all that it requires, extras included."""
    found = set()
    for point in installed(kind):
        if point.name == name and point.dist is not None:
            found |= {point.dist.name, *(_name_in(text) for text in point.dist.requires or ())}
    return tuple(sorted(found))


def _name_in(requirement: str) -> str:
    """``torch`` of ``torch>=2; extra == 'gpu'``."""
    match = re.match(r"[\w.-]+", requirement)
    return match[0] if match else requirement


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
    environment = os.environ.get
    home = Path(environment("XDG_CACHE_HOME") or Path.home() / ".cache")
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
    """Name, size in bytes and times in ns of each file that exists, in their order; if a link leads
    to it, also its inode, because the files of another target may have equal sizes and times.
    """
    stats: list[list[Any]] = []
    links: dict[str, bool] = {}
    for path in map(str, paths):
        try:
            stat = os.stat(path)  # noqa: PTH116 -- a text
        except OSError:
            continue
        folder, _, name = path.rpartition(os.sep)
        if folder not in links:
            links[folder] = os.path.realpath(folder) != os.path.abspath(folder)  # noqa: PTH100
        inode = [stat.st_ino] if links[folder] or os.path.islink(path) else []  # noqa: PTH114
        stats.append([name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, *inode])
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
