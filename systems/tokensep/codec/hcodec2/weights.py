"""``tokensep import-hcodec``: the published H-Codec-2.0 weights as a codec folder of ours.

The file is data, never code: a pickle is read with ``weights_only``, or it is a safetensors file.
The import is strict: every tensor of the published network must be there with its shape, and
nothing else. The folder holds ``codec.safetensors`` (fp32), ``config.json`` and a card; the HuBERT
of the semantic branch stays where ``teacher.name`` points to.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsep._util.atomic import write_atomically
from benchsep._util.model_bounds import built
from benchsep._util.tensors import check_header, file_sha256, save_tensors
from tokensep.codec.hcodec2.names import Piece, digest, pieces_of
from tokensep.codec.hcodec2.settings import TEACHER, PublicSettings, read_settings
from tokensep.codec.model import TRAINING_STATISTICS, HCodec
from tokensep.config import CodecConfig
from tokensep.errors import CheckpointError, UsageError

SOURCE = "https://github.com/alibaba/unified-audio"
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Imported:
    """What an import made."""

    folder: Path
    tensors: int
    parameters: int
    names_sha256: str
    """Digest of the names and shapes that were read."""


class Width(torch.nn.Module):
    """In place of a teacher: the width of its features, which is all that the import needs."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim


def skeleton(settings: PublicSettings, config: CodecConfig) -> HCodec:
    """Our network of the published configuration on the meta device: shapes without memory."""
    with torch.device("meta"):
        return HCodec(config, Width(settings.semantic_encoder_config.input_channels))


