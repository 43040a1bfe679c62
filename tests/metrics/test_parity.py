"""The parity table of ``docs/metrics/parity.md`` on the embedded clip: every value in tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 2.0
"""Enough for a value of everything."""

VALUES = {
    *(f"bsseval.{v}" for v in ("sdr", "isr", "sir", "sar")),
    *(f"dnsmos.{v}" for v in ("ovrl", "sig", "bak", "p808")),
    *(f"onsets.{v}" for v in ("f1", "precision", "recall")),
    "visqol", "visqol, Hilbert envelope", "sisdr", "usdr", "mrstft", "logwmse",
    "bleedless.bleedless", "bleedless.fullness",
}  # fmt: skip


@pytest.fixture(scope="module")
def parity():
    from benchmarks import parity

    return parity


@pytest.fixture(scope="module")
def song(clip, parity):
    """Two stems of the clip, with bleed and noise: the packages' time grows with the stems."""
    start, frames = parity.RATE, round(SECONDS * parity.RATE)
    truth = {
        stem: np.ascontiguousarray(clip.stems[stem].samples[:, start : start + frames])
        for stem in ("vocals", "drums")
    }
    return parity.Song("clip", truth, parity.spoilt(truth))


NEEDS = {
    "bsseval": "museval", "visqol": "visqol", "mrstft": "auraloss",
    "onsets": "mir_eval",
}  # fmt: skip


def _available(name: str) -> bool:
    try:
        __import__(name)
    except Exception:  # museval raises a bare RuntimeError where ffmpeg is absent
        return False
    return True


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_every_value_is_within_its_tolerance(parity, song):
    absent = sorted({need for need in NEEDS.values() if not _available(need)})
    if absent:
        pytest.skip(f"the parity packages {absent} cannot be imported: benchsep[parity], ffmpeg")
    rows, missing = parity.table([song])
    values = {row.value for row in rows if not row.value.startswith("nisqa")}
    assert values == VALUES
    assert all("NISQA" in reason for reason in missing)
    beyond = {row.value: row.largest for row in rows if not row.within}
    assert not beyond


def test_a_value_that_moves_is_beyond(parity, song):
    for value, (tolerance, _) in {
        k: t for c in parity.CHECKS for k, t in c.tolerance.items()
    }.items():
        check = parity.Check("moved", lambda _: [], {value: (tolerance, "")})
        row = parity._row(value, check)
        row.gaps.append(0.99 * tolerance)
        assert row.within
        row.gaps.append(1.01 * tolerance)
        assert not row.within
    assert not parity._row("usdr", parity.CHECKS[5]).within  # nothing compared is no parity


def test_the_table_in_the_docs_is_complete_and_within(parity):
    text = (ROOT / "docs/metrics/parity.md").read_text(encoding="utf-8")
    rows = [
        line.split("|") for line in text.splitlines() if line.startswith("| `") and "e-" in line
    ]
    found = {row[1].strip(" `"): (float(row[5]), float(row[6])) for row in rows}
    assert found.keys() >= VALUES
    assert all(largest <= tolerance for largest, tolerance in found.values())
