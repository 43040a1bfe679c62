"""The residue of a mixture: known levels, and the songs for which there is none."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio
from benchsep.datasets.sums import LIMIT_DB, residue_db
from benchsep.datasets.track import TrackAudio
from benchsep.stems.names import ACCOMPANIMENT

RATE = 8000


def stems(names: tuple[str, ...] = STEMS, frames: int = 70_000) -> dict[str, Audio]:
    rng = np.random.default_rng(0)
    return {n: Audio(rng.normal(0, 0.1, (2, frames)).astype(np.float32), RATE) for n in names}


def track(parts: dict[str, Audio], gain: float = 1.0, source: str = "file") -> TrackAudio:
    whole = gain * np.sum([audio.samples for audio in parts.values()], axis=0)
    return TrackAudio(Audio(whole, RATE), parts, source)  # type: ignore[arg-type]


def test_the_sum_of_the_stems_leaves_nothing() -> None:
    assert residue_db(track(stems())) < -100


@pytest.mark.parametrize("gain_db", [0.5, 1.0, 6.0])
def test_a_gain_leaves_what_arithmetic_says(gain_db: float) -> None:
    gain = 10 ** (gain_db / 20)
    expected = 20 * np.log10(1 - 1 / gain)  # (gain - 1) of a signal of level gain
    assert residue_db(track(stems(), gain)) == pytest.approx(expected, abs=0.01)


def test_a_stem_that_is_missing_in_the_sum_leaves_its_energy() -> None:
    parts = stems()
    whole = track(parts).mixture
    less = {**parts, "bass": Audio(np.zeros_like(parts["bass"].samples), RATE)}
    found = residue_db(TrackAudio(whole, less, "file"))
    assert found == pytest.approx(10 * np.log10(1 / 4), abs=0.1)
    assert found > LIMIT_DB


@pytest.mark.parametrize(
    ("audio", "why"),
    [
        (track(stems(), 2.0, "sum"), "the mixture was made as the sum"),
        (track(stems(("vocals", "drums")), 2.0), "the stems are not the whole song"),
        (TrackAudio(stems()["bass"], {}, "file"), "there are no stems"),
        (TrackAudio(stems(frames=99)["bass"], stems(), "file"), "another length"),
    ],
)
def test_where_it_cannot_be_told_there_is_none(audio: TrackAudio, why: str) -> None:
    assert residue_db(audio) is None, why


def test_stems_that_overlap_are_not_counted_twice_and_a_rest_counts() -> None:
    parts = stems()
    rest = np.sum([parts[name].samples for name in STEMS[1:]], axis=0)
    both = {**parts, "instrumental": Audio(rest, RATE)}
    mixture = track(parts).mixture
    assert residue_db(TrackAudio(mixture, both, "file")) < -100
    two = {"vocals": parts["vocals"], ACCOMPANIMENT: Audio(rest, RATE)}
    assert residue_db(TrackAudio(mixture, two, "file")) < -100
