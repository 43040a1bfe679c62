"""Continue the training of a codec's decoder; tokens stay as they are (``train codec --init``).

Encoder, codebooks and semantic branch are fixed: a recording has the same tokens before and after,
so an LM that was trained on them can be used with the new decoder.

Conventions
-----------
As :mod:`tokensep.train.codec`, but ``continuous_steps`` has no meaning: every step is quantised.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file

from benchsep._util.atomic import write_atomically
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import save_tensors
from tokensep.codec.model import HCodec
from tokensep.train.bands import BandsTrainer
from tokensep.train.codec import CodecTrainer

DECODER, CONFIG, HUBERT = "decoder.", "config.json", "hubert.safetensors"


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


def keep_all_but_decoder(source: Path, out: Path) -> None:
    """Give the exported codec in ``out`` the other tensors and declarations of ``source``.

    An export is float16, which would change tokens of a codec that was stored in float32.
    """
    name = "codec.safetensors"
    kept = {k: v for k, v in load_file(source / name).items() if not k.startswith(DECODER)}
    trained = {k: v for k, v in load_file(out / name).items() if k.startswith(DECODER)}
    save_tensors(out / name, kept | trained)
    if (source / HUBERT).is_file():
        shutil.copyfile(source / HUBERT, out / HUBERT)
    ours, theirs = (parse_json((folder / CONFIG).read_bytes()) for folder in (out, source))
    write_atomically(out / CONFIG, json.dumps(theirs | ours, indent=1) + "\n")


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
        super().export()
        assert self.model.source is not None
        keep_all_but_decoder(self.model.source, self.out)


class BandsDecoderTrainer(DecoderTrainer, BandsTrainer):
    """The same for the design ``bands``: its losses, without the fit."""
