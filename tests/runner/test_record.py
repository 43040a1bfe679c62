"""Records: one reader and writer, whose bytes on disk do not change."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep._util.digest import canonical, digest
from benchsep.metrics.status import Status
from benchsep.runner.job import Outcome
from benchsep.runner.record import Cell, Draw, Record, SystemFacts, TrackFacts
from benchsep.runner.store import Store
from benchsep.systems.fit import Change

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
whole = st.integers(-(2**40), 2**40)
statuses = st.sampled_from(
    [Status("ok"), Status("ref_silent"), Status("failed", "ValueError: a: b"), Status("failed")]
)
cells = st.builds(
    Cell,
    metric=texts,
    metric_version=texts,
    metric_id=texts,
    stem=texts,
    draw=st.integers(0, 3),
    value=numbers,
    status=statuses,
    frames=st.none() | st.lists(numbers, max_size=3).map(tuple),
    seconds=numbers,
    key=texts,
    device=texts,
)
records = st.builds(
    Record,
    system=st.builds(SystemFacts, texts, texts, texts, texts),
    track=st.builds(
        TrackFacts,
        texts,
        texts,
        texts,
        texts,
        texts,
        st.dictionaries(texts, texts),
        numbers,
        numbers,
    ),
    input_stamp=texts,
    draws=st.dictionaries(
        st.integers(0, 12),
        st.builds(
            Draw,
            st.integers(0, 2**32),
            texts,
            numbers,
            numbers,
            texts,
            st.dictionaries(texts, texts),
            st.dictionaries(texts, whole),
            texts,
            st.dictionaries(texts, st.builds(Change, whole, whole, st.integers(0, 1))),
            st.dictionaries(texts, texts),
        ),
    ),
    cells=st.lists(cells, max_size=4, unique_by=lambda cell: cell.place).map(tuple),
)


def stored(cell: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A record as an early version of benchsep wrote it."""
    content: dict[str, Any] = {
        "system": "s", "family": "generative", "system_id": "i", "checkpoint_sha256": "",
        "track": "t", "split": "test", "edition": "clip", "stamp": "", "mixture_source": "sum",
        "mixture_sha256": "m", "reference_sha256": {"vocals": "r"}, "audio_seconds": 6.0,
        "draws": {"0": {"seed": 1, "estimate_id": "e", "seconds": 0.5, "peak_memory_mb": 10.0,
                        "error": ""}},
        "cells": [{"metric": "usdr", "metric_version": "1", "metric_id": "m", "stem": "vocals",
                   "draw": 0, "value": 1.5, "status": "ok", "frames": [1.0, None],
                   "seconds": 0.1, "key": "k", **(cell or {})}],
    }  # fmt: skip
    return {**content, **changes}


def drawn(**changes: Any) -> dict[str, Any]:
    """The draw of :func:`stored`."""
    return {"0": {**stored()["draws"]["0"], **changes}}


@given(records)
def test_what_is_written_is_read(record: Record) -> None:
    assert Record.from_json(json.loads(canonical(record.to_json()))) == record


def test_reading_and_writing_again_gives_the_same_bytes() -> None:
    for content in (stored(), stored({"value": 1, "seconds": 2}), stored({"frames": None})):
        assert canonical(Record.from_json(content).to_json()) == canonical(content)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"track": None}, "track is NoneType"),
        ({"draws": {"x": {}}}, "draw 'x'"),
        ({"draws": {"0": {"seconds": 1.0}}}, "peak_memory_mb is missing"),
        ({"reference_sha256": {"vocals": 1}}, "reference_sha256"),
        ({"audio_seconds": float("inf")}, "audio_seconds is inf"),
        ({"cells": stored()["cells"] * 2}, "^two cells have the same metric, stem and draw$"),
        ({"cells": [{}]}, "not a cell"),
        ({"residue_db": "loud"}, "^residue_db is str$"),
        ({"residue_db": float("nan")}, "^residue_db is nan"),
        ({"draws": drawn(lags={"vocals": 1.5})}, r"lags\.vocals is float"),
        ({"draws": drawn(lags=[1])}, "lags is list"),
        ({"draws": drawn(changes={"vocals": 3})}, "vocals is int"),
        ({"draws": drawn(aligned=1)}, "aligned is int"),
        ({"draws": drawn(changes={"vocals": {"rate": "48000"}})}, r"vocals\.rate is str"),
    ],
)
def test_a_record_that_no_reader_could_use_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Record.from_json(stored(**change))


