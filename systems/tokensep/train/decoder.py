"""Continue the training of a codec's decoder; tokens stay as they are (``train codec --init``).

Encoder, codebooks and semantic branch are fixed: a recording has the same tokens before and after,
so an LM that was trained on them can be used with the new decoder.

Conventions
-----------
As :mod:`tokensep.train.codec`, but ``continuous_steps`` has no meaning: every step is quantised.
"""

from __future__ import annotations

from pathlib import Path

from benchsep_training.batches import BatchSource
from torch import Tensor

from tokensep.codec.model import HCodec
from tokensep.config import CodecTrainConfig
from tokensep.train.bands import BandsTrainer
from tokensep.train.codec import CodecTrainer
from tokensep.train.data import StemStore
from tokensep.train.stream.audio_crops import HeldOut


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


class DecoderTrainer(_FromWeights, CodecTrainer):
    """One training of the decoder of a codec from :func:`load_for_decoder`."""

    def __init__(
        self,
        codec: HCodec,
        config: CodecTrainConfig,
        batches: BatchSource[Tensor],
        valid: StemStore | HeldOut | None,
        work: Path,
        out: Path | None = None,
    ) -> None:
        quantised = config.model_copy(update={"continuous_steps": 0})
        super().__init__(codec, quantised, batches, valid, work, out)


class BandsDecoderTrainer(_FromWeights, BandsTrainer):
    """The same for the design ``bands``, whose steps are always quantised."""
