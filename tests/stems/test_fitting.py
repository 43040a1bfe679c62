"""The option that is proposed where stems do not fit the set of a run."""

from __future__ import annotations

import pytest

from benchsep.stems.fitting import fitting_option, stems_of_option
from benchsep.stems.sets import STEM_SETS

FOUR = STEM_SETS["vdbo"].stems
SIX = STEM_SETS["vdbogp"].stems


@pytest.mark.parametrize(
    ("offered", "stem_set", "expected"),
    [
        (("vocals", "instrumental"), FOUR, "--stem-set vi"),
        (("instrumental",), FOUR, "--stem-set vi"),
        (FOUR, ("vocals", "instrumental"), "--stem-set vdbo"),
        (SIX, ("vocals", "instrumental"), "--stem-set vdbogp"),
        (STEM_SETS["moises"].stems, ("vocals", "instrumental"), "--stem-set moises"),
        (("drums", "no_drums"), FOUR, "--stems drums,no_drums"),
        (("vocals",), FOUR, ""),  # a stem less is no other set
        (("vocals", "drums"), FOUR, ""),
        (FOUR, FOUR, ""),
        (("vocals", "zither"), FOUR, ""),
    ],
)
def test_the_set_that_stems_fill(
    offered: tuple[str, ...], stem_set: tuple[str, ...], expected: str
) -> None:
    assert fitting_option(offered, stem_set) == expected


@pytest.mark.parametrize(
    ("option", "stems"),
    [
        ("--stem-set vi", ("vocals", "instrumental")),
        ("--stems drums,no_drums", ("drums", "no_drums")),
        ("", ()),
    ],
)
def test_the_stems_of_an_option(option: str, stems: tuple[str, ...]) -> None:
    assert stems_of_option(option) == stems
