"""One sample -> does it lie in two heaps? Hartigan's dip, and what one heap shows by chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from vmvc.stats.sample import finite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vmvc.stats.sample import Floats, Samples

LEAST: Final = 10
"""Samples below which nothing is said: of fewer, hardly any two heaps are apart enough."""

MOST: Final = 2000
"""Values whose dip is computed; of twice as many or more, every k-th of the ordered ones stands for its
neighbours, and what that may add to the dip is taken off."""

_CRITICAL: Final = (
    *((10, 0.572), (12, 0.588), (15, 0.602), (20, 0.620), (30, 0.642), (50, 0.663)),
    *((100, 0.688), (200, 0.704), (500, 0.716), (2000, 0.725), (10**9, 0.740)),
)
"""n -> the 99.9% point of sqrt(n) times the dip of n uniform values, of all single heaps the one that dips
most (simulated, 60,000 to 300,000 samples of each n; the last is the limit)."""

_TIGHT: Final = 1e-9
"""Smallest gap between neighbours, as a share of the range, that is told from none."""


def bimodal(samples: Samples, resolution: float = 0.0) -> bool:
    """Say whether the samples lie in two heaps: their dip is beyond what one heap shows once in a thousand.

    Readings that are equal because the instrument rounds are spread over its step, since a rounded value is
    no heap. The step is ``resolution``, or the smallest gap between readings where that is larger and there
    are more than two of them. Never below ``LEAST`` samples.

    Raises: ValueError as ``five_numbers``.
    Source: Hartigan & Hartigan (1985), "The Dip Test of Unimodality".
    """
    import numpy as np

    return bimodal_of(np.sort(finite(samples)), resolution)


def bimodal_of(ordered: Floats, resolution: float = 0.0) -> bool:
    """Do what ``bimodal`` does, for finite values in ascending order."""
    n = len(ordered)
    if n < LEAST or ordered[-1] - ordered[0] <= 2 * resolution:
        return False
    step = max(1, n // MOST)
    thinned = _spread(ordered, resolution)[::step]
    blurred = 1 / len(thinned) if step > 1 else 0.0
    return (dip_of(thinned) - blurred) * math.sqrt(n) > critical(n)


def critical(n: int) -> float:
    """Return the bound on sqrt(n) times the dip that one heap of n keeps in 999 of 1000 samples."""
    import numpy as np

    sizes, bounds = zip(*_CRITICAL, strict=True)
    return float(np.interp(-1 / math.sqrt(n), [-1 / math.sqrt(size) for size in sizes], bounds))


def dip(samples: Samples) -> float:
    """Return the largest distance of the samples' distribution from the nearest one with a single heap.

    Between 1/(2n) and 1/4; 0 where all are equal.
    """
    import numpy as np

    return dip_of(np.sort(finite(samples)))


def dip_of(ordered: Floats) -> float:
    """Do what ``dip`` does, for finite values in ascending order.

    The heap's top lies where the least concave curve above the distribution and the greatest convex one below
    are farthest apart; outside, the distribution must keep to them. Narrowed until nothing changes.
    Source: Hartigan (1985), algorithm AS 217.
    """
    import numpy as np

    n, size = len(ordered), float(ordered[-1] - ordered[0])
    if size == 0:
        return 0.0
    places = np.concatenate([[0.0], np.cumsum(np.maximum(np.diff(ordered) / size, _TIGHT))])
    low, high, found = 0, n - 1, 1.0
    while True:
        inside = slice(low, high + 1)
        at, count = places[inside], np.arange(low, high + 1, dtype=np.float64)
        corners, tops = _convex(at), _concave(at)
        convex = np.interp(at, at[corners], count[corners])
        concave = np.interp(at, at[tops], count[tops] + 1)
        bends = np.union1d(corners, tops)
        middle = int(bends[np.argmax((concave - convex)[bends])])
        if concave[middle] - convex[middle] < found:
            break
        left = int(corners[np.searchsorted(corners, middle, side="right") - 1])
        right = int(tops[np.searchsorted(tops, middle)])
        below = (count + 1 - convex)[: left + 1].max()
        above = (concave - count)[right:].max()
        found = max(found, float(below), float(above))
        if left == 0 and right == high - low:
            break
        low, high = low + left, low + right
        if high - low < 2:
            break
    return found / (2 * n)


def _convex(places: Floats) -> NDArray[np.intp]:
    """Return the corners of the greatest convex curve under steps of 1 at these ascending places."""
    import numpy as np
    from scipy.optimize import isotonic_regression

    if len(places) < 2:
        return np.arange(len(places))
    runs = np.diff(places)
    blocks: NDArray[np.intp] = isotonic_regression(1 / runs, weights=runs).blocks
    return blocks


def _concave(places: Floats) -> NDArray[np.intp]:
    """Return the corners of the least concave curve above such steps: the convex one, seen from the end."""
    import numpy as np

    found: NDArray[np.intp] = (len(places) - 1 - _convex(places[-1] - places[::-1]))[::-1]
    return np.ascontiguousarray(found)


def _spread(ordered: Floats, resolution: float) -> Floats:
    """Spread equal readings evenly over the step below them, in which their true values lie."""
    import numpy as np

    n = len(ordered)
    first = np.concatenate([[True], ordered[1:] > ordered[:-1]])
    if first.all():
        return ordered
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, n))
    gaps = np.diff(ordered[starts])
    step = max(resolution, float(gaps.min())) if len(starts) > 2 else resolution
    rank = np.arange(n) - np.repeat(starts, sizes)
    every = np.repeat(sizes, sizes)
    return np.sort(ordered - step * (every - 1 - rank) / every)
