"""journal.jsonl -> measurements.csv, summary.json, summary.csv; the same journal gives the same bytes."""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from vmvc import durable, journal, stats
from vmvc.errors import ResultsError, StorageError
from vmvc.plan import Condition, Plan, show_level
from vmvc.records import FindingRecord, QuantityRecord, RunRecord, Summary, SummaryRow, TrialRecord
from vmvc.spec import Level, Trials

SERIES_COLUMNS: Final = ("run", "trial", "block", "position", "warmup", "backend", "condition")
MEASUREMENT_COLUMNS: Final = (*SERIES_COLUMNS, "metric", "quantity", "value", "unit")
SUMMARY_COLUMNS: Final = (
    *("backend", "condition", "metric", "quantity", "unit", "better", "n", "failed", "planned"),
    *("median", "low", "high", "q1", "q3", "min", "max", "resolution", "outliers", "reason"),
)

Cell = tuple[str, str, str]
"""Condition, metric, quantity."""


def rebuild(folder: Path) -> Summary:
    """Write every derived file of the run's folder anew and return the summary.

    Raises: ResultsError where the journal cannot be read; StorageError where a file cannot be written.
    """
    path = folder / "journal.jsonl"
    head = journal.head(path)
    summary = summarise(path)
    try:
        _write_measurements(folder / "measurements.csv", head, path)
        durable.write(folder / "summary.json", summary.model_dump_json(exclude_none=True, indent=1) + "\n")
        durable.write(folder / "summary.csv", _summary_csv(head, summary))
        _write_series(folder, head, path)
    except OSError as error:
        raise StorageError(
            f"{folder}: the results cannot be written: {error.strerror}; the journal is whole",
            hint=f"make room, then: vmvc show --rebuild {folder}",
        ) from error
    return summary


def factors_of(head: RunRecord) -> tuple[str, ...]:
    """Return every factor path of the run, in file order."""
    return tuple(dict.fromkeys(path for axes in head.axes.values() for path in axes))


def conditions_of(head: RunRecord) -> Iterator[Condition]:
    """Yield every planned condition, in file order."""
    yield from Plan(head.axes, ((),), Trials(), head.only).conditions


def trials_of(path: Path) -> Iterator[TrialRecord]:
    """Yield each trial once, in the order in which they ran.

    Raises: ResultsError where a trial stands in the journal twice.
    """
    seen: set[int] = set()
    for line in journal.read(path):
        if isinstance(line, TrialRecord):
            if line.trial in seen:
                raise ResultsError(
                    f"{path}: trial {line.trial} is recorded twice", hint="restore the journal from a copy"
                )
            seen.add(line.trial)
            yield line


def summarise(path: Path) -> Summary:
    """Return statistics per planned condition and quantity, from the journal alone.

    Raises: ResultsError.
    """
    head = journal.head(path)
    values: dict[Cell, array[float]] = defaultdict(lambda: array("d"))
    resolutions: dict[Cell, float] = {}
    reasons: dict[Cell, Counter[str]] = defaultdict(Counter)
    failures: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    outcomes: Counter[str] = Counter()
    findings: Counter[FindingRecord] = Counter()
    for trial in trials_of(path):
        outcomes[trial.outcome] += 1
        for finding in trial.findings:
            findings[finding.model_copy(update={"what": f"{trial.condition}: {finding.what}"})] += 1
        if trial.warmup:
            continue
        if trial.failure is not None:
            for metric in trial.metrics:
                failures[trial.condition, metric][f"{trial.failure.phase}: {trial.failure.reason}"] += 1
        for reading in trial.readings:
            cell = (trial.condition, reading.metric, reading.quantity)
            values[cell].append(reading.value)
            if reading.resolution is not None:
                resolutions[cell] = max(resolutions.get(cell, 0.0), reading.resolution)
        for absent in trial.absent:
            reasons[trial.condition, absent.metric, absent.quantity][absent.reason] += 1
    rows = [
        _row(
            head,
            condition,
            quantity,
            values.get(cell := (condition.id, quantity.metric, quantity.quantity), ()),
            resolutions.get(cell),
            reasons.get(cell, Counter()),
            failures.get((condition.id, quantity.metric), Counter()),
        )
        for condition in conditions_of(head)
        for quantity in head.quantities
    ]
    return Summary(
        run=head.run,
        name=head.name,
        trials=head.trials,
        measured=outcomes["measured"],
        failed=outcomes["failed"],
        findings=(*head.findings, *(_times(finding, count) for finding, count in findings.items())),
        rows=tuple(rows),
    )


