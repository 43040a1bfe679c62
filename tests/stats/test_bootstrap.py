"""Array statistics against SciPy, statsmodels, and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from benchsep.errors import UsageError
from benchsep.stats.bootstrap import bootstrap
from benchsep.stats.letters import compact_letters
from benchsep.stats.power import detectable_effect, paired_t_power, songs_needed
from benchsep.stats.signflip import sign_flip
from benchsep.stats.significance import holm, tost
from benchsep.stats.spread import variance_components, wilson_interval

SKEWED = np.random.default_rng(3).gamma(1.5, 1.0, 40) - 1.0


class TestBootstrap:
    @pytest.mark.parametrize(
        ("statistic", "method"),
        # no BCa of a median: its jackknife is degenerate, in SciPy as well
        [("mean", "percentile"), ("mean", "bca"), ("median", "percentile")],
    )
    def test_limits_equal_scipy_within_monte_carlo_error(self, statistic, method):
        ours = bootstrap(SKEWED, statistic=statistic, method=method, expand=False, resamples=20_000)
        theirs = sps.bootstrap(
            (SKEWED,),
            getattr(np, statistic),
            method=method,
            n_resamples=20_000,
            rng=np.random.default_rng(9),
        ).confidence_interval
        # A limit at 2.5 % of 20 000 resamples is known to about 2 % of the interval's width.
        width = theirs.high - theirs.low
        assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
        assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)

    def test_expanded_percentiles_of_normal_data_have_students_width(self):
        x = sps.norm.ppf((np.arange(12) + 0.5) / 12)
        found = bootstrap(x, method="percentile", resamples=50_000)
        student = sps.t.interval(0.95, 11, loc=x.mean(), scale=sps.sem(x))
        assert found.high - found.low == pytest.approx(student[1] - student[0], rel=0.05)

    @pytest.mark.parametrize(
        ("statistic", "songs"), [("mean", 14), ("mean", 50), ("median", 25), ("median", 50)]
    )
    def test_covers_at_its_nominal_rate(self, statistic, songs):
        """400 data sets of skewed song differences; four binomial standard errors of slack."""
        rng = np.random.default_rng(11)
        truth = {"mean": 1.5, "median": float(sps.gamma.median(1.5))}[statistic]
        repeats, hits = 400, 0
        for _ in range(repeats):
            found = bootstrap(rng.gamma(1.5, 1.0, songs), statistic=statistic, resamples=999)
            hits += found.low <= truth <= found.high
        slack = 4 * np.sqrt(0.95 * 0.05 / repeats)
        # BCa of a strongly skewed mean is known to be about two points short at n = 14.
        short = 0.02 if songs < 20 else 0.0
        assert 0.95 - slack - short <= hits / repeats <= 0.95 + slack

    def test_same_seed_same_limits_and_few_songs_have_none(self):
        assert bootstrap(SKEWED, seed=4) == bootstrap(SKEWED, seed=4)
        assert bootstrap(SKEWED, seed=4) != bootstrap(SKEWED, seed=5)
        few = bootstrap(SKEWED[:4])
        assert (few.low, few.high, few.method) == (None, None, "too few songs")
        assert not few.excludes(100)

    def test_constant_differences_have_a_point_interval(self):
        found = bootstrap(np.full(20, 0.3))
        assert found.low == found.high == pytest.approx(0.3)

    @pytest.mark.parametrize("bad", [[], [1.0, np.nan], np.ones((2, 3))])
    def test_unusable_values_are_refused(self, bad):
        with pytest.raises(UsageError):
            bootstrap(bad)


class TestSignFlip:
    def test_few_songs_equal_scipys_exact_test(self):
        x = SKEWED[:10]
        theirs = sps.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(x) == pytest.approx(theirs.pvalue, abs=1e-12)

    def test_many_songs_are_close_to_the_t_test(self):
        x = np.random.default_rng(1).normal(0.3, 1, 60)
        assert sign_flip(x) == pytest.approx(sps.ttest_1samp(x, 0).pvalue, abs=0.01)

    def test_never_zero_and_one_for_no_difference(self):
        assert sign_flip(np.ones(50)) == pytest.approx(2 / 2**50)
        assert sign_flip(np.zeros(50)) == 1.0


def test_holm_equals_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(2).uniform(0, 0.2, 25)
    p[3] = p[4]
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=1e-12)
    assert holm([]) == []


@pytest.mark.parametrize("margin", [0.1, 0.4, 1.0])
def test_tost_equals_statsmodels(margin):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    x = np.random.default_rng(4).normal(0.1, 0.6, 30)
    theirs = weightstats.ttost_paired(x, np.zeros(30), -margin, margin)[0]
    assert tost(x, margin) == pytest.approx(theirs, abs=1e-12)


def test_tost_edges():
    assert tost(np.full(5, 0.1), 0.2) == 0.0
    assert tost(np.full(5, 0.3), 0.2) == 1.0
    with pytest.raises(UsageError, match=r"margin is .*, expected more than 0"):
        tost([1.0, 2.0], 0)
    with pytest.raises(UsageError, match="two songs"):
        tost([1.0], 1)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 7), st.data())
def test_a_shared_letter_means_not_told_apart(count, data):
    names = [f"s{i}" for i in range(count)]
    every = list(itertools.combinations(names, 2))
    differ = {pair for pair in every if data.draw(st.booleans())}
    found = compact_letters(names, differ)
    for pair in every:
        assert bool(set(found[pair[0]]) & set(found[pair[1]])) == (pair not in differ)
    assert found[names[0]].startswith("a")


def test_letters_of_the_textbook_case():
    # best and worst differ, the middle one from neither: a, ab, b
    assert compact_letters(["x", "y", "z"], [("z", "x")]) == {"x": "a", "y": "ab", "z": "b"}


class TestComponents:
    def test_recovers_simulated_variances(self):
        rng = np.random.default_rng(6)
        songs, draws = 400, 200
        x = (
            rng.normal(0, 2.0, (songs, 1))
            + rng.normal(0, 0.5, (1, draws))
            + rng.normal(0, 1.0, (songs, draws))
        )
        found = variance_components(x)
        assert found.song == pytest.approx(4.0, rel=0.3)
        assert found.seed == pytest.approx(0.25, rel=0.4)
        assert found.residual == pytest.approx(1.0, rel=0.03)
        assert sum(found.shares().values()) == pytest.approx(1)

    def test_equals_the_mean_squares_of_statsmodels(self):
        ols = pytest.importorskip("statsmodels.formula.api").ols
        anova = pytest.importorskip("statsmodels.stats.anova").anova_lm
        pd = pytest.importorskip("pandas")
        x = np.random.default_rng(8).normal(size=(9, 4))
        table = pd.DataFrame(
            {"y": x.ravel(), "song": np.repeat(range(9), 4), "seed": np.tile(range(4), 9)}
        )
        ms = anova(ols("y ~ C(song) + C(seed)", table).fit())["sum_sq"] / [8, 3, 24]
        found = variance_components(x)
        assert found.residual == pytest.approx(ms["Residual"])
        assert found.song == pytest.approx((ms["C(song)"] - ms["Residual"]) / 4)
        assert found.seed == pytest.approx((ms["C(seed)"] - ms["Residual"]) / 9)

    def test_one_draw_is_refused(self):
        with pytest.raises(UsageError, match="2 draws"):
            variance_components(np.ones((5, 1)))


class TestPower:
    @pytest.mark.parametrize(("effect", "sd", "songs"), [(0.2, 0.5, 30), (0.3, 1.0, 100)])
    def test_equals_statsmodels(self, effect, sd, songs):
        solver = pytest.importorskip("statsmodels.stats.power").TTestPower()
        theirs = solver.power(effect / sd, songs, 0.05)
        assert paired_t_power(effect, sd, songs) == pytest.approx(theirs, abs=1e-9)
        needed = solver.solve_power(effect / sd, power=0.8, alpha=0.05)
        assert songs_needed(effect, sd) == int(np.ceil(needed))

    def test_detectable_is_the_inverse(self):
        effect = detectable_effect(0.7, 50)
        assert paired_t_power(effect, 0.7, 50) == pytest.approx(0.8, abs=1e-4)
        assert songs_needed(effect * 1.0001, 0.7) == 50
        assert detectable_effect(0.7, 1) is None

    def test_impossible_effects_are_refused(self):
        with pytest.raises(UsageError, match="other than 0"):
            songs_needed(0, 1)
        with pytest.raises(UsageError, match="needs over"):
            songs_needed(1e-9, 1)


def test_wilson_equals_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for hits in (0, 3, 50):
        theirs = proportion.proportion_confint(hits, 50, method="wilson")
        assert wilson_interval(hits, 50) == pytest.approx(theirs, abs=1e-9)
