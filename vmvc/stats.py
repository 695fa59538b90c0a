"""Samples -> what can be said about them: pure functions on NumPy and SciPy.

Both are imported when first needed, so that importing this module costs nothing. Samples must be finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]

OUTLIER: Final = 3.5
"""Modified z-score beyond which a sample is flagged. Source: Iglewicz & Hoaglin (1993), "How to Detect and
Handle Outliers"."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point with its interval.

    ``interval``: ``None`` where ``n`` samples are too few; then ``reason`` says so, and ``needs`` is how many
    would do.
    """

    value: float
    interval: Interval | None
    n: int
    method: str
    reason: str = ""
    needs: int | None = None


@dataclass(frozen=True, slots=True)
class FiveNumbers:
    """Smallest and largest sample, median and quartiles."""

    min: float
    q1: float
    median: float
    q3: float
    max: float


def five_numbers(samples: Sequence[float]) -> FiveNumbers:
    """Return the five numbers; quartiles interpolate linearly between order statistics.

    Raises: ValueError where there is no sample, or one is not finite.
    Source: R-7 in Hyndman & Fan (1996), "Sample Quantiles in Statistical Packages": the default of NumPy,
    pandas, R and spreadsheets, so that anybody finds the same values again in the CSV.
    """
    import numpy as np

    return FiveNumbers(*np.quantile(_finite(samples), (0, 0.25, 0.5, 0.75, 1), method="linear").tolist())


def mean_and_sd(samples: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1; ``None`` for one sample), in two passes."""
    import numpy as np

    values = _finite(samples)
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Return the order-statistic interval of the median, ``None`` where so few samples have none.

    It holds for any distribution and covers at least ``confidence``.
    """
    ranks = _median_ranks(len(samples), confidence)
    if ranks is None:
        return None
    ordered = sorted(_finite(samples).tolist())
    return ordered[ranks[0] - 1], ordered[ranks[1] - 1]


@lru_cache(maxsize=1024)
def _median_ranks(n: int, confidence: float) -> tuple[int, int] | None:
    """Return the ranks, from 1, of the interval's ends: they depend on n alone, so SciPy is asked once."""
    import numpy as np
    from scipy.stats import quantile_test

    if n == 0:
        return None
    found = quantile_test(np.arange(1, n + 1), q=0, p=0.5).confidence_interval(confidence)
    return (int(found.low), int(found.high)) if np.isfinite([found.low, found.high]).all() else None


def widen(interval: Interval, resolution: float) -> Interval:
    """Make room for an instrument that reads late: a true value lies in [x - resolution, x] for a reading x.

    So no interval is narrower than the resolution.
    """
    return interval[0] - resolution, interval[1]


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval | None:
    """Return the Wilson interval of a success rate, ``None`` where nothing was tried."""
    from scipy.stats import binomtest

    if n == 0:
        return None
    found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def outliers(samples: Sequence[float]) -> tuple[bool, ...]:
    """Flag the samples whose modified z-score is beyond ``OUTLIER``; flagged samples stay in.

    The score is 0.6745 (x - median) / MAD. Where half of the samples or more are equal and the MAD is 0, the
    mean absolute deviation takes its place, as (x - median) / (1.2533 MeanAD); where all are equal, none is
    flagged.

    Source: Iglewicz & Hoaglin (1993); the substitute: IBM SPSS, "Modified z score".
    """
    import numpy as np

    values = _finite(samples)
    distances = np.abs(values - np.median(values))
    scale = np.median(distances) / 0.6745 or np.mean(distances) * np.sqrt(np.pi / 2)
    return tuple((distances > OUTLIER * scale).tolist())


def slope(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> tuple[Estimate, float]:
    """Return the median slope of all pairs of points with its interval, and the intercept of that line.

    Raises: ValueError where there are not two different ``x``.
    Source: Sen (1968), "Estimates of the Regression Coefficient Based on Kendall's Tau"; the intercept is
    median(y) - slope median(x). Of n points the extreme slopes cover 1 - 2/n!: 4 points are too few for 95%.
    """
    from scipy.stats import theilslopes

    xs, ys = _finite(x), _finite(y)
    if len(set(xs.tolist())) < 2:
        raise ValueError(f"expected points at two different x at least, got {len(xs)} at one")
    n = len(xs)
    found = theilslopes(ys, xs, alpha=confidence)
    needs = next(k for k in range(2, 171) if 2 / math.factorial(k) <= 1 - confidence)
    if n < needs:
        reason = f"{n} points are too few for an interval at {confidence:.0%}"
        return Estimate(float(found.slope), None, n, "theil-sen", reason, needs), float(found.intercept)
    interval = (float(found.low_slope), float(found.high_slope))
    return Estimate(float(found.slope), interval, n, "theil-sen"), float(found.intercept)


def _finite(samples: Sequence[float]) -> NDArray[np.float64]:
    import numpy as np

    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"expected finite samples and at least one, got {values.size}")
    return values
