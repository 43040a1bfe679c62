"""The time left of a run: from the rates before the first job, from what is done after it."""

from __future__ import annotations

import pytest

from benchsep.runner.cost import own_rates
from benchsep.runner.plan import make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite
from benchsep.runner.timetable import Timetable, job_weights

WEIGHTS = {("a", "one"): 30.0, ("a", "two"): 10.0, ("b", "one"): 20.0}


def test_before_the_first_job_the_work_is_shared_by_the_workers():
    table = Timetable(WEIGHTS, workers=2)
    assert table.remaining(0.0) == 30.0
    assert table.remaining(12.0) == 18.0
    assert table.remaining(100.0) == 0.0  # late, but never negative
    assert table.share == 0.0 and table.per_minute(5.0) == 0.0


def test_afterwards_the_pace_so_far_is_kept():
    table = Timetable(WEIGHTS, workers=1)
    table.finish("a", "one")  # half of the work
    assert table.share == 0.5
    assert table.remaining(90.0) == pytest.approx(90.0)
    table.finish("a", "two")
    table.finish("b", "one")
    assert table.share == 1.0 and table.remaining(200.0) == 0.0
    assert table.per_minute(90.0) == pytest.approx(2.0)


def test_jobs_weigh_what_plan_says_they_cost(tmp_path):
    suite = Suite(dataset="clip", systems=("mixture", "bs_roformer:checkpoint=mini"),
                  metrics=("visqol", "usdr"), yardsticks=False)  # fmt: skip
    plan = make_plan(suite, Store(tmp_path))
    weights = job_weights(plan, own_rates())
    assert len(weights) == 2 and all(weight > 0 for weight in weights.values())
    by_label = {label: weight for (label, _), weight in weights.items()}
    assert by_label["bs_roformer@mini"] > by_label["mixture"]
