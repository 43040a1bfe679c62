"""Combined judges: by hand, and the published gain of a pair."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import UsageError
from benchsep.listeners.agreement import agreement
from benchsep.listeners.combine import with_combined
from benchsep.metrics.combined import parts_of

CLIPS = pd.DataFrame(
    {
        "song": ["a"] * 4 + ["b"] * 2,
        "system": ["d1", "d2", "g1", "reference", "d1", "d2"],
        "family": ["discriminative", "discriminative", "generative", "oracle"]
        + ["discriminative"] * 2,
        "rating": [1.0, 2.0, 3.0, 5.0, 1.0, 2.0],
        "good": [1.0, 2.0, 3.0, 100.0, 5.0, 5.0],
        "loss": [30.0, 10.0, 20.0, 0.0, 900.0, 100.0],
    }
)


def test_scores_by_hand():
    found = with_combined(CLIPS, ["good+loss"], {"good": 1, "loss": -1})["good+loss"]
    root = np.sqrt(1.5)  # z of the outer two of three equally spaced values
    # song a: z good -r 0 r; z of minus loss -r r 0. Song b: good ties, loss decides
    np.testing.assert_allclose(found, [-root, root / 2, root / 2, np.nan, -0.5, 0.5])


def test_units_do_not_count_and_a_single_metric_is_no_combination():
    scaled = CLIPS.assign(loss=CLIPS["loss"] * 1000 + 7)
    names, directions = ["good+loss"], {"good": 1, "loss": -1}
    np.testing.assert_allclose(
        with_combined(scaled, names, directions)["good+loss"],
        with_combined(CLIPS, names, directions)["good+loss"],
    )
    assert list(with_combined(CLIPS, ["good"], directions).columns) == list(CLIPS.columns)
    assert parts_of("good+loss") == ("good", "loss") and parts_of("good") == ("good",)


def test_a_metric_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"no metric 'absent'.*expected one of good"):
        with_combined(CLIPS, ["good+absent"], {"good": 1})
    with pytest.raises(UsageError, match="no metric 'loss'"):
        with_combined(CLIPS, ["good+loss"], {"good": 1})


@pytest.mark.shared
def test_visqol_with_clap_orders_better_than_either_and_with_mrstft_it_gains_nothing(shared):
    from benchsep.listeners.study import read_study

    study = read_study("gensvs2025", data=shared / "data" / "listening")
    pairs = ["visqol+emb_mse_clap_music_df", "visqol+multi_res_loss"]
    directions = {"visqol": 1, "emb_mse_clap_music_df": -1, "multi_res_loss": -1}
    clips = with_combined(study.clips("quality"), pairs, directions)
    metrics = ["visqol", "emb_mse_clap_music_df", *pairs]
    found = agreement(clips, metrics=metrics, directions=dict.fromkeys(pairs, 1))
    share = found.set_index("metric")["across"]
    assert share[pairs[0]] == pytest.approx(0.77, abs=0.01)
    assert share[pairs[0]] > max(share["visqol"], share["emb_mse_clap_music_df"]) + 0.03
    assert share[pairs[1]] < share["visqol"]
