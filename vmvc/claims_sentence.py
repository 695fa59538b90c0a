"""A claim, its figure and its verdict -> the sentence that a student reads, with numbers and units."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vmvc.bounds import Range, Verdict
from vmvc.claims_figures import MOST_TRIALS, Figure
from vmvc.spec_claims import Bound, Limit
from vmvc.units import UNITS, amount, format_percent

_SPELT: Final = {"m": "min"}
_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    unit: names for unit, names in UNITS.items() if unit != "1"
}
_AUTOMATIC: Final[Mapping[str, Sequence[str]]] = {
    **{unit: sorted(names, key=names.__getitem__, reverse=True) for unit, names in _FACTORS.items()},
    "s": ("h", "m", "s", "ms", "us", "ns"),
    "B": ("TiB", "GiB", "MiB", "KiB", "B"),
    "1/s": ("/s",),
    "B/s": ("TiB/s", "GiB/s", "MiB/s", "KiB/s", "B/s"),
}
_DIGITS: Final = 3
"""Significant digits, and more where a number would else look like a limit that it is not."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How numbers of one sentence are written: divided by ``factor``, with one unit behind them."""

    factor: float
    unit: str
    limits: tuple[float, ...] = ()

    @classmethod
    def of(cls, unit: str, limits: Sequence[Limit], numbers: Sequence[float]) -> Scale:
        """Take the unit in which the file writes a limit where it suits the numbers, else one that does."""
        known = tuple(amount(limit, unit) for limit in limits)
        largest = max((abs(number) for number in numbers), default=0.0)
        for limit in limits:
            factor, name = _written(limit, unit)
            if name and (not largest or 0.01 <= largest / factor < 1e5):
                return cls(factor, name, known)
        factors = _FACTORS.get(unit, {})
        for name in _AUTOMATIC.get(unit, ()):
            if largest >= factors[name]:
                return cls(factors[name], f" {_SPELT.get(name, name)}", known)
        return cls(1.0, f" {unit}" if unit in _AUTOMATIC else "", known)

    def show(self, number: float) -> str:
        return f"{self._bare(number)}{self.unit}"

    def span(self, low: float, high: float) -> str:
        return f"{self._bare(low)} to {self.show(high)}"

    def _bare(self, number: float) -> str:
        for digits in range(_DIGITS, 16):
            text = significant(number / self.factor, digits)
            if all(
                number == limit or text != significant(limit / self.factor, digits) for limit in self.limits
            ):
                break
        return text


def significant(number: float, digits: int) -> str:
    """Write a number with that many significant digits, without an exponent or zeros at its end."""
    if number == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(number)))
    text = f"{number:.{min(max(decimals, 0), 30)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _written(limit: Limit, unit: str) -> tuple[float, str]:
    """Return factor and name of the unit that a file writes behind a limit; no name behind a number."""
    name = re.sub(r"^[0-9.]+ ?", "", limit) if isinstance(limit, str) else ""
    if name == "%":
        return 0.01, "%"
    factors = _FACTORS.get(unit, {})
    return (factors[name], f" {_SPELT.get(name, name)}") if name else (1.0, "")


def limits_of(bound: Bound) -> list[Limit]:
    """Return the limits of a bound as the file gives them."""
    given = [bound.below, bound.above, *(bound.between or ()), bound.equals]
    return [limit for limit in given if limit is not None]


def wording_of(bound: Bound, unit: str) -> str:
    """Say in words what meets a bound: ``below 2 s``, ``between 30 s and 60 s``."""

    def show(limit: Limit) -> str:
        value = amount(limit, unit)
        factor, name = _written(limit, unit)
        if not name:
            return Scale.of(unit, (), (value,)).show(value)
        return f"{significant(value / factor, 15)}{name}"

    if bound.below is not None:
        return f"below {show(bound.below)}"
    if bound.above is not None:
        return f"above {show(bound.above)}"
    if bound.between is not None:
        return f"between {show(bound.between[0])} and {show(bound.between[1])}"
    assert bound.equals is not None
    assert bound.within is not None
    relative = isinstance(bound.within, str) and bound.within.endswith("%")
    off = str(bound.within) if relative else show(bound.within)
    return f"within {off} of {show(bound.equals)}"


@dataclass(frozen=True, slots=True)
class Words:
    """What a sentence is made of, besides the figure.

    ``subject``: what the figure is; ``told``: all there is to say of it, where it has no interval.
    ``bound``: what is claimed of it, and ``limits`` are written like the figure, whose unit is ``unit``.
    ``among``: where several were asked, how many of what ("3 conditions"); ``decisive`` had this verdict.
    """

    verdict: Verdict
    subject: str
    bound: str
    unit: str
    limits: Sequence[Limit]
    confidence: float
    told: str = ""
    among: str = ""
    decisive: int = 1


def sentence(words: Words, figure: Figure, reason: str) -> str:
    """Return the whole sentence; ``reason`` is why a verdict is inconclusive."""
    begin = f"{_where(words)}: {words.subject}"
    if figure.value is None:
        return f"{begin} cannot be judged: {reason}."
    if words.told:
        return f"{_where(words)}: {words.told}."
    interval = figure.interval
    scale = Scale.of(words.unit, words.limits, (figure.value, *(interval or ())))
    begin += f" is {scale.show(figure.value)}"
    if interval is None:
        return f"{begin} (n = {figure.n}), but {reason}."
    begin += f" ({_level(words.confidence)} interval {scale.span(*interval)}, n = {figure.n}), which"
    match words.verdict:
        case "supported":
            return f"{begin} is {words.bound}."
        case "refuted":
            return f"{begin} is not {words.bound}."
        case _:
            return f"{begin} may or may not be {words.bound}: {reason}."


def advice(figure: Figure, needs: float, wanted: Range, confidence: float) -> str:
    """Say what would decide: how many trials, or why no number of them."""
    if figure.interval is None:
        values = f"{figure.n} value{'s allow' if figure.n != 1 else ' allows'}"
        rest = f"; {needs:.0f} trials of each condition would do" if math.isfinite(needs) else ""
        return f"{values} no {_level(confidence)} interval{rest}"
    if figure.value in (wanted.low, wanted.high):
        return "it sits on the limit, where no number of trials decides"
    if math.isinf(needs):
        return "the limit is within the resolution of the instrument, and no number of trials decides"
    if needs > MOST_TRIALS:
        return f"it is so close to the limit that more than {MOST_TRIALS} trials would be needed"
    more = needs - figure.n // figure.pooled
    return f"about {more:.0f} more trials of each condition ({needs:.0f} in all) would decide"


def _level(confidence: float) -> str:
    """Write a confidence level so that its distance from 100% keeps two digits."""
    return f"{significant(confidence * 100, 2 - math.floor(math.log10(1 - confidence)))}%"


def _where(words: Words) -> str:
    """Say where a verdict holds: nowhere in particular, in all conditions, in some of them."""
    word = words.verdict.capitalize()
    if not words.among:
        return word
    if words.verdict == "supported":
        return f"{word} (in all {words.among}; the narrowest is shown)"
    return (
        f"{word} (in {words.decisive} of {words.among}{'; the first is shown' if words.decisive > 1 else ''})"
    )


def figure_of(share: float) -> str:
    """Name a quantile."""
    return "the median" if share == 0.5 else f"the {format_percent(share)} quantile"


def beside(condition: str, value: float | None, unit: str, limits: Sequence[Limit] = ()) -> str:
    """Write a condition with its own value behind it, where it has one."""
    return condition if value is None else f"{condition} ({Scale.of(unit, limits, (value,)).show(value)})"