def import_hcodec(weights: Path, config: Path, out: Path, teacher: str = TEACHER) -> Imported:
    """Write the published weights as our checkpoint folder ``out``.

    ``teacher``: hub id or folder of the HuBERT that ``config.json`` shall name.

    Raises
    ------
    ConfigError
        The configuration is not that of a network that ours can be.
    CheckpointError
        The weights cannot be read, or do not fit; the first key that does not fit is named.
    UsageError
        ``out`` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; give a new folder")
    settings = read_settings(config)
    ours = settings.codec(teacher)
    state = read_state(weights)
    codec = built(lambda: skeleton(settings, ours), settings.model_dump(), state, config)
    pieces = pieces_of(codec)
    check(pieces, state, weights)
    tensors = converted(pieces, state)
    _covers(codec, tensors)
    parameters = sum(p.numel() for p in codec.parameters())
    result = Imported(out, len(pieces), parameters, digest(pieces))
    _write(result, tensors, ours, file_sha256(weights))
    return result


def read_state(path: Path) -> dict[str, Tensor]:
    """A plain state dict, from a ``.pt`` pickle (weights only, mapped) or a safetensors file.

    Raises
    ------
    CheckpointError
        No such file, not readable as data alone, or no plain state dict.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: expected the published weights")
    try:
        state = _read(path)
    except Exception as error:  # a damaged file makes the readers raise whatever they like
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(
            f"{path}: cannot be read as a file of tensors only ({reason}); expected a state dict "
            "saved by torch.save or as safetensors"
        ) from error
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path}: found a {type(state).__name__}, expected a state dict")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {key!r} is a {type(value).__name__}, expected a tensor; save only the "
                "state dict, as in the published file"
            )
    return state


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        check_header(path)
        return load_file(path)
    # Mapped: the tensors stay on the disk until they are used, 5 GB of them in the published file.
    # torch's older format is no zip archive and cannot be mapped.
    mapped = zipfile.is_zipfile(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def check(pieces: list[Piece], state: dict[str, Tensor], path: Path) -> None:
    """Compare names, shapes and what must hold of the values.

    Raises
    ------
    CheckpointError
        The first key, in the order of the network, that does not fit.
    """
    for piece in pieces:
        if piece.name not in state:
            raise CheckpointError(
                f"{path}: {piece.name} is missing, expected with the shape {_shape(piece.shape)}; "
                f"{_extra(pieces, state)}"
            )
        _check_one(piece, state[piece.name], path)
    known = {piece.name for piece in pieces}
    for unknown in (key for key in state if key not in known):
        raise CheckpointError(
            f"{path}: {unknown} with shape {_shape(tuple(state[unknown].shape))} is unknown, "
            "because the network of the configuration has no such tensor; give the configuration "
            "that belongs to the weights"
        )


def _check_one(piece: Piece, value: Tensor, path: Path) -> None:
    where, shape = f"{path}: {piece.name}", tuple(value.shape)
    # newer versions of the public quantiser's package write this flag without an axis
    scalar = piece.name.endswith(".initted") and shape == ()
    if shape != piece.shape and not scalar:
        raise CheckpointError(
            f"{where} has shape {_shape(shape)}, expected {_shape(piece.shape)}: configuration and "
            "weights must belong together"
        )
    if piece.name.endswith(".initted") and not bool(value):
        raise CheckpointError(f"{where} is 0, so this codebook was never trained")
    if not torch.isfinite(value).all():
        raise CheckpointError(f"{where} has NaN or infinite values; fetch the file again")
    if piece.name.endswith(".window"):
        hann = torch.hann_window(piece.shape[0])
        if not torch.allclose(value.float(), hann, atol=1e-5):
            raise CheckpointError(f"{where} is not a Hann window; other windows are not supported")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _extra(pieces: list[Piece], state: dict[str, Tensor]) -> str:
    """What the file has instead, for the message about a key that is absent."""
    known = {piece.name for piece in pieces}
    unknown = [key for key in state if key not in known]
    if not unknown:
        return "the file has no other tensor"
    first = f"{unknown[0]} ({_shape(tuple(state[unknown[0]].shape))})"
    return f"the file has {len(unknown)} keys that are not expected, the first is {first}"


def converted(pieces: list[Piece], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict in fp32; parts of one of our tensors are joined in their order."""
    parts: dict[str, list[Tensor]] = {}
    for piece in pieces:
        if piece.target:
            value = piece.convert(state[piece.name])
            value = value.float() if value.is_floating_point() else value
            parts.setdefault(piece.target, []).append(value)
    return {k: (v[0] if len(v) == 1 else torch.cat(v)).contiguous() for k, v in parts.items()}


def _covers(codec: HCodec, tensors: dict[str, Tensor]) -> None:
    """The map makes every tensor of ours: a fault of the map, not of the file, if it does not."""
    expected = {
        key: tuple(value.shape)
        for key, value in codec.state_dict().items()
        if not key.endswith(TRAINING_STATISTICS)
    }
    assert expected == {key: tuple(value.shape) for key, value in tensors.items()}


def _write(result: Imported, tensors: dict[str, Tensor], ours: CodecConfig, sha256: str) -> None:
    folder = result.folder
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "codec.safetensors", tensors)
    source = {
        "network": "H-Codec-2.0",
        "source": SOURCE,
        "licence": LICENCE,
        "weights_sha256": sha256,
        "names_sha256": result.names_sha256,
    }
    data = {"codec": ours.model_dump(mode="json"), "source": source}
    write_atomically(folder / "README.md", card(result, ours, source))
    write_atomically(folder / "config.json", json.dumps(data, indent=1) + "\n")


def card(result: Imported, config: CodecConfig, source: dict[str, str]) -> str:
    """The folder's README: what this is, whose it is, and how it was made."""
    layers = config.semantic_layers + config.acoustic_layers
    kbps = config.frame_rate * layers * (config.codebook_size - 1).bit_length() / 1000
    return f"""# H-Codec-2.0, imported

The authors' published codec in tokensep's format, made by `tokensep import-hcodec`. The weights are
theirs, with changes of the format only.

| | |
|:--|:--|
| source | {source["source"]} (QuarkAudio-HCodec, H-Codec-2.0) |
| licence | {source["licence"]} |
| SHA-256 of the file that was read | `{source["weights_sha256"]}` |
| SHA-256 of its names and shapes | `{source["names_sha256"]}` |
| tensors, parameters | {result.tensors}, {result.parameters:,} |
| rate, token frames | {config.rate} Hz, {config.frame_rate:g} a second |
| codebooks | {config.semantic_layers} semantic and {config.acoustic_layers} acoustic of \
{config.codebook_size}: {kbps:g} kbit/s |
| teacher of the semantic branch | `{config.teacher.name}`, not in this folder |

Left out: running counts and sums of the codebooks, which only training needs.
"""
