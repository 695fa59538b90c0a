"""Successes and trials -> the success rate with its Wilson interval."""

from __future__ import annotations

import math
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

    That of ``scipy.stats.binomtest(...).proportion_ci(method="wilson")``, to which a test holds it: every run
    ends with it, and to load scipy.stats takes longer than all else of a short run's end.

    Raises: ValueError where the counts are impossible.
    """
    from scipy.special import ndtri

    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials")
    if n == 0:
        return None
    share, z = successes / n, float(ndtri(0.5 + confidence / 2))
    whole = 2 * (n + z * z)
    middle = (2 * successes + z * z) / whole
    half = z * math.sqrt(4 * successes * (1 - share) + z * z) / whole
    return (0.0 if successes == 0 else middle - half, 1.0 if successes == n else middle + half)
