"""Effects are what they were made to be, and are judged against the spread of the seeds."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchsep.ablation.conclusions import sentences
from benchsep.ablation.effects import (
    Effects,
    factor_effects,
    reference_cells,
    reference_summaries,
    seed_range,
    variant_cells,
)
from benchsep.ablation.execute import Executed
from benchsep.ablation.grid import Ablation, expand
from benchsep.ablation.tables import differences_table, values_table
from benchsep.ablation.write import write
from benchsep.metrics.catalog import traits_of
from benchsep.report.tables.render import render
from benchsep.stats import compare, with_average

STEMS = ("vocals", "drums", "bass", "other")
LISTED = Ablation.model_validate(
    {
        "title": "Encoder",
        "trainer": "tokensep",
        "variants": {"base": {}, "worse": {"train.lr": 1}, "control": {"train.lr": 2}},
        "control": "control",
        "published": [{"variant": "base", "value": 3.55}],
        "source": "a paper",
        "caveat": "small",
    }
)


def cells(values, songs: int = 12, seeds=(0, 1), noise: float = 0.05) -> pd.DataFrame:
    """``values``: variant to (level, shift of seed 1)."""
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 0.3, songs)
    rows = [
        {
            "system": name,
            "family": "generative",
            "edition": "7s",
            "metric": "visqol",
            "stem": stem,
            "track": f"song {song}",
            "draw": seed,
            "value": level + hardness[song] + seed * shift + rng.normal(0, noise),
            "status": "ok",
        }
        for name, (level, shift) in values.items()
        for stem in STEMS
        for song in range(songs)
        for seed in seeds
    ]
    return with_average(pd.DataFrame(rows))


def effects(ablation: Ablation, frame: pd.DataFrame) -> Effects:
    traits = traits_of(("visqol",))
    base = expand(ablation)[0].name
    found = compare(frame, traits, against=base, yardsticks=True)
    found = found.rename(columns={"a": "variant", "b": "base"})
    found["spread"] = [seed_range(frame, r.variant, r.stem, r.metric) for r in found.itertuples()]
    return Effects(ablation, frame, found, factor_effects(frame, ablation), traits, "7s")


def test_a_real_loss_is_worse_and_the_control_is_detected():
    made = effects(LISTED, cells({"base": (3.5, 0), "worse": (3.3, 0), "control": (2.9, 0)}))
    done = Executed(LISTED, run=None)
    worse, control = sentences(done, made)
    assert "“worse” is worse than “base” (-0.2" in worse
    assert "this table detects the condition that was broken on purpose" in control
    table = differences_table(made)
    average = table.cell("worse", "visqol", "average", "gain")
    assert average.value == pytest.approx(-0.2, abs=0.03) and average.letters == "*"
    assert average.low < average.value < average.high
    beside = f"[{average.low:+.2f}, {average.high:+.2f}]"
    assert beside in render([table], "html")
    assert beside in render([table], "md").replace("\\", "")
    assert beside in re.sub(r"[{}]", "", render([table], "tex"))
    values = values_table(done, made)
    assert values.cell("base", "visqol", "published", "cost").value == 3.55
    assert values.cell("base", "visqol", "average").value == pytest.approx(3.5, abs=0.2)


def test_a_difference_no_larger_than_that_of_two_seeds_proves_nothing():
    made = effects(LISTED, cells({"base": (3.5, 0.0), "worse": (3.3, 0.5), "control": (3.5, 0)}))
    worse, control = sentences(Executed(LISTED, run=None), made)
    assert "no conclusion about the choice" in worse
    assert "does not detect the condition that was broken on purpose" in control


def test_an_average_does_not_hide_the_stems_that_differ():
    frame = cells({"base": (3.5, 0), "worse": (3.5, 0), "control": (2.9, 0)})
    worse = frame["system"] == "worse"
    for stem, shift in (("drums", -0.2), ("bass", 0.2)):
        frame.loc[worse & (frame["stem"] == stem), "value"] += shift
    frame = with_average(frame[frame["stem"] != "average"])
    made = effects(LISTED, frame)
    sentence = sentences(Executed(LISTED, run=None), made)[0]
    assert "is not shown to differ from “base” on average (" in sentence
    assert "12 songs), but is worse on drums (-0.2" in sentence
    assert "and better on bass (+0." in sentence and "vocals" not in sentence


def test_a_variant_without_result_says_why(tmp_path):
    made = effects(LISTED, cells({"base": (3.5, 0.0), "worse": (3.3, 0.0)}))
    done = Executed(LISTED, run=None, failed={("control", 0): "training failed (1): | <b>"})
    assert "has no result: training failed" in sentences(done, made)[1]
    assert values_table(done, made).cell("control", "visqol", "average").note == "not trained"
    write("encoder", done, made, tmp_path)
    text = (tmp_path / "encoder.md").read_text()
    assert "<b>" not in text and "published (other data)" in text
    assert (tmp_path / "encoder.png").exists() and (tmp_path / "encoder.pdf").exists()
    assert "tabular" in (tmp_path / "encoder.tex").read_text()
    page = (tmp_path / "encoder.html").read_text()
    assert page.count("<table>") == 2 and ">not trained<" in page and "published" in page
    assert len(pd.read_csv(tmp_path / "encoder.csv")) == 5


def test_variants_without_training_are_named_by_what_was_run(tmp_path):
    grid = Ablation.model_validate(
        {
            "title": "Decoding",
            "system": "tokensep",
            "variants": {"sequential": {}, "parallel": {"spec.decoding": "parallel"}},
        }
    )
    made = effects(grid, cells({"sequential": (3.0, 0), "parallel": (2.8, 0)}))
    done = Executed(grid, run=None, labels={("sequential", -1): "a", ("parallel", -1): "b[x=1]"})
    write("decoding", done, made, tmp_path)
    text = (tmp_path / "decoding.md").read_text()
    assert "- parallel: `b[x=1]`" in text and "means over 2 draws" in text


def test_main_effects_and_interactions_are_those_that_were_put_in():
    grid = Ablation.model_validate(
        {
            "title": "t",
            "system": "tokensep",
            "axes": {"a": {"a0": {}, "a1": {}}, "b": {"b0": {}, "b1": {}}},
        }
    )
    levels = {"a0, b0": 3.0, "a0, b1": 3.2, "a1, b0": 3.5, "a1, b1": 3.4}
    frame = cells({name: (level, 0) for name, level in levels.items()}, noise=0)
    found = factor_effects(frame, grid).set_index("effect")["difference"]
    assert found["a: a1 − a0"] == pytest.approx(0.35)  # (0.5 + 0.2) / 2
    assert found["b: b1 − b0"] == pytest.approx(0.05)  # (0.2 - 0.1) / 2
    assert found["a1 × b1"] == pytest.approx(-0.3)  # 0.2 - 0.5


def test_spread_is_the_distance_of_the_seeds_means():
    frame = cells({"base": (3.0, 0.25)}, noise=0)
    assert seed_range(frame, "base", "average", "visqol") == pytest.approx(0.25)
    assert np.isnan(seed_range(frame[frame["draw"] == 0], "base", "average", "visqol"))


def test_the_yardsticks_stand_under_the_variants_and_are_missed_where_they_are_not():
    frame = cells({"base": (3.5, 0), "worse": (3.3, 0), "control": (2.9, 0)})
    made, done = effects(LISTED, frame), Executed(LISTED, run=None)
    assert any("No mixture row" in line for line in values_table(done, made).warnings)
    whole = pd.concat(
        [
            frame[frame["stem"] != "average"],
            cells({"reference": (4.7, 0), "oracle-irm": (4.0, 0)}, seeds=(0,)).assign(
                family="oracle"
            ),
            cells({"mixture": (3.0, 0)}, songs=20, seeds=(0,)).assign(family="mixture"),
        ]
    )
    whole = whole[whole["stem"] != "average"]
    table = values_table(
        done, replace(made, references=reference_summaries(whole, frame, made.traits))
    )
    assert [row.system for row in table.rows[3:]] == ["mixture", "reference", "oracle-irm"]
    assert table.rows[3].group == "yardstick"
    assert not any("No mixture row" in line for line in table.warnings)
    cell = table.cell("mixture", "visqol", "average")
    assert cell.n == 12 and cell.value == pytest.approx(3.0, abs=0.25)


def test_a_row_of_another_ablation_in_the_same_folder_is_no_yardstick():
    names = ("a", "mixture", "tokensep-oracle-context@mini")
    whole = cells({name: (3.0, 0) for name in names}, songs=2, seeds=(0,))
    done = Executed(LISTED, run=None, labels={("base", 0): "a"})
    assert set(reference_cells(whole, done)["system"]) == {
        "mixture",
        "tokensep-oracle-context@mini",
    }
    done.references = frozenset({"mixture"})
    assert set(reference_cells(whole, done)["system"]) == {"mixture"}


def test_several_draws_of_a_trained_variant_are_one_value_for_its_seed():
    drawn = cells({"a": (3.0, 0.0)}, songs=2, seeds=(0, 1, 2), noise=0.3)
    drawn = drawn[drawn["stem"] != "average"]
    frame = pd.concat([drawn, drawn.assign(system="b")], ignore_index=True)
    made = variant_cells(
        frame, Executed(LISTED, run=None, labels={("base", 0): "a", ("base", 1): "b"})
    )
    assert set(made["system"]) == {"base"} and set(made["draw"]) == {0, 1}
    assert not made.duplicated(["track", "stem", "draw"]).any() and len(made) == 2 * 4 * 2
    one = (drawn["track"] == "song 1") & (drawn["stem"] == "bass")
    found = made[(made["track"] == "song 1") & (made["stem"] == "bass") & (made["draw"] == 1)]
    assert found["value"].item() == pytest.approx(drawn[one]["value"].mean())


def test_songs_that_another_ablation_left_in_the_run_folder_do_not_count():
    frame = cells({"a": (3.0, 0.0)}, songs=3)
    ours = frozenset({"song 0", "song 2"})
    done = Executed(LISTED, run=None, labels={("base", 0): "a"}, tracks=ours)
    assert set(variant_cells(frame, done)["track"]) == ours


def test_a_draw_without_a_value_is_not_averaged_away():
    drawn = cells({"a": (3.0, 0.0)}, songs=1).query("stem == 'bass'")
    drawn.loc[drawn["draw"] == 1, ["value", "status"]] = np.nan, "failed: no room"
    made = variant_cells(drawn, Executed(LISTED, run=None, labels={("base", 0): "a"}))
    assert made["status"].item() == "failed: no room" and np.isnan(made["value"].item())
