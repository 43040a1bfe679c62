"""Errors of a validation name the setting, what was found and what was expected."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchsep._util import invalid

How = Literal["none", "mask"]


class Inner(BaseModel):
    count: int = Field(default=1, ge=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    how: How | dict[str, How] = "none"
    inner: Inner = Inner()
    share: float = Field(default=0.5, gt=0, lt=1)
    names: tuple[str, ...] = ()
    needed: str


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"how": "no"}, {"how": "found 'no', expected 'none' or 'mask', or a mapping of keys"}),
        ({"how": {"a": "no"}}, {"how.a": "found 'no', expected 'none' or 'mask'"}),
        ({"inner": {"count": 0}}, {"inner.count": "found 0, expected 1 or more"}),
        ({"inner": 3}, {"inner": "found 3, expected a mapping of keys"}),
        ({"share": 0}, {"share": "found 0, expected more than 0"}),
        ({"share": "x"}, {"share": "found 'x', expected a number"}),
        (
            {"share": 1, "names": 1},
            {"share": "found 1, expected less than 1", "names": "found 1, expected a list"},
        ),
        ({"odd": 1}, {"odd": invalid.UNKNOWN}),
        ({"needed": None}, {"needed": "found None, expected a text"}),
    ],
)
def test_each_setting_has_one_fault_in_words(values, expected):
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({"needed": "", **values})
    assert invalid.settings(error.value) == expected


def test_a_missing_setting_and_a_wrong_whole_are_named():
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({})
    assert invalid.settings(error.value) == {"needed": "is missing"}
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(3)
    assert invalid.settings(error.value, "the file") == {
        "the file": "found 3, expected a mapping of keys"
    }
