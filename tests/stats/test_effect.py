"""Ratios and differences: published values, coverage by simulation, pairs, resolution, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.stats.data import DOCKER, NATIVE, TUNED
from vmvc import stats
from vmvc.stats import bootstrap

Draw = Callable[[np.random.RandomState, int], NDArray[np.float64]]
BLOCKS = tuple(range(10))


def test_the_ratio_of_the_tuned_machine_is_the_published_one() -> None:
    """[.9715, .9835] is one run of 10,000 resamples; ends of such runs differ in the fourth digit."""
    found = stats.ratio(TUNED, NATIVE)
    assert found.interval is not None
    assert found.value == pytest.approx(0.97716, abs=5e-6)
    assert found.interval == pytest.approx((0.9715, 0.9835), abs=7e-4)
    assert (found.n, found.method) == (10, "percentile bootstrap")


@pytest.mark.parametrize("p", [0.25, 0.5, 0.6])
def test_draws_are_those_of_resampling(p: float) -> None:
    """Two draws of order statistics have the distribution of a quantile of a whole resample."""
    rng = bootstrap.stream(7)
    ordered = np.sort(rng.exponential(size=11))
    short = np.concatenate([bootstrap.draws(ordered, p, rng) for _ in range(10)])
    whole = np.quantile(ordered[rng.randint(0, 11, (100_000, 11))], p, axis=1)
    for value in np.quantile(whole, np.linspace(0.01, 0.99, 99)) * (1 + 1e-12):
        assert np.mean(short <= value) == pytest.approx(np.mean(whole <= value), abs=0.009)


def test_the_same_seed_gives_the_same_interval_and_another_nearly() -> None:
    one, again, other = (stats.ratio(TUNED, NATIVE, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one != other
    assert one.interval == pytest.approx(other.interval, abs=1e-3)


def test_the_stream_is_one_that_numpy_froze() -> None:
    """So derived files stay the same bytes under a newer NumPy."""
    found = bootstrap.draws(np.arange(100.0), 0.5, bootstrap.stream(1))[:4]
    assert found.tolist() == [57.0, 52.0, 58.5, 61.5]


# --- coverage ---------------------------------------------------------------------------------------------


def lognormal(rng: np.random.RandomState, n: int) -> NDArray[np.float64]:
    return np.exp(rng.standard_normal(n))


def tied(rng: np.random.RandomState, n: int) -> NDArray[np.float64]:
    return np.round(10 + 2 * rng.standard_normal(n))


def two_modes(rng: np.random.RandomState, n: int) -> NDArray[np.float64]:
    return np.where(rng.random_sample(n) < 0.7, 112.0, 127.0) + rng.standard_normal(n)


TRUE: dict[Draw, float] = {lognormal: 1.0, tied: 10.0, two_modes: 112 + 0.5659}


@pytest.mark.parametrize("draw", TRUE)
@pytest.mark.parametrize("n", [6, 10, 30])
def test_intervals_of_ratio_and_difference_cover_what_they_say(
    draw: Draw, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sample is the first's distribution with another scale, so the ratio is 3."""
    monkeypatch.setattr(bootstrap, "DRAWS", 800)
    rng = np.random.RandomState(20261125)
    inside = np.zeros(2)
    times = 250
    for seed in range(times):
        above, below = 3 * draw(rng, n), draw(rng, n)
        found = stats.effects(above, below, seed=seed)
        for index, (one, true) in enumerate(zip(found, (3.0, 2 * TRUE[draw]), strict=True)):
            assert one.interval is not None
            inside[index] += one.interval[0] <= true <= one.interval[1]
    assert inside.min() / times >= 0.92


# --- blocks -----------------------------------------------------------------------------------------------


