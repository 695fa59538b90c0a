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
    from vmvc.stats.sample import Samples

ALARM: Final = 0.01
"""Rate at which drift, autocorrelation and bimodality are flagged in steady samples, each."""

LEAST: Final = 8
"""Samples below which a series is not judged: of fewer, no order is rare enough."""

Better = Literal["lower", "higher", "neutral"]


def drift(samples: Samples) -> tuple[float, float] | None:
    """Return Kendall's tau of the samples against their position, and its p.

    ``None`` below ``LEAST`` samples and where all are equal. Flagged where p is below ``ALARM``.
    Source: Kendall (1938); as a test of trend: Mann (1945).
    """
    import numpy as np
    from scipy.stats import kendalltau

    values = finite(samples)
    if len(values) < LEAST or values.min() == values.max():
        return None
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
    import numpy as np
    from scipy.special import ndtri
    from scipy.stats import rankdata

    values = finite(samples)
    n = len(values)
    if n < LEAST or values.min() == values.max():
        return None
    ranks = rankdata(values) - (n + 1) / 2
    lag = float(np.dot(ranks[1:], ranks[:-1]) / np.dot(ranks, ranks))
    reach = float(ndtri(1 - ALARM / 2)) * (n - 2) / (n * math.sqrt(n - 1))
    return lag, (-1 / n - reach, -1 / n + reach)


def slow_first(samples: Samples, better: Better = "lower") -> bool:
    """Say whether the first sample is an outlier on the bad side, judged by all that follow it.

    It must lie beyond all others and have a modified z-score beyond ``OUTLIER`` against their median and
    deviation; so, of steady samples, one series in a hundred is flagged, of exponential ones four. Never
    where no direction is bad, nor below ``LEAST`` samples.
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
