"""One sample: its numbers, intervals and rates against published values and certified reference data."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, quantile_test

from tests.stats.data import DOCKER, NATIVE, UNTUNED
from vmvc import stats

# Source: NIST Statistical Reference Datasets, Michelso.dat: speed of light in air, 10^6 m/s, 1879.
MICHELSO = (
    *(299.85, 299.74, 299.90, 300.07, 299.93, 299.85, 299.95, 299.98, 299.98, 299.88),
    *(300.00, 299.98, 299.93, 299.65, 299.76, 299.81, 300.00, 300.00, 299.96, 299.96),
    *(299.96, 299.94, 299.96, 299.94, 299.88, 299.80, 299.85, 299.88, 299.90, 299.84),
    *(299.83, 299.79, 299.81, 299.88, 299.88, 299.83, 299.80, 299.79, 299.76, 299.80),
    *(299.88, 299.88, 299.88, 299.86, 299.72, 299.72, 299.62, 299.86, 299.97, 299.95),
    *(299.88, 299.91, 299.85, 299.87, 299.84, 299.84, 299.85, 299.84, 299.84, 299.84),
    *(299.89, 299.81, 299.81, 299.82, 299.80, 299.77, 299.76, 299.74, 299.75, 299.76),
    *(299.91, 299.92, 299.89, 299.86, 299.88, 299.72, 299.84, 299.85, 299.85, 299.78),
    *(299.89, 299.84, 299.78, 299.81, 299.76, 299.81, 299.79, 299.81, 299.82, 299.85),
    *(299.87, 299.87, 299.81, 299.74, 299.81, 299.94, 299.95, 299.80, 299.81, 299.87),
)
NUMACC4 = (10000000.2, *(10000000.1, 10000000.3) * 500)


def test_five_numbers_interpolate_between_order_statistics() -> None:
    assert stats.five_numbers((4, 1, 3, 2)) == stats.FiveNumbers(1, 1.75, 2.5, 3.25, 4)
    assert stats.five_numbers((7,)) == stats.FiveNumbers(7, 7, 7, 7, 7)


@pytest.mark.parametrize("samples", [(), (1.0, math.nan), (1.0, math.inf), (1e151,)])
def test_what_is_not_a_sample_is_refused(samples: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected finite samples"):
        stats.five_numbers(samples)


@pytest.mark.parametrize(
    ("samples", "mean", "sd", "digits"),
    [
        (MICHELSO, 299.8524, 0.0790105478190518, 1e-12),
        (NUMACC4, 10000000.2, 0.1, 1e-7),
    ],
    ids=["Michelso", "NumAcc4"],
)
def test_mean_and_deviation_agree_with_certified_values(
    samples: tuple[float, ...], mean: float, sd: float, digits: float
) -> None:
    assert stats.mean_and_sd(samples)[0] == pytest.approx(mean, rel=1e-15)
    assert stats.mean_and_sd(samples)[1] == pytest.approx(sd, rel=digits)


def test_one_sample_has_no_deviation() -> None:
    assert stats.mean_and_sd((3,)) == (3, None)


@pytest.mark.parametrize(
    ("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (30, 10, 21), (1000, 469, 532)]
)
def test_the_median_lies_between_known_order_statistics(n: int, low: int, high: int) -> None:
    shuffled = [float((7919 * place) % n + 1) for place in range(n)]
    assert sorted(shuffled) == [float(rank) for rank in range(1, n + 1)]
    assert stats.median_interval(shuffled) == (low, high)


@pytest.mark.parametrize("n", range(6))
def test_fewer_than_six_samples_give_no_interval(n: int) -> None:
    assert stats.median_interval([1.0] * n) is None


def test_more_confidence_needs_more_samples() -> None:
    assert stats.median_interval(range(1, 7), 0.99) is None
    assert stats.median_interval(range(1, 9), 0.99) == (1, 8)


@pytest.mark.parametrize(("p", "n"), [(0.5, 6), (0.9, 36), (0.1, 36), (0.95, 72), (0.99, 368)])
def test_the_least_n_of_a_quantile_is_the_first_with_two_ends(p: float, n: int) -> None:
    assert stats.least_n(p) == n
    assert max(p, 1 - p) ** n <= 0.025 < max(p, 1 - p) ** (n - 1)
    few, enough = stats.quantile(range(n - 1), p), stats.quantile(range(n), p)
    assert few.interval is None
    assert (few.reason, few.needs) == (f"n = {n - 1}, an interval needs {n}", n)
    assert enough.interval is not None
    assert (enough.n, enough.method, enough.reason) == (n, "order statistics", "")


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9375, 0.95, 0.999])
def test_ranks_are_those_of_scipy_where_there_are_few_samples_too(p: float, confidence: float) -> None:
    least = stats.least_n(p, confidence)
    for n in {1, 2, least - 1, least, least + 1} - {0}:
        found = quantile_test(range(1, n + 1), q=0, p=p).confidence_interval(confidence)
        given = stats.quantile(range(1, n + 1), p, confidence).interval
        assert given == ((found.low, found.high) if n >= least else None)
        assert bool(np.isfinite([found.low, found.high]).all()) == (n >= least)


@pytest.mark.parametrize("wrong", [0, 1, -0.1, 1.5])
def test_impossible_quantiles_and_confidences_are_refused(wrong: float) -> None:
    for p, confidence in ((wrong, 0.95), (0.5, wrong)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            stats.quantile([1.0], p, confidence)


def test_quantiles_are_those_of_the_five_numbers() -> None:
    five = stats.five_numbers(MICHELSO)
    found = [stats.quantile(MICHELSO, p).value for p in (0.25, 0.5, 0.75)]
    assert found == [five.q1, five.median, five.q3]


def test_ties_do_no_harm() -> None:
    assert stats.median_interval([5.0] * 10) == (5, 5)


def test_the_interval_covers_what_it_says() -> None:
    """The exact probability that the ranks enclose the median is at least 95%, and not with ranks inside."""
    for n in range(6, 60):
        found = stats.median_interval(range(1, n + 1))
        assert found is not None
        low, high = round(found[0]), round(found[1])
        assert low + high == n + 1
        assert _coverage(n, low) >= 0.95 > _coverage(n, low + 1)


def _coverage(n: int, low: int) -> float:
    outside = 2 * sum(math.comb(n, below) for below in range(low))
    return float(1 - outside / 2**n)


def drawn(shape: str, size: tuple[int, int]) -> tuple[NDArray[np.float64], float]:
    """Return samples of a distribution, and its median."""
    rng = np.random.RandomState(size[1])
    if shape == "skewed":
        return np.exp(rng.standard_normal(size)), 1.0
    if shape == "tied":
        return np.round(10 + 1.5 * rng.standard_normal(size)), 10.0
    return np.where(rng.random_sample(size) < 0.6, 0.0, 9.0) + rng.random_sample(size), 5 / 6


@pytest.mark.parametrize("shape", ["skewed", "tied", "two modes"])
@pytest.mark.parametrize("n", [6, 7, 30])
def test_the_interval_covers_the_median_of_any_distribution(shape: str, n: int) -> None:
    samples, median = drawn(shape, (1000, n))
    found = [stats.median_interval(sample) for sample in samples]
    inside = sum(one is not None and one[0] <= median <= one[1] for one in found)
    assert inside / 1000 >= 0.94


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-2, 2).map(float) | st.floats(-1e9, 1e9), min_size=1, max_size=40), st.floats(0, 5)
)
def test_a_description_is_finite_and_blind_to_order_and_unit(samples: list[float], resolution: float) -> None:
    one = stats.describe(samples, resolution=resolution)
    numbers = [
        *dataclasses.astuple(one.five),
        one.mean,
        one.sd,
        one.lag,
        *(one.tau or ()),
        *(one.median.interval or ()),
    ]
    assert all(number is None or math.isfinite(number) for number in numbers)
    again = stats.describe(sorted(samples), resolution=resolution)
    assert (again.five, again.median, again.tails, again.outliers) == (
        one.five,
        one.median,
        one.tails,
        one.outliers,
    )
    scaled = stats.describe([64 * value for value in samples], resolution=64 * resolution)
    assert (scaled.five.median, scaled.flags) == (64 * one.five.median, one.flags)


def test_no_interval_is_narrower_than_the_resolution() -> None:
    low, high = stats.widen((5.0, 5.0), 0.01)
    assert (low, high) == (4.99, 5.0)
    assert stats.widen((1.0, 2.0), 0) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)],
)
def test_success_rates(successes: int, n: int, low: float, high: float) -> None:
    """Source: Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I."""
    found = stats.wilson(successes, n)
    assert found is not None
    assert found[0] == pytest.approx(low, abs=5e-5)
    assert found[1] == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 10_000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_success_rates_are_those_of_scipy(n: int, confidence: float) -> None:
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
        assert stats.wilson(successes, n, confidence) == pytest.approx((found.low, found.high), abs=1e-14)
    for impossible in (-1, n + 1):
        with pytest.raises(ValueError, match="successes of"):
            stats.wilson(impossible, n, confidence)


def test_nothing_tried_has_no_success_rate() -> None:
    assert stats.wilson(0, 0) is None
    assert stats.success_rate(0, 0) == stats.Estimate(None, None, 0, "wilson", "nothing was tried", 1)


def test_a_success_rate_comes_with_its_interval() -> None:
    found = stats.success_rate(81, 263)
    assert found.value == 81 / 263
    assert found.interval == stats.wilson(81, 263)


def test_the_outlier_of_the_untuned_machine_is_flagged_and_stays_in() -> None:
    flags = stats.outliers(UNTUNED)
    assert [value for value, flag in zip(UNTUNED, flags, strict=True) if flag] == [108.7559]
    assert stats.five_numbers(UNTUNED).min == 108.7559
    assert stats.five_numbers(UNTUNED).median == pytest.approx(132.64715)
    assert stats.median_interval(UNTUNED) == (132.3587, 132.8607)


def test_ordinary_samples_are_not_flagged() -> None:
    assert not any(stats.outliers(NATIVE) + stats.outliers(DOCKER))
    assert stats.outliers((1.0, 2.0)) == (False, False)


def test_an_outlier_does_not_hide_itself() -> None:
    """Scored against the mean, which it pulls along, the last one would pass."""
    assert stats.outliers((1, 2, 3, 4, 5, 1000)) == (*[False] * 5, True)


def test_equal_samples_hide_no_outlier() -> None:
    assert stats.outliers([1.0] * 9 + [2.0]) == (*[False] * 9, True)
    assert not any(stats.outliers([1.0] * 10))
    assert not any(stats.outliers([1.0] * 6 + [1.1, 1.1, 0.9, 0.9]))


def test_importing_loads_neither_numpy_nor_scipy() -> None:
    code = "import sys, vmvc.stats; print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_short_run_does_without_what_is_slow_to_load() -> None:
    code = "import sys; from vmvc import stats; stats.describe([1, 2]); stats.success_rate(1, 2); "
    code += "print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
