"""The trials of a run so far -> a table that fits a terminal: a line a condition, with its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vmvc import stats
from vmvc.attempts import troubles
from vmvc.cli.text import plain
from vmvc.plan import Plan
from vmvc.records_journal import UNCLEAN, StopRecord, TrialRecord
from vmvc.units import show

BARS: Final = "▁▂▃▄▅▆▇█"
FAILED: Final = "×"  # noqa: RUF001
NARROW: Final = 72
"""Columns below which the interval goes; the median stays."""
_FEWEST: Final = 6
"""Columns below which points are not drawn."""
_KEPT: Final = 200
"""Points of a condition that are kept for drawing."""


@dataclass(slots=True)
class Course:
    """One condition so far; ``points`` holds ``None`` where a trial failed."""

    total: int
    done: int = 0
    failed: int = 0
    values: list[float] = field(default_factory=list)
    points: list[float | None] = field(default_factory=list)
    resolution: float = 0.0
    cell: str | None = None

    def take(self, value: float | None, resolution: float) -> None:
        self.points = [*self.points[1 - _KEPT :], value]
        if value is not None:
            self.values.append(value)
            self.resolution = max(self.resolution, resolution)
        self.cell = None


class Board:
    """What the table shows; ``quantity`` is the one whose points it draws, once there is any."""

    def __init__(self, name: str, plan: Plan, total: int) -> None:
        self.name = name
        self.total = total
        self.done = self.failed = self.unclean = 0
        self.now = self.left = ""
        self._groups = len(plan.groups)
        blocks = self._groups * plan.blocks
        self._courses = {condition.id: Course(blocks) for condition in plan.conditions}
        until = plan.settings.until
        self.quantity = until.metric if until is not None else ""
        self._unit = ""
        self._last = next(iter(self._courses), "")

    def begun(self, condition: str) -> None:
        self._last = condition

    def stop(self, stop: StopRecord) -> None:
        """Leave out the trials that a rule made needless."""
        self.total -= stop.skipped
        self._courses[stop.condition].total -= stop.skipped

    def take(self, trial: TrialRecord, *, again: bool = False) -> None:
        """Take a trial in; ``again``: it was counted at an earlier attempt."""
        course = self._courses.setdefault(trial.condition, Course(0))
        self.done += not again
        course.done += not again
        bad = trial.failure is not None
        self.failed += bad
        self.unclean += trial.outcome == UNCLEAN
        course.failed += bad
        if trial.warmup:
            return
        if bad:
            course.take(None, 0.0)
            return
        names = [f"{one.metric}.{one.quantity}" for one in trial.readings]
        if not self.quantity and names:
            self.quantity = "startup.ready" if "startup.ready" in names else names[0]
        if self.quantity in names:
            reading = trial.readings[names.index(self.quantity)]
            self._unit = reading.unit
            course.take(reading.value, reading.resolution or 0.0)

    def draw(self, width: int, height: int) -> RenderableType:
        """Return what fits into so many columns and lines."""
        lines: list[RenderableType] = [self._head(width)]
        if height > 3:
            lines.append(_line(self.now))
        room = height - len(lines)
        if room > 1:
            lines.append(self._table(width, room))
        return Group(*lines)

    def _head(self, width: int) -> RenderableType:
        count = f"{self.done}/{self.total}{troubles(self.failed, self.unclean)}"
        words = " ".join(filter(None, [count, self.left]))
        bar = width - len(self.name) - len(words) - 2
        if bar < 5:
            return _line(words)
        grid = Table.grid(padding=(0, 1))
        for _ in range(3):
            grid.add_column(no_wrap=True)
        grid.add_row(
            Text(plain(self.name)),
            ProgressBar(total=max(1, self.total), completed=self.done, width=min(bar, 40)),
            Text(words),
        )
        return grid

    def _table(self, width: int, room: int) -> RenderableType:
        shown, hidden = self._chosen(room)
        cells = [
            (plain(name), self._count(self._courses[name]), self._cell(self._courses[name], width))
            for name in shown
        ]
        about = f"median {self.quantity}".strip() if width >= NARROW else "median"
        titles = ("condition", "trials", about)
        wide = [max(len(title), *(len(row[at]) for row in cells)) for at, title in enumerate(titles)]
        wide[0] = min(wide[0], max(9, width - sum(wide[1:]) - 6, width // 3))
        rest = width - sum(wide) - 6
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        table.add_column(titles[0], no_wrap=True, width=wide[0], overflow="ellipsis")
        table.add_column(titles[1], no_wrap=True, justify="right")
        table.add_column(titles[2], no_wrap=True, overflow="ellipsis")
        points = rest >= _FEWEST
        if points:
            table.add_column("points", no_wrap=True, width=rest, overflow="crop")
        for name, row in zip(shown, cells, strict=True):
            style = "bold" if name == self._last else ""
            drawn = [Text(sparks(self._courses[name].points[-rest:]))] if points else []
            table.add_row(Text(row[0], style=style), Text(row[1]), Text(row[2]), *drawn)
        return Group(table, _line(f"... and {hidden} more conditions")) if hidden else table

    def _chosen(self, room: int) -> tuple[list[str], int]:
        """Return the conditions around the one under way, in file order, and how many are left out.

        That is not said in two lines.
        """
        names = list(self._courses)
        count = room - 1
        if len(names) <= count:
            return names, 0
        said = room > 2
        count -= said
        at = names.index(self._last) if self._last in self._courses else 0
        first = min(max(0, at - count // 2), len(names) - count)
        return names[first : first + count], (len(names) - count) * said

    def _count(self, course: Course) -> str:
        return f"{course.done}/{course.total}" + (f" {FAILED}{course.failed}" if course.failed else "")

    def _cell(self, course: Course, width: int) -> str:
        if not course.values:
            return ""
        if course.cell is None:
            ordered = sorted(course.values)
            middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
            course.cell = show(middle, self._unit)
            interval = stats.median_interval(ordered)
            if interval is not None:
                low, high = stats.widen(interval, course.resolution)
                low = max(low, 0.0) if ordered[0] >= 0 else low
                course.cell += f" [{show(low, self._unit)}, {show(high, self._unit)}]"
        return course.cell if width >= NARROW else course.cell.partition(" [")[0]


def sparks(points: Sequence[float | None]) -> str:
    """Draw points from 0 to the largest, so that a small difference looks small."""
    top = max((abs(one) for one in points if one is not None), default=0.0)
    return "".join(
        FAILED
        if one is None
        else BARS[min(7, int(abs(one) / top * 8)) if top else 0]
        for one in points
    )  # fmt: skip


def _line(text: str) -> Text:
    return Text(plain(text).replace("\n", " "), no_wrap=True, overflow="ellipsis")
