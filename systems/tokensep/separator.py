"""The separator: level, windows, rendering and stereo of a song.

Conventions
-----------
audio     float32 ``[channels, T]`` at any rate; the stems come back with the same shape and rate
mono      the model separates mono at the codec's rate, as in the paper; the stereo positions of the
          stems are estimated afterwards (:mod:`tokensep.dsp.stereo`)
level     the mono mixture is scaled to a fixed RMS before the separation, and the stems are scaled
          back
windows   of the LM's training length (:mod:`tokensep.decode.render`)

Three methods for several channels: ``panning`` (gain of each stem in each channel per band,
estimated with soft masks on the mixture), ``mid-side`` (the side signal is separated as a second
song), ``mono``. ``refine="mask"`` masks each channel of the mixture and needs none of them;
``refine="blend"`` always uses panning. The guided decoder multiplies every channel of the mixture
by factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from benchsep._util.tensors import combined_sha256
from benchsep.audio import Audio
from tokensep.codec.codebooks import codebooks
from tokensep.decode.ceiling import Ceiling
from tokensep.decode.guide import CONFIG as GUIDE_CONFIG
from tokensep.decode.guide import WEIGHTS as GUIDE_WEIGHTS
from tokensep.decode.guide import Guide, default_stems, load_guide
from tokensep.decode.precision import Drawing, in_float64
from tokensep.decode.render import Rendered, Renderer, TokenSource
from tokensep.dsp.stereo import SILENT, Stereo, rms
from tokensep.errors import AudioError, CheckpointError, ConfigError
from tokensep.lm.conditioner import SSLEncoder
from tokensep.lm.config import InferenceConfig
from tokensep.lm.model import TokenLM

Samples = NDArray[np.float32]
CODEC_FACTS = ("rate", "frame_hop", "codebook_size", "semantic_layers", "acoustic_layers")
"""Settings in which the LM's configuration and the codec must agree."""
PLACING_BYTES = 2**30
"""Memory in bytes for the placement of stems in addition to the samples (spectra of a block)."""


@dataclass(frozen=True)
class Provenance:
    """Name of a checkpoint, and hash of its files: LM and codec, weights and configurations."""

    name: str
    sha256: str


@dataclass(frozen=True)
class MonoStems:
    """Stems ``[S, T]`` of a mono mixture, at its rate, length and level.

    ``rendered`` has the decoded stems and latents at the model's level (``gain`` times the
    mixture's); None if the mixture is silent or if tokens (not the consensus of latents) were
    decoded. With ``render="guided"`` the mono stems are zeros and only ``rendered`` is used.
    """

    stems: Tensor
    rendered: Rendered | None = None
    gain: float = 1.0


