"""Levels and values -> the slope of a line through them that outliers do not bend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from vmvc.stats.interval import Estimate, too_few
from vmvc.stats.sample import finite

if TYPE_CHECKING:
    from vmvc.stats.sample import Floats, Samples

METHOD: Final = "theil-sen"
MOST: Final = 500
"""Points of which every pair counts (125,000 slopes); of more points, evenly many are taken."""


def slope(x: Samples, y: Samples, confidence: float = 0.95) -> tuple[Estimate, float]:
    """Return the Theil-Sen slope of y over x with its interval, and the intercept.

    The intercept is the median of y less the slope at the median of x. Where x has one level only there is
    no slope, and the intercept is the median of y. Of more than ``MOST`` points every k-th counts, in order
    of x.

    Raises: ValueError where x and y differ in length, and as ``five_numbers``.
    Source: Theil (1950); Sen (1968), "Estimates of the regression coefficient based on Kendall's tau", with
    the variance of Kendall (1970), "Rank Correlation Methods", chapter 4, for ties in both: SciPy's
    ``theilslopes`` leaves its cross terms out, and repeated levels are ties.
    """
    import numpy as np

    places, values = finite(x), finite(y)
    if len(places) != len(values):
        raise ValueError(f"expected as many levels as values, got {len(places)} and {len(values)}")
    if len(values) > MOST:
        chosen = np.argsort(places, kind="stable")[:: math.ceil(len(values) / MOST)]
        places, values = places[chosen], values[chosen]
    n = len(values)
    lines = _slopes(places, values)
    if not len(lines) or not np.isfinite(lines).all():
        reason = "one level only, a slope needs two" if not len(lines) else "the levels are too close"
        return Estimate(None, None, n, METHOD, reason), float(np.median(values))
    point = float(np.median(lines))
    intercept = float(np.median(values)) - point * float(np.median(places))
    reach = _z(confidence) * math.sqrt(variance_of_s(places, values))
    low = _rank(len(lines), reach)
    if low < 1:
        return too_few(point, n, _least(n + 1, confidence), METHOD), intercept
    return Estimate(point, (float(lines[low - 1]), float(lines[len(lines) - low])), n, METHOD), intercept


def _slopes(x: Floats, y: Floats) -> Floats:
    """Return the slopes between all points at different levels, in ascending order."""
    import numpy as np

    order = np.argsort(x, kind="stable")
    first, second = np.triu_indices(len(x), 1)
    run = x[order][second] - x[order][first]
    apart = run > 0
    with np.errstate(over="ignore"):
        found: Floats = np.sort((y[order][second] - y[order][first])[apart] / run[apart])
    return found


def variance_of_s(x: Floats, y: Floats) -> float:
    """Return the variance of Kendall's S where x and y are unrelated."""
    import numpy as np

    n = len(x)
    t, u = (np.unique(side, return_counts=True)[1].astype(np.float64) for side in (x, y))

    def ends(counts: Floats) -> float:
        return float((counts * (counts - 1) * (2 * counts + 5)).sum())

    def pairs(counts: Floats) -> float:
        return float((counts * (counts - 1)).sum())

    def triples(counts: Floats) -> float:
        return float((counts * (counts - 1) * (counts - 2)).sum())

    variance = (n * (n - 1) * (2 * n + 5) - ends(t) - ends(u)) / 18 + pairs(t) * pairs(u) / (2 * n * (n - 1))
    if n > 2:
        variance += triples(t) * triples(u) / (9 * n * (n - 1) * (n - 2))
    return max(0.0, variance)


def _z(confidence: float) -> float:
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}")
    return float(ndtri((1 + confidence) / 2))


def _rank(slopes: int, reach: float) -> int:
    """Return the rank, from 1, of the slope at the interval's lower end; below 1 there is none."""
    return round((slopes - reach) / 2)


def _least(n: int, confidence: float) -> int:
    """Return the smallest number of points, from n on, with an interval where no two are level."""
    while _rank(n * (n - 1) // 2, _z(confidence) * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)) < 1:
        n += 1
    return n
