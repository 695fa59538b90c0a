"""A pilot's samples -> how many trials give an interval of the wished width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vmvc.stats.interval import widen
from vmvc.stats.order import least_n, quantile_of, ranks
from vmvc.stats.sample import finite

if TYPE_CHECKING:
    from vmvc.stats.sample import Samples

MOST: Final = 10**6
"""Trials above which none is proposed: as many as an experiment may ask for."""


@dataclass(frozen=True, slots=True)
class Trials:
    """Trials for a wished half-width over the median; ``n`` is ``None`` where none will do (``reason``).

    ``now``: that share in the pilot, ``None`` where it has no interval.
    """

    n: int | None
    now: float | None
    reason: str = ""
    needs: int | None = None


def relative_half_width(samples: Samples, confidence: float = 0.95, resolution: float = 0.0) -> float | None:
    """Return half of the median's interval, widened by the resolution, over the median.

    ``None`` where n is too small for an interval or the median is 0.
    """
    import numpy as np

    ordered = np.sort(finite(samples))
    found = quantile_of(ordered, 0.5, confidence)
    if found.interval is None or not found.value:
        return None
    low, high = widen(found.interval, resolution)
    return (high - low) / 2 / abs(found.value)


def trials_for(samples: Samples, wished: float, confidence: float = 0.95, resolution: float = 0.0) -> Trials:
    """Return how many trials will about give a half-width of ``wished`` times the median.

    The pilot's order-statistic interval gives the standard error of its median: its width over twice the
    normal quantile of its exact coverage. That error falls with the root of n, the quantile for n trials is
    that of their own interval's coverage, and the resolution stays as it is. The answer is as uncertain as
    the pilot: of ten trials it may be off by a factor of two.

    Raises: ValueError where the wish is not positive, and as ``five_numbers``.
    Source: McKean & Schrader (1984), "A comparison of methods for studentizing the sample median".
    """
    import numpy as np

    if not wished > 0:
        raise ValueError(f"expected a positive share, got {wished}")
    ordered = np.sort(finite(samples))
    n = len(ordered)
    now = relative_half_width(samples, confidence, resolution)
    median = abs(quantile_of(ordered, 0.5, confidence).value or 0.0)
    interval = quantile_of(ordered, 0.5, confidence).interval
    if median == 0:
        return Trials(None, None, "the median is 0, nothing is a share of it")
    if interval is None:
        needs = least_n(0.5, confidence)
        return Trials(None, None, f"n = {n} in the pilot, an interval needs {needs}", needs)
    room = wished * median - resolution / 2
    if room <= 0:
        share = resolution / 2 / median
        return Trials(None, now, f"the instrument's resolution alone makes it ±{share:.2%} of the median")
    error = (interval[1] - interval[0]) / 2 / _reach(n, confidence) * math.sqrt(n)
    return _search(error, room, now, confidence)


def _search(error: float, room: float, now: float | None, confidence: float) -> Trials:
    def narrow(n: int) -> bool:
        return error * _reach(n, confidence) <= room * math.sqrt(n)

    n = least_n(0.5, confidence)
    while not narrow(n):
        n *= 2
        if n > 2 * MOST:
            return Trials(None, now, f"more than {MOST:,} trials would be needed")
    low = max(least_n(0.5, confidence), n // 2)
    while low < n:
        middle = (low + n) // 2
        low, n = (low, middle) if narrow(middle) else (middle + 1, n)
    return Trials(n, now) if n <= MOST else Trials(None, now, f"more than {MOST:,} trials would be needed")


@lru_cache(maxsize=4096)
def _reach(n: int, confidence: float) -> float:
    """Return the normal quantile of what the median's interval of n values really covers."""
    from scipy.special import ndtri
    from scipy.stats import binom

    found = ranks(n, 0.5, confidence)
    assert found is not None
    outside = 2 * float(binom.cdf(found[0] - 1, n, 0.5))
    return float(ndtri(1 - outside / 2))
