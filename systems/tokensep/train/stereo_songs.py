"""Training data of the guided decoder: stereo crops of songs with stems, varied at every draw.

Conventions
-----------
crop       ``[S, 2, T]`` float32, the stems in the LM's order; their sum is the mixture
level      each song is brought to the LM's loudness first (the RMS of its mono mixture)
variation  speed (one ratio for a whole song), gain, polarity, one EQ band, left and right swapped.
           Every choice is a function of the generator: same seed, same crops
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tokensep.errors import DataError
from tokensep.lm.config import TokenSepConfig
from tokensep.train.data import Source, StemStore, speed
from tokensep.train.encoding import loudness_gain, speed_ratio, varied_sound

Wave = NDArray[np.float32]
SILENT = 0.04
"""Probability that a stem of a crop is silent."""


class StereoSongs:
    """The songs ``names`` of a store.

    Raises
    ------
    DataError
        No song has a recording of one of the stems.
    """

    def __init__(self, store: StemStore, names: set[str], config: TokenSepConfig) -> None:
        self.config, self.length = config, config.window_frames * config.frame_hop
        songs: dict[str, dict[str, Source]] = {}
        for source in store.sources:
            if source.song in names and source.stem in config.stems:
                songs.setdefault(source.song, {})[source.stem] = source
        self.gains = {song: _gain(stems, config.loudness) for song, stems in songs.items()}
        self.pools = {s: [song[s] for song in songs.values() if s in song] for s in config.stems}
        missing = [stem for stem, pool in self.pools.items() if not pool]
        if missing:
            raise DataError(f"no recording of {', '.join(missing)} in {len(songs)} songs")
        self.songs = [stems for stems in songs.values() if set(stems) == set(config.stems)]

    def crop(self, rng: Generator, remix: float) -> Wave:
        """One random crop: of one song, or (``remix``) each stem from its own song and place."""
        together = bool(self.songs) and rng.random() >= remix
        song = self.songs[int(rng.integers(len(self.songs)))] if together else {}
        place, ratio = float(rng.random()), speed_ratio(rng)
        out = np.zeros((len(self.config.stems), 2, self.length), np.float32)
        for s, stem in enumerate(self.config.stems):
            pool = self.pools[stem]
            source = song[stem] if together else pool[int(rng.integers(len(pool)))]
            if not together:
                place, ratio = float(rng.random()), speed_ratio(rng)
            if rng.random() >= SILENT:
                out[s] = self._varied(self._read(source, place, ratio), rng)
        return out

    def windows(self, per_song: int) -> list[Wave]:
        """Fixed crops for validation: ``per_song`` evenly spaced ones of each song, unvaried."""
        return [
            np.stack([self._read(song[stem], float(place), 1.0) for stem in self.config.stems])
            for song in self.songs
            for place in np.linspace(0, 1, per_song)
        ]

    def _read(self, source: Source, place: float, ratio: float) -> Wave:
        """``[2, T]`` from relative ``place`` on, played ``ratio`` times as fast."""
        need = min(int(np.ceil(self.length * ratio)), source.frames)
        start = int(place * (source.frames - need))
        wave = self.gains[source.song] * source.read(start, need)
        if ratio != 1.0:
            wave = np.stack([speed(channel, ratio, self.length) for channel in wave])
        return np.pad(wave, ((0, 0), (0, self.length - wave.shape[1])))

    def _varied(self, wave: Wave, rng: Generator) -> Wave:
        wave = varied_sound(wave, self.config.rate, rng)
        if rng.random() < 0.5:
            wave = wave[::-1]
        return -wave if rng.random() < 0.5 else wave


def _gain(stems: dict[str, Source], loudness: float) -> float:
    """The factor that brings the mono mixture of ``stems`` to ``loudness`` dBFS."""
    length = min(source.frames for source in stems.values())
    return loudness_gain(sum(s.read(0, length).mean(0) for s in stems.values()), loudness)
