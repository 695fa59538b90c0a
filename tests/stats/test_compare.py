"""Tests between samples: published values, SciPy's exact p, ties, separation, Holm."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import brunnermunzel, kruskal, mannwhitneyu, rankdata

from tests.stats.data import DOCKER, NATIVE, TUNED, UNTUNED
from vmvc import stats


def test_linpack_gives_the_published_values() -> None:
    """Of each condition against the bare host."""
    untuned, docker = stats.compare(UNTUNED, NATIVE), stats.compare(DOCKER, NATIVE)
    assert (untuned.name, untuned.statistic) == ("exact Mann-Whitney", 0)
    assert untuned.p == pytest.approx(1.0825e-5, abs=5e-10)
    assert (untuned.a12, untuned.delta) == (0, -1)
    assert docker.a12 == pytest.approx(0.48)
    assert docker.delta == pytest.approx(-0.04)


def test_linpacks_groups_and_family() -> None:
    found = stats.kruskal([NATIVE, DOCKER, UNTUNED, TUNED])
    assert found.statistic == pytest.approx(32.93268292682927, rel=1e-15)
    assert found.p == pytest.approx(3.3277e-7, abs=5e-12)
    ps = [stats.compare(one, NATIVE).p for one in (DOCKER, UNTUNED, TUNED)]
    adjusted = stats.holm([p for p in ps if p is not None])
    assert adjusted[0] == pytest.approx(0.91180, abs=5e-6)
    assert adjusted[1:] == pytest.approx((3.24753e-5, 3.24753e-5), abs=5e-11)


@pytest.mark.parametrize(("m", "n"), [(4, 4), (5, 9), (10, 10), (20, 30)])
def test_without_ties_p_is_scipys(m: int, n: int) -> None:
    rng = np.random.RandomState(m)
    a, b = rng.random_sample(m), rng.random_sample(n) + 0.1
    found = mannwhitneyu(a, b, method="exact")
    ours = stats.compare(a.tolist(), b.tolist())
    assert ours.statistic == found.statistic
    assert ours.p == pytest.approx(found.pvalue, rel=1e-12)


def test_with_ties_p_is_that_of_all_choices() -> None:
    a, b = [1.0, 1.0, 4.0, 2.0, 6.0], [1.0, 1.0, 4.0, 3.0, 5.0, 7.0, 7.0]
    ranks = rankdata(a + b)
    sums = [ranks[list(chosen)].sum() for chosen in combinations(range(12), 5)]
    below = sum(one <= ranks[:5].sum() for one in sums) / len(sums)
    assert stats.compare(a, b).p == pytest.approx(2 * below)


def test_many_values_are_tested_by_brunner_and_munzel() -> None:
    rng = np.random.RandomState(1)
    a, b = np.round(rng.standard_normal(40) * 5, 1), np.round(rng.standard_normal(60), 1)
    found = brunnermunzel(b, a)
    ours = stats.compare(a.tolist(), b.tolist())
    assert ours.name == "Brunner-Munzel"
    assert (ours.statistic, ours.p) == pytest.approx((found.statistic, found.pvalue), rel=1e-9)
    assert ours.a12 == pytest.approx(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))


@pytest.mark.parametrize("n", [4, 10, 40])
def test_separated_samples_have_the_exact_p_even_where_they_are_constant(n: int) -> None:
    for a in ([1.0] * n, list(range(n))):
        found = stats.compare(a, [100.0] * n)
        assert found.p == pytest.approx(2 / math.comb(2 * n, n))
        assert (found.a12, found.delta) == (0, -1)


@pytest.mark.parametrize("n", [4, 40])
def test_equal_constants_do_not_differ(n: int) -> None:
    found = stats.compare([5.0] * n, [5.0] * n)
    assert (found.p, found.a12, found.delta) == (1, 0.5, 0)
    groups = stats.kruskal([[5.0] * n] * 3)
    assert (groups.statistic, groups.p) == (0, 1)


def test_fewer_than_four_are_not_tested() -> None:
    found = stats.compare([1, 2, 3], [4, 5, 6, 7])
    assert (found.p, found.statistic, found.needs) == (None, None, 4)
    assert found.reason == "n = 3, a test needs 4"
    assert found.a12 == 0
    assert stats.kruskal([[1, 2, 3], [4, 5, 6, 7]]).p is None


def test_no_difference_is_found_at_the_stated_rate_and_a_large_one_always() -> None:
    rng = np.random.RandomState(20261125)
    samples = np.exp(rng.standard_normal((2, 1000, 10)))
    false = sum((stats.compare(a, b).p or 0) <= 0.05 for a, b in zip(*samples.tolist(), strict=True))
    found = sum(
        (stats.compare(a, b).p or 1) <= 0.05
        for a, b in zip(*(samples[:, :100] * [[[1]], [[9]]]), strict=True)
    )
    assert 20 <= false <= 65
    assert found >= 98


@pytest.mark.parametrize("sd", [0.005, 0.05])
def test_three_percent_are_found_where_the_noise_allows_it(sd: float) -> None:
    """With noise of 0.5% in nearly every run of 10; with 5%, where 10 are too few, honestly not."""
    rng = np.random.RandomState(4)
    a, b = 1 + sd * rng.standard_normal((2, 200, 10))
    found = sum((stats.compare(one * 1.03, other).p or 1) <= 0.05 for one, other in zip(a, b, strict=True))
    assert found >= 198 if sd < 0.01 else found < 100


@pytest.mark.parametrize("digits", [9, 0])
def test_groups_are_tested_as_scipy_does(digits: int) -> None:
    groups = [np.round(3 * sample, digits) for sample in np.random.RandomState(3).standard_normal((4, 25))]
    found = kruskal(*groups)
    ours = stats.kruskal(groups)
    assert (ours.statistic, ours.p) == pytest.approx((found.statistic, found.pvalue), rel=1e-12)


def test_holm() -> None:
    """Source: R, p.adjust(c(.01, .02, .03, .04), "holm")."""
    assert stats.holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert stats.holm([]) == ()
    assert stats.holm([0.9, 0.8]) == (1, 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.holm([math.nan])


samples = st.lists(st.integers(-5, 5).map(float) | st.floats(-1e9, 1e9), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(samples, samples)
def test_tests_are_symmetric_finite_and_blind_to_order_and_unit(a: list[float], b: list[float]) -> None:
    one, other = stats.compare(a, b), stats.compare(b, a)
    assert 0 <= one.a12 <= 1
    assert one.delta == pytest.approx(-other.delta, abs=1e-12)
    assert (one.p is None) == (min(len(a), len(b)) < 4)
    assert one.p == pytest.approx(other.p)
    if one.p is not None:
        assert 0 <= one.p <= 1
    assert stats.compare([4 * value for value in reversed(a)], [4 * value for value in b]).p == pytest.approx(
        one.p
    )
