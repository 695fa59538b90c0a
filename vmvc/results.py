"""journal.jsonl -> measurements.csv, summary.json and .csv, claims.json; the same journal, the same bytes."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_core import PydanticCustomError

from vmvc import checksums, durable, journal, seal, stats
from vmvc.attempts import Attempts, attempts_of, stops_of, trials_of, with_last
from vmvc.comparisons import beaten_hosts, comparisons, trends
from vmvc.errors import ResultsError, StorageError
from vmvc.nesting import nested_of
from vmvc.plan import Condition, Plan, show_level
from vmvc.records import FindingRecord
from vmvc.records_claims import VERDICTS, VerdictRecord
from vmvc.records_journal import UNCLEAN, QuantityRecord, ReadingRecord, RunRecord, StopRecord, TrialRecord
from vmvc.records_summary import Summary
from vmvc.rows import Cell, flagged, row_of
from vmvc.sheet import SheetWriter
from vmvc.spec import Level, Trials
from vmvc.stopping import says

SERIES_COLUMNS: Final = ("run", "trial", "block", "position", "warmup", "backend", "condition")
MEASUREMENT_COLUMNS: Final = (*SERIES_COLUMNS, "metric", "quantity", "value", "unit")
ITERATION_COLUMNS: Final = (
    *SERIES_COLUMNS,
    *("metric", "quantity", "iteration", "discarded", "value", "unit"),
)
SUMMARY_COLUMNS: Final = (
    *("backend", "condition", "metric", "quantity", "unit", "better"),
    *("n", "failed", "failed_low", "failed_high", "cleanup_failed", "retried", "attempts", "planned"),
    *("median", "low", "high", "needs", "q1", "q3", "min", "max", "mean", "sd"),
    *("p90", "p90_low", "p90_high", "p95", "p95_low", "p95_high", "p99", "p99_low", "p99_high"),
    *("resolution", "outliers", "tau", "tau_p", "lag1"),
    *("iterations", "sd_within", "sd_between", "iterations_best", "flags", "reason"),
)

DERIVED: Final = ("measurements.csv", "summary.json", "summary.csv", "claims.json")

Key = tuple[str, str, str]
"""Condition, metric, quantity."""


def rebuild(folder: Path) -> Summary:
    """Write every derived file of the run's folder anew and return the summary.

    Raises: ResultsError where the journal cannot be read; StorageError where a file cannot be written.
    """
    path = folder / "journal.jsonl"
    head = journal.head(path)
    summary, found = made(path)
    try:
        _write_measurements(folder / "measurements.csv", head, path)
        durable.write(folder / "summary.json", summary.model_dump_json(exclude_none=True, indent=1) + "\n")
        durable.write(folder / "summary.csv", _summary_csv(head, summary))
        durable.write(folder / "claims.json", found)
        lists = [*_write_series(folder, head, path), *_write_iterations(folder, head, path)]
        checksums.write(folder, [*checksums.INPUTS, *DERIVED, *lists])
    except OSError as error:
        raise StorageError(
            f"{folder}: the results cannot be written: {error.strerror}; the journal is whole",
            hint=f"make room, then: vmvc show --rebuild {folder}",
        ) from error
    return summary


def made(path: Path) -> tuple[Summary, str]:
    """Return what stands in summary.json and in claims.json, made from the journal.

    Raises: ResultsError.
    """
    found = claims_json(verdicts(path))
    return seal.sealed(summarise(path).model_copy(update={"claims": seal.digest(found)}), path), found


def summary_of(folder: Path) -> Summary:
    """Return the summary of a run: what summary.json says where it fits the journal, else made anew.

    Raises: ResultsError.
    """
    path = folder / "journal.jsonl"
    return seal.stored(folder) or seal.sealed(summarise(path), path)


def verdicts(path: Path) -> tuple[VerdictRecord, ...]:
    """Return a verdict on every claim of the run, from the journal alone; none where it has no claims.

    Raises: ResultsError.
    """
    head = journal.head(path)
    if not head.claims:
        return ()
    from vmvc import claims  # only where a verdict must be made: it takes much to import

    try:
        return claims.verdicts(head, list(conditions_of(head)), trials_of(path))
    except PydanticCustomError as error:
        raise ResultsError(
            f"{path}:1: a claim does not fit its quantity: {error.message()}",
            hint="restore the journal from a copy",
        ) from error


def verdicts_of(folder: Path) -> tuple[VerdictRecord, ...]:
    """Return the verdicts of a run: what claims.json says where it fits the journal, else made anew.

    Raises: ResultsError.
    """
    path = folder / "journal.jsonl"
    if not journal.head(path).claims:
        return ()
    return seal.stored_verdicts(folder) or verdicts(path)


def claims_json(found: tuple[VerdictRecord, ...]) -> str:
    """Return what stands in claims.json."""
    return VERDICTS.dump_json(found, exclude_none=True, indent=1).decode() + "\n"


def factors_of(head: RunRecord) -> tuple[str, ...]:
    """Return every factor path of the run, in file order."""
    paths = [path for group in (head.axes.values(), head.include) for part in group for path in part]
    return tuple(path for path in dict.fromkeys(paths) if path != "backend")


def conditions_of(head: RunRecord) -> Iterator[Condition]:
    """Yield every planned condition, in file order."""
    yield from Plan(head.axes, ((),), Trials(), head.only, head.include, head.exclude).conditions


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


def summarise(path: Path) -> Summary:
    """Return statistics per planned condition and quantity, from the journal alone.

    Raises: ResultsError.
    """
    cells = cells_of(path)
    head = cells.head
    conditions = list(conditions_of(head))
    stops = {stop.condition: stop for stop in stops_of(path)}
    planned = {one.id: stops[one.id].trials if one.id in stops else head.count for one in conditions}
    rows = [
        cells.attempts.on(
            row_of(
                condition,
                quantity,
                cells.find(condition, quantity),
                planned[condition.id],
                ruled=head.until is not None,
            )
        )
        for condition in conditions
        for quantity in head.quantities
    ]
    made = (_times(finding, count) for finding, count in cells.findings.items())
    baseline = head.baseline or next(iter(head.axes), "")
    compared = tuple(comparisons(conditions, head.quantities, cells.find, baseline, head.seed))
    bare = head.isolation.get(baseline) == "none"
    return Summary(
        run=head.run,
        name=head.name,
        trials=head.trials - sum(stop.skipped for stop in stops.values()),
        measured=cells.outcomes["measured"] + cells.outcomes[UNCLEAN],
        cleanup_failed=cells.outcomes[UNCLEAN],
        failed=cells.outcomes["failed"],
        findings=(
            *head.findings,
            *made,
            *cells.attempts.findings(),
            *_about_stops(tuple(stops.values())),
            *flagged(rows),
            *(beaten_hosts(compared, head.quantities) if bare else ()),
        ),
        stops=tuple(stops.values()),
        rows=tuple(rows),
        baseline=baseline,
        comparisons=compared,
        trends=tuple(trends(conditions, head.quantities, cells.find)),
    )


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


def _write_measurements(path: Path, head: RunRecord, source: Path) -> None:
    """Stream the rows, so that a long run needs no more memory than a short one."""
    factors = factors_of(head)
    units = {(one.metric, one.quantity): one.unit for one in head.quantities}
    with durable.writing(path) as file:
        writer = SheetWriter(file)
        writer.row([*MEASUREMENT_COLUMNS, *factors])
        for trial in trials_of(source):
            writer.rows(_measurements(head.run, trial, factors, units))


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


def _write_series(folder: Path, head: RunRecord, source: Path) -> list[str]:
    """Write a file for each metric that took series and return their names; a run without any has none."""
    factors = factors_of(head)
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for trial in trials_of(source):
        for series in trial.series:
            columns[series.metric].update(series.columns)
    for metric, names in columns.items():
        with durable.writing(folder / f"series-{metric}.csv") as file:
            writer = SheetWriter(file)
            writer.row([*SERIES_COLUMNS, *names, *factors])
            for trial in trials_of(source):
                left, right = _left(head.run, trial), _right(trial, factors)
                for series in trial.series:
                    if series.metric != metric:
                        continue
                    for row in series.rows:
                        writer.row([*left, *(_cell(row.get(name)) for name in names), *right])
    return [f"series-{metric}.csv" for metric in columns]


def _write_iterations(folder: Path, head: RunRecord, source: Path) -> list[str]:
    """Write the values within trials, those to discard first; return the file's name, none without any."""
    if not any(one.rule for one in head.quantities):
        return []
    path = folder / "iterations.csv"
    factors = factors_of(head)
    with durable.writing(path) as file:
        writer = SheetWriter(file)
        writer.row([*ITERATION_COLUMNS, *factors])
        for trial in trials_of(source):
            left, right = _left(head.run, trial), _right(trial, factors)
            for one in trial.readings:
                numbered = enumerate([*(one.warmups or ()), *(one.iterations or ())], 1)
                about, early = [*left, one.metric, one.quantity], len(one.warmups or ())
                writer.rows(
                    [*about, str(place), show_level(place <= early), number(value), one.unit, *right]
                    for place, value in numbered
                )
    return [path.name]


def _summary_csv(head: RunRecord, summary: Summary) -> str:
    factors = factors_of(head)
    text = io.StringIO()
    writer = SheetWriter(text)
    writer.row([*SUMMARY_COLUMNS, *factors])
    for row in summary.rows:
        cells = row.model_dump()
        writer.row(
            [
                *(_cell(cells[column]) for column in SUMMARY_COLUMNS),
                *(_cell(row.factors.get(path)) for path in factors),
            ]
        )
    return text.getvalue()


def _cell(value: Level | tuple[str, ...] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(value)
    return number(value) if isinstance(value, float) else show_level(value)


def number(value: float) -> str:
    """Write a number so that it reads back the same; whole numbers without a fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
