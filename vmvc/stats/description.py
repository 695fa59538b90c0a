"""One sample in the order in which it was taken -> its numbers and what to look at, from a single sorting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmvc.stats.interval import Estimate
from vmvc.stats.modes import bimodal_of
from vmvc.stats.order import point_of, quantile_of
from vmvc.stats.sample import FiveNumbers, Sample, far, mean_and_sd
from vmvc.stats.series import ALARM, Better, autocorrelation_of, drift_of, slow_first

if TYPE_CHECKING:
    from vmvc.stats.sample import Samples

TAILS: Final = (0.9, 0.95, 0.99)

FLAGS: Final[Mapping[str, str]] = {
    "outliers": "some values lie far from the median (modified z-score beyond 3.5); they stay in",
    "slow-first": "the first trial is an outlier on the bad side",
    "drift": "values rise or fall with their position in the run (Kendall's tau, p below 0.001)",
    "autocorrelated": "neighbouring trials resemble or avoid each other (lag-1 rank autocorrelation, "
    "p below 0.001): the interval may be too narrow or too wide",
    "bimodal": "the values lie in two heaps (dip test, p below 0.001): the median may describe neither",
    "at-resolution": "the middle half of the values differs by no more than the instrument resolves",
}
"""Every flag, with the sentence that says what it means."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of one sample.

    ``tails`` holds those of ``TAILS`` that have an interval. ``tau`` with its p, and ``lag`` (the
    autocorrelation) are ``None`` where a series is too short or constant. ``flags``: in the order of
    ``FLAGS``.
    """

    five: FiveNumbers
    median: Estimate
    mean: float
    sd: float | None
    tails: Mapping[float, Estimate]
    outliers: int
    tau: tuple[float, float] | None
    lag: float | None
    flags: tuple[str, ...]


def describe(samples: Samples | Sample, *, resolution: float = 0.0, better: Better = "lower") -> Description:
    """Return numbers and flags of samples in the order in which they were taken.

    ``resolution``: by how much a value may read high. Raises: ValueError as ``five_numbers``.
    """
    import numpy as np

    sample = samples if isinstance(samples, Sample) else Sample.of(samples)
    values, ordered = sample.values, sample.ordered
    ranks = sample.ranks()
    tails = {p: quantile_of(ordered, p) for p in TAILS}
    mean, sd = mean_and_sd(values)
    five = FiveNumbers(*(point_of(ordered, p) for p in (0, 0.25, 0.5, 0.75, 1)))
    outliers = int(np.count_nonzero(far(values, five.median)))
    tau, lag = drift_of(ranks), autocorrelation_of(ranks)
    raised = {
        "outliers": outliers > 0,
        "slow-first": slow_first(values, better),
        "drift": tau is not None and tau[1] < ALARM,
        "autocorrelated": lag is not None and not lag[1][0] <= lag[0] <= lag[1][1],
        "bimodal": bimodal_of(ordered, resolution),
        "at-resolution": len(values) > 1 and five.q3 - five.q1 <= resolution > 0,
    }
    return Description(
        five=five,
        median=quantile_of(ordered, 0.5),
        mean=mean,
        sd=sd,
        tails={p: tail for p, tail in tails.items() if tail.interval is not None},
        outliers=outliers,
        tau=tau,
        lag=None if lag is None else lag[0],
        flags=tuple(flag for flag in FLAGS if raised[flag]),
    )
