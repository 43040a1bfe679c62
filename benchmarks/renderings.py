"""Renderings of the same tokens side by side: which decoder, or mean of two, serves a stem.

    python -m benchmarks.renderings --root MUSDB18-7S [--checkpoint mini] [--songs 14]

The LM draws each validation song once (and makes its estimate of one pass). Then per stem:

pan, blend, mask    ``refine=none``, ``blend`` and ``mask`` of the consensus
guided              ``render=guided``: the latents of one pass
guided consensus    the guided decoder with the latents of the consensus
X of draws          pan and guided with the consensus of draws alone (``one_pass_share=0``)
A + B               their magnitudes' geometric mean with the mixture's phase
pan of X            other latents through the codec's decoder: those of the codec's encoder of
                    guided stems, and their mean with the draws

Prints mean ViSQOL and uSDR per stem, and ViSQOL's mean difference from the
default's row (guided consensus, of other pan) with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokensep.decode.render import Renderer
from tokensep.dsp.stereo import place, rms
from tokensep.lm.config import InferenceConfig
from tokensep.separator import TokenSep
from torch import Tensor

from benchmarks.tokensep_mini import to_48k, usdr
from benchsep.audio import Audio
from benchsep.datasets.load import load_dataset
from benchsep.metrics.visqol.engine import Reference
from benchsep.runner.job import seed_of

DEFAULT = dict.fromkeys(("vocals", "drums", "bass"), "guided consensus") | {"other": "pan"}
MEANS = (("guided", "guided consensus"), ("guided", "pan"), ("guided", "blend"))
MEANS += (("guided consensus", "pan"), ("guided consensus", "blend"))
"""Pairs whose geometric mean is a row."""
N_FFT, HOP = 2048, 512
RESAMPLES = 10_000


class Score(NamedTuple):
    """Of one stem of one song."""

    visqol: float
    usdr: float


class Song:
    """A mixture ``[C, T]`` at the level and rate of the model, and the way back."""

    def __init__(self, model: TokenSep, mixture: Audio) -> None:
        self.model, self.mixture = model, mixture
        self.gain = model._gain(rms(mixture.samples.mean(0)))
        self.channels = model._to_model(mixture, self.gain)

    def back(self, waves: Tensor) -> Tensor:
        rate, length = self.mixture.rate, self.mixture.samples.shape[1]
        return self.model._from_model(waves, rate, self.gain, length)

    def decoded(self, latents: Tensor) -> Tensor:
        """Latents ``[S, F, D]`` → panned stems ``[S, C, T]``."""
        waves = torch.cat([self.model.codec.decoder(one[None]) for one in latents])
        return self.placed(self.back(waves), "none")

    def placed(self, stems: Tensor, how: str) -> Tensor:
        return place(torch.from_numpy(self.mixture.samples), stems, [how] * len(stems))

    def encoded(self, stems: Tensor, frames: int) -> Tensor:
        """Stems ``[S, C, T]`` → latents before the quantisers ``[S, frames, D]``."""
        codec = self.model.codec
        mono = Audio(stems.mean(1).numpy(), self.mixture.rate)
        wave = self.model._to_model(mono, self.gain)
        wave = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % codec.frame_hop))
        parts = [codec.encoder(wave), codec.semantic_encoder(codec.teacher(wave))]
        return torch.cat(parts, -1)[:, :frames]


@torch.inference_mode()
def renderings(model: TokenSep, mixture: Audio, seed: int) -> dict[str, Tensor]:
    """All rows but the means: stems ``[S, C, T]``."""
    song, options = Song(model, mixture), model.config.inference

    def made(how: InferenceConfig) -> Any:
        renderer = Renderer(model._source(how))
        return renderer.render_latents(song.channels.mean(0), seed)

    def guided(latents: Any) -> Tensor:
        stems = model.guide.separate(song.channels, latents.stems, latents.latents)
        return song.back(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])

    consensus, one = options.rendered_as("consensus"), made(options.rendered_as("guided"))
    drawn = made(consensus.model_copy(update={"one_pass_share": 0.0}))
    agreed = made(consensus)
    mono = song.back(agreed.stems)
    rows = {"pan": song.placed(mono, "none")}
    rows |= {how: song.placed(mono, how) for how in ("blend", "mask")}
    rows |= {"guided": guided(one), "guided consensus": guided(agreed)}
    rows |= {"pan of draws": song.placed(song.back(drawn.stems), "none")}
    rows |= {"guided of draws": guided(drawn)}
    encoded = song.encoded(rows["guided"], drawn.latents.shape[1])
    latents = {
        "encoded guided": encoded,
        "draws + encoded guided": (drawn.latents + encoded) / 2,
    }
    return rows | {f"pan of {name}": song.decoded(z) for name, z in latents.items()}


def geometric_mean(mixture: NDArray[np.float32], a: Tensor, b: Tensor) -> Tensor:
    """Of the magnitudes of two stems ``[C, T]``, with the phase of the mixture ``[C, T]``."""
    window = torch.hann_window(N_FFT)
    mixed, one, other = (
        torch.stft(x, N_FFT, HOP, window=window, return_complex=True)
        for x in (torch.from_numpy(mixture), a, b)
    )
    phase = mixed / mixed.abs().clamp_min(1e-9)
    spectrum = phase * (one.abs() * other.abs()).sqrt()
    return torch.istft(spectrum, N_FFT, HOP, window=window, length=a.shape[-1])


def song_scores(
    model: TokenSep, mixture: Audio, stems: dict[str, Audio], seed: int
) -> Iterator[tuple[str, str, Score]]:
    """Row, stem and score; the mixture is a row, too."""
    rows = renderings(model, mixture, seed)
    mixed = torch.from_numpy(mixture.samples)
    for s, stem in enumerate(model.config.stems):
        found = {"mixture": mixed, **{name: placed[s] for name, placed in rows.items()}}
        for a, b in MEANS:
            found[f"{a} + {b}"] = geometric_mean(mixture.samples, found[a], found[b])
        true = stems[stem].samples
        reference = Reference(to_48k(true.mean(0)))
        for name, estimate in found.items():
            wave = estimate.numpy()
            score = reference.compare(to_48k(wave.mean(0))).score
            yield name, stem, Score(score, usdr(true, wave))


def interval(difference: NDArray[np.float64]) -> str:
    """Mean over songs and the 95 % interval of its bootstrap."""
    count = len(difference)
    picks = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    low, high = np.quantile(difference[picks].mean(1), [0.025, 0.975])
    return f"{difference.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def table(scores: dict[tuple[str, str], list[Score]], stems: tuple[str, ...]) -> str:
    """Markdown: a row for each rendering."""
    visqol = {key: np.array([score.visqol for score in songs]) for key, songs in scores.items()}
    lines = ["| rendering | " + " | ".join(stems) + " |", "|:--|" + "--:|" * len(stems)]
    for name in dict.fromkeys(name for name, _ in scores):
        cells = []
        for stem in stems:
            moved = visqol[name, stem] - visqol[DEFAULT[stem], stem]
            mean = np.mean([score.usdr for score in scores[name, stem]])
            cells.append(f"{visqol[name, stem].mean():.2f}, {mean:.1f} dB, {interval(moved)}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.renderings", description=__doc__)
    parser.add_argument("--root", required=True, type=Path, help="root of MUSDB18-7s")
    parser.add_argument("--checkpoint", default="mini")
    parser.add_argument("--songs", type=int, default=14)
    given = parser.parse_args()
    model = TokenSep.from_checkpoint(given.checkpoint)
    scores: dict[tuple[str, str], list[Score]] = defaultdict(list)
    tracks = load_dataset("musdb18-7s", root=str(given.root), split="valid").tracks()
    for track in tracks[: given.songs]:
        audio, seed = track.load(), seed_of(0, 0, track.name)
        for name, stem, score in song_scores(model, audio.mixture, audio.stems, seed):
            scores[name, stem].append(score)
        print(track.name, flush=True)
    print(table(scores, model.config.stems))


if __name__ == "__main__":
    main()
