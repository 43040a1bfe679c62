"""The text form of a status is read and written without a loss."""

from __future__ import annotations

import pytest

from benchsep.errors import Unavailable, Undefined
from benchsep.metrics.old_status import meaning
from benchsep.metrics.status import KINDS, Status


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_survives_the_text_form(kind: str) -> None:
    assert str(Status.parse(kind)) == kind
    assert Status.parse(kind).kind == kind


def test_a_reason_keeps_its_colons_and_spaces() -> None:
    text = "failed: OSError: [Errno 2] no such file: 'a: b'"
    status = Status.parse(text)
    assert (status.kind, status.reason) == ("failed", text.removeprefix("failed: "))
    assert str(status) == text


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown status 'okay'; expected one of ok, ref_silent"):
        Status.parse("okay")


def test_what_a_metric_raises_is_a_status_with_its_message() -> None:
    assert str(Status.raised(Undefined("no onset"))) == "undefined: no onset"
    assert str(Status.raised(Unavailable("no weights: fetch them"))) == (
        "unavailable: no weights: fetch them"
    )
    assert str(Status.raised(Undefined())) == "undefined"


def test_a_message_that_cannot_be_shown_or_is_long_is_bounded() -> None:
    class Odd(Undefined):
        def __str__(self) -> str:
            raise SystemExit(3)

    assert "cannot be shown (SystemExit)" in Status.raised(Odd()).reason
    assert len(Status.raised(Undefined("x" * 10**6)).reason) < 1000
    assert Status.raised(Undefined("\ud800")).reason == r"\ud800"


@pytest.mark.parametrize(
    "reason",
    [
        "no mixture to compare with",
        "no mixture like the reference to compare with",
        "the reference is never silent under other sound",
        "drums is silent",
        "no onset in the reference",
        "no onset matched",
        "logWMSE needs the mixture, which was not given",
        "the system gives no bass, drums",
        "the track has no reference for vocals",
    ],
)
def test_what_the_signals_did_not_have_was_unavailable_in_old_files(reason: str) -> None:
    assert meaning(f"unavailable: {reason}") == f"undefined: {reason}"
    assert meaning(f"failed: {reason}") == f"failed: {reason}"


@pytest.mark.parametrize(
    "text",
    ["unavailable", "unavailable: weights absent: fetch them", "unavailable: no weights here",
     "unavailable: a plugin's own words", "unavailable: package absent: the track has no package",
     "ok", "undefined: no onset", "undefined", "ref_silent"],
)  # fmt: skip
def test_every_other_status_of_an_old_file_means_what_it_says(text: str) -> None:
    assert meaning(text) == text
