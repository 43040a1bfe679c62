import itertools

import numpy as np
import pytest

from benchsep.stats import signflip
from benchsep.stats.signflip import sign_flip


def by_enumeration(d, statistic):
    """The definition: every sign pattern, one by one."""
    summary = {"mean": np.mean, "median": np.median}[statistic]
    signs = np.array(list(itertools.product([1, -1], repeat=len(d))))
    flipped = np.abs(summary(signs * d, axis=1))
    observed = abs(summary(d))
    return float((flipped >= observed - 1e-12 * max(1, observed)).mean())


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("n", range(1, 13))
def test_equals_the_enumeration_of_all_patterns(n, statistic):
    rng = np.random.default_rng(n)
    for shift in (0, 0.5, 2):
        d = rng.normal(shift, 1, n)
        assert sign_flip(d, statistic=statistic) == pytest.approx(by_enumeration(d, statistic))


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_ties_and_zeros_count_as_in_the_enumeration(statistic):
    rng = np.random.default_rng(0)
    for n in (4, 7, 10):
        for _ in range(20):
            d = np.round(rng.normal(0.3, 1, n))
            assert sign_flip(d, statistic=statistic) == pytest.approx(by_enumeration(d, statistic))


def test_one_system_better_on_25_of_25_songs_has_the_smallest_p():
    # Two of the 2**25 patterns are as extreme as the observed one: p = 6e-8.
    assert sign_flip(np.linspace(0.1, 1, 25)) == 2 / 2**25


def test_beyond_the_limit_of_halves_p_is_an_upper_bound_close_to_the_exact_one():
    rng = np.random.default_rng(1)
    for shift in (0.1, 0.4, 0.8):
        d = rng.normal(shift, 1, 34)
        exact, bound = signflip._mean_by_halves(d), signflip._mean_on_a_grid(d)
        assert exact <= bound <= 1.05 * exact


def test_p_is_uniform_under_the_null_hypothesis():
    rng = np.random.default_rng(2)
    p = np.array([sign_flip(rng.normal(0, 1, 25)) for _ in range(2000)])
    for level in (0.01, 0.05, 0.2):
        error = 3 * np.sqrt(level * (1 - level) / len(p))
        assert abs((p <= level).mean() - level) < error


def test_a_scale_changes_nothing():
    d = np.random.default_rng(3).normal(0.3, 1, 50)
    assert sign_flip(1000 * d) == pytest.approx(sign_flip(d), rel=1e-9)
    assert sign_flip(-d) == pytest.approx(sign_flip(d), rel=1e-9)


@pytest.mark.parametrize("d", [[], [1.0, np.nan], [np.inf]])
def test_values_that_cannot_be_tested_are_refused(d):
    with pytest.raises(ValueError, match="finite"):
        sign_flip(d)
