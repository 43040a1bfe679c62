"""A row with more fields than the header has them under wrong names, and is refused."""

from __future__ import annotations

import csv

import pytest

from benchsep._util.csv_rows import no_more_fields
from benchsep.errors import UsageError
from benchsep.imported.table import read_table
from benchsep.listeners import mushra
from benchsep.listeners.study import read_study

SHIFTED = "song,system,family,rating\nTwo, three,g,generative,4\nb,d,discriminative,3\n"


def test_empty_fields_at_the_end_do_no_harm():
    rows = csv.DictReader(["a,b", "1,2,,", "3,4"])
    assert [no_more_fields(row)["b"] for row in rows] == ["2", "4"]


def test_more_fields_are_refused_with_their_number():
    with pytest.raises(csv.Error, match=r"has 3 fields and the header has 2; .* begins with '1'"):
        list(map(no_more_fields, csv.DictReader(["a,b", "1,2,3"])))


@pytest.mark.parametrize("read", [read_study, mushra.read_ratings])
def test_ratings_with_a_shifted_row_are_refused(tmp_path, read):
    path = tmp_path / "ratings.csv"
    path.write_text(SHIFTED)
    with pytest.raises(UsageError, match="fields"):
        read(path)
    path.write_text(SHIFTED.replace("b,d", "b, c,d"))  # in all rows: pandas makes an index of it
    with pytest.raises(UsageError, match="fields"):
        read(path)


def test_results_with_a_shifted_row_are_refused(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("song,stem,metric,value\nTwo, three,vocals,usdr,4\n")
    with pytest.raises(UsageError, match="has 5 fields and the header has 4"):
        read_table(path, metrics=("usdr",))
