"""A mean that is mostly a lead on bass is shown without bass too."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from benchsep.audio import STEMS
from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.bass import share_of_bass
from benchsep.report.tables.build import tables
from benchsep.report.tables.explain import explained
from benchsep.report.tables.model import Table
from benchsep.stats import without_bass
from benchsep.stats.songs import WITHOUT_BASS

TRAITS = {
    "q": ValueTraits("", 1, "", None, None, display="Q", rank=1, own_table=True),
    "low": ValueTraits("", -1, "", None, None, display="Low", rank=2, own_table=True),
}
COSTS = pd.DataFrame(columns=["system", "rtf", "peak_memory_mb", "session"])


def run_of(values: dict[str, tuple[float, ...]], metric: str = "q", songs: int = 2) -> pd.DataFrame:
    """Values in the order of STEMS; NaN is a silent reference."""
    return pd.DataFrame(
        {
            "system": system, "family": "mixture" if system == "mixture" else "discriminative",
            "track": f"song {song}", "stem": stem, "metric": metric, "draw": 0, "value": value,
            "status": "ref_silent" if math.isnan(value) else "ok", "edition": "clip",
            "frames": None, "key": "k",
        }
        for system, row in values.items() for song in range(songs)
        for stem, value in zip(STEMS, row, strict=True)
    )  # fmt: skip


def by_stem(frame: pd.DataFrame, metric: str = "q") -> Table:
    made = tables(frame, COSTS, {}, TRAITS)
    return next(t for t in made if t.columns[0].metric == metric and t.columns[0].in_title)


def stems(table: Table) -> list[str]:
    return [column.stem for column in table.columns]


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        ((1.0, 1.0, 4.0, 1.0), (1.0, 1.0, 1.0, 1.0), True),  # bass alone: 100 %
        ((2.0, 2.0, 5.0, 2.0), (1.0, 1.0, 1.0, 1.0), True),  # 4 of 7
        ((2.0, 2.0, 4.0, 2.0), (1.0, 1.0, 1.0, 1.0), False),  # 3 of 6: not more than half
        ((2.0, 2.0, 2.0, 2.0), (1.0, 1.0, 1.0, 1.0), False),  # a quarter
        ((0.5, 1.0, 4.0, 1.0), (1.0, 1.0, 1.0, 1.0), True),  # 3 of 2.5: the order turns round
        ((2.0, 2.0, 0.5, 2.0), (1.0, 1.0, 1.0, 1.0), False),  # bass is against the lead
    ],
)
def test_more_than_half_of_a_lead(a: tuple[float, ...], b: tuple[float, ...], shown: bool) -> None:
    assert (WITHOUT_BASS in stems(by_stem(run_of({"a": a, "b": b})))) == shown


def test_the_share_is_the_difference_on_bass_as_a_share_of_all_differences() -> None:
    a, b = (0.3, 1.1, 4.7, 1.9), (0.1, 1.4, 2.2, 1.5)
    differences = [x - y for x, y in zip(a, b, strict=True)]
    lead = sum(differences) / 4
    rest = sum(d for stem, d in zip(STEMS, differences, strict=True) if stem != "bass") / 3
    expected = differences[STEMS.index("bass")] / sum(differences)
    assert share_of_bass(lead, rest, 4) == pytest.approx(expected)


def test_the_column_holds_the_mean_of_the_others_and_a_note_names_the_lead() -> None:
    frame = run_of({"a": (1.0, 2.0, 8.0, 3.0), "b": (1.0, 2.0, 1.0, 3.5)})
    table = by_stem(frame)
    cell = table.cell("a", "q", WITHOUT_BASS)
    assert cell is not None and cell.value == pytest.approx(2.0) and (cell.n, cell.total) == (2, 2)
    assert "; 1 difference between averages comes mostly from bass." in table.caption[0]
    notes = tables(frame, COSTS, {}, TRAITS)[0].notes
    assert any("(Q: 1 pair, the largest share is a over b 108 %)" in line for line in notes)
    column = table.columns[stems(table).index(WITHOUT_BASS)]
    assert column.head == "without bass"


def test_a_lead_over_the_mixture_counts_and_one_of_the_mixture_does_not() -> None:
    low, high = (1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 4.0, 1.0)
    assert WITHOUT_BASS in stems(by_stem(run_of({"a": high, "mixture": low})))
    assert WITHOUT_BASS not in stems(by_stem(run_of({"a": low, "mixture": high})))


def test_lower_is_better_where_it_is() -> None:
    values = {"a": (1.0, 1.0, 1.0, 1.0), "mixture": (1.0, 1.0, 9.0, 1.0)}
    assert WITHOUT_BASS in stems(by_stem(run_of(values, "low"), "low"))


def test_a_difference_below_the_printed_precision_is_no_lead() -> None:
    values = {"a": (1.0, 1.0, 1.01, 1.0), "b": (1.0, 1.0, 1.0, 1.0)}
    assert WITHOUT_BASS not in stems(by_stem(run_of(values)))


def test_the_two_means_are_over_the_same_songs() -> None:
    frame = run_of({"a": (1.0, 1.0, 4.0, 1.0), "b": (1.0, 1.0, 1.0, 1.0)}, songs=3)
    silent = (frame.track == "song 0") & (frame.stem == "bass")
    frame.loc[silent, "value"] = math.nan
    frame.loc[silent, "status"] = "ref_silent"
    frame.loc[(frame.track == "song 0") & (frame.stem == "vocals"), "value"] = 100.0
    cell = by_stem(frame).cell("a", "q", WITHOUT_BASS)
    assert cell is not None and cell.value == pytest.approx(1.0) and cell.n == 2


def test_a_run_without_bass_or_with_one_other_stem_has_no_such_mean() -> None:
    frame = run_of({"a": (1.0, 1.0, 4.0, 1.0)})
    assert without_bass(frame[frame.stem != "bass"]).empty
    assert without_bass(frame[frame.stem.isin(["bass", "vocals"])]).empty
    assert len(without_bass(frame)) == 2


def test_explain_lists_the_cells_behind_it() -> None:
    frame = run_of({"a": (1.0, 2.0, 8.0, 3.0), "b": (1.0, 2.0, 1.0, 3.0)})
    made = tables(frame, COSTS, {}, TRAITS)
    text = explained(made, frame, dict(TRAITS), f"a/q/{WITHOUT_BASS}")
    assert "mean over the stems other than bass" in text
    assert "vocals" in text and not any(
        line.split()[1:2] == ["bass"] for line in text.splitlines() if line
    )


def test_the_overview_counts_the_leads_of_all_its_columns() -> None:
    frame = run_of({"a": (1.0, 1.0, 4.0, 1.0), "b": (1.0, 1.0, 1.0, 1.0)})
    overview, *others = tables(frame, COSTS, {}, TRAITS)
    assert "1 difference between averages comes mostly from bass." in overview.caption[0]
    assert not any("Bass makes" in note for table in others for note in table.notes)
