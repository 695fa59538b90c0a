"""journal.jsonl -> its values by condition, metric and quantity, and what happened in its trials."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmvc import journal, stats
from vmvc.attempts import Attempts, attempts_of, with_last
from vmvc.errors import ResultsError
from vmvc.nesting import nested_of
from vmvc.plan import Condition
from vmvc.records import FindingRecord
from vmvc.records_journal import QuantityRecord, ReadingRecord, RunRecord, TrialRecord
from vmvc.rows import Cell

Key = tuple[str, str, str]
"""Condition, metric, quantity."""


@dataclass(slots=True)
class Cells:
    """What a journal says, by condition, metric and quantity; and what happened in its trials."""

    head: RunRecord
    attempts: Attempts = field(default_factory=Attempts)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: Counter[FindingRecord] = field(default_factory=Counter)
    _cells: dict[Key, Cell] = field(default_factory=lambda: defaultdict(Cell))
    _ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    _failures: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def find(self, condition: Condition, quantity: QuantityRecord) -> Cell:
        """Return the cell of a quantity in a condition, an empty one where there is nothing."""
        cell = self._cells[condition.id, quantity.metric, quantity.quantity]
        cell.failures = self._failures.get((condition.id, quantity.metric), Counter())
        cell.ended = self._ended[condition.id, quantity.metric]
        return cell

    def take(self, trial: TrialRecord, last: bool) -> None:
        """Take in one attempt; of a warm-up, and of one that is not its trial's last, no values."""
        self.attempts.add(trial, last)
        for finding in trial.findings:
            self.findings[finding.model_copy(update={"what": f"{trial.condition}: {finding.what}"})] += 1
        if not last:
            return
        self.outcomes[trial.outcome] += 1
        if trial.warmup:
            return
        for metric in trial.metrics:
            self._ended[trial.condition, metric] += 1
            if trial.failure is not None:
                self._failures[trial.condition, metric][f"{trial.failure.phase}: {trial.failure.reason}"] += 1
        for reading in trial.readings:
            cell = self._cells[trial.condition, reading.metric, reading.quantity]
            cell.values.append(reading.value)
            cell.blocks.append(trial.block)
            if (nested := nested_of(trial, reading)) is not None:
                cell.nested.append(nested)
            if reading.resolution is not None:
                cell.resolution = max(cell.resolution or 0.0, reading.resolution)
        for absent in trial.absent:
            self._cells[trial.condition, absent.metric, absent.quantity].absent[absent.reason] += 1


def cells_of(path: Path) -> Cells:
    """Return the values of every condition and quantity of a journal.

    Raises: ResultsError where it cannot be read or holds what cannot stand side by side.
    """
    head = journal.head(path)
    units = {(one.metric, one.quantity): one.unit for one in head.quantities}
    cells = Cells(head)
    for trial, last in with_last(attempts_of(path)):
        for reading in trial.readings:
            _check(path, trial, reading, units)
        cells.take(trial, last)
    return cells


def _check(
    path: Path, trial: TrialRecord, reading: ReadingRecord, units: Mapping[tuple[str, str], str]
) -> None:
    """Refuse a value that cannot stand beside the others.

    Raises: ResultsError where it is of another unit, or too large for any statistic.
    """
    unit = units.get((reading.metric, reading.quantity), reading.unit)
    if reading.unit == unit and abs(reading.value) <= stats.LARGEST:
        return
    name = f"{path}: trial {trial.trial}: {reading.metric}.{reading.quantity}"
    if reading.unit != unit:
        raise ResultsError(
            f"{name} is in {reading.unit!r}, the run measures it in {unit!r}; nothing is averaged over both",
            hint="restore the journal from a copy",
        )
    raise ResultsError(f"{name} is no measurement, got {reading.value!r}", hint="mend the metric")