class TokenSep:
    """The token-generative separator.

    >>> stems = TokenSep.from_checkpoint("mini").separate(audio, 44_100)  # doctest: +SKIP

    Parameters
    ----------
    lm : conditioner and language model.
    codec : a :class:`tokensep.codec.interface.Codec`, frozen.
    provenance : name and hash of the checkpoint.
    folder : folder of the weights, perhaps with those of the guided decoder, which then renders the
        stems that its configuration names, unless ``refine`` overrides this.

    Raises
    ------
    CheckpointError
        the LM was trained for another codec.
    """

    def __init__(
        self,
        lm: TokenLM,
        codec: Any,
        provenance: Provenance | None = None,
        folder: Path | None = None,
    ) -> None:
        for field in CODEC_FACTS:
            expected, found = getattr(lm.config, field), getattr(codec, field)
            if expected != found:
                raise CheckpointError(
                    f"the LM was made for a codec with {field} {expected}, this codec has {found}; "
                    "use the two that were trained together"
                )
        self.lm, self.codec, self.config = lm.eval(), codec, lm.config
        self.provenance = provenance or Provenance("unnamed", "")
        self._codebooks: Tensor | None = None
        self._folder = folder
        if folder is not None and (guided := default_stems(folder)):
            inference = self.config.inference.guided_by_default(guided, self.config.stems)
            self.config = self.config.model_copy(update={"inference": inference})
        self._guide: Guide | None = None
        self._exact: Drawing | None = None

    @classmethod
    def from_checkpoint(cls, source: str | Path = "mini", device: str = "cpu") -> TokenSep:
        """Load a folder with codec and LM; ``"mini"`` is the one that ships with the package.

        Raises
        ------
        CheckpointError
            A file is missing, corrupt, or made for another model.
        """
        from tokensep.codec.files import codec_files
        from tokensep.codec.model import HCodec
        from tokensep.lm.weights import lm_files, load_lm

        folder = checkpoint_folder(source)
        if not folder.is_dir():
            raise CheckpointError(
                f"{source}: no such folder; expected 'mini' or a folder with codec.safetensors, "
                "config.json, lm.safetensors and lm.json"
            )
        lm, codec = load_lm(folder), HCodec.from_checkpoint(folder)
        if isinstance(lm.encoder, SSLEncoder):
            lm.encoder.attach(codec.teacher)
        name = "mini" if str(source) == "mini" else folder.name
        files = lm_files(folder) + codec_files(folder)
        provenance = Provenance(name, combined_sha256(files))
        return cls(lm.to(device), codec.to(device), provenance, folder)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.lm.tables.device

    @property
    def codebooks(self) -> Tensor:
        """The codec's entries ``[K, V, D]``, semantic layers first."""
        if self._codebooks is None:
            self._codebooks = codebooks(self.codec).to(self.device)
        return self._codebooks

    @property
    def guide(self) -> Guide:
        """The guided decoder, loaded when first needed.

        Raises
        ------
        CheckpointError
            There is none in the folder, or it is not for this LM and codec.
        """
        if self._guide is None:
            if self._folder is None:
                raise CheckpointError(
                    "render=guided: this model was not loaded from a checkpoint folder, so it "
                    "has no guided decoder"
                )
            guide, config = load_guide(self._folder), self.config
            found = (guide.config.stems, guide.config.rate, guide.config.frame_hop)
            if found != (len(config.stems), config.rate, config.frame_hop):
                raise CheckpointError(
                    f"{self._folder}: the guided decoder is for stems, rate and frame hop {found}; "
                    f"the LM has {len(config.stems)}, {config.rate} and {config.frame_hop}"
                )
            self._guide = guide.to(self.device)
        return self._guide

    @property
    def guide_sha256(self) -> str:
        """Hash of the files of :attr:`guide`, which is loaded if necessary."""
        assert self.guide is not None and self._folder is not None
        return combined_sha256([self._folder / GUIDE_WEIGHTS, self._folder / GUIDE_CONFIG])

    def separate(
        self,
        audio: ArrayLike,
        rate: int,
        *,
        seed: int = 0,
        options: InferenceConfig | None = None,
        truth: dict[str, Samples] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> dict[str, Samples]:
        """Stems of ``audio [channels, T]`` (or ``[T]``), each of the same shape and rate.

        Parameters
        ----------
        audio : the mixture, any level; not changed.
        rate : Hz.
        seed : seed of all draws; the same seed gives the same stems for any batch size.
        options : default: those of the checkpoint.
        truth : the true stems, each as ``audio``: a stem is then generated after the true tokens of
            the previous stems instead of the generated ones, which shows the effect of error
            accumulation.
        progress : called with the decoded share of the song, 0 to 1, after each batch of windows
            (again from 0 for the side signal).

        Raises
        ------
        AudioError
            No samples, NaN or infinite samples, or a shape that is not ``[channels, T]``.
        ConfigError
            ``truth`` with parallel decoding (stems are independent), mid-side stereo (two songs are
            separated) or ``prime``.
        """
        options, mixture = options or self.config.inference, Audio.of(audio, rate)
        true_stems = self._true_stems(truth, mixture, options) if truth is not None else None
        tell = progress or (lambda share: None)
        if options.render == "guided":
            made = self._mono_stems(mixture.mono(), seed, options, true_stems, tell)
            placed = self._on_mixture(mixture, made, list(range(len(self.config.stems))))
        else:
            placed = self._placed(mixture, seed, options, true_stems, tell)
        return self._by_name(placed[:, 0] if np.ndim(audio) == 1 else placed)

    def _placed(
        self,
        mixture: Audio,
        seed: int,
        options: InferenceConfig,
        true_stems: Audio | None,
        progress: Callable[[float], None],
    ) -> Samples:
        """``[C, T]`` → ``[S, C, T]``: generated stems in the channels, refined as options say."""
        made: dict[int, MonoStems] = {}

        def separate_mono(mono: Samples, song: int) -> Tensor:
            audio = Audio.of(mono, mixture.rate)
            found = self._mono_stems(audio, seed + song, options, true_stems, progress)
            # What the guided decoder reads is kept alone; a view would keep the stems, too.
            stems, made[song] = found.stems, replace(found, stems=torch.empty(0))
            return stems.to(placing_device(self.device, len(stems), mixture))

        refine = options.refine_of(self.config.stems)
        plain = tuple("none" if how == "guided" else how for how in refine)
        stereo = Stereo(options.stereo, plain, options.mask_power)
        placed = stereo.separate(mixture.samples, separate_mono)  # [S, C, T]
        guided = [s for s, how in enumerate(refine) if how == "guided"]
        if guided:
            placed[guided] = self._on_mixture(mixture, made[0], guided)
        return placed

    def _by_name(self, stems: Samples) -> dict[str, Samples]:
        """``[S, …]`` by the names of the stems."""
        names = self.config.stems
        return {n: np.ascontiguousarray(s) for n, s in zip(names, stems, strict=True)}

    def _true_stems(
        self, truth: dict[str, Samples], mixture: Audio, options: InferenceConfig
    ) -> Audio:
        """The true stems as mono ``[S, T]``, in the LM's order."""
        if options.decoding != "sequential" or options.stereo == "mid-side" or options.prime:
            raise ConfigError(
                "true stems can be given in sequential decoding only, without mid-side stereo "
                "and without prime"
            )
        missing = [stem for stem in self.config.stems if stem not in truth]
        if missing:
            raise AudioError(
                f"the true {', '.join(missing)} is missing; expected all stems of the LM"
            )
        stems = [Audio.of(truth[stem], mixture.rate).samples.mean(0) for stem in self.config.stems]
        lengths = {len(stem) for stem in stems}
        if lengths != {mixture.samples.shape[1]}:
            raise AudioError(
                f"the true stems have {', '.join(map(str, sorted(lengths)))} samples and the "
                f"mixture {mixture.samples.shape[1]}; expected the same"
            )
        return Audio(np.stack(stems), mixture.rate)

    def _mono_stems(
        self,
        mono: Audio,
        seed: int,
        options: InferenceConfig,
        true_stems: Audio | None,
        progress: Callable[[float], None],
    ) -> MonoStems:
        """Stems of ``[1, T]`` (and true stems ``[S, T]``), before they are placed."""
        length, level = mono.samples.shape[1], rms(mono.samples)
        silence = torch.zeros(1, 1).expand(len(self.config.stems), length)
        if level < SILENT:
            return MonoStems(silence)
        gain = self._gain(level)
        mixture = self._to_model(mono, gain)[0]
        shown = None if true_stems is None else self._to_model(true_stems, gain)
        renderer = Renderer(self._source(options), progress)
        if options.render in ("tokens", "mean"):
            waves = renderer.render(mixture, seed, shown)
            return MonoStems(self._from_model(waves, mono.rate, gain, length))
        made = renderer.render_latents(mixture, seed, shown)
        if made is None or options.render == "guided":  # the latter needs them at the model's level
            return MonoStems(silence, made, gain)
        return MonoStems(self._from_model(made.stems, mono.rate, gain, length), made, gain)

    def _on_mixture(self, mixture: Audio, made: MonoStems, stems: list[int]) -> Samples:
        """``[C, T]`` → some stems ``[S, C, T]``: the guided decoder's factors on every channel."""
        shape, guide = (len(stems), *mixture.samples.shape), self.guide
        if made.rendered is None:
            return np.zeros(shape, np.float32)
        channels = self._to_model(mixture, made.gain).to(self.device)  # [C, T] at the codec's rate
        generated, latents = made.rendered.stems.to(self.device), made.rendered.latents
        placed = guide.separate(channels, generated, latents, stems)
        waves = placed.flatten(0, 1)
        waves = self._from_model(waves, mixture.rate, made.gain, shape[-1], in_place=True)
        return waves.cpu().numpy().reshape(shape)

    def _source(self, options: InferenceConfig) -> TokenSource:
        """The token source; its float64 copy is created when first needed."""
        exact = None
        if options.precision == "float64":
            self._exact = self._exact or in_float64(self.lm, self.codec, self.codebooks)
            exact = self._exact
        codebooks = None if options.render == "tokens" else self.codebooks
        if exact is not None:
            exact = exact._replace(codebooks=None if codebooks is None else exact.codebooks)
        return TokenSource(self.lm, self.codec, options, codebooks, exact)

    def _gain(self, level: float) -> float:
        """Gain from an RMS to that of the LM: ``10^(loudness / 20) / level``."""
        return float(10 ** (self.config.loudness / 20) / level)

    def _to_model(self, audio: Audio, gain: float) -> Tensor:
        """``[C, T]`` at the LM's level and the codec's rate."""
        scaled = Audio(gain * audio.samples, audio.rate)
        return torch.from_numpy(scaled.resampled(self.config.rate).samples)

    def _from_model(
        self, waves: Tensor, rate: int, gain: float, length: int, *, in_place: bool = False
    ) -> Tensor:
        """Inverse of :meth:`_to_model`, cut or padded to ``length``; resampling is the CPU's.

        ``in_place``: the waves may be modified.
        """
        if rate != self.config.rate:
            back = Audio(waves.cpu().numpy(), self.config.rate).resampled(rate)
            waves = torch.from_numpy(back.samples)
        lacking = length - waves.shape[1]
        if lacking > 0:  # padding copies, even by nothing
            waves = torch.nn.functional.pad(waves, (0, lacking))
        waves, factor = waves[:, :length], waves.new_tensor(gain)
        return waves.div_(factor) if in_place else waves / factor

    def oracle(self, stem: ArrayLike, rate: int, *, level: float | None = None) -> Samples:
        """A true stem through the codec and back: the upper bound of any LM on this codec.

        ``level`` is the RMS of the mono mixture, which sets the gain as in :meth:`separate`
        (default: the stem's own). Channels are coded one by one.
        """
        return Ceiling(self.codec, self.config.loudness)(stem, rate, level)


def checkpoint_folder(source: str | Path) -> Path:
    """The folder of a checkpoint; ``"mini"`` is the one that ships with the package."""
    return Path(__file__).parent / "weights" / "mini" if str(source) == "mini" else Path(source)


def placing_device(device: torch.device, stems: int, mixture: Audio) -> torch.device:
    """Device for the placement of stems in the mixture's channels: the model's GPU if they fit.

    A blend needs the memory of four copies of the stems; and it needs float64, which only CPU and
    CUDA support.
    """
    if device.type != "cuda":
        return torch.device("cpu")
    needed = 4 * stems * mixture.samples.nbytes + PLACING_BYTES
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    is_enough = needed <= torch.cuda.mem_get_info(device)[0] + held
    return device if is_enough else torch.device("cpu")
