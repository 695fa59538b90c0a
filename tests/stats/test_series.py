"""Flags on a series and on its shape: planted faults are found, steady samples flagged at the stated rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtri

from tests.stats.data import UNTUNED
from vmvc import stats
from vmvc.stats.series import ALARM

RUNS = 200


def steady(n: int, shape: str) -> NDArray[np.float64]:
    rng = np.random.RandomState(n)
    even = rng.random_sample((RUNS, n))
    shapes: dict[str, NDArray[np.float64]] = {"normal": ndtri(even), "skewed": -np.log1p(-even), "even": even}
    return shapes[shape]


def drifting(samples: list[float]) -> bool:
    found = stats.drift(samples)
    return found is not None and found[1] < ALARM


def correlated(samples: list[float]) -> bool:
    found = stats.autocorrelation(samples)
    return found is not None and not found[1][0] <= found[0] <= found[1][1]


FLAGS = {"drift": drifting, "autocorrelation": correlated, "modes": stats.bimodal, "first": stats.slow_first}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("shape", ["normal", "skewed", "even"])
def test_steady_samples_are_flagged_at_the_stated_rate(flag: str, n: int, shape: str) -> None:
    flagged = sum(FLAGS[flag](samples) for samples in steady(n, shape).tolist()) / RUNS
    stated = (0.05 if shape == "skewed" else 0.006) if flag == "first" else 0.001
    assert flagged <= stated + (0.02 if flag == "first" else 0.005)


def test_a_planted_drift_is_found() -> None:
    """Of 30 trials, 0.1 standard deviations a trial in three runs of four, 0.2 in nearly every one."""
    for step, share in ((0.1, 0.7), (0.2, 0.99)):
        samples = steady(30, "normal") + step * np.arange(30)
        assert sum(map(drifting, samples.tolist())) / RUNS > share
    assert drifting([1.0, 2, 3, 4, 5, 6, 7, 8])
    assert not drifting([1.0, 2, 3, 4, 5, 6, 7])
    assert stats.drift([float(place) for place in range(20)]) == pytest.approx((1, 0), abs=1e-9)


def test_a_planted_autocorrelation_is_found() -> None:
    samples = steady(100, "normal")
    for place in range(1, 100):
        samples[:, place] = 0.6 * samples[:, place - 1] + 0.8 * samples[:, place]
    assert sum(map(correlated, samples.tolist())) / RUNS > 0.95
    assert correlated([1.0, 2.0] * 10)


@pytest.mark.parametrize(("better", "far"), [("lower", 8.0), ("higher", -8.0)])
def test_a_slow_first_trial_is_found_on_the_bad_side_only(better: stats.Better, far: float) -> None:
    samples = steady(10, "normal")
    samples[:, 0] = far
    assert sum(stats.slow_first(one, better) for one in samples.tolist()) / RUNS > 0.95
    samples[:, 0] = -far
    assert not any(stats.slow_first(one, better) for one in samples.tolist())
    assert not stats.slow_first(samples[0].tolist(), "neutral")
    assert not stats.slow_first(samples[0, :7].tolist(), better)


def test_firecrackers_first_boot_is_flagged() -> None:
    """Source: the data of NSDI'20: 797.8 ms against a mean of 521.2 ms."""
    assert stats.slow_first([797.8, 519.1, 523.9, 520.4, 522.2, 521.3, 519.8, 522.9, 520.6, 521.5])
    assert not stats.slow_first([519.1, 797.8, 523.9, 520.4, 522.2, 521.3, 519.8, 522.9, 520.6, 521.5])


@pytest.mark.parametrize(("n", "share"), [(20, 0.8), (30, 0.95), (100, 1.0)])
def test_two_planted_modes_are_found(n: int, share: float) -> None:
    """Boot times of 112 and 127 ms in one series, with a millisecond of noise."""
    rng = np.random.RandomState(6)
    samples = np.where(rng.random_sample((RUNS, n)) < 0.5, 112.0, 127.0) + rng.standard_normal((RUNS, n))
    assert sum(map(stats.bimodal, samples.tolist())) / RUNS >= share


def test_modes_that_overlap_are_honestly_not_found() -> None:
    rng = np.random.RandomState(6)
    samples = np.where(rng.random_sample((RUNS, 30)) < 0.5, -1.0, 1.0) + rng.standard_normal((RUNS, 30))
    assert sum(map(stats.bimodal, samples.tolist())) / RUNS < 0.1


def test_rounded_values_are_not_modes() -> None:
    rng = np.random.RandomState(8)
    rounded = np.round(3 * rng.standard_normal((RUNS, 50)))
    assert sum(map(stats.bimodal, rounded.tolist())) / RUNS < 0.02
    polled = np.where(rng.random_sample((RUNS, 50)) < 0.5, 0.11, 0.12)
    assert not any(stats.bimodal(one, 0.01) for one in polled.tolist())
    assert all(stats.bimodal(one) for one in polled.tolist())
    assert all(stats.bimodal(one, 0.01) for one in (polled + 0.05 * (polled > 0.115)).tolist())


@pytest.mark.parametrize(
    ("samples", "dip"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 0.05),
        ((0, 0.01, 0.02, 0.03, 0.04, 5, 5.01, 5.02, 5.03, 5.04), 0.248),
        (UNTUNED, 0.1018737166324402),
        ((-2, 0, 0, 0, 1, 2, 2, 2), 0.1875),
        ((2, 0, 0, 0, -1, -2, -2, -2), 0.1875),
        ((3, 3, 3), 0),
    ],
)
def test_dips_are_those_of_the_reference_implementation(samples: tuple[float, ...], dip: float) -> None:
    """Source: diptest 0.12 (Maechler's corrected AS 217)."""
    assert stats.dip(samples) == pytest.approx(dip, abs=1e-7)


@pytest.mark.parametrize("samples", [[5.0] * 20, [1.0], [1.0, 2.0], [0.0] * 19 + [1e-300]])
def test_constants_and_few_are_never_flagged(samples: list[float]) -> None:
    assert not any(flag(samples) for flag in FLAGS.values())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3).map(float) | st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_flags_are_finite_and_blind_to_the_unit(samples: list[float]) -> None:
    scaled = [value * 1024 for value in samples]
    for flag in FLAGS.values():
        assert flag(samples) == flag(scaled)
    assert 0 <= stats.dip(samples) <= 0.25
    assert stats.dip(samples) == pytest.approx(stats.dip([-value for value in samples]), abs=1e-7)
