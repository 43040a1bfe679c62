"""How alike two systems' estimates are: the table of songs without true stems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.report.tables.apart import agreement, agreements
from benchsep.report.tables.explain import explain
from benchsep.report.write import write_report

RATE = 44_100


def noise(seed: int, channels: int = 2, length: int = RATE // 2) -> Audio:
    rng = np.random.default_rng(seed)
    return Audio(rng.normal(0, 0.1, (channels, length)).astype(np.float32), RATE)


def test_the_value_is_that_of_its_formula() -> None:
    one = noise(0)
    near = Audio(one.samples * np.float32(1.1), RATE)
    # |a|^2 + |1.1 a|^2 over |0.1 a|^2
    assert agreement(one, near) == pytest.approx(10 * np.log10(2.21 / 0.01), abs=1e-4)
    assert agreement(one, noise(1)) == pytest.approx(0, abs=0.1)
    assert agreement(one, near) == agreement(near, one)


def test_what_cannot_be_compared_has_no_value() -> None:
    one = noise(0)
    assert agreement(one, one) == np.inf
    assert agreement(Audio(0 * one.samples, RATE), Audio(0 * one.samples, RATE)) is None
    assert agreement(one, noise(1, channels=1)) is None
    assert agreement(one, Audio(one.samples, 48_000)) is None
    shorter = Audio(noise(1).samples[:, :1000], RATE)
    assert agreement(one, shorter) is not None
    found = agreements({"a": {"vocals": one}, "b": {"bass": one}, "c": {"vocals": shorter}})
    assert set(found) == {(("a", "c"), "vocals")}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two songs without stems; b is a with vocals 10 % louder, on the second song with noise."""
    for i, song in enumerate(("one", "two")):
        write_audio(tmp_path / "songs" / f"{song}.wav", noise(9 + i))
        for stem_number, stem in enumerate(STEMS):
            a = noise(stem_number)
            b = a if stem != "vocals" else Audio(a.samples * np.float32(1.1), RATE)
            b = noise(50) if (song, stem) == ("two", "vocals") else b
            write_audio(tmp_path / "a" / song / f"{stem}.wav", a)
            write_audio(tmp_path / "b" / song / f"{stem}.wav", b)
    return tmp_path


def report(folder: Path, keep: str) -> str:
    benchsep.run(
        dataset=f"mixtures:{folder / 'songs'}",
        systems=(f"dir:{folder / 'a'}", f"dir:{folder / 'b'}"),
        metrics=("consistency",), jobs=1, inline=True, keep_estimates=keep, out=folder / "run",
    )  # fmt: skip
    write_report(folder / "run", folder / "report", max_songs=0, page=False)
    return (folder / "report" / "tables.md").read_text()


def test_the_report_of_songs_without_stems_has_the_table(run: Path) -> None:
    text = report(run, "flac")
    (row,) = [line for line in text.splitlines() if line.startswith("| dir:a and dir:b")]
    _, _, vocals, drums, *_, least, _ = (cell.strip() for cell in row.split("|"))
    assert vocals == "11.7"  # the median of 23.4 and 0
    assert drums == "equal" and least == "two; one"
    assert "kept estimates of the two systems" in explain(
        run / "run", "dir:a and dir:b/agreement/vocals"
    )


def test_without_estimates_a_line_says_what_gives_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "How alike" not in report(run, "none")
    assert "--keep-estimates flac" in capsys.readouterr().err
