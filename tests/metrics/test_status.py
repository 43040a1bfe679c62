"""The text form of a status is read and written without a loss."""

from __future__ import annotations

import pytest

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
        "the system gives no bass",
        "the track has no reference for vocals",
    ],
)
def test_what_the_signals_decide_stays_as_it_is(reason: str) -> None:
    assert not Status("unavailable", reason).may_become_available


@pytest.mark.parametrize(
    "reason", ["weights absent: fetch them", "package absent: pip install x", "no weights here", ""]
)
def test_what_a_machine_lacks_may_become_available(reason: str) -> None:
    assert Status("unavailable", reason).may_become_available
    assert not Status("failed", reason).may_become_available
    assert not Status("ok").may_become_available
