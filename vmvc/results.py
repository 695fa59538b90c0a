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
from vmvc.records import (
    FindingRecord,
    QuantityRecord,
    RunRecord,
    StopRecord,
    Summary,
    SummaryRow,
    TrialRecord,
)
from vmvc.spec import Level, Trials
from vmvc.stopping import says

MEASUREMENT_COLUMNS: Final = (
    *("run", "trial", "block", "position", "warmup", "backend", "condition"),
    *("metric", "quantity", "value", "unit"),
)
SUMMARY_COLUMNS: Final = (
    *("backend", "condition", "metric", "quantity", "unit", "better", "n", "failed", "retried"),
    *("attempts", "planned"),
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
    except OSError as error:
        raise StorageError(
            f"{folder}: the results cannot be written: {error.strerror}; the journal is whole",
            hint=f"make room, then: vmvc show --rebuild {folder}",
        ) from error
    return summary


def factors_of(head: RunRecord) -> tuple[str, ...]:
    """Return every factor path of the run, in file order."""
    paths = [path for group in (head.axes.values(), head.include) for part in group for path in part]
    return tuple(path for path in dict.fromkeys(paths) if path != "backend")


def conditions_of(head: RunRecord) -> Iterator[Condition]:
    """Yield every planned condition, in file order."""
    yield from Plan(head.axes, ((),), Trials(), head.only, head.include, head.exclude).conditions


def attempts_of(path: Path) -> Iterator[TrialRecord]:
    """Yield every attempt at every trial, in the order in which they ran.

    Raises: ResultsError where an attempt is neither a trial's first nor follows its failed one before.
    """
    seen: set[int] = set()
    last: TrialRecord | None = None
    for line in journal.read(path):
        if not isinstance(line, TrialRecord):
            continue
        again = last is not None and last.outcome == "failed" and last.trial == line.trial
        expected = last.attempt + 1 if last is not None and again else 1
        if line.attempt != expected or (line.trial in seen and not again):
            what = f"trial {line.trial} is recorded twice"
            if line.attempt != expected and line.attempt > 1:
                what = f"attempt {line.attempt} at trial {line.trial} follows no failed one before it"
            raise ResultsError(f"{path}: {what}", hint="restore the journal from a copy")
        seen.add(line.trial)
        last = line
        yield line


def trials_of(path: Path) -> Iterator[TrialRecord]:
    """Yield each trial once, by its last attempt so far, in the order in which they ran.

    Raises: ResultsError as ``attempts_of``.
    """
    return (attempt for attempt, last in _with_last(attempts_of(path)) if last)


def _with_last(attempts: Iterable[TrialRecord]) -> Iterator[tuple[TrialRecord, bool]]:
    """Say of each attempt whether it is its trial's last so far."""
    before: TrialRecord | None = None
    for attempt in attempts:
        if before is not None:
            yield before, before.trial != attempt.trial
        before = attempt
    if before is not None:
        yield before, True


class _Attempts:
    """Counts the attempts at measured trials, by condition and metric, and those that came to nothing."""

    def __init__(self) -> None:
        self._tried: Counter[tuple[str, str]] = Counter()
        self._retried: Counter[tuple[str, str]] = Counter()
        self._again: Counter[str] = Counter()
        self._lost: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, attempt: TrialRecord, last: bool) -> None:
        if attempt.warmup:
            return
        self._again[attempt.condition] += attempt.attempt == 2
        for metric in attempt.metrics:
            self._tried[attempt.condition, metric] += 1
            self._retried[attempt.condition, metric] += attempt.attempt == 2
        if not last and attempt.failure is not None:
            self._lost[attempt.condition][f"{attempt.failure.phase}: {attempt.failure.reason}"] += 1

    def on(self, row: SummaryRow) -> SummaryRow:
        """Return the row with its counts."""
        cell = (row.condition, row.metric)
        return row.model_copy(update={"attempts": self._tried[cell], "retried": self._retried[cell]})

    def findings(self) -> Iterator[FindingRecord]:
        for condition, reasons in self._lost.items():
            again = self._again[condition]
            trials = f"{again} trial{'s' if again > 1 else ''}"
            why = "; ".join(f"{times} of {reasons.total()}: {what}" for what, times in reasons.most_common())
            yield FindingRecord(
                code="trial.retried",
                severity="warning",
                what=f"{condition}: {trials} needed more than one attempt ({why})",
                remedy="state the failed attempts with the numbers; cure the cause rather than retry",
            )


