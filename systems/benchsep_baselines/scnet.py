"""SCNet: the public 4-stem checkpoints (there is no mini of it).

Conventions
-----------
normalize ``inference.normalize`` of some configurations standardises the mixture first and
          reverts this for the estimates; supported

Source: W. Tong et al., "SCNet: sparse compression network for music source separation"
(ICASSP 2024).
"""

from __future__ import annotations

from typing import Any, ClassVar

from benchsep_baselines import availability, msst


class SCNet(msst.MsstSeparator):
    """SCNet as a system; options as :class:`benchsep_baselines.bs_roformer.BSRoformer`."""

    about: ClassVar[dict[str, Any]] = availability.about(
        "scnet", "Sparse Compression Network (MSST checkpoints)", "unstated (code: MIT)"
    )

    def __init__(
        self,
        checkpoint: str = "auto",
        config: str = "",
        overlap: str | int = "",
        trust_pickle: str | bool = False,
        batch: str | int = 1,
        *,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            "scnet",
            msst.find("scnet", checkpoint, config),
            architecture="scnet",
            overlap=overlap,
            trust_pickle=trust_pickle,
            device=device,
            batch=batch,
        )
        self.info.options["normalize"] = self.settings.normalize
