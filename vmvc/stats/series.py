"""Samples in the order in which they were taken -> what speaks against their being one steady distribution.

Each flag is raised on what it describes and, at the stated rate, on steady samples too: it asks for a look at
the points and removes nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from vmvc.stats.interval import Interval
from vmvc.stats.sample import far, finite

if TYPE_CHECKING:
    from vmvc.stats.sample import Floats, Samples

ALARM: Final = 0.001
"""Rate at which drift, autocorrelation and bimodality are flagged in steady samples, each."""

LEAST: Final = 8
"""Samples below which a series is not judged: of fewer, no order is rare enough."""

Better = Literal["lower", "higher", "neutral"]


MOST: Final = 1000
"""Positions of which every pair is compared for drift; of more, neighbours are put together by their mean."""


def drift(samples: Samples) -> tuple[float, float] | None:
    """Return Kendall's tau of the samples against their position, and its p.

    ``None`` below ``LEAST`` samples and where all are equal. Flagged where p is below ``ALARM``. Of more than
    twice ``MOST`` samples, the ranks of neighbours are first averaged to some ``MOST`` groups of equal size.
    Source: Kendall (1938); as a test of trend: Mann (1945).
    """
    from scipy.stats import rankdata

    values = finite(samples)
    return drift_of(rankdata(values) if len(values) > 2 * MOST else values)


def drift_of(values: Floats) -> tuple[float, float] | None:
    """Do what ``drift`` does, for finite values or their ranks."""
    if len(values) < LEAST or values.min() == values.max():
        return None
    import numpy as np
    from scipy.stats import kendalltau  # only now: to load it takes longer than a short run's end

    size = len(values) // MOST
    if size > 1:
        values = values[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    found = kendalltau(np.arange(len(values)), values)
    return float(found.statistic), float(found.pvalue)


def autocorrelation(samples: Samples) -> tuple[float, Interval] | None:
    """Return the lag-1 autocorrelation of the samples' ranks, and the bounds that independent ones keep.

    ``None`` below ``LEAST`` samples and where all are equal. Ranks, so that one outlier neither makes nor
    hides it; of n independent ones the coefficient has mean -1/n and about the variance
    (n - 2)^2 / (n^2 (n - 1)), and leaves the bounds at the rate ``ALARM``.
    Source: Wald & Wolfowitz (1943), "An exact test for randomness in the non-parametric case based on serial
    correlation"; Bartels (1982), "The rank version of von Neumann's ratio test for randomness".
    """
    from scipy.stats import rankdata

    return autocorrelation_of(rankdata(finite(samples)))


def autocorrelation_of(ranks: Floats) -> tuple[float, Interval] | None:
    """Do what ``autocorrelation`` does, for ranks in the order in which the samples were taken."""
    import numpy as np
    from scipy.special import ndtri

    n = len(ranks)
    if n < LEAST or ranks.min() == ranks.max():
        return None
    centred = ranks - (n + 1) / 2
    lag = float(np.dot(centred[1:], centred[:-1]) / np.dot(centred, centred))
    reach = float(ndtri(1 - ALARM / 2)) * (n - 2) / (n * math.sqrt(n - 1))
    return lag, (-1 / n - reach, -1 / n + reach)


def slow_first(samples: Samples, better: Better = "lower") -> bool:
    """Say whether the first sample is an outlier on the bad side, judged by all that follow it.

    It must lie beyond all others and have a modified z-score beyond ``OUTLIER`` against their median and
    deviation; so, of ten steady normal samples, six series in a thousand are flagged, of ten exponential ones
    five in a hundred. Never where no direction is bad, nor below ``LEAST`` samples.
    """
    import numpy as np

    values = finite(samples)
    if better == "neutral" or len(values) < LEAST:
        return False
    if better == "higher":
        values = -values
    rest = values[1:]
    if values[0] <= rest.max():
        return False
    middle = np.median(rest)
    return bool(far(np.append(rest, values[0]))[-1] and values[0] > middle)
