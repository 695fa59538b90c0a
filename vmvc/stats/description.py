"""One sample in the order in which it was taken -> its numbers and what to look at, from a single sorting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmvc.stats.interval import Estimate
from vmvc.stats.modes import bimodal_of
from vmvc.stats.order import point_of, quantile_of
from vmvc.stats.sample import FiveNumbers, far, finite, mean_and_sd
from vmvc.stats.series import ALARM, Better, autocorrelation_of, drift_of, slow_first

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vmvc.stats.sample import Floats, Samples

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
    """What is said of one sample; ``tails`` holds those of ``TAILS`` that have an interval, ``flags`` in the
    order of ``FLAGS``."""

    five: FiveNumbers
    median: Estimate
    mean: float
    sd: float | None
    tails: Mapping[float, Estimate]
    outliers: int
    flags: tuple[str, ...]


def describe(samples: Samples, *, resolution: float = 0.0, better: Better = "lower") -> Description:
    """Return numbers and flags of samples in the order in which they were taken.

    ``resolution``: by how much a value may read high. Raises: ValueError as ``five_numbers``.
    """
    import numpy as np

    values = finite(samples)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ranks = _ranks(values, order, ordered)
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
        flags=tuple(flag for flag in FLAGS if raised[flag]),
    )


def _ranks(values: Floats, order: NDArray[np.intp], ordered: Floats) -> Floats:
    """Return the values' ranks, equal ones sharing theirs; sorts anew only where some are equal."""
    import numpy as np
    from scipy.stats import rankdata

    if (ordered[1:] == ordered[:-1]).any():
        return np.asarray(rankdata(values), dtype=np.float64)
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks
