"""Successes and trials -> the success rate with its Wilson interval."""

from __future__ import annotations

from functools import lru_cache

from vmvc.stats.interval import Estimate, Interval


def success_rate(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return the share of successes with its Wilson interval, which exists from one trial on.

    Raises: ValueError where the counts are impossible.
    """
    interval = wilson(successes, n, confidence)
    if interval is None:
        return Estimate(None, None, 0, "wilson", "nothing was tried", 1)
    return Estimate(successes / n, interval, n, "wilson")


@lru_cache(maxsize=4096)
def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval | None:
    """Return the Wilson interval of a success rate, ``None`` where nothing was tried.

    Raises: ValueError where the counts are impossible.
    """
    from scipy.stats import binomtest

    if n == 0:
        return None
    found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
