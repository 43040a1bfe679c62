"""Any checkpoint of the MSST ecosystem: ``msst:checkpoint=x.ckpt,config=x.yaml``.

Every architecture that ``pymss-core`` holds (:mod:`benchsep_baselines.architectures`), with any
stems: four, six, two, or a single target. The stems are the configuration's
``training.instruments``, or its ``target_instrument`` alone; what else follows from them, such as
``instrumental = mixture - vocals``, a run derives by the relations of stems.
"""

from __future__ import annotations

from typing import Any, ClassVar

from benchsep.errors import UsageError
from benchsep_baselines import msst, zoo
from benchsep_baselines.architectures import NAMES
from benchsep_baselines.common import switch


class Msst(msst.MsstSeparator):
    """A checkpoint of MSST behind the contract.

    Parameters
    ----------
    checkpoint
        A ``.ckpt`` (``.pt``, ``.pth``, ``.th``, ``.bin``) with ``config``, or a ``.safetensors``.
        Either may be an address: ``hf://OWNER/REPO/FILE@REV`` or ``https://…``.
    config
        The ``.yaml`` that belongs to it; by default the one of the same name.
    model
        Instead of both, a name of the list of public checkpoints (``docs/checkpoints.md``).
    architecture
        By default as configuration and weights have it.
    overlap
        Chunks over each sample; by default the configuration's.
    zero_dc
        Of RoFormers; by default the configuration's, else true.
    batch
        Chunks that go through the model at once: more is faster on a GPU. Values then differ in
        their last digits.
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
        raise UsageError("msst takes model=NAME, or checkpoint=… and config=…, not both")
    if model:
        return msst.public(zoo.entry(model))
    if not checkpoint:
        raise UsageError(
            "msst needs a checkpoint: msst:checkpoint=FILE.ckpt,config=FILE.yaml, or model=NAME, "
            f"one of {', '.join(zoo.entries())}"
        )
    return msst.given("msst", checkpoint, config)
