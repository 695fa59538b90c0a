"""How many trials: what is proposed gives the wished width, as simulation shows."""

from __future__ import annotations

import numpy as np
import pytest

from vmvc import stats


def test_as_many_trials_as_proposed_give_about_the_wished_width() -> None:
    """Pilots of 30 skewed values propose, in the middle, a number at which the width is 5% of the median."""
    rng = np.random.RandomState(9)
    proposed = []
    for _ in range(200):
        found = stats.trials_for(np.exp(0.3 * rng.standard_normal(30)).tolist(), 0.05)
        assert found.n is not None
        proposed.append(found.n)
    n = int(np.median(proposed))
    reached = [stats.relative_half_width(np.exp(0.3 * rng.standard_normal(n)).tolist()) for _ in range(200)]
    assert np.median([width for width in reached if width is not None]) == pytest.approx(0.05, rel=0.12)
    assert np.percentile(proposed, 90) / n < 2.5


def test_a_narrower_wish_needs_about_its_square() -> None:
    pilot = np.random.RandomState(1).standard_normal(50) + 20
    few, many = (stats.trials_for(pilot.tolist(), wish).n for wish in (0.005, 0.0005))
    assert few is not None
    assert many is not None
    assert many / few == pytest.approx(100, rel=0.15)


def test_a_steady_pilot_needs_no_more_than_an_interval_does() -> None:
    assert stats.trials_for([2.0] * 10, 0.01) == stats.Trials(6, 0.0)


def test_what_no_number_of_trials_gives_is_said() -> None:
    late = stats.trials_for([2.0] * 10, 0.01, resolution=0.1)
    assert late.n is None
    assert late.now == pytest.approx(0.025)
    assert late.reason == "the instrument's resolution alone makes it ±2.50% of the median"
    few = stats.trials_for([1.0, 2.0], 0.01)
    assert (few.n, few.now, few.needs) == (None, None, 6)
    assert stats.trials_for([-1.0, 0, 1.0] * 5, 0.1).reason == "the median is 0, nothing is a share of it"
    wild = stats.trials_for([1.0, 2.0, 4.0, 8.0, 1e3, 1e6], 0.0001)
    assert (wild.n, wild.reason) == (None, "more than 1,000,000 trials would be needed")
    with pytest.raises(ValueError, match="a positive share"):
        stats.trials_for([1.0], 0)
