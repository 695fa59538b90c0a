"""Slopes: exact lines, outliers, ties, SciPy's interval, coverage, refusals."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import theilslopes

from vmvc import stats
from vmvc.stats.slope import variance_of_s


def test_an_exact_line_gives_its_slope_and_intercept() -> None:
    found, intercept = stats.slope(range(1, 11), [3 + 2.5 * x for x in range(1, 11)])
    assert (found.value, found.interval, intercept) == (2.5, (2.5, 2.5), 3)
    assert (found.n, found.method) == (10, "theil-sen")


def test_an_outlier_does_not_bend_it() -> None:
    values = [3 + 2.5 * x for x in range(1, 11)]
    values[9] = 1e6
    assert stats.slope(range(1, 11), values)[0].value == 2.5


def test_without_ties_the_interval_is_scipys() -> None:
    rng = np.random.RandomState(3)
    x = np.arange(30.0)
    y = x + 5 * rng.standard_normal(30)
    theirs = theilslopes(y, x, alpha=0.95)
    ours, intercept = stats.slope(x.tolist(), y.tolist())
    assert ours.value == pytest.approx(theirs.slope)
    assert intercept == pytest.approx(theirs.intercept)
    assert ours.interval == pytest.approx((theirs.low_slope, theirs.high_slope))


def test_the_variance_under_ties_is_that_of_all_orders() -> None:
    """Of Kendall's S, over every order of the values."""
    levels, values = np.array([1, 1, 2, 2, 2, 3.0]), np.array([1, 1, 2, 2, 3, 3.0])
    steps = np.sign(levels[:, None] - levels)
    orders = np.array(list(permutations(values.tolist())))
    every = (steps * np.sign(orders[:, :, None] - orders[:, None, :])).sum(axis=(1, 2)) / 2
    assert variance_of_s(levels, values) == pytest.approx(np.var(every))


@pytest.mark.parametrize("digits", [9, 0])
def test_the_interval_covers_what_it_says_with_repeated_levels(digits: int) -> None:
    rng = np.random.RandomState(11)
    levels = np.repeat([1.0, 2.0, 4.0], 10)
    inside = 0
    for _ in range(250):
        values = np.round(3 * levels + rng.standard_exponential(30), digits)
        found = stats.slope(levels.tolist(), values.tolist())[0].interval
        assert found is not None
        inside += found[0] <= 3 <= found[1]
    assert inside / 250 >= 0.92


def test_many_points_are_thinned_evenly() -> None:
    x = [float(place % 4) for place in range(5000)]
    found, intercept = stats.slope(x, [2 * level + 1 for level in x])
    assert (found.value, intercept, found.n) == (2, 1, 500)


def test_too_few_points_say_how_many_would_do() -> None:
    found, _ = stats.slope([1, 2, 3, 4], [1, 2, 3, 4])
    assert (found.value, found.interval, found.needs) == (1, None, 5)
    assert found.reason == "n = 4, an interval needs 5"


def test_one_level_has_no_slope() -> None:
    found, intercept = stats.slope([2, 2, 2], [1, 5, 9])
    assert (found.value, found.interval, intercept) == (None, None, 5)
    assert found.reason == "one level only, a slope needs two"
    with pytest.raises(ValueError, match="as many levels as values"):
        stats.slope([1, 2], [1])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3) | st.floats(-1e9, 1e9)), min_size=1, max_size=20)
)
def test_nothing_is_ever_nan_and_the_interval_holds_the_slope(points: list[tuple[int, float]]) -> None:
    found, intercept = stats.slope([level for level, _ in points], [value for _, value in points])
    assert math.isfinite(intercept)
    assert (found.interval is None) == bool(found.reason)
    if found.interval is not None:
        assert found.value is not None
        assert found.interval[0] <= found.value <= found.interval[1]
