"""The assumed rates of a plan; they are not measured here, and are printed with the plan."""

from __future__ import annotations

from pydantic import Field

from tokensep.config import Strict
from tokensep.errors import ConfigError


class Rates(Strict):
    """One kind of GPU, and what else a plan has to assume."""

    gpu: str = "h100"
    peak_tflops: float = Field(default=989.0, gt=0)
    """bf16 matrix products, dense, as the maker states them."""
    memory_gb: float = Field(default=80.0, gt=0)
    utilisation: float = Field(default=0.4, gt=0, le=1)
    """Share of the peak that a training reaches."""
    teacher: float = Field(default=0.05, gt=0)
    """Seconds of one GPU per second of music to label (pseudo-labels). An assumption for
    BS-RoFormer at its full size; only its mini was measured (docs/gpu.md)."""
    flac: float = Field(default=0.6, gt=0, le=1)
    """Size of a FLAC file over that of the same 16-bit wave."""

    @property
    def flops(self) -> float:
        """FLOP per second of one GPU."""
        return self.peak_tflops * 1e12 * self.utilisation


GPUS: dict[str, tuple[float, float]] = {
    "h100": (989.0, 80.0),
    "h200": (989.0, 141.0),
    "a100": (312.0, 80.0),
    "l40s": (362.0, 48.0),
    "rtx4090": (165.0, 24.0),
}
"""Dense bf16 TFLOP/s with fp32 accumulation, and memory in GB, from the makers' data sheets."""


def rates_of(gpu: str, utilisation: float, teacher: float) -> Rates:
    """The rates of one kind of GPU.

    Raises
    ------
    ConfigError
        The GPU is not in :data:`GPUS`, or a rate is out of range.
    """
    if gpu not in GPUS:
        raise ConfigError(f"unknown gpu {gpu!r}, expected one of {', '.join(GPUS)}")
    if not 0 < utilisation <= 1:
        raise ConfigError(
            f"found the utilisation {utilisation:g}, expected more than 0 and at most 1"
        )
    if teacher <= 0:
        raise ConfigError(f"found the teacher rate {teacher:g}, expected more than 0 seconds")
    peak, memory = GPUS[gpu]
    return Rates(
        gpu=gpu, peak_tflops=peak, memory_gb=memory, utilisation=utilisation, teacher=teacher
    )
