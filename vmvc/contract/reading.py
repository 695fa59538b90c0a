"""What is measured, as data: a quantity, and a value of it, its absence, or a series of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named value of a metric.

    ``unit`` is one of ``vmvc.units.UNITS``: ``"s"``, ``"B"``, ``"1"`` (a count or a ratio), ``"B/s"``...;
    ``says`` is one sentence of meaning. ``rule``: how iterations within a trial become its one value, ""
    where there are none. ``host_best``: no guest can be better than the bare host, so one that is 3% better
    is a finding.
    """

    name: str
    unit: str
    better: Literal["lower", "higher", "neutral"]
    says: str
    rule: Literal["", "mean", "median"] = ""
    host_best: bool = False
    own_clock: bool = False
    """True of what the guest's own clock told: it is never compared with another backend's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value of a quantity, in its unit.

    ``resolution``, in that unit: the true value lies in [value - resolution, value]; ``None``: not known.
    ``iterations``: the values within this trial that ``value`` is made of by the quantity's ``rule``, in
    their order; no independent samples, so never pooled. ``warmups``: those before them, in no statistic.
    """

    quantity: str
    value: float
    resolution: float | None = None
    iterations: tuple[float, ...] = ()
    warmups: tuple[float, ...] = ()

    @classmethod
    def over(
        cls,
        quantity: Quantity,
        iterations: Sequence[float],
        *,
        warmups: Sequence[float] = (),
        resolution: float | None = None,
    ) -> Reading:
        """Make the trial's value of its iterations, by the rule of the quantity."""
        value = median(iterations) if quantity.rule == "median" else fmean(iterations)
        return cls(quantity.name, value, resolution, tuple(iterations), tuple(warmups))


@dataclass(frozen=True, slots=True)
class Absent:
    """A quantity that could not be had, and why."""

    quantity: str
    reason: str


@dataclass(frozen=True, slots=True)
class Series:
    """Values in the order in which they were taken: they get a file of their own, and no statistics.

    ``columns``: name -> unit (as of a quantity). A row has a value for those columns that it has one for.
    """

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, float]]
