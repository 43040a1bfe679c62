"""A record column by column says what the record says."""

import math
from typing import Any

import numpy as np
import pytest

from benchsep.runner.record import Record
from benchsep.runner.sheet import Sheet
from tests.runner.test_record import stored


def cell(metric: str, stem: str, **changes: Any) -> dict[str, Any]:
    return {"metric": metric, "metric_version": "1", "metric_id": f"id of {metric}", "stem": stem,
            "draw": 0, "value": 1.5, "status": "ok", "frames": [1.0, None], "seconds": 0.1,
            "key": f"{metric} {stem}", **changes}  # fmt: skip


CONTENT: dict[str, Any] = {
    "system": "s", "family": "generative", "system_id": "i", "checkpoint_sha256": "",
    "track": "t", "split": "test", "edition": "clip", "stamp": "x", "mixture_source": "sum",
    "mixture_sha256": "m", "reference_sha256": {"vocals": "r"}, "audio_seconds": 6.0,
    "draws": {"0": {"seed": 1, "estimate_id": "e", "seconds": 0.5, "peak_memory_mb": 10.0,
                    "error": ""}},
    "cells": [cell("b", "vocals", value=2), cell("a", "vocals", value=None, frames=None,
              status="failed: text #0 of this record", seconds=None), cell("a", "bass")],
    "texts": ["a long reason"],
}  # fmt: skip


def test_a_sheet_has_the_facts_and_the_cells_of_the_record():
    record, sheet = Record.from_json(CONTENT), Sheet.from_json(CONTENT)
    assert (sheet.system, sheet.track, sheet.draws) == (record.system, record.track, record.draws)
    for name in ("metric", "metric_version", "metric_id", "stem", "draw", "key"):
        assert getattr(sheet.cells, name) == tuple(getattr(c, name) for c in record.cells)
    assert sheet.cells.status == tuple(str(c.status) for c in record.cells)
    assert sheet.cells.status[1] == "failed: a long reason"
    assert sheet.cells.frames == ([1.0, None], None, [1.0, None])
    np.testing.assert_array_equal(sheet.cells.value, [2.0, math.nan, 1.5])
    np.testing.assert_array_equal(sheet.cells.seconds, [0.1, math.nan, 0.1])


def test_cells_are_sorted_by_place_and_copied_without_a_value():
    cells = Sheet.from_json(CONTENT).cells.sorted()
    assert cells.places == [("a", "bass", 0), ("a", "vocals", 0), ("b", "vocals", 0)]
    assert cells.sorted() is cells
    more = cells.with_absent(2, "drums", "unavailable: no drums")
    assert more.places[3] == ("b", "drums", 0) and more.key[3] == "" and more.frames[3] is None
    np.testing.assert_array_equal(more.value, [*cells.value, math.nan])


def test_without_frames_and_keys_nothing_else_is_missing():
    light, whole = Sheet.from_json(CONTENT, whole=False), Sheet.from_json(CONTENT)
    assert light.cells.frames == () == light.cells.key
    assert light.cells.metric == whole.cells.metric
    assert light.cells.sorted().places == whole.cells.sorted().places
    assert light.cells.with_absent(0, "drums", "unavailable: x").frames == ()


@pytest.mark.parametrize("change", [{"value": True}, {"draw": True}, {"value": math.inf}])
def test_a_sheet_refuses_what_a_record_refuses(change):
    content = {**CONTENT, "cells": [cell("a", "bass"), cell("a", "drums", **change)]}
    Sheet.from_json({**content, "cells": content["cells"][:1]})
    for reader in (Record.from_json, Sheet.from_json):
        with pytest.raises(ValueError, match="cell"):
            reader(content)


def test_draws_of_one_metric_and_stem_are_places_of_their_own():
    cell = stored()["cells"][0]
    content = stored(cells=[cell, {**cell, "draw": 1}])
    assert Sheet.from_json(content).cells.places == [("usdr", "vocals", 0), ("usdr", "vocals", 1)]


def test_a_window_that_is_no_number_is_named():
    with pytest.raises(ValueError, match=r"frames"):
        Sheet.from_json(stored({"frames": ["x"]}))