def stops_of(path: Path) -> Iterator[StopRecord]:
    """Yield what the stop rule decided, one decision a condition.

    Raises: ResultsError where a condition was stopped twice.
    """
    seen = set()
    for line in journal.read(path):
        if isinstance(line, StopRecord):
            if line.condition in seen:
                raise ResultsError(
                    f"{path}: {line.condition} is stopped twice", hint="restore the journal from a copy"
                )
            seen.add(line.condition)
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
    attempts = _Attempts()
    stops = {stop.condition: stop for stop in stops_of(path)}
    for trial, last in _with_last(attempts_of(path)):
        attempts.add(trial, last)
        for finding in trial.findings:
            findings[finding.model_copy(update={"what": f"{trial.condition}: {finding.what}"})] += 1
        if not last:
            continue
        outcomes[trial.outcome] += 1
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
            stops[condition.id].trials if condition.id in stops else head.count,
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
        trials=head.trials - sum(stop.skipped for stop in stops.values()),
        measured=outcomes["measured"],
        failed=outcomes["failed"],
        findings=(
            *head.findings,
            *(_times(finding, count) for finding, count in findings.items()),
            *attempts.findings(),
            *_about_stops(tuple(stops.values())),
        ),
        stops=tuple(stops.values()),
        rows=tuple(map(attempts.on, rows)),
    )


def _about_stops(stops: Sequence[StopRecord]) -> Iterator[FindingRecord]:
    """Say what the stop rule means for the intervals, and how far a condition still was at its last trial."""
    if any(stop.reason == "precise" for stop in stops):
        yield FindingRecord(
            code="stop.looks",
            severity="info",
            what="trials ended when the interval was narrow enough, looked at after every block: such a 95% "
            "interval covers some 92 to 94% (in simulations of skewed samples)",
            remedy="raise trials.until.min, or fix trials.count, where that matters",
        )
    for stop in stops:
        if stop.reason == "max":
            yield FindingRecord(
                code="stop.imprecise",
                severity="warning",
                what=f"{stop.condition}: {says(stop)}",
                remedy="raise trials.until.max, or state the precision that was reached",
            )


def _times(finding: FindingRecord, count: int) -> FindingRecord:
    """Say of a finding in how many trials it was made."""
    return finding.model_copy(update={"what": f"{finding.what} ({count} trial{'s' if count > 1 else ''})"})


def _row(
    head: RunRecord,
    condition: Condition,
    quantity: QuantityRecord,
    planned: int,
    values: Sequence[float],
    resolution: float | None,
    absent: Counter[str],
    failures: Counter[str],
) -> SummaryRow:
    missing = "; ".join(
        f"{times} of {planned}: {reason}"
        for reason, times in [*failures.most_common(), *absent.most_common()]
    )
    rest = planned - len(values) - failures.total() - absent.total()
    if rest > 0 and not missing:
        missing = f"{rest} of {'at most ' if head.until else ''}{planned}: not measured yet"
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
        planned=planned,
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
    left = [
        run,
        str(trial.trial),
        str(trial.block),
        str(trial.position),
        "true" if trial.warmup else "false",
        trial.backend,
        trial.condition,
    ]
    right = [show_level(trial.factors[path]) if path in trial.factors else "" for path in factors]
    for reading in trial.readings:
        yield [*left, reading.metric, reading.quantity, number(reading.value), reading.unit, *right]
    for absent in trial.absent:
        yield [*left, absent.metric, absent.quantity, "", units[absent.metric, absent.quantity], *right]


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
