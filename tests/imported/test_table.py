"""Tables of results as CSV: long, wide, with windows; what is wrong is named with its line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchsep.errors import UsageError
from benchsep.imported.table import read_table

LONG = "system,track,stem,metric,value\n"


def read(tmp_path: Path, text: str, metrics: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    file = tmp_path / "theirs.csv"
    file.write_text(text, encoding="utf-8")
    frame = read_table(file, metrics=metrics).frame
    keys = zip(frame["system"], frame["track"], frame["stem"], frame["metric"], strict=True)
    return dict(zip(keys, frame["value"], strict=True))


def test_a_value_a_row(tmp_path: Path) -> None:
    text = LONG + "mine,A - B,Vocal,uSDR,-1.5\nmine,A - B,accompaniment,usdr,2\n"
    assert read(tmp_path, text) == {
        ("mine", "A - B", "vocals", "usdr"): -1.5,
        ("mine", "A - B", "instrumental", "usdr"): 2.0,
    }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_metric_a_column(tmp_path: Path, separator: str) -> None:
    rows = [["Method", "Song", "Target", "bsseval.sdr", "usdr", "note"],
            ["m", "s", "bass", "1", "", "x"], ["m", "t", "bass", "2.5", "3", ""]]  # fmt: skip
    text = "\ufeff" + "\n".join(separator.join(row) for row in rows)
    assert read(tmp_path, text) == {
        ("m", "s", "bass", "bsseval.sdr"): 1.0,
        ("m", "t", "bass", "bsseval.sdr"): 2.5,
        ("m", "t", "bass", "usdr"): 3.0,
    }


def test_a_name_of_no_metric_or_of_several_has_a_column_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(LONG + "m,s,bass,sdr,1\nm,s,bass,pesq.wb,2\n")
    found = read_table(file)
    assert set(found.frame["metric"]) == {"imported:sdr", "imported:pesq wb"}
    assert "ambiguous" in found.remarks[0] and "unknown metric 'pesq.wb'" in found.remarks[1]


def test_musevals_own_table_has_windows(tmp_path: Path) -> None:
    """As ``EvalStore.df.to_csv()`` writes it: no method, an index, a row a window."""
    rows = [f"{i},{i % 3}.0,vocals,SDR,{v},song" for i, v in enumerate(("1.0", "", "4.0"))]
    text = "\n".join([",time,target,metric,score,track", *rows])
    assert read(tmp_path, text) == {("theirs", "song", "vocals", "bsseval.sdr"): 2.5}


def test_no_value_is_no_number_and_keeps_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rows = "m,a,bass,usdr,,\nm,b,bass,usdr,nan,\nm,c,bass,usdr,inf,\nm,d,bass,usdr,,failed: oom\n"
    file.write_text("system,track,stem,metric,value,status\n" + rows)
    frame = read_table(file).frame
    assert frame["value"].isna().all()
    assert list(frame["status"]) == [
        *["unavailable: no value in the file"] * 2, "not_finite", "failed: oom",
    ]  # fmt: skip


def test_a_name_that_a_spreadsheet_would_run_keeps_its_own_form(tmp_path: Path) -> None:
    assert ("=m", "s", "bass", "usdr") in read(tmp_path, LONG + "'=m,s,bass,usdr,-1\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column track or song"),
        ("a,b\n1,2\n", r"averages over songs.*expected system, track.*found a, b"),
        ("track,metric,value\ns,usdr,1\n", "has no column stem or target"),
        ("track,stem,metric\ns,bass,usdr\n", "has no column value or score"),
        ("track,stem,usdr\n", "has no column metric"),
        (LONG, "found no value"),
        (LONG + "m,s,bass,usdr,\"1,5\"\n", r"line 2: '1,5' is not a number.*decimal point"),
        (LONG + "m,,bass,usdr,1\n", "line 2: the field track is empty"),
        (LONG + "m,s,bass,,1\n", "line 2: the field metric is empty"),
        (LONG + "m,s,bass,usdr,1\n" * 2, r"line 3 has another usdr of m, 's', bass than line 2"),
        (LONG + "m,s,bass,usdr,1\nm,s,bass,uSDR,1\n", "line 3 has another usdr"),
        ("track,track,stem,metric,value\n", "two columns with the name 'track'"),
        ("system,track,stem,metric,value,draw\nm,s,bass,usdr,1,x\n", "line 2: found the draw 'x'"),
        ("system,track,stem,metric,value,status\nm,s,bass,usdr,1,fine\n", "line 2: unknown status"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_other_encodings_are_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(LONG + "m,s,bass,usdr,1\n", encoding="utf-16")
    with pytest.raises(UsageError, match=r"t\.csv: cannot be read as CSV in UTF-8"):
        read_table(file)


def test_a_table_of_a_run_comes_back(tmp_path: Path) -> None:
    from tests.museval.test_io import a_run

    frame = a_run().assign(status="ok")
    frame.to_csv(tmp_path / "run.csv")
    back = read_table(tmp_path / "run.csv", metrics=tuple(set(frame["metric"]))).frame
    assert len(back) == len(frame) and set(back["edition"]) == {"hq"}
    assert list(back["value"]) == list(frame["value"])


def test_quoted_names_hold_commas_and_lines(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["system", "track", "stem", "metric", "value"])
        writer.writerow(["m", 'A, "B"\nC', "bass", "usdr", 1])
    assert set(read_table(file).frame["track"]) == {'A, "B"\nC'}
