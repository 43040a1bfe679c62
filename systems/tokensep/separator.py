"""From a song to its stems: levels, windows, stereo, refinement.

Conventions
-----------
audio     float32 ``[channels, T]`` at any rate; the stems come back with the same shape and rate
core      mono at the codec's rate, as in the paper; what is stereo is recovered afterwards
level     the mono mixture is brought to one RMS before, and the stems back after
windows   of the length the LM was trained on, overlapping, decoded as a batch (or one by one, each
          primed by its predecessor's tokens), cross-faded linearly; with ``render="consensus"``
          their latents are averaged and decoded once. Beside the samples (and those latents, a
          seventh of two channels), memory grows with the batch of windows, not with the song.

Three ways to more than one channel: ``panning`` (level of each stem in each channel per band,
read off the mixture through soft masks), ``mid-side`` (the side signal is separated as a second
song), ``mono``. ``refine="mask"`` masks the mixture channel by channel and needs none of them,
``refine="blend"`` always pans.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from benchsep._util.tensors import file_sha256
from benchsep.audio import Audio, fit_length
from tokensep.codec.interface import Codes
from tokensep.decode.consensus import Consensus
from tokensep.decode.generate import Generated, Step, generate
from tokensep.dsp.stereo import blend_mixture, mask_mixture, pan
from tokensep.dsp.windows import cross_faded, fade, window_starts
from tokensep.errors import AudioError, CheckpointError, ConfigError
from tokensep.lm.config import InferenceConfig
from tokensep.lm.model import TokenLM

Samples = NDArray[np.float32]
SILENT = 1e-6
"""RMS below which a signal is silence: nothing is generated for it."""
PIECE_SECONDS = 20.0
"""Of a song through the codec's decoder at a time."""


