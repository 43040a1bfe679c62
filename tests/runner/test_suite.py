"""Suites and spec strings: round trips, refusals with a suggestion."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep.errors import UsageError
from benchsep.runner.suite import load_suite
from benchsep.systems.grammar import split_specs
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


@pytest.mark.parametrize("field", ["metrics", "stems"])
@pytest.mark.parametrize("nothing", [(), "", " , "])
def test_nothing_to_score_is_an_error_before_anything_is_separated(field, nothing):
    """Every job was done, and no cell was made, with exit code 0."""
    with pytest.raises(UsageError, match=rf"{field}: the list of {field} is empty; leave it out"):
        load_suite(**{field: nothing})


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


def written(tmp_path, text):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    return path


def test_a_single_name_is_a_list_of_one(tmp_path):
    suite = load_suite(written(tmp_path, "systems: mixture\nmetrics: usdr, visqol\ntracks: A, B\n"))
    assert suite.systems == ("mixture",) and suite.metrics == ("usdr", "visqol")
    assert suite.tracks == ("A, B",), "the name of a track may hold a comma"
    assert load_suite(written(tmp_path, "systems: a:x=1,y=2,b")).systems == ("a:x=1,y=2", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracks: [007]", "tracks: 7 is a number, expected a name; write it in quotes"),
        ("tracks: 1.5", "tracks: 1.5 is a number"),
        ("tracks: [no]", "tracks: False is a truth value"),
        ("tracks: [2026-01-01]", "tracks: 2026-01-01 is date"),
        ("systems: [a, ]\nsplit: 3", "split: 3 is a number"),
        ("systems: [dir: x]", "is a mapping, expected a name; leave out the space"),
        ("stems: [vocals, ~]", "stems: None is nothing"),
    ],
)
def test_what_is_no_name_is_said_in_plain_words(tmp_path, text, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        load_suite(written(tmp_path, text))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limit": "many"}, "limit: found 'many', expected a whole number"),
        ({"yardsticks": "perhaps"}, "yardsticks: found 'perhaps', expected true or false"),
        ({"keep_estimates": "mp3"}, "keep_estimates: found 'mp3', expected 'none' or 'flac'"),
        ({"draws": 0}, "draws: found 0, expected 1 or more"),
        ({"timeout": [1]}, "timeout: found [1], expected a number"),
    ],
)
def test_bad_values_are_answered_without_python(values, said):
    with pytest.raises(UsageError) as error:
        load_suite(None, **values)
    assert said in str(error.value)
    assert not any(word in str(error.value) for word in ("tuple", "Input", "parse"))
