"""One text for a value, the one that the library writes: keys and checksums depend on it."""

from __future__ import annotations

import json
from collections import OrderedDict, UserString
from enum import IntEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep._util.digest import canonical, digest
from benchsep.errors import StoreError

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TREES = st.recursive(
    LEAVES | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
    | st.tuples(inner, inner),
    max_leaves=12,
)  # fmt: skip


class Level(IntEnum):
    HIGH = 3


def by_the_library(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


@given(TREES)
def test_the_text_is_the_librarys(value: object) -> None:
    assert canonical(value) == by_the_library(value)


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": [], "c": {}, "": ()},
        {1: "a number as a key", 2: [None]},
        {"level": Level.HIGH, "number": np.float64(0.1), "big": 10**300, "small": 5e-324},
        OrderedDict(b=1, a=-0.0),
        [True, False, 1, 0, 1.0, "\x00\x1f\x7f  \U0001f600 é \\ \""],
    ],
    ids=str,
)  # fmt: skip
def test_other_types_are_written_as_the_library_writes_them(value: object) -> None:
    assert canonical(value) == by_the_library(value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], {"a": {"b": -float("inf")}}, "\ud800", {"\udfff": 1},
     {1, 2}, UserString("x"), {(1, 2): 3}, object()],
    ids=["nan", "inf", "deep-inf", "surrogate", "surrogate-key", "set", "text", "tuple-key",
         "object"],
)  # fmt: skip
def test_what_json_does_not_know_is_refused(value: object) -> None:
    with pytest.raises(StoreError, match="not representable as strict JSON"):
        canonical(value)


def test_depth_and_circles_are_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    circle: list[object] = []
    circle.append(circle)
    for value in (deep, circle):
        with pytest.raises(StoreError, match="strict JSON"):
            canonical(value)


def test_the_hash_of_known_parts_stays() -> None:
    """Keys of stored cells: benchsep 0.1 gave these."""
    assert digest() == "4f53cda18c2baa0c0354bb5f9a3ecbe5"
    assert digest("net", "1", "", {"x": [1, 2.5, None]}, True) == "d2b2642cd951294a872cb0236a90963b"
