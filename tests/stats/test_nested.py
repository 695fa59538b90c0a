"""Nested repetitions: variance found where it was planted, intervals that cover, advice of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from vmvc import stats


def test_components_of_a_small_table_by_hand() -> None:
    """S_1^2 = mean(0.5, 2, 0.5) = 1; means 1.5, 4, 8.5: S_2^2 = 12.583; T_2^2 = S_2^2 - 1/2."""
    found = stats.components([[1, 2], [3, 5], [8, 9]])
    assert found.mean == pytest.approx(14 / 3)
    assert found.repetitions == (2, 3)
    assert found.spread == pytest.approx((1, 12.583333333333334))
    assert found.own == pytest.approx((1, 12.083333333333334))


def test_variance_is_found_at_the_level_where_it_was_planted() -> None:
    rng = np.random.RandomState(1)
    builds, runs, steps = (rng.standard_normal(shape) for shape in ((60, 1, 1), (60, 20, 1), (60, 20, 20)))
    found = stats.components(10 + 3 * builds + 2 * runs + steps)
    assert found.own == pytest.approx((1, 4, 9), rel=0.25)
    assert stats.components(10 + steps).own[1:] == pytest.approx((0, 0), abs=0.01)


def test_the_interval_stands_on_the_outermost_level() -> None:
    rng = np.random.RandomState(2)
    inside = 0
    for _ in range(250):
        samples = 5 + rng.standard_normal((8, 1)) + 0.1 * rng.standard_normal((8, 30))
        found = stats.nested_mean(samples)
        assert found.interval is not None
        inside += found.interval[0] <= 5 <= found.interval[1]
    assert found.n == 8
    assert 0.92 <= inside / 250 <= 0.98


def test_one_execution_has_no_interval() -> None:
    found = stats.nested_mean([[1.0, 2.0, 3.0]])
    assert (found.value, found.interval, found.needs) == (2, None, 2)


def test_advice_is_the_papers_formula() -> None:
    """sqrt(60/1 * 4/1) = 15.49 iterations an execution; sqrt(300/60 * 1/20) < 1: one execution a build."""
    assert stats.repetitions((4, 1, 20), (1, 60, 300)) == (16, 1)


def test_advice_where_a_level_adds_nothing() -> None:
    assert stats.repetitions((1, 0), (1, 60)) == (None,)
    assert stats.repetitions((0, 1), (1, 60)) == (1,)
    assert stats.repetitions((1,), (1,)) == ()
    with pytest.raises(ValueError, match="one positive cost"):
        stats.repetitions((1, 1), (1, 0))


@pytest.mark.parametrize("wrong", [[[1, 2], [3]], [[1], [2]], [[1, float("nan")], [1, 2]]])
def test_uneven_single_or_infinite_samples_are_refused(wrong: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        stats.components(wrong)
