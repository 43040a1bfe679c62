"""ViSQOL's values against Google's conformance list, visqol-python, and a golden file.

Google's wav files are not ours to carry: point ``BENCHSEP_VISQOL_TESTDATA`` at the ``testdata``
folder of a google/visqol checkout to run the conformance list.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchsep.metrics.visqol.alignment import GOOGLE, HILBERT
from benchsep.metrics.visqol.engine import Reference
from tests.golden.make_visqol import pairs, upstream_score

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

TOLERANCE = 1e-4
"""Google's own in its conformance test; here a decoder or an FFT library may differ by it too."""

TESTDATA = os.environ.get("BENCHSEP_VISQOL_TESTDATA", "")

GUITAR, FIVE = "guitar48_stereo", "../short_duration/5_second/guitar48_stereo_5_sec"
CONFORMANCE = (  # src/include/conformance.h, version 333; tests/conformance_test.cc
    ("strauss48_stereo", "strauss48_stereo_lp35", 1.3888791489130758),
    ("steely48_stereo", "steely48_stereo_lp7", 2.2501683734385183),
    ("sopr48_stereo", "sopr48_stereo_256kbps_aac", 4.68228969737946),
    ("ravel48_stereo", "ravel48_stereo_128kbps_opus", 4.465141897255348),
    ("moonlight48_stereo", "moonlight48_stereo_128kbps_aac", 4.684292801646114),
    ("harpsichord48_stereo", "harpsichord48_stereo_96kbps_mp3", 4.22374532766003),
    (GUITAR, "guitar48_stereo_64kbps_aac", 4.349722308064298),
    ("glock48_stereo", "glock48_stereo_48kbps_aac", 4.332452943882108),
    ("contrabassoon48_stereo", "contrabassoon48_stereo_24kbps_aac", 2.346868205375293),
    ("castanets48_stereo", "castanets48_stereo", 4.732101253042348),
    (GUITAR, FIVE, 4.314508583690198),
    (FIVE, GUITAR, 4.550791119387646),
)


def mono(name: str) -> np.ndarray:
    from benchsep.audio import read_audio

    audio = read_audio(Path(TESTDATA) / "conformance_testdata_subset" / f"{name}.wav")
    assert audio.rate == 48_000
    return audio.mono().samples[0]


@pytest.mark.parity
@pytest.mark.skipif(not TESTDATA, reason="set BENCHSEP_VISQOL_TESTDATA to google/visqol's testdata")
@pytest.mark.parametrize(
    ("reference", "estimate", "expected"), CONFORMANCE, ids=[Path(c[1]).name for c in CONFORMANCE]
)
def test_google_s_conformance_list_is_met(reference, estimate, expected):
    assert Reference(mono(reference)).compare(mono(estimate)).score == pytest.approx(
        expected, abs=1e-10
    )


@pytest.fixture(scope="module")
def cases(clip):
    return {name: (reference, estimate) for name, reference, estimate in pairs(clip)}


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "visqol.json").read_text(encoding="utf-8"))


def test_the_golden_file_holds_every_case(cases, golden):
    assert list(golden) == list(cases)


@pytest.mark.parametrize("stem", ["vocals", "drums", "bass", "other"])
def test_scores_are_those_of_the_golden_file(cases, golden, stem):
    names = [name for name in cases if name.startswith(stem)]
    reference = Reference(cases[names[0]][0])
    for name in names:
        score = reference.compare(cases[name][1]).score
        assert score == pytest.approx(golden[name]["google"], abs=TOLERANCE), name


@pytest.mark.parametrize("stem", ["vocals", "bass"])
def test_with_upstream_s_envelope_scores_are_upstream_s(cases, golden, stem):
    names = [name for name in cases if name.startswith(stem)]
    reference = Reference(cases[names[0]][0], envelope=HILBERT)
    for name in names:
        score = reference.compare(cases[name][1]).score
        assert score == pytest.approx(golden[name]["upstream"], abs=TOLERANCE), name


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["vocals bleed", "drums low-pass", "bass noise", "other 1001 samples early"]
)
def test_visqol_python_gives_the_same_today(cases, name):
    pytest.importorskip("visqol", reason="pip install visqol-python==3.8.0")
    reference, estimate = (x[48_000:168_000] for x in cases[name])
    upstream = upstream_score(reference, estimate)
    own = Reference(reference, envelope=HILBERT).compare(estimate).score
    assert own == pytest.approx(upstream, abs=1e-9)
    # Google's envelope may choose another lag for a patch: never far on these.
    assert Reference(reference, GOOGLE).compare(estimate).score == pytest.approx(upstream, abs=0.02)
