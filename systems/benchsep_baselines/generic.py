"""Any checkpoint of the MSST ecosystem: ``msst:checkpoint=x.ckpt,config=x.yaml``.

It supports all architectures in ``pymss-core`` (:mod:`benchsep_baselines.architectures`) and any
stems: four, six, two, or a single target. The stems are the configuration's
``training.instruments``, or only its ``target_instrument``. A run derives further stems by the
relations of stems, such as ``instrumental = mixture - vocals``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from benchsep.errors import UsageError
from benchsep_baselines import msst, zoo
from benchsep_baselines.architectures import NAMES
from benchsep_baselines.common import switch


class Msst(msst.MsstSeparator):
    """An MSST checkpoint as a system.

    Parameters
    ----------
    checkpoint
        A ``.ckpt`` (``.pt``, ``.pth``, ``.th``, ``.bin``) with ``config``, or a ``.safetensors``.
        Either may be an address: ``hf://OWNER/REPO/FILE@REV`` or ``https://…``.
    config
        The ``.yaml`` for the checkpoint; by default the file with the same name.
    model
        A name in the list of public checkpoints (``docs/checkpoints.md``), instead of both.
    architecture
        By default recognised from configuration and weights.
    overlap
        Number of chunks that cover each sample; by default the configuration's value.
    zero_dc
        RoFormers only: set the lowest bin to zero; by default the configuration's value, else true.
    batch
        Chunks per batch: larger is faster on a GPU. Samples then differ in their last digits.
    """

    about: ClassVar[dict[str, Any]] = {
        "family": "discriminative",
        "licence": "the checkpoint's",
        "checkpoints": lambda: f"any of MSST; {len(zoo.entries())} by model=NAME",
        "what": "a checkpoint and its configuration: RoFormers, MDX23C, SCNet, BandIt, …",
    }

    def __init__(
        self,
        checkpoint: str = "",
        config: str = "",
        model: str = "",
        architecture: str = "",
        overlap: str | int = "",
        zero_dc: str | bool = "",
        trust_pickle: str | bool = False,
        batch: str | int = 1,
        *,
        device: str = "cpu",
    ) -> None:
        if architecture and architecture not in NAMES:
            raise UsageError(
                f"option architecture={architecture!r}: expected one of {', '.join(NAMES)}"
            )
        super().__init__(
            "msst",
            _found(checkpoint, config, model),
            architecture=architecture,
            arguments={} if zero_dc == "" else {"zero_dc": switch("zero_dc", zero_dc)},
            overlap=overlap,
            trust_pickle=trust_pickle,
            device=device,
            batch=batch,
        )
        self.info.options["architecture"] = self.architecture


def _found(checkpoint: str, config: str, model: str) -> msst.Found:
    if model and (checkpoint or config):
        raise UsageError(
            "found model= with checkpoint= or config=; expected either model=NAME, or "
            "checkpoint=… and config=…"
        )
    if model:
        return msst.public(zoo.entry(model))
    if not checkpoint:
        raise UsageError(
            "msst needs a checkpoint: msst:checkpoint=FILE.ckpt,config=FILE.yaml, or model=NAME, "
            f"one of {', '.join(zoo.entries())}"
        )
    return msst.given("msst", checkpoint, config)
