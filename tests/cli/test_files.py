"""``benchsep score`` asks whether its two arguments were swapped, by their names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsep.cli.files import look_swapped


@pytest.mark.parametrize(
    ("first", "second", "swapped"),
    [
        ("estimates/song/vocals.wav", "references/song/vocals.wav", True),
        ("est.wav", "musdb/vocals.wav", True),
        ("a.wav", "reference.wav", True),
        ("references/vocals.wav", "estimates/vocals.wav", False),
        ("musdb/test/Song/vocals.wav", "separated/vocals.wav", False),
        ("a.wav", "b.wav", False),
        ("Destination/vocals.wav", "Prefect/vocals.wav", False),  # words, not parts of words
    ],
)
def test_names_that_say_the_opposite(first, second, swapped):
    assert look_swapped(Path(first), Path(second)) is swapped
