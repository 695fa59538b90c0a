"""A claim's bound -> a range of numbers, and what an interval says of it; claims that cannot both hold."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

from vmvc.spec import Level
from vmvc.spec_claims import Bound, Claim, Limit
from vmvc.units import amount, parse_percent

Verdict = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that meet a bound; ``open``: a finite end is not among them.

    ``below`` and ``above`` leave their limit out, ``between`` and ``equals`` take theirs in.
    """

    low: float
    high: float
    open: bool = False

    def judge(self, low: float, high: float) -> Verdict:
        """Decide on an interval: supported where all of it meets the bound, refuted where all misses it."""
        if self.open:
            inside = self.low < low and high < self.high
            outside = high <= self.low or self.high <= low
        else:
            inside = self.low <= low and high <= self.high
            outside = high < self.low or self.high < low
        return "supported" if inside else "refuted" if outside else "inconclusive"

    def meets(self, other: Range) -> bool:
        """Say whether some number is in both."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        if low != high:
            return low < high
        return self._has(low) and other._has(low)

    def _has(self, number: float) -> bool:
        return self.low < number < self.high if self.open else self.low <= number <= self.high

    def margin(self, low: float, high: float) -> float:
        """Return how far an interval that meets the bound stays from its nearer limit."""
        return min(low - self.low, self.high - high)


ABOVE_0 = Range(0.0, math.inf, open=True)


def range_of(bound: Bound, unit: str) -> Range:
    """Return the numbers that meet a bound, in that unit.

    Raises: ValueError where a limit is text of another kind (``vmvc.crosscheck_claims`` refuses such files).
    """
    if bound.below is not None:
        return Range(-math.inf, amount(bound.below, unit), open=True)
    if bound.above is not None:
        return Range(amount(bound.above, unit), math.inf, open=True)
    if bound.between is not None:
        return Range(amount(bound.between[0], unit), amount(bound.between[1], unit))
    assert bound.equals is not None
    assert bound.within is not None
    middle = amount(bound.equals, unit)
    off = distance(middle, bound.within, unit)
    return Range(middle - off, middle + off)


def distance(middle: float, within: Limit, unit: str) -> float:
    """Return how far from ``middle`` is still equal: a percentage is one of ``middle``."""
    if isinstance(within, str) and within.endswith("%"):
        return abs(middle) * parse_percent(within)
    return amount(within, unit)


# --- claims that cannot both hold -------------------------------------------------------------------------

_Subject = tuple[object, ...]


def contradictions(claims: Sequence[Claim], units: Mapping[str, str]) -> Iterator[tuple[Claim, Claim]]:
    """Yield pairs of claims about the same figure of common conditions whose bounds have no number in common.

    ``units``: ``metric.quantity`` -> unit.
    """
    about: dict[_Subject, list[tuple[Claim, Range]]] = defaultdict(list)
    for claim in claims:
        for subject, wanted in _subjects(claim, units[claim.metric]):
            about[subject].append((claim, wanted))
    seen: set[tuple[str, str]] = set()
    for ones in about.values():
        for (one, wanted), (other, also) in combinations(ones, 2):
            pair = (one.id, other.id)
            if pair not in seen and not wanted.meets(also) and _common(one.at, other.at):
                seen.add(pair)
                yield one, other


def _common(one: Mapping[str, Level], other: Mapping[str, Level]) -> bool:
    return all(one[path] == other[path] for path in one.keys() & other.keys())


def _subjects(claim: Claim, unit: str) -> Iterator[tuple[_Subject, Range]]:
    """Yield each figure that a claim is about, with the range that it is claimed to be in."""
    if claim.median is not None:
        yield ("quantile", claim.metric, claim.backend, 0.5), range_of(claim.median, unit)
    if claim.quantile is not None:
        yield ("quantile", claim.metric, claim.backend, claim.quantile.at), range_of(claim.quantile, unit)
    if claim.ratio is not None:
        pair = (claim.ratio.of, claim.ratio.to, claim.ratio.quantile)
        yield ("ratio", claim.metric, *pair), range_of(claim.ratio, "1")
    if claim.difference is not None:
        yield _difference(
            claim.metric,
            claim.difference.of,
            claim.difference.to,
            claim.difference.quantile,
            range_of(claim.difference, unit),
        )
    if claim.order is not None:
        for lower, higher in pairwise(claim.order.of):
            yield _difference(claim.metric, higher, lower, 0.5, ABOVE_0)
    if claim.success is not None:
        yield ("success", claim.metric.partition(".")[0], claim.backend), range_of(claim.success, "1")
    if claim.slope is not None:
        per = claim.slope.per
        yield (
            ("slope", claim.metric, claim.backend, claim.slope.over, per),
            range_of(claim.slope, unit),
        )
    if claim.fact is not None:
        value = amount(claim.fact.is_, unit)
        yield ("fact", claim.metric, claim.backend), Range(value, value)
        yield ("quantile", claim.metric, claim.backend, 0.5), Range(value, value)


def _difference(metric: str, of: str, to: str, share: float, wanted: Range) -> tuple[_Subject, Range]:
    """Name a difference alike whichever way round it is claimed."""
    if of > to:
        of, to, wanted = to, of, Range(-wanted.high, -wanted.low, wanted.open)
    return ("difference", metric, of, to, share), wanted
