"""BS-RoFormer: the public 4-stem checkpoints, and the mini trained here.

Conventions
-----------
zero_dc   upstream zeroes the lowest bin of every estimate since September 2025 and its public
          configurations do not say so; the published scores of 2024 were computed without.
          Here it is the configuration's, else true as upstream runs today, and it is declared.
speed     the public model takes about 19 s of one CPU core per second of music: use a GPU

Source: W.-T. Lu, J.-C. Wang, Q. Kong, Y.-N. Hung, "Music source separation with band-split
RoPE Transformer" (ICASSP 2024).
"""

from __future__ import annotations

from typing import Any, ClassVar

from benchsep_baselines import availability, msst
from benchsep_baselines.common import switch


class BSRoformer(msst.MsstSeparator):
    """BS-RoFormer behind the contract.

    Parameters
    ----------
    checkpoint
        ``auto``, ``official``, ``mini``, or a ``.ckpt`` (with ``config``) or ``.safetensors``.
    config
        The ``.yaml`` that belongs to the ``.ckpt``; by default the one of the same name.
    overlap
        Chunks over each sample; by default the configuration's.
    zero_dc
        By default the configuration's, else true.
    batch
        Chunks that go through the model at once: more is faster on a GPU. Values then differ in
        their last digits.
    """

    about: ClassVar[dict[str, Any]] = availability.about(
        "bs_roformer", "Band-Split RoPE Transformer (MSST checkpoints)", "unstated (code: MIT)"
    )

    def __init__(
        self,
        checkpoint: str = "auto",
        config: str = "",
        overlap: str | int = "",
        zero_dc: str | bool = "",
        trust_pickle: str | bool = False,
        batch: str | int = 1,
        *,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            "bs_roformer",
            msst.find("bs_roformer", checkpoint, config),
            architecture="bs_roformer",
            arguments={} if zero_dc == "" else {"zero_dc": switch("zero_dc", zero_dc)},
            overlap=overlap,
            trust_pickle=trust_pickle,
            device=device,
            batch=batch,
        )
