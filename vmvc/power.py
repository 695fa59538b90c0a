"""A pilot run and an experiment -> how many trials a wished interval needs, and how long they take here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmvc import stats
from vmvc.cells import Cells, cells_of
from vmvc.errors import ResultsError
from vmvc.estimate import estimate
from vmvc.loading import Loaded
from vmvc.manifest import options_of
from vmvc.plan import Condition, Plan
from vmvc.planning import plan_of
from vmvc.records_journal import QuantityRecord, RunRecord


@dataclass(frozen=True, slots=True)
class Need:
    """Trials that one quantity needs in one condition.

    ``median`` and ``now`` (half-width over the median) are the pilot's, ``None`` where it has none;
    ``trials`` is ``None`` where no number can be given, and ``reason`` says why.
    """

    condition: str
    quantity: str
    unit: str
    n: int
    median: float | None
    now: float | None
    trials: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Trials of every condition that one quantity needs, and the seconds that they take here.

    ``trials`` is ``None`` where a condition has no number.
    """

    quantity: str
    trials: int | None
    seconds: float | None


def needs_of(loaded: Loaded, plan: Plan, pilot: Path, wished: float) -> list[Need]:
    """Return what each quantity that can be better or worse needs in each condition of the plan.

    ``wished``: half-width of the median's 95% interval, as a share of the median. ``pilot``: a run's folder.

    Raises: ResultsError where the pilot cannot be read or measured with other options.
    """
    cells = cells_of(pilot / "journal.jsonl")
    _refuse_others(loaded, cells.head, pilot)
    known = {(one.metric, one.quantity): one for one in cells.head.quantities}
    quantities = [
        QuantityRecord.of(metric.name, quantity)
        for metric in loaded.metrics
        for quantity in metric.quantities
        if quantity.better != "neutral"
    ]
    found = [
        _need(condition, quantity, cells, wished)
        for quantity in quantities
        if (quantity.metric, quantity.quantity) in known
        for condition in plan.conditions
    ]
    if not any(need.n for need in found):
        raise ResultsError(
            f"{pilot}: holds no value of this experiment", hint="give a run of the same experiment"
        )
    return found


def _need(condition: Condition, quantity: QuantityRecord, cells: Cells, wished: float) -> Need:
    cell = cells.find(condition, quantity)
    name = f"{quantity.metric}.{quantity.quantity}"
    if not cell.values:
        return Need(condition.id, name, quantity.unit, 0, None, None, None, "no values in the pilot")
    found = stats.trials_for(cell.values, wished, resolution=cell.resolution or 0.0)
    median = stats.five_numbers(cell.values).median
    n = len(cell.values)
    return Need(condition.id, name, quantity.unit, n, median, found.now, found.n, found.reason)


def _refuse_others(loaded: Loaded, head: RunRecord, pilot: Path) -> None:
    """A metric with other options is another quantity: its spread says nothing here."""
    for metric, options in options_of(loaded).items():
        if metric in head.options and dict(head.options[metric]) != options:
            raise ResultsError(
                f"{pilot}: measured {metric} with {dict(head.options[metric])}, the file asks for {options}",
                hint="give a run with these options, or run a short pilot first",
            )


def costs_of(loaded: Loaded, needs: Sequence[Need], pilot: Path, only: Sequence[str]) -> Iterator[Cost]:
    """Yield for each quantity the trials that satisfy all conditions, and the seconds they take here."""
    for quantity in dict.fromkeys(need.quantity for need in needs):
        counts = [need.trials for need in needs if need.quantity == quantity]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            yield Cost(quantity, None, None)
            continue
        plan = plan_of(loaded, only=only, count=max(known))
        yield Cost(quantity, max(known), estimate(loaded, plan, pilot.parent, pilot).seconds)
