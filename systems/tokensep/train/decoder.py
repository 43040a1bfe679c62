"""Continue the training of a codec's decoder; tokens stay as they are (``train codec --init``).

Encoder, codebooks and semantic branch are fixed: a recording has the same tokens before and after,
so an LM that was trained on them can be used with the new decoder.

Conventions
-----------
As :mod:`tokensep.train.codec`, but ``continuous_steps`` has no meaning: every step is quantised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from benchsep._util.atomic import write_atomically
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import save_tensors
from tokensep.codec.files import CODEC_FILES
from tokensep.codec.model import HCodec
from tokensep.train.bands import BandsTrainer
from tokensep.train.codec import CodecTrainer

WEIGHTS, HUBERT, CONFIG = CODEC_FILES
DECODER = "decoder."
"""Start of the names of the decoder's tensors."""


def load_for_decoder(folder: Path) -> HCodec:
    """The codec in ``folder``, of which only the decoder can be trained.

    Raises
    ------
    CheckpointError
        There is no codec, or it cannot be read.
    """
    codec = HCodec.from_checkpoint(folder)
    codec.tokens_fixed, codec.source = True, folder
    codec.decoder.requires_grad_(True)
    return codec


@dataclass(frozen=True)
class AllButDecoder:
    """What stays of a codec folder: an export is float16, which would change tokens of a codec that
    was stored in float32.
    """

    tensors: dict[str, Tensor]
    declared: dict[str, Any]
    teacher: dict[str, Tensor] | None

    @classmethod
    def of(cls, folder: Path) -> AllButDecoder:
        """Read a codec folder."""
        tensors = load_file(folder / WEIGHTS)
        return cls(
            {name: tensor for name, tensor in tensors.items() if not name.startswith(DECODER)},
            parse_json((folder / CONFIG).read_bytes()),
            load_file(folder / HUBERT) if (folder / HUBERT).is_file() else None,
        )

    def put_into(self, folder: Path) -> None:
        """Replace everything but the decoder of an exported codec."""
        exported = load_file(folder / WEIGHTS)
        decoder = {name: t for name, t in exported.items() if name.startswith(DECODER)}
        save_tensors(folder / WEIGHTS, self.tensors | decoder)
        if self.teacher is not None:
            save_tensors(folder / HUBERT, self.teacher)
        declared = self.declared | parse_json((folder / CONFIG).read_bytes())
        write_atomically(folder / CONFIG, json.dumps(declared, indent=1) + "\n")


class DecoderTrainer(CodecTrainer):
    """One training of the decoder of a codec from :func:`load_for_decoder`."""

    def start(self) -> None:
        """Keep the decoder's output layer."""

    def start_codebooks(self) -> None:
        """Keep the codebooks."""

    def quantises(self) -> bool:
        """From the first step on."""
        return True

    def export(self) -> None:
        """As before; only the decoder differs from the codec that was given."""
        assert self.model.source is not None
        kept = AllButDecoder.of(self.model.source)  # before the export, which may be to this folder
        super().export()
        kept.put_into(self.out)


class BandsDecoderTrainer(DecoderTrainer, BandsTrainer):
    """The same for the design ``bands``: its losses, without the fit."""
