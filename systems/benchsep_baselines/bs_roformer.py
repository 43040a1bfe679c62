"""BS-RoFormer: the public 4-stem checkpoints, and the mini trained here.

Conventions
-----------
zero_dc   since September 2025, upstream sets the lowest bin of every estimate to zero, which its
          public configurations do not state; the published scores of 2024 were computed without it.
          Here the configuration's value is used; the default is true, as in current upstream. The
          option is part of the system's identity
speed     the public model takes about 19 s of one CPU core per second of music: use a GPU

Source: W.-T. Lu, J.-C. Wang, Q. Kong, Y.-N. Hung, "Music source separation with band-split
RoPE Transformer" (ICASSP 2024).
"""

from __future__ import annotations

from typing import Any, ClassVar

from benchsep_baselines import availability, msst
from benchsep_baselines.common import switch


class BSRoformer(msst.MsstSeparator):
    """BS-RoFormer as a system.

    Parameters
    ----------
    checkpoint
        ``auto``, ``official``, ``mini``, or a ``.ckpt`` (with ``config``) or ``.safetensors``.
    config
        The ``.yaml`` for the ``.ckpt``; by default the file with the same name.
    overlap
        Number of chunks that cover each sample; by default the configuration's value.
    zero_dc
        Set the lowest bin to zero; by default the configuration's value, else true.
    batch
        Chunks per batch: larger is faster on a GPU. Samples then differ in their last digits.
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
