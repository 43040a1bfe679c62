"""The guided decoder: a network that combines generated magnitudes with masks on the mixture.

The paper decodes only the tokens; this decoder also gets the mixture. Stem s is, per bin, the
product of a factor

    R_s = M_s^(1 - g_s) * (G_s / |X|)^g_s,        Y_s = R_s X,

with the mixture ``X`` in each channel. ``G_s`` is the magnitude that the codec's decoder generates
from the stem's latents, ``M_s`` a mask (the sum over stems is 1), and ``g_s`` a gate in (0, 1): 0
masks the mixture, 1 sets the generated magnitude. The network's inputs are ``X``, all ``G_s`` and
the latents. It is initialised with ``M_s = G_s / sum G`` in mel bands and a gate of 1/4
(``refine=blend`` is a gate of 1/2).

Conventions
-----------
spectra    Hann windows of ``n_fft`` every ``hop``, centred; magnitudes of a full-scale sine are 1
shapes     B examples, S stems, N spectra, F token frames, C channels
views      V magnitudes of the mixture: left, right, mid and side. For a mixture that is not stereo,
           mid, left and right are equal, and the factors of the left are used for each channel
phase      that of the mixture, so stems are sample-aligned with it
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from benchsep._util.atomic import write_atomically
from benchsep._util.model_bounds import built
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import load_strictly, read_tensors, save_tensors
from tokensep import config as configs
from tokensep.codec.harmonic import interpolation
from tokensep.codec.layers import ConvNeXt, mel_filters
from tokensep.config import Strict
from tokensep.decode.fine_mask import BIN_STEP, FineMask
from tokensep.dsp.windows import cross_faded
from tokensep.errors import CheckpointError, ConfigError

WEIGHTS, CONFIG = "guided.safetensors", "guided.json"
FLOOR = 1e-5
"""Magnitude that counts as silence (-100 dB re a full-scale sine)."""
CEILING = 2.0
"""Largest factor; it limits what is generated where the mixture is nearly silent."""
VIEWS, MID = 4, 2
START_GATE = -1.1
"""Before the sigmoid: 1/4."""
PIECE_FRAMES, PIECE_OVERLAP = 544, 32
"""Token frames of a song decoded at a time and shared by two pieces: bounds the memory.

The overlap covers what the networks see on each side. Pieces begin every 512 frames of 1,764
samples, whole numbers of the U-Net's coarsest step of 2,048.
"""


class GuideConfig(Strict):
    """Sizes of the network, and the facts of the LM and codec that it was trained on."""

    stems: int = 4
    rate: int = 44_100
    frame_hop: int = 1764
    latent_dim: int = 256
    """Of a stem's latent, both streams."""
    n_fft: int = 2048
    hop: int = 512
    bands: int = 64
    """Mel bands in which generated spectra are seen and gates are set."""
    dim: int = 192
    ffn: int = 512
    kernel: int = 7
    blocks: int = 6
    fine: int = 24
    """Channels of the finest level of :class:`~tokensep.decode.fine_mask.FineMask`."""
    dropout: float = 0.0
    """Of the input features and of what the heads see, while it is trained."""

    @model_validator(mode="after")
    def _whole_cells(self) -> GuideConfig:
        if self.n_fft % (2 * BIN_STEP) or self.n_fft < 2 * BIN_STEP:
            raise ValueError(f"found n_fft {self.n_fft}, expected a multiple of {2 * BIN_STEP}")
        return self


