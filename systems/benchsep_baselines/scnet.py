"""SCNet: the public 4-stem checkpoints (there is no mini of it).

Conventions
-----------
normalize ``inference.normalize`` of some configurations standardises the mixture first and
          undoes it on the estimates: followed when the configuration asks for it
window    SCNet's transform has a rectangular window; newer torch warns about that, and exactly
          that warning is silenced

Source: W. Tong et al., "SCNet: sparse compression network for music source separation"
(ICASSP 2024).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchsep_baselines import availability, msst

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SCNet(msst.MsstSeparator):
    """SCNet behind the contract; options as :class:`benchsep_baselines.bs_roformer.BSRoformer`."""

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
        found = msst.find("scnet", checkpoint, config)
        super().__init__(
            "scnet",
            found,
            _build,
            overlap=overlap,
            trust_pickle=trust_pickle,
            device=device,
            batch=batch,
            normalize=False,
        )
        self.info.options["normalize"] = self.settings.normalize

    def _estimate(self, mixture: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
        if not self.settings.normalize:
            return super()._estimate(mixture, seed)
        mono = mixture.mean(0)
        mean, deviation = float(mono.mean()), float(mono.std())
        if deviation == 0:  # anti-phase stereo: upstream divides by zero here
            return super()._estimate(mixture, seed)
        stems = super()._estimate((mixture - mean) / deviation, seed)
        return {stem: samples * deviation + mean for stem, samples in stems.items()}

    def _forward(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*window.*", category=UserWarning)
            return super()._forward(chunks)


def _build(arguments: dict[str, Any], path: Path) -> Any:
    from pymss_core.modules.scnet import SCNet as Model

    return msst.built(Model, arguments, path)
