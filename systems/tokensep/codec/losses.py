"""Losses of the codec: spectra at several resolutions, with phase only in the bass.

Conventions
-----------
Waves ``[B, T]``. Spectra are scaled so that a full-scale sine has magnitude 1; distances are in
natural-log amplitude units (1 = 8.7 dB). A few kbit/s cannot code the phase above the bass: with a
loss on complex spectra there, the decoder only learns to be quiet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensep.codec.layers import frame, mel_filters
from tokensep.config import LossConfig

FLOOR = 1e-8
"""Power below which log spectra count as silence (-80 dB re full scale)."""


def gammatone_filters(rate: int, n_fft: int, bands: int = 32, low: float = 50.0) -> Tensor:
    """Power responses of fourth-order gammatone filters, ERB-spaced: ``[bins, bands]``.

    ``|H(f)|^2 = (1 + ((f - fc) / (1.019 ERB(fc)))^2)^-4``, ERB after Glasberg & Moore (1990).
    """

    def to_erb(hz: Tensor) -> Tensor:
        return 21.4 * torch.log10(1 + 0.00437 * hz)

    ends = to_erb(torch.tensor([low, rate / 2 * 0.9]))
    centres = (10 ** (torch.linspace(float(ends[0]), float(ends[1]), bands) / 21.4) - 1) / 0.00437
    width = 1.019 * 24.7 * (0.00437 * centres + 1)
    hz = torch.arange(n_fft // 2 + 1) * rate / n_fft
    response = (1 + ((hz[:, None] - centres) / width) ** 2) ** -4
    return response / response.sum(0, keepdim=True)


class LogBands(nn.Module):
    """Log energies in frequency bands at one time resolution."""

    window: Tensor
    filters: Tensor

    def __init__(self, filters: Tensor, size: int, hop: int) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        window = torch.hann_window(size)
        # a sine of amplitude a at a bin has |X| = a sum(window) / 2: so scaled, |X| = a
        self.register_buffer("window", window * (2 / window.sum()), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        frames = frame(wave, self.size, self.hop)
        power = torch.view_as_real(torch.fft.rfft(frames * self.window)).pow(2).sum(-1)
        return 0.5 * torch.log(power @ self.filters + FLOOR)  # log amplitude: [B, F, bands]


class BassDistance(nn.Module):
    """Complex-spectrum distance below a frequency, relative to the reference's level there."""

    window: Tensor

    def __init__(self, rate: int, hz: float, size: int = 4096, hop: int = 1024) -> None:
        super().__init__()
        self.size, self.hop, self.bins = size, hop, max(1, round(hz * size / rate))
        window = torch.hann_window(size)
        self.register_buffer("window", window * (2 / window.sum()), persistent=False)

    def spectrum(self, wave: Tensor) -> Tensor:
        spec = torch.fft.rfft(frame(wave, self.size, self.hop) * self.window)
        return spec[..., : self.bins]

    def forward(self, estimate: Tensor, reference: Tensor) -> Tensor:
        ref = self.spectrum(reference)
        error = (self.spectrum(estimate) - ref).abs().mean((1, 2))
        return (error / (ref.abs().mean((1, 2)) + 1e-3)).mean()


class SpectralLoss(nn.Module):
    """Weighted sum of the spectral terms; ``forward`` returns them by name, unweighted."""

    def __init__(self, config: LossConfig, rate: int) -> None:
        super().__init__()
        self.config = config
        self.mels = nn.ModuleList(
            LogBands(mel_filters(rate, size, bands), size, size // 4)
            for size, bands in zip(config.mel_windows, config.mel_bands, strict=True)
        )
        size = round(0.08 * rate)
        self.erb = LogBands(gammatone_filters(rate, size), size, size // 4)
        self.bass = BassDistance(rate, config.bass_hz)

    def forward(self, estimate: Tensor, reference: Tensor) -> dict[str, Tensor]:
        c = self.config
        terms: dict[str, Tensor] = {}

        def compare(bands: nn.Module) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                target = bands(reference)
            output = bands(estimate)
            log_error = (output - target).abs().mean()
            if not c.convergence:
                return log_error, log_error.new_zeros(())
            # spectral convergence: |A_est - A_ref| / |A_ref|, Frobenius norms over bands and frames
            loud = target.exp()
            error = (output.exp() - loud).pow(2).sum((1, 2)) / (loud.pow(2).sum((1, 2)) + 1e-6)
            # Bounded from above per crop: a nearly silent one must not rule the step.
            return log_error, (error + 1e-6).sqrt().clamp_max(4.0).mean()

        if c.mel:
            pairs = [compare(m) for m in self.mels]
            terms["mel"] = torch.stack([p[0] for p in pairs]).mean()
            if c.convergence:
                terms["convergence"] = torch.stack([p[1] for p in pairs]).mean()
        if c.erb:
            terms["erb"] = compare(self.erb)[0]
        if c.bass:
            terms["bass"] = self.bass(estimate, reference)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the terms this loss produced."""
        weights = self.config.model_dump()
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()
