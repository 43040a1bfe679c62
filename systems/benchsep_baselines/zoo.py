"""Public checkpoints by name: ``msst:model=NAME``, and the defaults of ``bs_roformer`` and
``scnet``.

Conventions
-----------
list      ``zoo.yaml``: addresses, stems, training data and licence according to their sources; a
          hash only if independent sources agree
found     searched in the user's folder (``<cache>/checkpoints``, by the published file names), then
          among downloaded files, then at the address
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from benchsep._util.suggest import did_you_mean
from benchsep._util.yamlfile import read_yaml
from benchsep.errors import CheckpointError, UsageError
from benchsep_baselines import fetch, locate

LIST = Path(__file__).with_name("zoo.yaml")

OFFICIAL = {"bs_roformer": "bs-roformer-musdb", "scnet": "scnet-musdb"}
"""System to its default entry."""


@dataclass(frozen=True)
class Entry:
    """A public checkpoint: an entry of ``zoo.yaml``."""

    name: str
    architecture: str
    weights: str
    config: str
    stems: tuple[str, ...]
    training_data: str
    trained_on: tuple[str, ...]
    licence: str
    sha256: str = ""
    megabytes: int = 0

    @property
    def addresses(self) -> tuple[str, str]:
        """Addresses of the weights (with hash, if known) and of the configuration."""
        return self.weights + (f"#sha256={self.sha256}" if self.sha256 else ""), self.config

    @property
    def command(self) -> str:
        """A command that downloads both files."""
        return fetch.command_for(self.weights, self.config)


@cache
def entries() -> dict[str, Entry]:
    """The list, by name."""
    content: dict[str, dict[str, Any]] = read_yaml(LIST)
    return {name: _entry(name, fields) for name, fields in content.items()}


def _entry(name: str, fields: dict[str, Any]) -> Entry:
    values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return Entry(name=name, **values)


def entry(name: str) -> Entry:
    """The entry of a name.

    Raises
    ------
    UsageError
        there is none; the message has a suggestion.
    """
    known = entries()
    if name not in known:
        raise UsageError(
            f"unknown public checkpoint {name!r}{did_you_mean(name, list(known))} (all: "
            f"{', '.join(known)})"
        )
    return known[name]


def is_here(found: Entry) -> bool:
    """Whether both files exist on this machine, without reading them."""
    return all(p.is_file() for p in _own(found)) or all(map(fetch.is_kept, found.addresses))


def kept(found: Entry) -> tuple[Path, Path] | None:
    """Weights and configuration if both are on this machine, else ``None``."""
    own = _own(found)
    if all(path.is_file() for path in own):
        return own
    return fetched(found) if is_here(found) else None


def _own(found: Entry) -> tuple[Path, Path]:
    """The paths of the two files in the user's folder, by their published names."""
    weights, config = (PurePosixPath(fetch.parse_address(a).url).name for a in found.addresses)
    return locate.user_folder() / weights, locate.user_folder() / config


def fetched(found: Entry) -> tuple[Path, Path]:
    """Weights and configuration, from the cache or their servers.

    Raises
    ------
    CheckpointError
        a file cannot be downloaded or has changed; the message has a command for both.
    """
    try:
        config = fetch.fetched(found.addresses[1])  # the small file first, for a quick error
        return fetch.fetched(found.addresses[0]), config
    except CheckpointError as error:
        if "cannot be fetched" not in str(error):
            raise
        why = str(error).partition("; on a machine")[0]
        raise CheckpointError(f"{found.name}: {why}; to fetch it: {found.command}") from error


def table() -> str:
    """The list as a Markdown table, for ``docs/checkpoints.md``."""
    lines = [
        "| name | architecture | stems | training data | licence | MB |",
        "|---|---|---|---|---|---|",
    ]
    for e in entries().values():
        host = f"[{e.name}]({fetch.parse_address(e.weights).url})"
        facts = (host, e.architecture, ", ".join(e.stems), e.training_data, e.licence)
        lines.append(f"| {' | '.join(facts)} | {e.megabytes or ''} |")
    return "\n".join(lines)
