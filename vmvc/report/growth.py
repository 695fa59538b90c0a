"""The series of fleets that grew -> what the n-th instance took, over all trials of a condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from vmvc.report.figures import Cell, Grown, Line
from vmvc.report.view import Condition

INSTANCE: Final = "instance"
"""Column that numbers the members of a fleet: a series without it is none of a fleet."""

Rows = Sequence[Mapping[str, float]]
"""One trial's series: a row a member."""


def grown(series: Mapping[str, Sequence[Rows]], conditions: Sequence[Condition]) -> Iterator[Grown]:
    """Yield, for each condition and member that has them, the time to ready and the memory taken so far.

    ``series``: condition -> the series of its trials. Memory is what the host has less than when the first
    instance had settled, where it was looked at.
    """
    for condition in conditions:
        ready: dict[int, list[float]] = defaultdict(list)
        taken: dict[int, list[float]] = defaultdict(list)
        for rows in series.get(condition.id, ()):
            first = next((row["available"] for row in rows if "available" in row), None)
            for row in rows:
                if INSTANCE not in row:
                    continue
                number = round(row[INSTANCE])
                if "ready" in row:
                    ready[number].append(row["ready"])
                if "available" in row and first is not None:
                    taken[number].append(first - row["available"])
        for what, found in (("ready", ready), ("taken", taken)):
            for number in sorted(found):
                values = found[number]
                yield Grown(
                    condition.label, what, number, len(values), median(values), min(values), max(values)
                )


def lines(cells: Mapping[tuple[str, str], Cell], conditions: Sequence[Condition]) -> Iterator[Line]:
    """Yield what each further instance takes of memory and disk: medians over the trials of a condition."""
    for condition in conditions:
        for what in ("memory", "disk"):
            slope, low, high, fixed = (
                cells.get((condition.id, f"density.{what}_{end}"))
                for end in ("slope", "slope_low", "slope_high", "intercept")
            )
            if slope is not None and slope.row.median is not None:
                yield Line(
                    condition.label, what, slope.row.n, slope.row.median, _median(low), _median(high),
                    _median(fixed),
                )  # fmt: skip


def _median(cell: Cell | None) -> float | None:
    return None if cell is None else cell.row.median
