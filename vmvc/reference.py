"""The folder of another run -> the values that a claim compares this run with, or why they do not compare."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmvc import journal
from vmvc.contract import Quantity
from vmvc.errors import ResultsError
from vmvc.plan import show_level
from vmvc.records_journal import ReferenceRecord, SampleRecord, TrialRecord
from vmvc.spec import Level
from vmvc.wording import listed


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the other run must have measured: a quantity on a backend at these levels of its factors.

    ``options``: the metric's own, as JSON, without which the quantity does not mean the same; ``None``: any.
    """

    backend: str
    axes: Mapping[str, tuple[Level, ...]]
    metric: str
    quantity: Quantity
    options: Mapping[str, Any] | None = None


def check(folder: Path, wanted: Wanted) -> None:
    """Refuse a run whose values do not compare.

    Raises: ResultsError where the folder is no run or of another version, the quantity is missing or defined
    otherwise there, or the backend was not measured at these levels.
    """
    head = journal.head(folder / "journal.jsonl")
    called = f"{wanted.metric}.{wanted.quantity.name}"
    there = {(one.metric, one.quantity): one for one in head.quantities}
    found = there.get((wanted.metric, wanted.quantity.name))
    if found is None:
        raise ResultsError(
            f"run {head.run} has not measured {called}", hint="name a run that measured the same"
        )
    if (found.unit, found.says) != (wanted.quantity.unit, wanted.quantity.says):
        raise ResultsError(
            f"run {head.run} has another definition of {called}: {found.says} ({found.unit})",
            hint="measure the reference again with this version",
        )
    options = head.options.get(wanted.metric)
    if options is not None and wanted.options is not None:
        keys = options.keys() | wanted.options.keys()
        differ = sorted(key for key in keys if options.get(key) != wanted.options.get(key))
        if differ:
            raise ResultsError(
                f"run {head.run} measured {wanted.metric} with another {listed(differ, 'and')}",
                hint="use the same options, or measure the reference again",
            )
    axes = head.axes.get(wanted.backend)
    if axes is None:
        raise ResultsError(
            f"run {head.run} has no backend {wanted.backend!r}", hint="give the backend the name it has there"
        )
    if axes.keys() != wanted.axes.keys():
        ours, theirs = _named(wanted.axes), _named(axes)
        raise ResultsError(
            f"run {head.run} sweeps {theirs} on {wanted.backend}, this experiment {ours}",
            hint="name a run with the same factors",
        )
    for path, levels in wanted.axes.items():
        if missing := [show_level(level) for level in levels if level not in axes[path]]:
            raise ResultsError(
                f"run {head.run} has no {path}={missing[0]} on {wanted.backend}",
                hint="name the levels that both have under `at`",
            )


def read(
    folder: Path, claim: str, metric: str, quantity: str, conditions: Collection[str]
) -> ReferenceRecord:
    """Return the other run's values of a quantity in these conditions; warm-ups are not among them.

    Raises: ResultsError where the journal cannot be read.
    """
    path = folder / "journal.jsonl"
    values: dict[str, array[float]] = defaultdict(lambda: array("d"))
    resolutions: dict[str, float] = {}
    for line in journal.read(path):
        if not isinstance(line, TrialRecord) or line.warmup or line.condition not in conditions:
            continue
        for reading in line.readings:
            if (reading.metric, reading.quantity) == (metric, quantity):
                values[line.condition].append(reading.value)
                resolutions[line.condition] = max(
                    resolutions.get(line.condition, 0.0), reading.resolution or 0.0
                )
    return ReferenceRecord(
        claim=claim,
        run=journal.head(path).run,
        samples={
            condition: SampleRecord(values=tuple(values[condition]), resolution=resolutions[condition])
            for condition in sorted(values)
        },
    )


def _named(axes: Mapping[str, object]) -> str:
    return listed(list(axes), "and") if axes else "nothing"
