"""Separates a mono mixture: draws the tokens of each window, decodes them, and joins the windows.

Conventions
-----------
mixture   float32 ``[T]`` at the codec's rate and the LM's level
stems     float32 ``[S, T]``; true stems, for teacher forcing, have the same shape
window    of the LM's training length; windows overlap and are drawn as a batch
seeds     one per window and draw, so results do not depend on the batch or the device

Three renderings: ``tokens`` decodes the drawn tokens; ``mean`` decodes the expected latent under
each token's distribution; ``consensus`` averages those expected latents over draws and overlapping
windows before it decodes them (:mod:`tokensep.decode.consensus`). Memory grows with the batch of
windows; only the samples and, for ``consensus``, the latents of the whole song are kept, on the
model's device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tokensep.codec.interface import Codes
from tokensep.decode.consensus import Consensus
from tokensep.decode.generate import generate
from tokensep.decode.one_pass import one_pass, one_pass_latents
from tokensep.decode.output import Generated
from tokensep.decode.precision import Drawing
from tokensep.decode.step import StepKind
from tokensep.dsp.stereo import SILENT
from tokensep.dsp.windows import Windows, cross_faded
from tokensep.lm.conditioner import LogMel
from tokensep.lm.config import InferenceConfig
from tokensep.lm.model import TokenLM

CPU_BATCH = 8
"""Draws of windows decoded together on a CPU: enough for its matrix products, little memory."""
CACHE_BYTES = 2**31
"""Keys and values of what a GPU decodes together: 385 draws of the mini (a minute has 92)."""
PIECE_SECONDS = 20.0
"""Length of a piece of a song that the codec decodes at a time: bounds the memory."""
SONG_STRIDE = 1_000_003
"""A prime above the number of windows of any song: seeds of neighbouring songs stay distinct."""
DRAW_STRIDE = 64
"""The largest number of draws of a window (:attr:`InferenceConfig.draws`)."""


def window_seed(seed: int, index: int) -> int:
    """Seed of the first draw of window ``index``; the draws of a window count up from it."""
    return (seed * SONG_STRIDE + index) * DRAW_STRIDE


def log_mel_distance(a: Tensor, b: Tensor, features: LogMel) -> Tensor:
    """Mean absolute log-mel difference of each row ``[W, T]`` → ``[W]``."""
    distance: Tensor = (features(a) - features(b)).abs().mean((1, 2))
    return distance


class TokenSource:
    """Draws the tokens of mixture windows with one LM, codec and set of options.

    ``codebooks [K, V, D]``: the codec's entries, for expected latents; None where none are needed.
    ``exact``: the same in float64, where tokens are drawn with that.
    """

    def __init__(
        self,
        lm: TokenLM,
        codec: Any,
        options: InferenceConfig,
        codebooks: Tensor | None,
        exact: Drawing | None = None,
    ) -> None:
        self.lm, self.codec, self.options = lm, codec, options
        self.drawing = exact or Drawing(lm, codec, codebooks)
        self.stems = lm.config.stems
        self.order = [self.stems.index(stem) for stem in options.order or self.stems]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.lm.tables.device

    def condition(self, waves: Tensor) -> Tensor:
        """Mixture windows ``[W, T]`` → the LM's condition ``[W, F, C]``."""
        (lm, codec, _), latents = self.drawing, None
        waves, encoder = waves.to(lm.tables.dtype), lm.config.encoder
        if encoder.kind == "conformer" and encoder.codec_latents:
            latents = codec.latents(codec.encode(waves))
        return lm.condition(waves, latents)

    def step_kind(self, rows: int, windows: int) -> StepKind:
        """How a decoding step is computed.

        Depends only on the song's length and the options, not on the machine's load, so that the
        same call gives the same samples.
        """
        if self.options.step != "auto":
            return self.options.step
        if self.device.type == "cuda":
            return "graph"
        from tokensep.decode.compiled import should_compile

        count = len(self.stems)
        steps = self.lm.layout.steps(self.lm.config.window_frames)
        if self.options.decoding == "parallel" or self.options.sampling.cfg != 1.0:
            rows *= count  # more than one row a window: never the single row that compiling is for
        total = steps * count * windows * self.options.draws
        return "compiled" if should_compile(total, rows, self.drawing.lm.stem) else "plain"

    def batch_size(self) -> int:
        """Draws of windows to decode together.

        On a GPU, the whole song if the caches fit into :data:`CACHE_BYTES`, because kernel launches
        dominate the time of a step. Like :meth:`step_kind`, it depends only on the options and the
        model.
        """
        if self.options.batch is not None:
            return self.options.batch
        if self.device.type != "cuda":
            return CPU_BATCH
        config = self.lm.config
        positions = self.lm.layout.steps(config.window_frames) * len(self.stems)
        positions += config.window_frames if config.lm.prefix else 0
        rows = 1 if self.options.sampling.cfg == 1.0 else 2
        cache = 2 * config.lm.layers * config.lm.dim * positions * rows * self.lm.tables.itemsize
        return max(1, CACHE_BYTES // cache)

    def draw(
        self,
        cond: Tensor,
        seeds: Sequence[int],
        step: StepKind,
        *,
        prompt: Tensor | None = None,
        true_codes: Tensor | None = None,
    ) -> Generated:
        """Codes ``[R, S, K, F]`` (and expected latents) of conditions ``[R, F, C]``.

        With ``true_codes [R, S, K, F]``, each stem is drawn after the true tokens of the previous
        stems (teacher forcing), one stem at a time.
        """
        if true_codes is None:
            return self._generate(cond, seeds, step, prompt, None)
        codes, latents = torch.empty_like(true_codes), None
        for place, stem in enumerate(self.order):
            known = torch.full_like(true_codes, -1)  # -1: to be drawn
            before = self.order[:place]
            known[:, before] = true_codes[:, before]
            drawn = self._generate(cond, seeds, step, None, known)
            codes[:, stem] = drawn.codes[:, stem]
            if drawn.latents is not None:
                latents = torch.empty_like(drawn.latents) if latents is None else latents
                latents[:, stem] = drawn.latents[:, stem]
        return Generated(codes, latents)

    def one_pass_latents(self, cond: Tensor) -> Tensor:
        """Expected latents ``[R, S, F, D]`` of conditions ``[R, F, C]`` with all tokens hidden."""
        lm, _, codebooks = self.drawing
        assert codebooks is not None
        return one_pass_latents(lm, cond, codebooks).to(self.lm.tables.dtype)

    def _generate(
        self,
        cond: Tensor,
        seeds: Sequence[int],
        step: StepKind,
        prompt: Tensor | None,
        known: Tensor | None,
    ) -> Generated:
        lm, _, codebooks = self.drawing
        if self.options.decoding == "one-pass":
            drawn = one_pass(
                lm,
                cond,
                sampling=self.options.sampling,
                passes=self.options.passes,
                seeds=seeds,
                codebooks=codebooks,
            )
        else:
            drawn = generate(
                lm,
                cond,
                sampling=self.options.sampling,
                decoding=self.options.decoding,
                seeds=seeds,
                prompt=prompt,
                known=known,
                order=self.order if self.options.order else None,
                codebooks=codebooks,
                step=step,
            )
        if drawn.latents is not None:  # the codec decodes in its own type
            drawn.latents = drawn.latents.to(self.lm.tables.dtype)
        return drawn


@dataclass(frozen=True)
class Rendered:
    """Decoded stems ``[S, T]`` and the consensus of their latents ``[S, F, D]`` they come from."""

    stems: Tensor
    latents: Tensor


class Renderer:
    """Mono mixture → stems, by the rendering that the options name.

    ``progress`` gets the share of the windows that are decoded after each batch.
    """

    def __init__(
        self, source: TokenSource, progress: Callable[[float], None] = lambda share: None
    ) -> None:
        self.progress = progress
        self.source, self.codec, self.options = source, source.codec, source.options
        config = source.lm.config
        self.stems, self.hop = len(config.stems), config.frame_hop
        self.semantic_layers, self.frame_rate = config.semantic_layers, config.frame_rate
        self.window_frames = config.window_frames
        self.features = LogMel(config.rate, 2048, 512, 80).to(source.device)

    @torch.no_grad()
    def render(self, mixture: Tensor, seed: int, true_stems: Tensor | None = None) -> Tensor:
        """``mixture [T]`` (and ``true_stems [S, T]``) → stems ``[S, T]`` (``tokens``, ``mean``).

        Windows are decoded one by one, their waves cross-faded. The other renderings decode a
        consensus: :meth:`render_latents`.
        """
        overlap = min(self.options.overlap_frames, self.window_frames // 2)
        windows = Windows(len(mixture), self.window_frames * self.hop, overlap * self.hop)
        batch = 1 if self.options.prime else self.source.batch_size()
        step = self.source.step_kind(batch, len(windows.starts))

        def parts() -> Iterator[tuple[int, Tensor]]:
            prompt = None
            for indices in windows.batches(batch):
                waves = self._cut(windows, mixture, indices).to(self.source.device)
                seeds = [window_seed(seed, index) for index in indices]
                true_codes = self._true_codes(windows, true_stems, indices)
                stems, codes = self._best_draw(waves, seeds, step, prompt, true_codes)
                if self.options.prime and self.options.overlap_frames:
                    # the last tokens of this window are the first of the next one
                    prompt = codes[..., -self.options.overlap_frames :]
                yield from zip(indices, stems, strict=True)
                self.progress((indices[-1] + 1) / len(windows.starts))

        return windows.cross_fade(parts(), self.stems)

    def _best_draw(
        self,
        waves: Tensor,
        seeds: list[int],
        step: StepKind,
        prompt: Tensor | None,
        true_codes: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Windows ``[W, T]`` → stems ``[W, S, T]`` and codes ``[W, S, K, F]``.

        With several draws, each window uses the draw whose stems sum to the mixture best.
        """
        audible = waves.square().mean(1).sqrt() > SILENT
        cond = self.source.condition(waves)
        best: tuple[Tensor, Tensor] | None = None
        lowest = torch.full((len(waves),), torch.inf, device=waves.device)
        for draw in range(self.options.draws):
            drawn = self.source.draw(
                cond, [s + draw for s in seeds], step, prompt=prompt, true_codes=true_codes
            )
            stems = self._decode(drawn) * audible[:, None, None]
            if self.options.draws == 1:
                return stems, drawn.codes
            distance = log_mel_distance(stems.sum(1), waves, self.features)
            better = distance < lowest  # [W]
            lowest = torch.where(better, distance, lowest)
            if best is None:
                best = stems, drawn.codes
            else:
                best = (
                    torch.where(better[:, None, None], stems, best[0]),
                    torch.where(better[:, None, None, None], drawn.codes, best[1]),
                )
        assert best is not None
        return best

    def _decode(self, drawn: Generated) -> Tensor:
        """Codes ``[W, S, K, F]``, or expected latents ``[W, S, F, D]``, → ``[W, S, T]``."""
        shape = drawn.codes.shape[:2]
        if drawn.latents is None:
            flat = Codes.unstack(drawn.codes.flatten(0, 1), self.semantic_layers)
            wave: Tensor = self.codec.decode(flat)  # [W x S, T]
        else:
            wave = self.codec.decoder(drawn.latents.flatten(0, 1))
        return wave.unflatten(0, shape)

    @torch.no_grad()
    def render_latents(
        self, mixture: Tensor, seed: int, true_stems: Tensor | None = None
    ) -> Rendered | None:
        """The consensus and what the codec makes of it; None if ``mixture [T]`` is silent."""
        frames, draws = -(-len(mixture) // self.hop), self.options.draws
        overlap = min(self.options.overlap_frames, 3 * self.window_frames // 4)
        length = max(frames, self.window_frames) * self.hop
        windows = Windows(length, self.window_frames * self.hop, overlap * self.hop)
        batch = max(1, self.source.batch_size() // draws)
        step = self.source.step_kind(batch * draws, len(windows.starts))
        consensus = Consensus(frames, self.window_frames, overlap, self.source.device)
        for indices in windows.batches(batch):
            self.progress(indices[0] / len(windows.starts))
            waves = self._cut(windows, mixture, indices)
            audible = (waves.square().mean(1).sqrt() > SILENT).tolist()
            kept = [index for index, loud in zip(indices, audible, strict=True) if loud]
            if not kept:
                continue
            starts = [windows.starts[index] // self.hop for index in kept]
            seeds = [window_seed(seed, index) for index in kept]
            true_codes = self._true_codes(windows, true_stems, kept)
            self._agree(consensus, starts, waves[audible], seeds, step, true_codes)
        mean = consensus.mean()
        if mean is None:
            return None
        stems = self._decode_latents(mean, len(mixture))
        covered = consensus.covered.repeat_interleave(self.hop)[: len(mixture)]
        return Rendered(stems * covered, mean)

    @torch.no_grad()
    def window_latents(self, waves: Tensor, seeds: list[int]) -> Tensor:
        """The consensus of each window alone: ``[W, T]`` of whole frames → ``[W, S, F, D]``.

        ``seeds``: that of the first draw of each.
        """
        count, frames = len(waves), waves.shape[1] // self.hop
        step = self.source.step_kind(count * self.options.draws, count)
        consensus = Consensus(count * frames, frames, 0, self.source.device)
        starts = [index * frames for index in range(count)]  # side by side, without overlap
        self._agree(consensus, starts, waves, seeds, step, None)
        mean = consensus.mean()
        assert mean is not None
        return mean.unflatten(1, (count, frames)).transpose(0, 1)

    def _agree(
        self,
        consensus: Consensus,
        starts: list[int],
        waves: Tensor,
        seeds: list[int],
        step: StepKind,
        true_codes: Tensor | None,
    ) -> None:
        """Add windows ``[W, T]`` to the consensus: all draws, and the estimate of one pass.

        ``starts``: first frame of each; ``seeds``: that of its first draw.
        """
        cond, draws = self.source.condition(waves.to(self.source.device)), self.options.draws
        if true_codes is not None:
            true_codes = true_codes.repeat_interleave(draws, 0)
        # rows: window 0 draw 0, window 0 draw 1, … window 1 draw 0, …
        rows = [first + draw for first in seeds for draw in range(draws)]
        drawn = self.source.draw(
            cond.repeat_interleave(draws, 0), rows, step, true_codes=true_codes
        )
        assert drawn.latents is not None
        for row, latents in enumerate(drawn.latents):
            consensus.add(starts[row // draws], latents)
        if share := self.options.one_pass_share:
            # the share of all draws of a window together is 1 - share
            for start, latents in zip(starts, self.source.one_pass_latents(cond), strict=True):
                consensus.add(start, latents, draws * share / (1 - share))

    def _decode_latents(self, latents: Tensor, length: int) -> Tensor:
        """``[S, F, D]`` → ``[S, length]``, in pieces to bound memory; on a CPU stem by stem too."""

        def piece(stems: Tensor, start: int, end: int) -> Tensor:
            """Latents ``[S, F, D]`` of some stems → their waves ``[S, end - start]``."""
            frames = stems[:, start // self.hop : -(-end // self.hop)]
            wave = self.codec.decoder(frames)[:, : end - start]
            return torch.nn.functional.pad(wave, (0, end - start - wave.shape[1]))

        window, overlap = piece_samples(self.hop, self.frame_rate)
        together = self.stems if latents.is_cuda else 1
        parts = [
            cross_faded(length, window, overlap, partial(piece, stems))
            for stems in latents.split(together)
        ]
        return torch.cat(parts)

    def _cut(self, windows: Windows, mixture: Tensor, indices: list[int]) -> Tensor:
        """Windows of the mixture ``[W, T]``."""
        return torch.stack([windows.cut(mixture, index) for index in indices])

    def _true_codes(
        self, windows: Windows, true_stems: Tensor | None, indices: list[int]
    ) -> Tensor | None:
        """Codes ``[W, S, K, F]`` of windows of the true stems."""
        if true_stems is None:
            return None
        cut = [windows.cut(true_stems, index).to(self.source.device) for index in indices]
        return torch.stack([self.codec.encode(stems).stack() for stems in cut])


def piece_samples(hop: int, frame_rate: float) -> tuple[int, int]:
    """Samples of a piece of :data:`PIECE_SECONDS` in whole frames, and of the overlap of two."""
    window = max(1, round(PIECE_SECONDS * frame_rate)) * hop
    return window, min(window // 2, hop * 8)