@pytest.mark.parametrize(
    "change",
    [{"value": "1"}, {"value": float("nan")}, {"draw": "0"}, {"stem": 1}, {"status": "fine"},
     {"frames": ["x"]}, {"frames": 3}, {"key": None}],
)  # fmt: skip
def test_a_cell_of_the_wrong_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cell|status"):
        Record.from_json(stored(change))


def test_what_early_versions_did_not_store_of_a_draw_is_empty() -> None:
    early = stored(draws={"0": {"seconds": 0.5, "peak_memory_mb": 1.0}})
    assert Record.from_json(early).draws == {0: Draw(0, "", 0.5, 1.0)}


def test_the_outcome_names_the_first_failure() -> None:
    record = Record.from_json(stored({"status": "failed: out of memory", "value": None}))
    assert Outcome.of(record) == Outcome("s", "t", 1, 1, "failed: out of memory")
    assert Outcome.of(Record.from_json(stored())) == Outcome("s", "t", 1, 0, "")


# -- the checksum, which is verified on the text ------------------------------------------------


def test_a_file_formatted_by_hand_is_read_as_long_as_its_content_is_the_same(
    tmp_path: Path,
) -> None:
    store, record = Store(tmp_path), Record.from_json(stored())
    store.write(record)
    path = store.path("s", "t")
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert store.read("s", "t") == record


@pytest.mark.parametrize(("old", "new"), [("1.5", "1.6"), ('"usdr"', '"sdr"'), ("[\n", "[ \n")])
def test_any_changed_value_breaks_the_checksum(tmp_path: Path, old: str, new: str) -> None:
    store, record = Store(tmp_path), Record.from_json(stored())
    store.write(record)
    path = store.path("s", "t")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    same_content = json.loads(text) == json.loads(text.replace(old, new))
    assert (store.read("s", "t") == record) is same_content


def test_a_number_that_json_does_not_know_is_refused_whatever_its_checksum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    store.write(Record.from_json(stored()))
    path = store.path("s", "t")
    for number in ("NaN", "1e999"):
        lines = path.read_text().replace("1.5", number).splitlines()
        body = "\n".join(line for line in lines if not line.startswith(' "checksum"'))
        nested = "[\n " + body.replace("\n", "\n ") + "\n]"
        checksum = hashlib.sha256(nested.encode()).hexdigest()[:32]
        lines = [f' "checksum": "{checksum}",' if ' "checksum"' in x else x for x in lines]
        path.write_text("\n".join(lines) + "\n")
        assert store.read("s", "t") is None
        store.set_aside("s", "t")
        assert "set aside" in capsys.readouterr().err
        store.write(Record.from_json(stored()))


def test_the_checksum_on_disk_is_the_digest_of_the_content(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(Record.from_json(stored()))
    content = json.loads(store.path("s", "t").read_text())
    checksum = content.pop("checksum")
    assert checksum == digest(content)


@pytest.mark.parametrize(("stamp", "is_sound"), [("THERE", True), (r"\ud800", False)])
def test_half_of_a_surrogate_pair_is_damage_whatever_its_checksum(
    tmp_path: Path, stamp: str, is_sound: bool
) -> None:
    """The checksum is that of the file's own text; canonical JSON has no such character."""
    store = Store(tmp_path)
    store.write(Record.from_json(stored(stamp="HERE")))
    path = store.path("s", "t")
    text = path.read_text().replace("HERE", stamp)
    line = re.search(r'\n "checksum": "[0-9a-f]{32}",', text)
    assert line is not None
    bare = text.replace(line[0], "").rstrip("\n").replace("\n", "\n ")
    checksum = hashlib.sha256(f"[\n {bare}\n]".encode()).hexdigest()[:32]
    path.write_text(text.replace(line[0], f'\n "checksum": "{checksum}",'))
    assert (store.read("s", "t") is not None) is is_sound


def test_a_long_reason_stands_once_in_a_record(tmp_path: Path) -> None:
    record = Record.from_json(stored())
    tricky = ("x" * 400, "text #0 of this record", "short", "y: " * 60)
    for reason in tricky:
        cells = tuple(c._replace(status=Status("failed", reason)) for c in record.cells)
        draws = {n: replace(d, error=reason, faults={"a": reason}) for n, d in record.draws.items()}
        changed = replace(record, cells=cells, draws=draws)
        content = json.dumps(changed.to_json())
        assert content.count(reason) == 1 or len(reason) <= 100
        assert Record.from_json(json.loads(content)) == changed
    missing = {**changed.to_json(), "texts": []}
    with pytest.raises(ValueError, match="texts"):
        Record.from_json(missing)