def rms(samples: Samples) -> float:
    """Root mean square over everything."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def log_mel_distance(a: Tensor, b: Tensor, features: Any) -> Tensor:
    """Mean absolute log-mel difference per row: how well stems add up to the mixture."""
    return (features(a) - features(b)).abs().mean((1, 2))


@dataclass(frozen=True)
class Provenance:
    """Where the weights came from."""

    name: str
    sha256: str


class TokenSep:
    """The token-generative separator.

    >>> stems = TokenSep.from_checkpoint("mini").separate(audio, 44_100)  # doctest: +SKIP

    Parameters
    ----------
    lm : conditioner and language model.
    codec : a :class:`tokensep.codec.interface.Codec`, frozen.
    provenance : name and hash of the weights.

    Raises
    ------
    CheckpointError
        the LM was made for another codec.
    """

    def __init__(self, lm: TokenLM, codec: Any, provenance: Provenance | None = None) -> None:
        config = lm.config
        for field in (
            "rate",
            "frame_hop",
            "codebook_size",
            "semantic_layers",
            "acoustic_layers",
        ):
            if getattr(config, field) != getattr(codec, field):
                raise CheckpointError(
                    f"the LM was made for a codec with {field} {getattr(config, field)}, this "
                    f"codec has {getattr(codec, field)}; use the two that were trained together"
                )
        self.lm, self.codec, self.config = lm.eval(), codec, config
        self.provenance = provenance or Provenance("unnamed", "")
        self._books: Tensor | None = None

    @classmethod
    def from_checkpoint(cls, source: str | Path = "mini", device: str = "cpu") -> TokenSep:
        """Load a folder with codec and LM; ``"mini"`` is the one that ships with the package.

        Raises
        ------
        CheckpointError
            A file is missing, corrupt, or made for another model.
        """
        from tokensep.codec.model import HCodec
        from tokensep.lm.weights import WEIGHTS, load_lm

        folder = Path(source)
        if str(source) == "mini":
            folder = Path(__file__).parent / "weights" / "mini"
        if not folder.is_dir():
            raise CheckpointError(
                f"{source}: no such folder; expected 'mini' or a folder with codec.safetensors, "
                "config.json, lm.safetensors and lm.json"
            )
        lm, codec = load_lm(folder), HCodec.from_checkpoint(folder)
        if lm.config.encoder.kind == "ssl":
            lm.encoder.attach(codec.teacher)  # type: ignore[union-attr, arg-type]
        digest = file_sha256(folder / WEIGHTS)
        name = "mini" if str(source) == "mini" else folder.name
        return cls(lm.to(device), codec.to(device), Provenance(name, digest))

    def separate(
        self,
        audio: ArrayLike,
        rate: int,
        *,
        seed: int = 0,
        options: InferenceConfig | None = None,
        truth: dict[str, Samples] | None = None,
    ) -> dict[str, Samples]:
        """Stems of ``audio [channels, T]`` (or ``[T]``), each of the same shape and rate.

        Parameters
        ----------
        audio : the mixture, any level; not changed.
        rate : Hz.
        seed : of every draw; the same seed gives the same stems, whatever the batch.
        options : default: those of the checkpoint.
        truth : the true stems, each as ``audio``: a stem then follows the true tokens of those
            before it and not the generated ones, which shows how much error is carried over.

        Raises
        ------
        AudioError
            No samples, NaN or infinite samples, or a shape that is not ``[channels, T]``.
        ConfigError
            ``truth`` with parallel decoding (nothing is carried over), mid-side stereo (two songs
            are separated) or ``prime``.
        """
        options = options or self.config.inference
        mixture = Audio.of(audio, rate).samples
        told = self._told(truth, rate, mixture, options) if truth is not None else None
        stems = self.separate_mono(mixture.mean(0), rate, seed=seed, options=options, truth=told)
        channels = mixture.shape[0]
        if rms(mixture) < SILENT:
            placed = np.zeros((len(stems), *mixture.shape), np.float32)
        elif options.refine == "mask":
            placed = mask_mixture(mixture, stems, options.mask_power)
        elif options.refine == "blend":
            placed = blend_mixture(mixture, stems, options.mask_power)
        elif channels == 1 or options.stereo == "mono":
            placed = np.repeat(stems[:, None], channels, 1)
        elif options.stereo == "mid-side" and channels == 2:
            side = 0.5 * (mixture[0] - mixture[1])
            sides = self.separate_mono(side, rate, seed=seed + 1, options=options)
            placed = np.stack([stems + sides, stems - sides], 1)
        else:
            placed = pan(mixture, stems)
        out = {s: np.ascontiguousarray(p) for s, p in zip(self.config.stems, placed, strict=True)}
        return {s: p[0] for s, p in out.items()} if np.ndim(audio) == 1 else out

    def _told(
        self, truth: dict[str, Samples], rate: int, mixture: Samples, options: InferenceConfig
    ) -> Samples:
        """The true stems as mono ``[S, T]``, in the LM's order."""
        if options.decoding != "sequential" or options.stereo == "mid-side" or options.prime:
            raise ConfigError(
                "true stems are shown in sequential decoding only, without mid-side stereo or prime"
            )
        missing = [stem for stem in self.config.stems if stem not in truth]
        if missing:
            raise AudioError(f"no true {', '.join(missing)}; all of the LM's stems are needed")
        told = np.stack([Audio.of(truth[stem], rate).samples.mean(0) for stem in self.config.stems])
        if told.shape[1] != mixture.shape[1]:
            raise AudioError(
                f"true stems of {told.shape[1]} samples for a mixture of {mixture.shape[1]}"
            )
        return told

    def separate_mono(
        self,
        mono: Samples,
        rate: int,
        *,
        seed: int,
        options: InferenceConfig,
        truth: Samples | None = None,
    ) -> NDArray[np.float32]:
        """``[T]`` (and ``truth [S, T]``) → ``[S, T]`` at the same rate."""
        config, length = self.config, len(mono)
        level = rms(mono)
        if level < SILENT:
            return np.zeros((len(config.stems), length), np.float32)
        gain = 10 ** (config.loudness / 20) / level
        core = Audio(gain * mono[None], rate).resampled(config.rate).samples[0]
        told = None
        if truth is not None:
            told = torch.from_numpy(Audio(gain * truth, rate).resampled(config.rate).samples)
        stems = self._windows(torch.from_numpy(core), seed, options, told)
        back = fit_length(Audio(stems.numpy(), config.rate).resampled(rate).samples, length)
        return back / np.float32(gain)

    @torch.no_grad()
    def _windows(
        self, core: Tensor, seed: int, options: InferenceConfig, told: Tensor | None = None
    ) -> Tensor:
        """``[T]`` (and true stems ``[S, T]``) at the codec's rate → ``[S, T]``."""
        if options.render == "consensus":
            return self._consensus(core, seed, options, told)
        hop, length = self.config.frame_hop, len(core)
        window = self.config.window_frames * hop
        overlap = min(options.overlap_frames, self.config.window_frames // 2) * hop
        starts = window_starts(length, window, overlap)
        padded = torch.nn.functional.pad(core, (0, starts[-1] + window - length))
        out = torch.zeros(len(self.config.stems), len(padded))
        batch, prompt = (1 if options.prime else options.batch), None
        options = options.model_copy(update={"step": self._step(options, batch, len(starts))})
        for at in range(0, len(starts), batch):
            chosen = starts[at : at + batch]
            waves = torch.stack([padded[s : s + window] for s in chosen]).to(self.device)
            seeds = [(seed * 1_000_003 + at + i) * 64 for i in range(len(chosen))]
            true = None
            if told is not None:
                true = torch.stack([self._true_codes(told, s, window) for s in chosen])
            stems, codes = self._decode(waves, seeds, options, prompt, true)
            if options.prime and options.overlap_frames:
                prompt = codes[..., -options.overlap_frames :]
            for i, start in enumerate(chosen):
                weights = fade(window, overlap, start == 0, start == starts[-1])
                out[:, start : start + window] += weights * stems[i].cpu()
        return out[:, :length]

    def _consensus(
        self, core: Tensor, seed: int, options: InferenceConfig, told: Tensor | None
    ) -> Tensor:
        """``[T]`` → ``[S, T]`` like :meth:`_windows`, by :mod:`tokensep.decode.consensus`."""
        hop, window = self.config.frame_hop, self.config.window_frames
        frames, draws = -(-len(core) // hop), options.draws
        overlap = min(options.overlap_frames, 3 * window // 4)
        starts = window_starts(max(frames, window), window, overlap)
        padded = torch.nn.functional.pad(core, (0, (starts[-1] + window) * hop - len(core)))
        at_once = max(1, options.batch // draws)
        step = self._step(options, at_once * draws, len(starts))
        options = options.model_copy(update={"step": step})
        found = Consensus(frames, window, overlap)
        for at in range(0, len(starts), at_once):
            chosen = [(at + i, s) for i, s in enumerate(starts[at : at + at_once])]
            waves = [padded[s * hop : (s + window) * hop] for _, s in chosen]
            loud = [i for i, wave in enumerate(waves) if wave.square().mean().sqrt() > SILENT]
            if not loud:
                continue
            chosen = [chosen[i] for i in loud]
            batch = torch.stack([waves[i] for i in loud]).to(self.device)
            cond = self.lm.condition(batch, self._latents(batch)).repeat_interleave(draws, 0)
            seeds = [(seed * 1_000_003 + i) * 64 + draw for i, _ in chosen for draw in range(draws)]
            if told is None:
                drawn = self._generate(cond, seeds, options, None)
            else:
                true = [self._true_codes(told, s * hop, window * hop) for _, s in chosen]
                shown = torch.stack(true).repeat_interleave(draws, 0)
                drawn = self._in_true_context(cond, seeds, options, shown)
            assert drawn.latents is not None
            for row, latents in enumerate(drawn.latents):
                found.add(chosen[row // draws][1], latents)
        return self._decoded(found, len(core))

    def _decoded(self, found: Consensus, length: int) -> Tensor:
        """A consensus → ``[S, length]``, stem by stem and in pieces to bound memory."""
        hop, latents = self.config.frame_hop, found.mean()
        if latents is None:
            return torch.zeros(len(self.config.stems), length)
        window, overlap = self._piece()

        def piece(stem: Tensor, start: int, end: int) -> Tensor:
            given = stem[None, start // hop : -(-end // hop)].to(self.device)
            wave = self.codec.decoder(given)[:, : end - start]
            return torch.nn.functional.pad(wave, (0, end - start - wave.shape[1]))

        heard = found.heard.repeat_interleave(hop)[:length]
        stems = [
            cross_faded(length, window, overlap, lambda a, b, stem=stem: piece(stem, a, b))
            for stem in latents
        ]
        return torch.cat(stems) * heard

    def _piece(self) -> tuple[int, int]:
        """Samples of a piece of :data:`PIECE_SECONDS`, and of the overlap of two."""
        hop = self.config.frame_hop
        window = max(1, round(PIECE_SECONDS * self.config.frame_rate)) * hop
        return window, min(window // 2, hop * 8)

    def _step(self, options: InferenceConfig, batch: int, windows: int) -> Step:
        """How steps are computed: a function of the song's length and the options alone."""
        if options.step != "auto":
            return options.step
        from tokensep.decode.compiled import worth

        stems, frames = len(self.config.stems), self.config.window_frames
        single = options.decoding == "sequential" and options.sampling.cfg == 1.0
        steps = self.lm.layout.steps(frames) * stems * windows * options.draws
        rows = batch if single else batch * stems
        return "compiled" if worth(steps, rows, self.lm.stem) else "plain"

    def _true_codes(self, told: Tensor, start: int, window: int) -> Tensor:
        """Codes ``[S, K, F]`` of one window of the true stems."""
        cut = told[:, start : start + window]
        padded = torch.nn.functional.pad(cut, (0, window - cut.shape[1]))
        return self.codec.encode(padded.to(self.device)).stack()

    def _generate(
        self,
        cond: Tensor,
        seeds: list[int],
        options: InferenceConfig,
        prompt: Tensor | None,
        known: Tensor | None = None,
    ) -> Generated:
        order = options.order
        return generate(
            self.lm,
            cond,
            sampling=options.sampling,
            decoding=options.decoding,
            seeds=seeds,
            prompt=prompt,
            known=known,
            order=None if order is None else [self.config.stems.index(s) for s in order],
            books=None if options.render == "tokens" else self.books,
            step="plain" if options.step == "auto" else options.step,
        )

    def _in_true_context(
        self, cond: Tensor, seeds: list[int], options: InferenceConfig, true: Tensor
    ) -> Generated:
        """Each stem drawn behind the true tokens ``[W, S, K, F]`` of those before it."""
        order = [self.config.stems.index(s) for s in options.order or self.config.stems]
        codes, latents = torch.empty_like(true), None
        for place, stem in enumerate(order):
            known = torch.full_like(true, -1)
            known[:, order[:place]] = true[:, order[:place]]
            drawn = self._generate(cond, seeds, options, None, known)
            codes[:, stem] = drawn.codes[:, stem]
            if drawn.latents is not None:
                latents = torch.empty_like(drawn.latents) if latents is None else latents
                latents[:, stem] = drawn.latents[:, stem]
        return Generated(codes, latents)

    def _decode(
        self,
        waves: Tensor,
        seeds: list[int],
        options: InferenceConfig,
        prompt: Tensor | None,
        true: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Windows ``[W, T]`` → stems ``[W, S, T]``, codes ``[W, S, K, F]``: the best draw's."""
        loud = waves.square().mean(1).sqrt() > SILENT
        cond = self.lm.condition(waves, self._latents(waves))
        best: tuple[Tensor, Tensor] | None = None
        score = torch.full((len(waves),), torch.inf, device=waves.device)
        for draw in range(options.draws):
            drawn = [s + draw for s in seeds]
            if true is None:
                result = self._generate(cond, drawn, options, prompt)
            else:
                result = self._in_true_context(cond, drawn, options, true)
            stems = self._render(result.codes, result.latents) * loud[:, None, None]
            if best is None and options.draws == 1:
                return stems, result.codes
            now = log_mel_distance(stems.sum(1), waves, self._features)
            better = now < score
            score = torch.where(better, now, score)
            if best is None:
                best = stems, result.codes
            else:
                pick = better[:, None, None]
                best = (
                    torch.where(pick, stems, best[0]),
                    torch.where(pick[..., None], result.codes, best[1]),
                )
        assert best is not None
        return best

    def _features(self, wave: Tensor) -> Tensor:
        from tokensep.lm.conditioner import LogMel

        if not hasattr(self, "_mel"):
            self._mel = LogMel(self.config.rate, 2048, 512, 80).to(wave.device)
        return self._mel(wave)

    def _latents(self, waves: Tensor) -> Tensor | None:
        encoder = self.config.encoder
        if encoder.kind != "conformer" or not encoder.codec_latents:
            return None
        return self.codec.latents(self.codec.encode(waves))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.lm.tables.device

    @property
    def books(self) -> Tensor:
        """The codec's entries ``[K, V, D]``, semantic first."""
        if self._books is None:
            from tokensep.codec.codebooks import codebooks

            self._books = codebooks(self.codec).to(self.device)
        return self._books

    def _render(self, codes: Tensor, latents: Tensor | None) -> Tensor:
        """Codes ``[W, S, K, F]`` (or expected latents ``[W, S, F, D]``) → ``[W, S, T]``."""
        shape = codes.shape[:2]
        if latents is None:
            flat = Codes.unstack(codes.flatten(0, 1), self.config.semantic_layers)
            return self.codec.decode(flat).unflatten(0, shape)
        return self.codec.decoder(latents.flatten(0, 1)).unflatten(0, shape)

    def oracle(self, stem: ArrayLike, rate: int, *, level: float | None = None) -> Samples:
        """A true stem through the codec and back: what perfect tokens would give.

        ``level`` is the RMS of the mono mixture, which sets the gain as in :meth:`separate`
        (default: the stem's own). Channels are coded one by one.
        """
        samples = Audio.of(stem, rate).samples
        level = rms(samples) if level is None else level
        if min(level, rms(samples)) < SILENT:
            return np.zeros_like(samples)
        gain = 10 ** (self.config.loudness / 20) / level
        core = torch.from_numpy(Audio(gain * samples, rate).resampled(self.config.rate).samples)
        with torch.no_grad():
            back = torch.cat([self._through(channel) for channel in core])
        out = Audio(back.numpy(), self.config.rate).resampled(rate).samples
        return fit_length(out, samples.shape[1]) / np.float32(gain)

    def _through(self, wave: Tensor) -> Tensor:
        """``[T]`` → ``[1, T]`` through the codec, in cross-faded pieces to bound memory."""
        window, overlap = self._piece()
        padded = torch.nn.functional.pad(wave, (0, window))

        def piece(start: int, end: int) -> Tensor:
            return self.codec.decode(self.codec.encode(padded[None, start:end].to(self.device)))

        return cross_faded(len(wave), window, overlap, piece)
