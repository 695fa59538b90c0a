"""The first line of a journal -> the conditions and factors that were planned."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.plan import Condition, Plan
from vmvc.records_journal import RunRecord
from vmvc.spec import Trials


def factors_of(head: RunRecord) -> tuple[str, ...]:
    """Return every factor path of the run, in file order."""
    paths = [path for group in (head.axes.values(), head.include) for part in group for path in part]
    return tuple(path for path in dict.fromkeys(paths) if path != "backend")


def conditions_of(head: RunRecord) -> Iterator[Condition]:
    """Yield every planned condition, in file order."""
    yield from Plan(head.axes, ((),), Trials(), head.only, head.include, head.exclude).conditions