def disturbed(rng: np.random.RandomState, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two samples, 3% apart, that share what each block did to both."""
    block, first, second = np.exp(np.array([[0.2], [0.01], [0.01]]) * rng.standard_normal((3, n)))
    return 1.03 * block * first, block * second


@pytest.mark.parametrize("n", [30, 400])
def test_blocks_make_a_ratio_narrow_where_both_were_disturbed_alike(n: int) -> None:
    above, below = disturbed(np.random.RandomState(1), n)
    blocks = tuple(range(n))
    apart, paired = stats.ratio(above, below), stats.ratio(above, below, blocks=(blocks, blocks))
    assert apart.interval is not None
    assert paired.interval is not None
    assert paired.value == apart.value
    assert paired.method == "percentile bootstrap of blocks"
    assert _width(paired.interval) < _width(apart.interval) / 2
    assert paired.interval[0] < 1.03 < paired.interval[1]


@pytest.mark.parametrize("n", [30, 400])
def test_paired_intervals_cover_at_least_what_they_say(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 500)
    rng = np.random.RandomState(5)
    blocks = tuple(range(n))
    inside = 0
    for seed in range(120):
        above, below = disturbed(rng, n)
        found = stats.ratio(above, below, seed=seed, blocks=(blocks, blocks)).interval
        assert found is not None
        inside += found[0] <= 1.03 <= found[1]
    assert inside / 120 >= 0.92


def test_many_blocks_agree_with_resampling_them(monkeypatch: pytest.MonkeyPatch) -> None:
    above, below = disturbed(np.random.RandomState(2), 300)
    blocks = tuple(range(300))
    limit = stats.ratio(above, below, blocks=(blocks, blocks)).interval
    monkeypatch.setattr(bootstrap, "MOST_BLOCKS", 300)
    whole = stats.ratio(above, below, blocks=(blocks, blocks)).interval
    assert limit is not None
    assert whole is not None
    assert limit == pytest.approx(whole, abs=0.15 * _width(whole))


def test_blocks_that_one_sample_lacks_still_count_for_the_other() -> None:
    ours, theirs = stats.ratio(TUNED[:7], NATIVE, blocks=(BLOCKS[:7], BLOCKS)), stats.ratio(TUNED[:7], NATIVE)
    assert (ours.value, ours.n) == (theirs.value, 7)
    assert ours.method == "percentile bootstrap of blocks"


def test_few_common_or_repeated_blocks_are_no_pairs() -> None:
    far = tuple(range(5, 15))
    assert stats.ratio(TUNED, NATIVE, blocks=(far, BLOCKS)) == stats.ratio(TUNED, NATIVE)
    assert stats.ratio(TUNED, NATIVE, blocks=((1,) * 10, BLOCKS)) == stats.ratio(TUNED, NATIVE)
    with pytest.raises(ValueError, match="a block for each value"):
        stats.ratio(TUNED, NATIVE, blocks=((1,), BLOCKS))


# --- what cannot be said ----------------------------------------------------------------------------------


def test_fewer_than_six_have_no_interval_and_say_what_would_do() -> None:
    for found in stats.effects(NATIVE[:5], DOCKER):
        assert found.interval is None
        assert (found.n, found.needs, found.reason) == (5, 6, "n = 5, an interval needs 6")
        assert found.value is not None
    assert stats.ratio(NATIVE, DOCKER, p=0.99).needs == 368


def test_a_ratio_to_0_is_none_and_says_so() -> None:
    for few in (3, 10):
        found = stats.ratio([1.0] * few, [0.0] * few)
        assert (found.value, found.interval, found.reason) == (None, None, "there is no ratio to 0")
    near = stats.ratio([1.0] * 10, [-1.0, *[1.0] * 9])
    assert (near.value, near.interval) == (1.0, (1.0, 1.0))
    unsure = stats.ratio([1.0] * 10, [-1.0, 1.0] * 5 + [1.0])
    assert (unsure.value, unsure.interval, unsure.reason) == (
        1.0,
        None,
        "the denominator cannot be told from 0",
    )
    tiny = stats.ratio([1e150] * 10, [5e-324] * 10)
    assert (tiny.value, tiny.interval) == (None, None)


def test_constants_have_an_interval_of_no_width() -> None:
    assert stats.ratio([6.0] * 8, [2.0] * 8).interval == (3.0, 3.0)
    assert stats.difference([6.0] * 8, [2.0] * 8).interval == (4.0, 4.0)


def test_the_resolution_makes_room_in_both() -> None:
    late = (0.5, 1.0)
    assert stats.ratio([6.0] * 8, [2.0] * 8, resolutions=late).interval == (2.75, 6.0)
    assert stats.difference([6.0] * 8, [2.0] * 8, resolutions=late).interval == (3.5, 5.0)
    assert stats.ratio([6.0] * 8, [2.0] * 8, resolutions=(0, 2.0)).interval is None


samples = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(samples, samples)
def test_nothing_is_ever_nan_and_the_interval_holds_the_value(a: list[float], b: list[float]) -> None:
    for found in stats.effects(a, b):
        numbers = [found.value, *(found.interval or ())]
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert (found.interval is None) == bool(found.reason)


@settings(max_examples=20, deadline=None)
@given(st.permutations(NATIVE), st.permutations(TUNED), st.sampled_from([1e-9, 0.25, 1024.0]))
def test_order_and_unit_change_nothing(a: list[float], b: list[float], unit: float) -> None:
    ours, theirs = stats.effects(a, b), stats.effects(NATIVE, TUNED)
    assert ours == theirs
    scaled = stats.effects([value * unit for value in a], [value * unit for value in b])
    assert scaled[0].interval == pytest.approx(ours[0].interval, rel=1e-12)
    assert ours[1].interval is not None
    assert scaled[1].interval == pytest.approx([end * unit for end in ours[1].interval], rel=1e-9)


def _width(interval: stats.Interval) -> float:
    return interval[1] - interval[0]
