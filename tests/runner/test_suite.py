"""Suites and spec strings: round trips, refusals with a suggestion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep.errors import UsageError
from benchsep.runner.suite import load_suite, split_specs
from benchsep.systems.reference import REFERENCE_SYSTEMS
from benchsep.systems.spec import Spec


def test_unknown_keys_get_a_suggestion(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("sistems: [htdemucs]\n")
    with pytest.raises(UsageError, match="did you mean 'systems'"):
        load_suite(path)


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "a: [",
        "limit: 0",
        "stems: [voclas]",
        "draws: x",
        "mixture: maybe",
        "\x00",
        "? [a]: b",
    ],
)
def test_bad_suites_are_usage_errors(tmp_path, text):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        load_suite(path)


def test_flags_override_the_file(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("systems: [a, b]\nseed: 3\n")
    suite = load_suite(path, systems=("c",), seed=None)
    assert suite.systems == ("c",) and suite.seed == 3
    assert suite.all_systems == ("c", *REFERENCE_SYSTEMS)


def test_stems_are_put_in_our_order():
    assert load_suite(stems=("other", "vocals")).stems == ("vocals", "other")


def test_specs_split_at_the_right_commas():
    assert split_specs("a, b:x=1,y=2 ,c") == ("a", "b:x=1,y=2", "c")
    assert split_specs('cmd:"prog {mixture}, {out}",dir:p') == (
        'cmd:"prog {mixture}, {out}"',
        "dir:p",
    )
    assert split_specs("tokensep:oracle-tokens,refine=mask,htdemucs") == (
        "tokensep:oracle-tokens,refine=mask",
        "htdemucs",
    )


NAME = st.text("abcdefghij_-", min_size=1, max_size=8)
VALUE = st.text(
    st.characters(exclude_characters=",", exclude_categories=["Cc", "Cs", "Zs"]), max_size=8
)


@given(
    NAME.filter(lambda n: n not in ("dir", "cmd", "folder")),
    st.dictionaries(NAME, VALUE, max_size=4),
)
def test_specs_round_trip(name, options):
    spec = Spec(name, {k: v.strip() for k, v in options.items()})
    assert Spec.parse(str(spec)) == spec


@pytest.mark.parametrize("text", ["", ":x=1", "a:x=1,x=2", "a:x=1,y", "dir:", 'cmd:""'])
def test_bad_specs_are_refused(text):
    with pytest.raises(UsageError):
        Spec.parse(text)
