"""Every command takes the names that the field uses, by the rules of one module."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsep import registry
from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.metric import ValueTraits, column
from benchsep.metrics.names import (
    canonical,
    column_named,
    columns_named,
    fold,
    keys_named,
    metrics_named,
)

METRICS = registry.names("metric")
COLUMNS = [column(get_metric(m), value) for m in METRICS for value in get_metric(m).values]

MEANS = {
    "si-sdr": "sisdr", "SI-SDR": "sisdr", "SI SDR": "sisdr", "si_sdr": "sisdr", "SI‑SDR": "sisdr",
    "ViSQOL": "visqol", "uSDR": "usdr", "bss_eval": "bsseval", "BSSEval v4": "bsseval",
    "museval": "bsseval", "mir_eval": "mireval", "MR-STFT": "mrstft", "mert": "emb-mert",
    "BSSEval.SDR": "bsseval.sdr", "bsseval_sdr": "bsseval.sdr", "mir_eval SDR": "mireval.sdr",
    "ISR": "bsseval.isr", "DNS-MOS": "dnsmos", "OVRL": "dnsmos.ovrl", "NISQA MOS": "nisqa.mos",
    "si-sir": "sisdr.sir", "bleedless": "bleedless",
}  # fmt: skip


@pytest.mark.parametrize("alias", MEANS)
def test_a_name_of_the_field_means_one_metric_or_column(alias: str) -> None:
    assert canonical(alias) == MEANS[alias]
    assert metrics_named([alias, alias]) == (MEANS[alias].split(".")[0],)


@pytest.mark.parametrize("spelt", ["quality2", "Quality 2", "QUALITY-2"])
def test_a_combined_metric_stands_for_the_metrics_of_its_parts(spelt: str) -> None:
    assert canonical(spelt) == "quality2"
    assert metrics_named([spelt, "visqol"]) == ("visqol", "emb-clap")
    with pytest.raises(UsageError, match=f"no metric '{spelt}' here; there are: usdr, visqol"):
        columns_named([spelt], ["usdr", "visqol"])


@pytest.mark.parametrize("alias", ["sdr", "SDR", "S D R"])
def test_sdr_asks_which_one(alias: str) -> None:
    with pytest.raises(UsageError, match=r"ambiguous.*bsseval\.sdr.*mireval\.sdr.*usdr"):
        canonical(alias)
    # of a study, a column of that very name is what is meant
    assert canonical(alias, ["sdr", "usdr"]) in ("sdr", alias)


@given(st.data())
def test_any_spelling_of_a_registered_name_is_that_name(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*METRICS, *COLUMNS]))
    spelt = ""
    for letter in re.sub(r"[^a-z0-9]", "", name):
        spelt += data.draw(st.sampled_from(["", "-", "_", " ", "."]))
        spelt += data.draw(st.sampled_from([letter, letter.upper()]))
    assert canonical(spelt) == name


def test_registered_names_differ_by_more_than_spelling() -> None:
    names = {*METRICS, *COLUMNS}
    assert len(set(map(fold, names))) == len(names)


def test_an_alias_means_its_own_metric_alone_or_asks() -> None:
    for name in METRICS:
        for alias in getattr(get_metric(name), "known_as", ()):
            try:
                assert canonical(alias) == name
            except UsageError as error:
                assert alias in ("SDR", "MOS") and name in str(error)


@pytest.mark.parametrize(
    ("typo", "hint"), [("visqoll", "'visqol'"), ("SI-SDRR", "'sisdr'"), ("qqqq", "there are:")]
)
def test_a_typo_gets_a_suggestion(typo: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown metric '{typo}'.*{hint}"):
        canonical(typo)


def test_columns_at_hand_need_no_registered_metric() -> None:
    there = ["mine.a", "mine.b", "bsseval.sdr", "bsseval.sir"]
    assert columns_named(["MINE"], there) == there[:2]
    assert columns_named(["bss_eval"], there) == there[2:]
    assert columns_named(["BSSEval-SIR", "mine.a"], there) == ["mine.a", "bsseval.sir"]
    assert column_named("BSSEval SDR", there) == "bsseval.sdr"
    with pytest.raises(UsageError, match=r"no metric 'ViSQOL' here; there are: bsseval\.sdr"):
        columns_named(["ViSQOL"], there)
    with pytest.raises(UsageError, match=r"more than one column: mine\.a, mine\.b"):
        column_named("mine", there)


def test_two_keys_of_one_meaning_are_refused() -> None:
    assert keys_named({"SI-SDR": 1.0, "bsseval.sdr": 2.0}) == {"sisdr": 1.0, "bsseval.sdr": 2.0}
    with pytest.raises(UsageError, match="sisdr is given twice"):
        keys_named({"SI-SDR": 1.0, "sisdr": 2.0})


class Plugin:
    """A metric of another package, which says what it is known as."""

    name, known_as = "warmth", ("Analog Warmth", "uSDR")
    values = (ValueTraits("score", +1, "", 0.0, None),)

    def score_track(self) -> None: ...


def test_a_metric_of_another_package_has_aliases_and_takes_none_of_ours() -> None:
    registry.register("metric", "warmth", Plugin())
    try:
        assert canonical("analog-warmth") == "warmth"
        assert canonical("WARMTH.score") == "warmth.score"
        assert canonical("uSDR") == "usdr"
    finally:
        registry.unregister("metric", "warmth")


def test_an_exact_name_imports_no_metric() -> None:
    code = (
        "import sys; from benchsep.metrics.names import metrics_named; metrics_named(['visqol']);"
        "ours = {'benchsep.metrics.visqol', 'benchsep.metrics.sdr'}; print(ours & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_metric_of_another_name_than_its_entry_is_refused() -> None:
    """Its values stood in the column of the other: a subclass of uSDR without a new name."""
    registry.register("metric", "mine", type(get_metric("usdr")))
    try:
        with pytest.raises(UsageError, match="registered as 'mine' has the name 'usdr'"):
            get_metric("mine")
    finally:
        registry.unregister("metric", "mine")
