"""Samples -> seeded draws of their quantiles, as a percentile bootstrap would make them.

A quantile of a resample is one order statistic or lies between two neighbours, and the j-th order statistic
of n draws with replacement from n values is the value at place floor(n U), U being the j-th of n uniform
order statistics: Beta(j, n - j + 1). So one quantile of a resample costs two draws instead of n, its
distribution is the bootstrap's own, and memory does not depend on n.

Blocks are resampled whole, which needs n draws; beyond ``MOST_BLOCKS`` the two places U are drawn together
from their joint normal limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from vmvc.stats.order import point_of

if TYPE_CHECKING:
    import numpy as np

    from vmvc.stats.sample import Floats

DRAWS: Final = 10_000
"""Draws of a bootstrap. Source: Hesterberg (2015), "What Teachers Should Know About the Bootstrap": 10,000 or
more where an interval's end matters in the third digit."""

MOST_BLOCKS: Final = 100
"""Blocks that are resampled as they are; above, their number makes the normal limit exact enough."""

_CELLS: Final = 500_000
"""Most cells of an array of resamples: bounds the memory to a few megabytes."""


def stream(seed: int) -> np.random.RandomState:
    """Return a stream of random numbers that NumPy has promised never to change."""
    import numpy as np

    return np.random.RandomState(seed % 2**32)


def draws(ordered: Floats, p: float, rng: np.random.RandomState) -> Floats:
    """Return the quantile p of ``DRAWS`` resamples of values in ascending order."""
    n = len(ordered)
    place = (n - 1) * p
    below = min(math.floor(place), n - 1)
    first = rng.beta(below + 1, n - below, DRAWS)
    return _between(ordered, first, place - below, n - 1 - below, rng)


def _between(ordered: Floats, first: Floats, share: float, above: int, rng: np.random.RandomState) -> Floats:
    """Interpolate between the order statistic at ``first`` and the next one, of ``above`` that are larger."""
    values = _at(ordered, first)
    if share > 0 and above > 0:
        second = 1 - (1 - first) * rng.random_sample(len(first)) ** (1 / above)
        values = values + share * (_at(ordered, second) - values)
    return values


def _at(ordered: Floats, places: Floats) -> Floats:
    import numpy as np

    found: Floats = ordered[np.clip(places * len(ordered), 0, len(ordered) - 1).astype(np.intp)]
    return found


def paired_draws(
    aligned: tuple[Floats, Floats], ordered: tuple[Floats, Floats], p: float, rng: np.random.RandomState
) -> tuple[Floats, Floats]:
    """Return the quantile p of both samples over ``DRAWS`` resamples of their blocks.

    ``aligned``: both samples, as long as there are blocks, nan where a block lacks the one (never both);
    ``ordered``: their values in ascending order.
    """
    import numpy as np

    first, second = aligned
    blocks = len(first)
    if blocks > MOST_BLOCKS:
        return _joint_draws(aligned, ordered, p, rng)
    left: list[Floats] = []
    right: list[Floats] = []
    rows = max(1, _CELLS // blocks)
    for begin in range(0, DRAWS, rows):
        count = min(rows, DRAWS - begin)
        chosen = (rng.random_sample((count, blocks)) * blocks).astype(np.intp)
        left.append(_quantiles(first[chosen], p))
        right.append(_quantiles(second[chosen], p))
    one, other = np.concatenate(left), np.concatenate(right)
    both = np.isfinite(one) & np.isfinite(other)
    return one[both], other[both]


def _quantiles(resamples: Floats, p: float) -> Floats:
    """Return the quantile p of each row without its nans; nan where a row has nothing else."""
    import numpy as np

    if np.isfinite(resamples).all():
        whole: Floats = np.quantile(resamples, p, axis=1, overwrite_input=True)
        return whole
    ordered = np.sort(resamples, axis=1)
    sizes = np.count_nonzero(np.isfinite(ordered), axis=1)
    places = (np.maximum(sizes, 1) - 1) * p
    below = np.floor(places).astype(np.intp)
    rows = np.arange(len(ordered))
    low = ordered[rows, below]
    high = ordered[rows, np.minimum(below + 1, np.maximum(sizes, 1) - 1)]
    found: Floats = low + (high - low) * (places - below)
    return found


def _joint_draws(
    aligned: tuple[Floats, Floats], ordered: tuple[Floats, Floats], p: float, rng: np.random.RandomState
) -> tuple[Floats, Floats]:
    """Draw both places from a normal distribution with the correlation that the blocks show.

    Source: Babu & Rao (1988), "Joint asymptotic distribution of marginal quantiles".
    """
    import numpy as np

    shared = np.isfinite(aligned[0]) & np.isfinite(aligned[1])
    one, other = (
        side[shared] <= point_of(sorted_, p) for side, sorted_ in zip(aligned, ordered, strict=True)
    )
    shares = float(np.mean(one)), float(np.mean(other))
    spread = math.sqrt(math.prod(share * (1 - share) for share in shares))
    phi = (float(np.mean(one & other)) - math.prod(shares)) / spread if spread > 0 else 0.0
    size = int(np.count_nonzero(shared)) / math.sqrt(len(ordered[0]) * len(ordered[1]))
    correlation = max(-1.0, min(1.0, phi * size))
    normal = rng.standard_normal((2, DRAWS))
    mixed = correlation * normal[0] + math.sqrt(1 - correlation**2) * normal[1]
    found = [
        _at(values, p + z * math.sqrt(p * (1 - p) / len(values)))
        for values, z in zip(ordered, (normal[0], mixed), strict=True)
    ]
    return found[0], found[1]
