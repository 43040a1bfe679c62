"""The codec and settings of a folder of token shards, and whether a training may use them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from benchsep._util.atomic import write_atomically
from benchsep._util.reason import without_path
from benchsep._util.strict_json import parse_json
from tokensep.codec.codebooks import codebooks
from tokensep.codec.interface import device_of
from tokensep.config import Strict, load
from tokensep.errors import ConfigError, DataError
from tokensep.lm.config import TokenSepConfig
from tokensep.train.encoding import silence_codes
from tokensep.train.pseudo_labels.reading import JOB
from tokensep.train.stream import remote


class TokenJob(Strict):
    """The content of ``job.json``."""

    version: Literal[1] = 1
    codec: str
    """Mark of the codebooks, from :func:`codec_mark`."""
    rate: int
    frame_hop: int
    loudness: float
    stems: tuple[str, ...]
    silence: tuple[int, ...]
    """Codes of digital silence, one for each layer."""
    variants: int = Field(default=1, ge=1)
    seed: int = 0
    mixture: Literal["sum", "recorded"] = "sum"
    """What the mixture member holds."""
    stem_audio: bool = True
    polarity_free: bool = False
    """Whether the codec gives a wave and its negative the same codes."""

    @property
    def layers(self) -> int:
        """Codebooks per frame."""
        return len(self.silence)


def codec_mark(codec: Any) -> str:
    """Sixteen hex digits that stand for the codebooks of a codec."""
    return hashlib.sha256(codebooks(codec).numpy().tobytes()).hexdigest()[:16]


@torch.no_grad()
def is_polarity_free(codec: Any) -> bool:
    """Whether noise and its negative get the same codes (the encoder sees magnitudes only)."""
    noise = 0.1 * torch.randn(1, 16 * codec.frame_hop, generator=torch.Generator().manual_seed(0))
    one, other = (codec.encode(wave.to(device_of(codec))).stack() for wave in (noise, -noise))
    return bool(torch.equal(one, other))


def new_job(codec: Any, config: TokenSepConfig, **settings: Any) -> TokenJob:
    """The job of this codec and of a configuration that was fitted to it.

    Raises
    ------
    ConfigError
        A setting is unknown or has an invalid value.
    """
    facts = {
        "codec": codec_mark(codec),
        "rate": config.rate,
        "frame_hop": config.frame_hop,
        "loudness": config.loudness,
        "stems": config.stems,
        "silence": silence_codes(codec, config).tolist(),
        "polarity_free": is_polarity_free(codec),
    }
    return load(TokenJob, {**facts, **settings})


def claim(out: Path, job: TokenJob) -> None:
    """Write the job into a new folder.

    Raises
    ------
    DataError
        The folder was begun with another job.
    """
    path = out / JOB
    if not path.exists():
        write_atomically(path, job.model_dump_json(indent=1) + "\n")
    elif different := _differences(read_job(out), job):
        raise DataError(
            f"{out} was made with other settings ({', '.join(different)}); give the same "
            "settings, choose another folder, or delete it"
        )


def read_job(folder: Path | str) -> TokenJob:
    """The job of a folder of token shards, or of its address.

    Raises
    ------
    DataError
        The folder has none, or it is not one of token shards.
    """
    path = folder / JOB if isinstance(folder, Path) else remote.address_of(folder, JOB)
    try:
        if isinstance(path, Path):
            text = path.read_text(encoding="utf-8")
        else:
            text = remote.read_text(str(folder), JOB)
        return load(TokenJob, parse_json(text))
    except (OSError, ValueError, ConfigError) as error:
        raise DataError(
            f"{path} does not describe token shards ({without_path(error)}); expected a folder "
            "that `tokensep tokenize` wrote"
        ) from error


def common_job(folders: list[Path | str]) -> TokenJob:
    """The job of several folders: they may differ in variants and seed, and in stem audio.

    Raises
    ------
    DataError
        They differ in what a training relies on.
    """
    jobs = {folder: read_job(folder) for folder in folders}
    first = jobs[folders[0]]
    for folder, job in jobs.items():
        different = set(_differences(first, job)) - {"variants", "seed", "stem_audio"}
        if different:
            raise DataError(
                f"{folders[0]} and {folder} differ in {', '.join(sorted(different))}; tokenize "
                "both with the same codec and settings"
            )
    return first.model_copy(update={"stem_audio": all(job.stem_audio for job in jobs.values())})


def check_codec(job: TokenJob, codec: Any, config: TokenSepConfig) -> None:
    """Refuse tokens of another codec.

    Raises
    ------
    DataError
        naming what differs.
    """
    expected = new_job(codec, config)
    same = ("codec", "rate", "frame_hop", "loudness", "stems")
    different = [name for name in same if getattr(job, name) != getattr(expected, name)]
    if different:
        found = {name: getattr(job, name) for name in different}
        wanted = {name: getattr(expected, name) for name in different}
        raise DataError(
            f"the token shards were made with {found}, this training has {wanted}; give the "
            "--codec and --config of the tokens, or tokenize again"
        )


def _differences(one: TokenJob, other: TokenJob) -> list[str]:
    return [n for n in TokenJob.model_fields if getattr(one, n) != getattr(other, n)]
