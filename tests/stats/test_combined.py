"""The cells of combined metrics: by hand, and as `benchsep validity` combines the same values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchsep import stats
from benchsep.errors import UsageError
from benchsep.listeners import combine
from benchsep.metrics.combined import COMBINED
from benchsep.metrics.metric import ValueTraits

TRAITS = {
    "visqol": ValueTraits("", 1, "MOS", 1.0, 5.0, display="ViSQOL", question="quality"),
    "emb-clap.mse": ValueTraits("mse", -1, "", 0.0, None, display="CLAP", question="quality"),
    "size": ValueTraits("", 0, "", None, None),
}
FAMILIES = {
    "a": "generative", "b": "discriminative", "c": "unknown", "mixture": "mixture",
    "reference": "oracle",
}  # fmt: skip
VALUES = {
    "visqol": {"a": 1.0, "b": 2.0, "c": 3.0, "mixture": 2.0, "reference": 5.0},
    "emb-clap.mse": {"a": 0.3, "b": 0.1, "c": 0.2, "mixture": 0.2, "reference": 0.0},
}


def run_of(**changes: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "system": system, "family": FAMILIES[system], "track": "song", "stem": "vocals",
            "metric": metric, "draw": 0, "value": value, "status": "ok", "edition": "clip",
            "frames": None, "seconds": 0.5, "key": f"{metric}/{system}",
        }
        for metric, values in VALUES.items()
        for system, value in {**values, **changes.get(metric, {})}.items()
    )  # fmt: skip


def cells(frame: pd.DataFrame, name: str = "quality2", asked: tuple[str, ...] = ()) -> pd.DataFrame:
    found, _ = stats.with_combined(frame, TRAITS, asked)
    return found[found["metric"] == name].set_index("system")


def test_scores_by_hand_with_the_reference_systems_on_the_same_scale():
    found = cells(run_of())
    r = np.sqrt(1.5)  # z of the outer two of three equally spaced values
    assert found["value"].to_dict() == pytest.approx(
        {"a": -r, "b": r / 2, "c": r / 2, "mixture": 0.0, "reference": (3 * r + 2 * r) / 2}
    )
    assert set(found["status"]) == {"ok"} and set(found["key"]) == {""}


def test_the_same_as_validity_gives_for_the_same_values():
    rng = np.random.default_rng(4)
    songs = [run_of().assign(track=f"song {n}") for n in range(3)]
    frame = pd.concat(songs, ignore_index=True)
    frame["value"] = rng.random(len(frame))
    frame["family"] = frame["family"].replace("unknown", "discriminative")
    clips = frame.pivot(index=["track", "system", "family"], columns="metric", values="value")
    clips = clips.reset_index().rename(columns={"track": "song"})
    name = "visqol+emb-clap.mse"
    other = combine.with_combined(clips, [name], {"visqol": 1, "emb-clap.mse": -1})
    expected = other.set_index(["song", "system"])[name].dropna()
    ours = cells(frame).reset_index().set_index(["track", "system"])["value"]
    assert len(expected) == 9
    np.testing.assert_allclose(ours.loc[list(expected.index)], expected)


def test_a_system_that_drew_often_counts_once():
    frame = run_of()
    more = [frame[frame["system"] == "a"].assign(draw=n, value=lambda t: t["value"] + 0) for n in
            (1, 2, 3)]  # fmt: skip
    many = cells(pd.concat([frame, *more], ignore_index=True)).reset_index()
    once = cells(frame)["value"]
    assert (many["system"] == "a").sum() == 4
    for row in many.to_dict("records"):
        assert row["value"] == pytest.approx(once[row["system"]])


def test_two_systems_make_no_scale_and_the_reason_says_so():
    frame = run_of()
    found = cells(frame[frame["system"] != "c"])
    assert found["value"].isna().all()
    assert set(found["status"]) == {
        "unavailable: z scores need 3 systems with visqol and emb-clap.mse on the song; here 2"
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("ref_silent", "ref_silent"),
        ("est_silent", "est_silent"),
        ("unavailable: no weights", "unavailable: emb-clap.mse: unavailable: no weights"),
        ("ill_conditioned", "undefined: emb-clap.mse: ill_conditioned"),
    ],
)
def test_a_cell_without_a_part_says_why_and_does_not_count(status: str, expected: str):
    frame = pd.concat([run_of(), run_of().assign(system="d")], ignore_index=True)
    frame = frame.drop_duplicates(["system", "metric"])
    lost = (frame["system"] == "d") & (frame["metric"] == "emb-clap.mse")
    frame.loc[lost, "status"] = status
    if status != "ill_conditioned":
        frame.loc[lost, "value"] = np.nan
    found = cells(frame)
    assert found.loc["d", "status"] == expected and np.isnan(found.loc["d", "value"])
    others = [name for name in FAMILIES]
    np.testing.assert_allclose(found.loc[others, "value"], cells(run_of()).loc[others, "value"])


def test_equal_values_are_zero_and_rounding_is_no_difference():
    same = {"a": 2.0, "b": 2.0 + 1e-13, "c": 2.0 - 1e-13}
    found = cells(run_of(visqol=same))
    r = np.sqrt(1.5)
    assert found.loc[["a", "b", "c"], "value"].tolist() == pytest.approx([-r / 2, r / 2, 0.0])


def test_any_pair_by_name_and_what_cannot_be_combined():
    name = "visqol+emb-clap.mse"
    found, traits = stats.with_combined(run_of(), TRAITS, ("ViSQOL+CLAP",))
    pair, own = (found[found["metric"] == n] for n in (name, "quality2"))
    np.testing.assert_allclose(pair["value"], own["value"])
    assert traits[name].question == "quality" and traits[name].display == "ViSQOL + CLAP"
    for asked, text in (
        ("visqol", "expected two metrics"),
        ("visqol+size", "for size, neither higher nor lower is better"),
        ("visqol+nisqa", "nisqa"),
    ):
        with pytest.raises(UsageError, match=text):
            stats.with_combined(run_of(), TRAITS, (asked,))
    alone = {"visqol": TRAITS["visqol"]}
    with pytest.raises(UsageError, match=r"quality2 needs emb-clap.mse, which the run does not"):
        stats.with_combined(run_of(), alone, ("quality2",))
    frame, kept = stats.with_combined(run_of(), alone)
    assert "quality2" not in kept and len(frame) == len(run_of())


def test_parts_aggregated_otherwise_are_followed():
    medians = {
        k: ValueTraits(t.name, t.direction, "", None, None, aggregate="median")
        for k, t in TRAITS.items()
    }
    assert stats.with_combined(run_of(), medians)[1]["quality2"].aggregate == "median"
    assert COMBINED["quality2"].traits.aggregate == "mean"
