from __future__ import annotations

import pytest

from benchsep._util.words import amount, amount_is


@pytest.mark.parametrize(
    ("count", "noun", "verb"), [(0, "cells", "are"), (1, "cell", "is"), (1234, "cells", "are")]
)
def test_noun_and_verb_agree_with_the_number(count: int, noun: str, verb: str) -> None:
    assert amount(count, "cell") == f"{count} {noun}"
    assert amount_is(count, "cell") == f"{count} {noun} {verb}"