def _times(finding: FindingRecord, count: int) -> FindingRecord:
    """Say of a finding in how many trials it was made."""
    return finding.model_copy(update={"what": f"{finding.what} ({count} trial{'s' if count > 1 else ''})"})


def _row(
    head: RunRecord,
    condition: Condition,
    quantity: QuantityRecord,
    values: Sequence[float],
    resolution: float | None,
    absent: Counter[str],
    failures: Counter[str],
) -> SummaryRow:
    missing = "; ".join(
        f"{times} of {head.count}: {reason}"
        for reason, times in [*failures.most_common(), *absent.most_common()]
    )
    rest = head.count - len(values) - failures.total() - absent.total()
    if rest > 0 and not missing:
        missing = f"{rest} of {head.count}: not measured yet"
    row = SummaryRow(
        backend=condition.backend,
        condition=condition.id,
        factors=condition.factors,
        metric=quantity.metric,
        quantity=quantity.quantity,
        unit=quantity.unit,
        better=quantity.better,
        n=len(values),
        failed=failures.total(),
        planned=head.count,
        reason=missing,
    )
    if not values:
        return row
    five = stats.five_numbers(values)
    interval = stats.median_interval(values)
    if interval is not None:
        low, high = stats.widen(interval, resolution or 0.0)
        interval = (max(low, 0.0) if five.min >= 0 else low, high)
    return row.model_copy(
        update={
            "median": five.median,
            "q1": five.q1,
            "q3": five.q3,
            "min": five.min,
            "max": five.max,
            "low": interval[0] if interval else None,
            "high": interval[1] if interval else None,
            "resolution": resolution,
            "outliers": sum(stats.outliers(values)),
        }
    )


def _write_measurements(path: Path, head: RunRecord, source: Path) -> None:
    """Stream the rows, so that a long run needs no more memory than a short one."""
    factors = factors_of(head)
    units = {(one.metric, one.quantity): one.unit for one in head.quantities}
    with durable.writing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*MEASUREMENT_COLUMNS, *factors])
        for trial in trials_of(source):
            writer.writerows(_measurements(head.run, trial, factors, units))


def _measurements(
    run: str, trial: TrialRecord, factors: Iterable[str], units: Mapping[tuple[str, str], str]
) -> Iterator[list[str]]:
    left, right = _left(run, trial), _right(trial, factors)
    for reading in trial.readings:
        yield [*left, reading.metric, reading.quantity, number(reading.value), reading.unit, *right]
    for absent in trial.absent:
        yield [*left, absent.metric, absent.quantity, "", units[absent.metric, absent.quantity], *right]


def _left(run: str, trial: TrialRecord) -> list[str]:
    """Return the cells of ``SERIES_COLUMNS``: which trial it was."""
    return [
        run,
        str(trial.trial),
        str(trial.block),
        str(trial.position),
        "true" if trial.warmup else "false",
        trial.backend,
        trial.condition,
    ]


def _right(trial: TrialRecord, factors: Iterable[str]) -> list[str]:
    """Return the levels of all factors; empty where one does not apply."""
    return [show_level(trial.factors[path]) if path in trial.factors else "" for path in factors]


def _write_series(folder: Path, head: RunRecord, source: Path) -> None:
    """Write a file for each metric that took series; a run without any has none."""
    factors = factors_of(head)
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for trial in trials_of(source):
        for series in trial.series:
            columns[series.metric].update(series.columns)
    for metric, names in columns.items():
        with durable.writing(folder / f"series-{metric}.csv") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*SERIES_COLUMNS, *names, *factors])
            for trial in trials_of(source):
                left, right = _left(head.run, trial), _right(trial, factors)
                for series in trial.series:
                    if series.metric != metric:
                        continue
                    for row in series.rows:
                        writer.writerow([*left, *(_cell(row.get(name)) for name in names), *right])


def _summary_csv(head: RunRecord, summary: Summary) -> str:
    factors = factors_of(head)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*SUMMARY_COLUMNS, *factors])
    for row in summary.rows:
        cells = row.model_dump()
        writer.writerow(
            [
                *(_cell(cells[column]) for column in SUMMARY_COLUMNS),
                *(_cell(row.factors.get(path)) for path in factors),
            ]
        )
    return text.getvalue()


def _cell(value: Level | None) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else show_level(value)


def number(value: float) -> str:
    """Write a number so that it reads back the same; whole numbers without a fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