class Guide(nn.Module):
    """Mixture spectrum, generated spectra and latents → factors on the mixture.

    Only :class:`~tokensep.decode.fine_mask.FineMask` predicts masks per bin. A linear head per
    spectrum, in an earlier version, overfitted the training songs.
    """

    window: Tensor
    filters: Tensor
    to_bins: Tensor

    def __init__(self, config: GuideConfig) -> None:
        super().__init__()
        c = self.config = config
        self.bins = c.n_fft // 2 + 1
        for name, table in (
            ("window", torch.hann_window(c.n_fft)),
            ("filters", mel_filters(c.rate, c.n_fft, c.bands)),
            ("to_bins", interpolation(c.bands, c.n_fft, c.rate)),
        ):
            self.register_buffer(name, table, persistent=False)
        self.scale = float(2 / self.window.sum())
        self.entry = nn.Linear(c.bands + c.stems * (c.bands + c.latent_dim), c.dim)
        self.norm, self.dropout = nn.LayerNorm(c.dim), nn.Dropout(c.dropout)
        self.blocks = nn.Sequential(
            *(ConvNeXt(c.dim, c.ffn, c.kernel, 1 / c.blocks) for _ in range(c.blocks))
        )
        self.exit_norm = nn.LayerNorm(c.dim)
        self.gate = nn.Linear(c.dim, c.stems * c.bands)
        self.fine = FineMask(VIEWS + c.stems, 3 * c.stems, self.bins, c.fine, c.dim)
        with torch.no_grad():
            self.gate.weight.mul_(0.1)
            self.gate.bias.fill_(START_GATE)

    def spectrum(self, waves: Tensor) -> Tensor:
        """Complex ``[…, N, bins]`` of ``[…, T]``, ``N = 1 + T // hop`` (T at least ``n_fft``)."""
        c = self.config
        flat = waves.reshape(-1, waves.shape[-1])
        found = torch.stft(flat, c.n_fft, c.hop, window=self.window, return_complex=True)
        return self.scale * found.transpose(1, 2).unflatten(0, waves.shape[:-1])

    def wave(self, spectrum: Tensor, length: int) -> Tensor:
        """Inverse of :meth:`spectrum`: ``[…, length]``."""
        c = self.config
        flat = spectrum.flatten(0, -3).transpose(1, 2) / self.scale
        waves = torch.istft(flat, c.n_fft, c.hop, window=self.window, length=length)
        return waves.unflatten(0, spectrum.shape[:-2])

    def views(self, mixture: Tensor) -> Tensor:
        """Magnitudes ``[B, V, N, bins]`` of a complex ``[B, C, N, bins]``."""
        left, right = (
            (mixture[:, 0], mixture[:, 1]) if mixture.shape[1] == 2 else (mixture.mean(1),) * 2
        )
        mid, side = (left + right) / 2, (left - right) / 2
        return torch.stack([left, right, mid, side], 1).abs()

    def forward(self, views: Tensor, generated: Tensor, latents: Tensor) -> Tensor:
        """Factors ``[B, S, 2, N, bins]`` on the left and the right, 0 to :data:`CEILING`.

        Parameters
        ----------
        views : of the mixture, ``[B, V, N, bins]``.
        generated : magnitudes ``[B, S, N, bins]`` of the decoded stems.
        latents : ``[B, S, F, latent_dim]``.
        """
        level_g, gate, context = self._per_spectrum(views[:, MID], generated, latents)
        maps = _compressed(torch.cat([views, generated], 1))  # [B, V + S, N, bins]
        with torch.autocast(maps.device.type, torch.bfloat16, enabled=self.training):
            fine = self.fine(maps, context).float()
        left, right, fine_gate = fine.unflatten(1, (3, -1)).unbind(1)  # [B, S, N, bins] each
        log_mask = (level_g[:, :, None] + torch.stack([left, right], 2)).log_softmax(1)
        log_x, log_g = (torch.log(m + FLOOR) for m in (views[:, MID, None], generated))
        return factors(
            log_mask, (log_g - log_x)[:, :, None], (gate + fine_gate).sigmoid()[:, :, None]
        )

    def _per_spectrum(
        self, mixture: Tensor, generated: Tensor, latents: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-levels of what was generated, smooth over bins, and gates before the sigmoid,
        ``[B, S, N, bins]`` each; and what is known of each spectrum, ``[B, N, dim]``.
        """
        c, frames = self.config, mixture.shape[1]
        heard, made = (torch.log(m @ self.filters + FLOOR) for m in (mixture, generated))
        near = self._at_spectra(latents, frames)  # [B, S, N, latent_dim]
        per_stem = torch.cat([_unit(made), near], -1).transpose(1, 2).flatten(2)
        x = self.dropout(self.norm(self.entry(torch.cat([_unit(heard), per_stem], -1))))
        x = self.dropout(self.exit_norm(self.blocks(x)))
        gate = self.gate(x).unflatten(-1, (c.stems, c.bands)).transpose(1, 2)
        return made @ self.to_bins, gate @ self.to_bins, x

    def _at_spectra(self, latents: Tensor, count: int) -> Tensor:
        """Latents of token frames, interpolated at the middles of ``count`` spectra.

        Token frame f is centred at sample ``(f + 1/2) frame_hop``, spectrum n at ``n hop``.
        """
        c, frames = self.config, latents.shape[2]
        place = torch.arange(count, device=latents.device) * (c.hop / c.frame_hop) - 0.5
        place = place.clamp(0, frames - 1)
        left = place.floor().long().clamp_max(max(frames - 2, 0))
        right = (left + 1).clamp_max(frames - 1)
        share = (place - left)[:, None]
        return (1 - share) * latents[:, :, left] + share * latents[:, :, right]

    @torch.no_grad()
    def separate(
        self,
        mixture: Tensor,
        generated: Tensor,
        latents: Tensor,
        stems: Sequence[int] | None = None,
    ) -> Tensor:
        """Stems ``[S, C, T]`` of a mixture ``[C, T]`` of any length.

        Parameters
        ----------
        stems : indices of the requested stems; None: all.
        generated : decoded stems ``[S, T]``.
        latents : their latents ``[S, F, latent_dim]``, ``F = ceil(T / frame_hop)``.

        Raises
        ------
        ConfigError
            The width of the latents or the number of stems differs from training.
        """
        c, (channels, length) = self.config, mixture.shape
        if (len(latents), latents.shape[-1]) != (c.stems, c.latent_dim):
            raise ConfigError(
                f"render=guided: latents of {len(latents)} stems x {latents.shape[-1]}; the guided "
                f"decoder was trained on {c.stems} x {c.latent_dim}"
            )
        wanted = list(range(c.stems)) if stems is None else list(stems)
        piece = partial(self._piece, mixture, generated, latents, wanted)
        window, overlap = PIECE_FRAMES * c.frame_hop, PIECE_OVERLAP * c.frame_hop
        return cross_faded(length, window, overlap, piece).unflatten(0, (len(wanted), channels))

    def _piece(
        self,
        mixture: Tensor,
        generated: Tensor,
        latents: Tensor,
        wanted: list[int],
        start: int,
        end: int,
    ) -> Tensor:
        """Samples ``start`` to ``end`` of the stems and all channels ``[S x C, end - start]``."""
        hop, held = self.config.frame_hop, min(end, mixture.shape[-1]) - start
        length = max(held, self.config.n_fft)
        cut = [_cut(waves, start, length) for waves in (mixture, generated)]
        frames = latents[None, :, start // hop : -(-end // hop)]
        mixed, stems = (self.spectrum(waves) for waves in cut)  # [C, N, bins], [S, N, bins]
        scale = self(self.views(mixed[None]), stems.abs()[None], frames)[0]  # [S, 2, N, bins]
        scale = (scale if len(mixed) == 2 else scale[:, :1])[wanted]
        waves = self.wave(scale * mixed, length)[..., :held]  # [S, C, held]
        return functional.pad(waves, (0, end - start - held)).flatten(0, 1)


def factors(log_mask: Tensor, level: Tensor, gate: Tensor) -> Tensor:
    """``M^(1 - g) L^g``, at most :data:`CEILING`; ``L = G / |X|``, logs of M and L are given."""
    exponent = (1 - gate) * log_mask + gate * level
    return exponent.clamp_max(math.log(CEILING)).exp()


def _compressed(magnitude: Tensor) -> Tensor:
    """Cube roots of magnitudes, about -1 to 2: what is softer than -60 dB counts little."""
    return 6 * (magnitude + 1e-6) ** (1 / 3) - 1


def _unit(log_magnitude: Tensor) -> Tensor:
    """Logs of magnitudes between silence and full scale, about -1.5 to 2."""
    return (log_magnitude + 7) / 3


def _cut(waves: Tensor, start: int, length: int) -> Tensor:
    """``length`` samples of ``[…, T]`` from ``start`` on, zeros behind its end."""
    piece = waves[..., start : start + length]
    return functional.pad(piece, (0, length - piece.shape[-1]))


def save_guide(
    folder: Path, guide: Guide, note: dict[str, Any] | None = None, renders: Sequence[str] = ()
) -> None:
    """Write weights (fp16) and configuration, each by rename.

    ``note`` : how it was trained. ``renders`` : stems of a checkpoint that are its by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(
        folder / WEIGHTS, {k: v.half().contiguous() for k, v in guide.state_dict().items()}
    )
    sizes = guide.config.model_dump(mode="json")
    data = {"guide": sizes, "renders": list(renders), "training": note or {}}
    write_atomically(folder / CONFIG, json.dumps(data, indent=1) + "\n")


def default_stems(folder: Path) -> tuple[str, ...]:
    """Stems of the checkpoint in ``folder`` that its guided decoder renders by default.

    Raises
    ------
    CheckpointError
        The guided decoder's configuration is corrupt, or missing where its weights are.
    """
    if not (folder / CONFIG).is_file():
        if (folder / WEIGHTS).exists():
            # without it the checkpoint would be rendered in another way than it was made for
            raise CheckpointError(
                f"{folder} has the file {WEIGHTS} but no file {CONFIG}; copy both from the folder "
                "of the training, or remove the weights"
            )
        return ()
    found = _read(folder).get("renders", [])
    if not isinstance(found, list) or not all(isinstance(stem, str) for stem in found):
        raise CheckpointError(f"{folder / CONFIG}: renders is {found!r}, expected names of stems")
    return tuple(found)


def _read(folder: Path) -> dict[str, Any]:
    """The configuration file, whose entry ``guide`` has the sizes."""
    try:
        data = parse_json((folder / CONFIG).read_bytes())
        data["guide"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG} is not a guided decoder's configuration ({error!r})"
        ) from error
    return dict(data)


def load_guide(folder: Path) -> Guide:
    """The guided decoder of a checkpoint folder, frozen and in eval mode.

    Raises
    ------
    CheckpointError
        There is none, or it is corrupt or made for another configuration.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"render=guided: {folder} has no {name}; train the decoder with `tokensep train "
                "guided --checkpoint FOLDER`, and copy its files to the folder of the LM"
            )
    data = _read(folder)["guide"]
    config, tensors = configs.load(GuideConfig, data), read_tensors(folder / WEIGHTS)
    guide = built(lambda: Guide(config), data, tensors, folder / CONFIG)
    load_strictly(guide, tensors, folder / WEIGHTS)
    return guide.eval().requires_grad_(False)
