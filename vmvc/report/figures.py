"""Numbers of a view, each with its words: cells of the summary, ratios, slopes, phases, parts and series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmvc.records_summary import Comparison, SummaryRow
from vmvc.report.amount import chance, span
from vmvc.report.plain import clean
from vmvc.units import show


@dataclass(frozen=True, slots=True)
class Cell:
    """One quantity in one condition: the row of the summary, and its words."""

    row: SummaryRow
    label: str
    key: str

    @property
    def median(self) -> str:
        return self.text(self.row.median)

    @property
    def interval(self) -> str:
        """The 95% interval of the median; "" where there are too few values."""
        if self.row.low is None or self.row.high is None:
            return ""
        return span(self.row.low, self.row.high, self.row.unit)

    @property
    def reason(self) -> str:
        """Why values are missing; "" where none is."""
        return clean(self.row.reason)

    @property
    def notes(self) -> str:
        """What to know of the cell: why all is missing, else what is missing and what to look at."""
        row = self.row
        if not row.n:
            return self.reason
        rest = row.planned - row.n - row.failed
        counts = ((row.failed, "failed"), (rest, "missing"), (row.outliers or 0, "far from the median"))
        told = [f"{count} {word}" for count, word in counts if count > 0]
        return ", ".join([*told, *(flag for flag in row.flags if flag != "outliers")])

    @property
    def nested(self) -> str:
        """What the iterations within trials tell; "" where there are none."""
        row = self.row
        if row.iterations is None:
            return ""
        spreads = [
            f"{show(value, row.unit)} {where}"
            for value, where in ((row.sd_within, "within"), (row.sd_between, "between trials"))
            if value is not None
        ]
        best = "" if row.iterations_best is None else f"; {row.iterations_best} would be best"
        spread = f", standard deviation {' and '.join(spreads)}" if spreads else ""
        return f"{row.iterations} iterations a trial{spread}{best}"

    @property
    def quartiles(self) -> str:
        return self._span(self.row.q1, self.row.q3)

    @property
    def extremes(self) -> str:
        return self._span(self.row.min, self.row.max)

    def text(self, value: float | None) -> str:
        """Write a value in the cell's unit; "" where there is none."""
        return "" if value is None else show(value, self.row.unit)

    def _span(self, low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else span(low, high, self.row.unit)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the start-up in medians since the request, in seconds."""

    condition: str
    name: str
    begin: float
    end: float
    n: int


@dataclass(frozen=True, slots=True)
class Part:
    """One named part of an account, to be stacked with the others of that account; ``value`` in bytes."""

    condition: str
    account: str
    name: str
    key: str
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """All values of one quantity in one condition, in the order in which they ran, warm-ups apart."""

    trials: Sequence[int]
    values: Sequence[float]
    warm_trials: Sequence[int] = ()
    warm_values: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Ratio:
    """One condition against the baseline's at the same levels; ``row`` has every number of the comparison."""

    key: str
    label: str
    baseline: str
    colour: str
    row: Comparison

    @property
    def ratio(self) -> str:
        return "" if self.row.ratio is None else f"{self.row.ratio:.3g}"

    @property
    def interval(self) -> str:
        """The ratio's 95% interval; "" where there are too few values."""
        low, high = self.row.ratio_low, self.row.ratio_high
        return "" if low is None or high is None else f"{low:.3g} to {high:.3g}"

    @property
    def difference(self) -> str:
        return "" if self.row.difference is None else show(self.row.difference, self.row.unit)

    @property
    def chance(self) -> str:
        """The adjusted p-value; "" where no test was made."""
        return chance(self.row.p_adjusted)

    @property
    def reason(self) -> str:
        return clean(self.row.ratio_reason or self.row.reason)


@dataclass(frozen=True, slots=True)
class Slope:
    """One quantity across the levels of one factor, in words."""

    key: str
    backend: str
    factor: str
    levels: str
    slope: str
    chance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Grown:
    """What the n-th instance of a fleet took: ``ready`` in seconds, ``taken`` in bytes of memory."""

    condition: str
    what: str
    instance: int
    n: int
    median: float
    low: float
    high: float

    @property
    def text(self) -> str:
        return show(self.median, self.unit)

    @property
    def span(self) -> str:
        return span(self.low, self.high, self.unit)

    @property
    def unit(self) -> str:
        return "s" if self.what == "ready" else "B"


@dataclass(frozen=True, slots=True)
class Line:
    """What each further instance of a fleet takes: ``what`` it takes, in bytes; absent ends are ``None``."""

    condition: str
    what: str
    n: int
    slope: float
    low: float | None
    high: float | None
    intercept: float | None

    @property
    def text(self) -> str:
        return show(self.slope, "B")

    @property
    def interval(self) -> str:
        """The slope's 95% interval; "" where there are too few looks."""
        return "" if self.low is None or self.high is None else span(self.low, self.high, "B")

    @property
    def fixed(self) -> str:
        return "" if self.intercept is None else show(self.intercept, "B")
