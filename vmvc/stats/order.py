"""One sample -> a quantile with its order-statistic interval, which holds for any distribution."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vmvc.stats.interval import Estimate, Interval, too_few
from vmvc.stats.sample import finite

if TYPE_CHECKING:
    from vmvc.stats.sample import Floats, Samples

METHOD: Final = "order statistics"
CLOSE: Final = 1e-6
"""What is nearer than that is not told apart here, but by SciPy."""


@lru_cache(maxsize=1024)
def least_n(p: float = 0.5, confidence: float = 0.95) -> int:
    """Return the smallest n at which the quantile p has a two-sided interval: 6 for the median, 368 for p99.

    With fewer samples, one end would have to lie beyond the smallest or the largest.
    Raises: ValueError where p or the confidence is not between 0 and 1.
    """
    _check(p, confidence)
    exact = math.log((1 - confidence) / 2) / math.log(max(p, 1 - p))
    if abs(exact - round(exact)) > CLOSE:
        return math.ceil(exact)
    n = max(1, round(exact) - 1)
    while ranks(n, p, confidence) is None:
        n += 1
    return n


def quantile(samples: Samples, p: float = 0.5, confidence: float = 0.95) -> Estimate:
    """Return the quantile p (R-7, as ``five_numbers``) with its order-statistic interval.

    The interval covers at least ``confidence`` for any distribution.
    Raises: ValueError as ``five_numbers`` and ``least_n``.
    """
    import numpy as np

    return quantile_of(np.sort(finite(samples)), p, confidence)


def median_interval(samples: Samples, confidence: float = 0.95) -> Interval | None:
    """Return the order-statistic interval of the median, ``None`` where so few samples have none."""
    return quantile(samples, 0.5, confidence).interval if len(samples) else None


def quantile_of(ordered: Floats, p: float, confidence: float = 0.95) -> Estimate:
    """Do what ``quantile`` does, for finite values in ascending order."""
    n = len(ordered)
    value = point_of(ordered, p)
    found = ranks(n, p, confidence)
    if found is None:
        return too_few(value, n, least_n(p, confidence), METHOD)
    return Estimate(value, (float(ordered[found[0] - 1]), float(ordered[found[1] - 1])), n, METHOD)


def point_of(ordered: Floats, p: float) -> float:
    """Return the quantile p (R-7) of values in ascending order."""
    place = (len(ordered) - 1) * p
    below = min(math.floor(place), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    left, right = float(ordered[below]), float(ordered[above])
    return left + (right - left) * (place - below) if place > below else left


@lru_cache(maxsize=4096)
def ranks(n: int, p: float = 0.5, confidence: float = 0.95) -> tuple[int, int] | None:
    """Return the ranks, from 1, of the interval's ends; ``None`` where n is too small.

    They depend on n alone, so SciPy is asked once for each, and not where n is plainly too small: to load it
    takes longer than all else of a short run's end.
    """
    _check(p, confidence)
    if n == 0 or n * math.log(max(p, 1 - p)) > math.log((1 - confidence) / 2) + CLOSE:
        return None
    import numpy as np
    from scipy.stats import quantile_test

    found = quantile_test(np.arange(1, n + 1), q=0, p=p).confidence_interval(confidence)
    return (int(found.low), int(found.high)) if np.isfinite([found.low, found.high]).all() else None


def _check(p: float, confidence: float) -> None:
    if not (0 < p < 1 and 0 < confidence < 1):
        raise ValueError(f"expected p and confidence between 0 and 1, got {p} and {confidence}")
