"""Stem sets, the meaning of names in them, and the relations between stems."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.stems.meaning import stems_meant
from benchsep.stems.relations import combined, finest, relation
from benchsep.stems.sets import (
    FOUR,
    SONG,
    STEM_PARTS,
    STEM_SETS,
    disjoint,
    in_order,
    parts_of,
    set_name,
    stem_called,
    stem_of,
    stems_asked_for,
    whole_set,
)

SIX = STEM_SETS["vdbogp"].stems
MOISES = STEM_SETS["moises"].stems


@pytest.mark.parametrize("name", STEM_SETS)
def test_the_stems_of_a_set_are_the_song_without_overlap(name):
    parts = [parts_of(stem) for stem in STEM_SETS[name].stems]
    assert frozenset().union(*parts) == SONG
    assert sum(map(len, parts)) == len(SONG)


def test_every_stem_has_parts_of_its_own():
    assert len(set(STEM_PARTS.values())) == len(STEM_PARTS)


@pytest.mark.parametrize("name", [*STEM_PARTS, "other-guitar", "instrumental-drums"])
def test_the_name_of_a_stem_follows_from_its_parts(name):
    assert stem_of(parts_of(name)) == name == stem_called(name)


@pytest.mark.parametrize(
    ("spelled", "stem"),
    [
        ("Vocal", "vocals"),
        ("No Vocals", "instrumental"),
        ("accompaniment", "instrumental"),
        ("minus drums", "no_drums"),
        ("other-piano-guitar", "other6"),
        ("Other Keys", "other_keys"),
        ("kick", None),
        ("mixture", None),
        ("other-kick", None),
    ],
)
def test_a_stem_is_understood_in_any_spelling(spelled, stem):
    assert stem_called(spelled) == stem


@pytest.mark.parametrize(
    ("names", "stems", "whole"),
    [
        (("other", "vocals"), ("vocals", "other"), "vdbo"),
        (("instrumental",), ("instrumental",), "vi"),
        (("guitar", "other"), ("other6", "guitar"), "vdbogp"),
        (("percussion", "other"), ("other11", "percussion"), "moises"),
        (("no_drums",), ("no_drums",), "no_drums,drums"),
        (("vocals", "other-guitar"), None, ""),
    ],
)
def test_the_stems_asked_for_belong_to_one_set(names, stems, whole):
    found = stems_asked_for(names)
    assert stems is None or found == stems
    parts = [parts_of(stem) for stem in whole_set(found)]
    assert frozenset().union(*parts) == SONG and sum(map(len, parts)) == len(SONG)
    assert not whole or set_name(whole_set(found)) == whole


@pytest.mark.parametrize(
    ("names", "stem_set", "message"),
    [
        (("vocals", "drums", "instrumental"), None, "drums and instrumental overlap"),
        (("vocls",), None, "did you mean 'vocals'"),
        (("guitar",), "vdbo", "not of the set vdbo"),
    ],
)
def test_stems_that_make_no_set_are_refused(names, stem_set, message):
    with pytest.raises(ValueError, match=message):
        stems_asked_for(names, stem_set)


@pytest.mark.parametrize(
    ("stem", "offered", "text"),
    [
        ("instrumental", FOUR, "instrumental = drums + bass + other"),
        ("instrumental", SIX, "instrumental = drums + bass + other6 + guitar + piano"),
        ("instrumental", ("vocals",), "instrumental = mixture - vocals"),
        ("instrumental", ("vocals", "instrumental"), "instrumental = instrumental"),
        ("vocals", ("instrumental",), "vocals = mixture - instrumental"),
        ("drums", ("no_drums",), "drums = mixture - no_drums"),
        ("no_bass", FOUR, "no_bass = vocals + drums + other"),
        ("other", SIX, "other = other6 + guitar + piano"),
        (
            "other6",
            MOISES,
            "other6 = other11 + other_plucked + percussion + other_keys + bowed_strings + wind",
        ),
        ("other", ("vocals", "drums", "bass"), None),
        ("drums", ("vocals", "bass", "other"), None),
        ("piano", FOUR, None),
        ("guitar", ("vocals", "instrumental"), None),
    ],
)
def test_a_stem_follows_by_a_declared_relation_or_not_at_all(stem, offered, text):
    found = relation(stem, offered)
    assert (None if found is None else str(found)) == text


def test_a_rest_of_many_is_subtracted_only_within_its_own_set():
    offered = ("drums", "bass", "other")
    found = relation("vocals", offered, stem_set=("vocals", "instrumental"))
    assert str(found) == "vocals = mixture - drums - bass - other"
    assert relation("vocals", offered, stem_set=FOUR) is None


def test_an_absent_stem_is_needed_by_no_relation():
    offered = ("vocals", "other11", "wind")
    absent = [stem for stem in MOISES if stem not in offered]
    assert str(relation("other6", offered, absent=absent)) == "other6 = other11 + wind"
    assert relation("guitar", offered, absent=absent) is None


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["vocals", "other"], {"vocals": ("vocals",), "instrumental": ("other",)}),
        (["drums", "No_Drums"], {"drums": ("drums",), "no_drums": ("No_Drums",)}),
        (["guitar", "other"], {"guitar": ("guitar",), "no_guitar": ("other",)}),
        (["other"], {}),
        (["vocals", "drums", "other"], {"instrumental-drums": ("other",)}),
        (["vocals", "drums", "bass", "piano", "other"], {"other-piano": ("other",)}),
        ([*FOUR, "guitar", "piano"], {"other6": ("other",), "other": ("other", "guitar", "piano")}),
        ([*FOUR, "other6", "guitar", "piano"], {"other6": ("other6",), "other": ("other",)}),
        ([*FOUR, "instrumental"], {"instrumental": ("instrumental",)}),
    ],
)
def test_other_means_what_the_other_names_leave(names, meant):
    found = stems_meant(names)
    assert {stem: found.get(stem) for stem in meant} == meant
    assert bool(found) == bool(meant)


def test_every_relation_holds_on_signals():
    """Each stem is the sum of its parts, so whatever a relation makes must be that sum."""
    rng = np.random.default_rng(0)
    part = {name: rng.normal(0, 0.1, (2, 64)) for name in sorted(SONG)}

    def true(stem):
        return sum(part[name] for name in parts_of(stem))

    mixture = Audio(sum(part.values()).astype(np.float32), 8000)
    kinds = (("vocals",), ("instrumental",), ("no_drums",), FOUR, SIX, MOISES, ("vocals", "drums"))
    made = 0
    for offered, wanted in itertools.product(kinds, STEM_PARTS):
        how = relation(wanted, offered)
        if how is not None:
            signals = {s: Audio(true(s).astype(np.float32), 8000) for s in offered}
            made += 1
            assert np.allclose(combined(how, signals, mixture).samples, true(wanted), atol=1e-5), (
                how
            )
    assert made > 50


def test_orders_and_choices():
    assert in_order(("other", "drums", "vocals")) == ("vocals", "drums", "other")
    assert in_order(MOISES[::-1]) == MOISES
    assert in_order(("zither", "guitar", "average2")) == ("guitar", "average2", "zither")
    assert disjoint((*FOUR, "accompaniment", "instrumental")) == FOUR
    assert finest((*FOUR, "guitar", "piano", "other6")) == (*FOUR[:3], "guitar", "piano", "other6")
