"""Two samples -> how much the one differs: ratio and difference of a quantile, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmvc.stats import bootstrap
from vmvc.stats.interval import Estimate, too_few
from vmvc.stats.order import least_n, point_of
from vmvc.stats.sample import Sample

if TYPE_CHECKING:
    from vmvc.stats.sample import Floats, Samples

Blocks = tuple[Sequence[int], Sequence[int]]
"""Number of the block of each value, for both samples."""

LEAST_BLOCKS: Final = 6
"""Blocks that both samples share from which on blocks are resampled whole: as many as an interval needs."""

METHOD: Final = "percentile bootstrap"
IN_BLOCKS: Final = "percentile bootstrap of blocks"
NO_DENOMINATOR: Final = "the denominator cannot be told from 0"


def ratio(
    a: Samples,
    b: Samples,
    *,
    p: float = 0.5,
    confidence: float = 0.95,
    seed: int = 0,
    blocks: Blocks | None = None,
    resolutions: tuple[float, float] = (0.0, 0.0),
) -> Estimate:
    """Return the ratio of the quantile p of a to that of b, with its percentile bootstrap interval.

    ``blocks``: where both have values in at least ``LEAST_BLOCKS`` common blocks, blocks are resampled whole,
    so that what disturbed both in a block cancels; else the samples are resampled apart. ``resolutions``: by
    how much a value of a and of b may read high; the interval makes room for both. There is no ratio where
    the quantile of b is 0, and no interval where it cannot be told from 0 or the samples are too few.

    Raises: ValueError as ``five_numbers`` and ``least_n``.
    Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap"; Kalibera & Jones (2013) for ratios.
    """
    return effects(a, b, p=p, confidence=confidence, seed=seed, blocks=blocks, resolutions=resolutions)[0]


def difference(
    a: Samples,
    b: Samples,
    *,
    p: float = 0.5,
    confidence: float = 0.95,
    seed: int = 0,
    blocks: Blocks | None = None,
    resolutions: tuple[float, float] = (0.0, 0.0),
) -> Estimate:
    """Return the quantile p of a less that of b, with its percentile bootstrap interval.

    ``blocks``, ``resolutions`` and what is raised: as ``ratio``.
    """
    return effects(a, b, p=p, confidence=confidence, seed=seed, blocks=blocks, resolutions=resolutions)[1]


def effects(
    a: Samples,
    b: Samples,
    *,
    p: float = 0.5,
    confidence: float = 0.95,
    seed: int = 0,
    blocks: Blocks | None = None,
    resolutions: tuple[float, float] = (0.0, 0.0),
) -> tuple[Estimate, Estimate]:
    """Return ratio and difference from the same resamples; all else as ``ratio``."""
    sides = Sample.of(a), Sample.of(b)
    return effects_of(sides, p, confidence, seed, blocks, resolutions)


def effects_of(
    samples: tuple[Sample, Sample],
    p: float,
    confidence: float,
    seed: int,
    blocks: Blocks | None,
    resolutions: tuple[float, float],
) -> tuple[Estimate, Estimate]:
    """Do what ``effects`` does, for samples that are already sorted."""
    import numpy as np

    needs = least_n(p, confidence)
    aligned = _aligned(samples[0].values, samples[1].values, blocks)
    ordered = samples[0].ordered, samples[1].ordered
    tops = point_of(ordered[0], p), point_of(ordered[1], p)
    n = min(len(samples[0]), len(samples[1]))
    method = METHOD if aligned is None else IN_BLOCKS
    share = _finite_ratio(*tops)
    if n < needs:
        of_ratio = too_few(share, n, needs, method)
        of_difference = too_few(tops[0] - tops[1], n, needs, method)
        return (_undefined(n, method) if share is None else of_ratio), of_difference
    rng = bootstrap.stream(seed)
    if aligned is None:
        sides = bootstrap.draws(ordered[0], p, rng), bootstrap.draws(ordered[1], p, rng)
    else:
        sides = bootstrap.paired_draws(aligned, ordered, p, rng)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low = float(np.quantile(sides[0] - resolutions[0] - sides[1], tails[0]))
    high = float(np.quantile(sides[0] - (sides[1] - resolutions[1]), tails[1]))
    return (
        _ratio(_Draws(sides, resolutions, tails), share, n, method),
        Estimate(tops[0] - tops[1], (low, high), n, method),
    )


@dataclass(frozen=True, slots=True)
class _Draws:
    sides: tuple[Floats, Floats]
    resolutions: tuple[float, float]
    tails: tuple[float, float]


def _ratio(draws: _Draws, share: float | None, n: int, method: str) -> Estimate:
    import numpy as np

    if share is None:
        return _undefined(n, method)
    (above, below), late = draws.sides, draws.resolutions
    early = below - late[1]
    sure = (early > 0) if np.median(below) > 0 else (below < 0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        corners = [above / below, (above - late[0]) / below, above / early, (above - late[0]) / early]
        low = np.quantile(np.where(sure, np.minimum.reduce(corners), -np.inf), draws.tails[0])
        high = np.quantile(np.where(sure, np.maximum.reduce(corners), np.inf), draws.tails[1])
    if not (np.isfinite(low) and np.isfinite(high)):
        return Estimate(share, None, n, method, NO_DENOMINATOR)
    return Estimate(share, (float(low), float(high)), n, method)


def _finite_ratio(top: float, bottom: float) -> float | None:
    if bottom == 0 or abs(top) > abs(bottom) * 1e300:
        return None
    return top / bottom


def _undefined(n: int, method: str) -> Estimate:
    return Estimate(None, None, n, method, "there is no ratio to 0")


def _aligned(a: Floats, b: Floats, blocks: Blocks | None) -> tuple[Floats, Floats] | None:
    """Return both samples over the blocks of either, nan where a block lacks the one.

    ``None`` where too few blocks hold both, or one holds two values of a sample: then there are no pairs.
    Raises: ValueError where there are not as many block numbers as values.
    """
    import numpy as np

    if blocks is None:
        return None
    ours, theirs = np.asarray(blocks[0], dtype=np.int64), np.asarray(blocks[1], dtype=np.int64)
    if len(ours) != len(a) or len(theirs) != len(b):
        raise ValueError(f"expected a block for each value, got {len(ours)} and {len(theirs)}")
    if np.array_equal(ours, theirs) and len(ours) >= LEAST_BLOCKS and (ours[1:] > ours[:-1]).all():
        return a, b
    every, places = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    sides = np.full((2, len(every)), np.nan)
    counts = (
        np.bincount(places[: len(a)], minlength=len(every)),
        np.bincount(places[len(a) :], minlength=len(every)),
    )
    if max(counts[0].max(), counts[1].max()) > 1:
        return None
    if np.count_nonzero(counts[0] & counts[1]) < LEAST_BLOCKS:
        return None
    sides[0, places[: len(a)]] = a
    sides[1, places[len(a) :]] = b
    return sides[0], sides[1]
