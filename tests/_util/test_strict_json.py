"""JSON from outside: the numbers of the standard library, and a bound before anything is built."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep._util.strict_json import MAX_DEPTH, parse_json

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(
        st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@given(TREES, st.booleans())
def test_what_the_standard_library_writes_is_read_as_it_reads_it(tree, ascii_only):
    text = json.dumps(tree, ensure_ascii=ascii_only)
    assert repr(parse_json(text.encode())) == repr(json.loads(text))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 40))
def test_numbers_are_the_nearest_float_whatever_their_digits(number, digits):
    text = f"{number:.{digits}e}"
    assert parse_json(text) == float(text)
    assert math.copysign(1, parse_json(repr(number))) == math.copysign(1, number)


@pytest.mark.parametrize(
    "data", [b"NaN", b"[-Infinity]", b'"\\ud800"', b'"\xff"', b"{'a': 1}", b"[1,]", b"", b"1 2"]
)
def test_what_is_no_strict_json_is_a_value_error(data):
    with pytest.raises(ValueError):
        parse_json(data)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_bounded_before_anything_is_built(opening):
    assert parse_json(b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1))
    with pytest.raises(ValueError, match="recursion limit"):
        parse_json(opening * 2_000_000)
