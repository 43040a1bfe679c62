"""Continue the training of a codec's decoder; tokens stay as they are (``train codec --init``).

Encoder, codebooks and semantic branch are fixed: a recording has the same tokens before and after,
so an LM that was trained on them can be used with the new decoder.

Conventions
-----------
As :mod:`tokensep.train.codec`, but ``continuous_steps`` has no meaning: every step is quantised.
"""

from __future__ import annotations

from pathlib import Path

from tokensep.codec.model import HCodec
from tokensep.train.bands import BandsTrainer
from tokensep.train.codec import CodecTrainer


def load_for_decoder(folder: Path) -> HCodec:
    """The codec in ``folder``, of which only the decoder can be trained.

    Raises
    ------
    CheckpointError
        There is no codec, or it cannot be read.
    """
    codec = HCodec.from_checkpoint(folder)
    codec.tokens_fixed = True
    codec.decoder.requires_grad_(True)
    return codec


class _FromWeights:
    """Start from the weights that the codec has, with its codebooks."""

    def start(self) -> None:
        """Keep the decoder's output layer."""

    def start_codebooks(self) -> None:
        """Keep the codebooks."""

    def quantises(self) -> bool:
        """From the first step on."""
        return True


class DecoderTrainer(_FromWeights, CodecTrainer):
    """One training of the decoder of a codec from :func:`load_for_decoder`."""


class BandsDecoderTrainer(_FromWeights, BandsTrainer):
    """The same for the design ``bands``."""
