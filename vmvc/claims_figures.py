"""Samples of conditions -> the figure that a claim is about, with its interval and what widens that."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from vmvc import stats
from vmvc.bounds import Range
from vmvc.stats import Estimate, Interval

MOST_TRIALS: Final = 10_000
"""Trials of a condition beyond which the advice is that a claim is too close to call."""


@dataclass(slots=True)
class Sample:
    """Values of one quantity in one condition, the block of each, and the largest resolution among them."""

    values: array[float] = field(default_factory=lambda: array("d"))
    blocks: array[int] = field(default_factory=lambda: array("q"))
    resolution: float = 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and its interval, widened by ``fixed``: what the instrument adds at either end at any n.

    No ``interval`` where n is too small, and then ``needs`` values would do; no ``value`` where there is
    none; either with the ``reason``. ``pooled``: over how many conditions ``n`` counts. ``counts``: the
    successes and tries of a rate.
    """

    value: float | None
    interval: Interval | None = None
    n: int = 0
    method: str = ""
    reason: str = ""
    needs: int | None = None
    fixed: tuple[float, float] = (0.0, 0.0)
    pooled: int = 1
    counts: tuple[int, int] | None = None


def quantile(sample: Sample, share: float, confidence: float) -> Figure:
    """Return a quantile; where no value is negative, the interval does not reach below 0."""
    figure = _figure(stats.quantile(sample.values, share, confidence))
    if figure.interval is None:
        return figure
    low, high = stats.widen(figure.interval, sample.resolution)
    low = max(low, 0.0) if min(sample.values) >= 0 else low
    return replace(figure, interval=(low, high), fixed=(figure.interval[0] - low, 0.0))


def difference(of: Sample, to: Sample, share: float, confidence: float, seed: int) -> Figure:
    """Return ``of`` less ``to``; each may read late by its resolution."""
    found = stats.difference(
        of.values,
        to.values,
        p=share,
        confidence=confidence,
        seed=seed,
        blocks=(of.blocks, to.blocks),
        resolutions=(of.resolution, to.resolution),
    )
    return replace(_figure(found), fixed=(of.resolution, to.resolution))


def ratio(
    of: Sample, to: Sample, share: float, confidence: float, seed: int, *, paired: bool = True
) -> Figure:
    """Return ``of`` over ``to``, each of which may read late by its resolution; ``paired``: of one run."""
    found = stats.ratio(
        of.values,
        to.values,
        p=share,
        confidence=confidence,
        seed=seed,
        blocks=(of.blocks, to.blocks) if paired else None,
        resolutions=(of.resolution, to.resolution),
    )
    figure = _figure(found)
    if found.value is None or found.interval is None:
        return figure
    top, bottom = (abs(float(stats.quantile(one.values, share).value or 0)) for one in (of, to))
    below = abs(found.value) * of.resolution / top if top else 0.0
    above = abs(found.value) * to.resolution / (bottom - to.resolution) if bottom > to.resolution else 0.0
    return replace(figure, fixed=(below, above))


def success(measured: int, tried: int, confidence: float) -> Figure:
    """Return the share of trials that were measured."""
    return replace(_figure(stats.success_rate(measured, tried, confidence)), counts=(measured, tried))


def slope(samples: Mapping[float, Sample], per: float, confidence: float) -> Figure:
    """Return the growth of the values while the key of ``samples`` grows by ``per``.

    A pair of values may be off by the resolution, so a slope by that over the smallest step of the key.
    """
    xs = [x for x, sample in samples.items() for _ in sample.values]
    ys = [y for sample in samples.values() for y in sample.values]
    figure = replace(_figure(stats.slope(xs, ys, confidence)[0]), pooled=len(samples))
    if figure.value is None:
        return figure
    closest = min(after - before for before, after in pairwise(sorted(samples)))
    off = max(sample.resolution for sample in samples.values()) / closest * per
    interval = figure.interval
    if interval is not None:
        interval = interval[0] * per - off, interval[1] * per + off
    return replace(figure, value=figure.value * per, interval=interval, fixed=(off, off))


def fact(sample: Sample, wanted: float) -> Figure:
    """Return the first value that is not the wanted one, else the wanted one."""
    value = next((value for value in sample.values if value != wanted), wanted)
    return Figure(value, (value, value), len(sample.values), "every trial")


def trials_needed(figure: Figure, wanted: Range, confidence: float) -> float:
    """Return about how many trials of each condition would decide (two digits), infinity where none would.

    An interval's arms shrink with the root of n; what the instrument adds does not.
    """
    if figure.interval is None or figure.value is None:
        return math.inf if figure.needs is None else math.ceil(figure.needs / figure.pooled)
    if figure.counts is not None:
        return _tries_needed(*figure.counts, wanted, confidence)
    value, (low, high), (below, above) = figure.value, figure.interval, figure.fixed
    inside = wanted.low <= value <= wanted.high
    scale = 1.0
    for limit in (wanted.low, wanted.high):
        if not math.isfinite(limit) or not (inside or limit == _nearer(wanted, value)):
            continue
        arm, off = (value - low - below, below) if limit < value else (high - value - above, above)
        room = abs(value - limit) - off
        if room <= 0:
            return math.inf
        scale = max(scale, arm / room)
    n = figure.n / figure.pooled
    return _two_digits(max(n * scale**2, math.floor(n) + 1))


def _tries_needed(measured: int, tried: int, wanted: Range, confidence: float) -> float:
    """Return the number of trials that would decide if their success rate stayed what it is."""
    tries = tried + 1
    while tries <= MOST_TRIALS:
        interval = stats.success_rate(round(measured / tried * tries), tries, confidence).interval
        if interval is not None and wanted.judge(*interval) != "inconclusive":
            return tries
        tries = max(tries + 1, math.ceil(tries * 1.02))
    return math.inf if measured / tried in (wanted.low, wanted.high) else tries


def _two_digits(number: float) -> float:
    """Round up to two significant digits: the advice is no more precise than that."""
    step = 10.0 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(round(number / step, 6)) * step


def _nearer(wanted: Range, value: float) -> float:
    return min((wanted.low, wanted.high), key=lambda limit: abs(limit - value))


def _figure(found: Estimate) -> Figure:
    return Figure(found.value, found.interval, found.n, found.method, found.reason, found.needs)
