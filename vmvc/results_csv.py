"""The journal and the summary -> the CSV files of a run: their columns and rows."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from vmvc import durable
from vmvc.attempts import trials_of
from vmvc.conditions import factors_of
from vmvc.plan import show_level
from vmvc.records_journal import RunRecord, TrialRecord
from vmvc.records_summary import Summary
from vmvc.sheet import SheetWriter, number
from vmvc.spec import Level

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


def write_measurements(path: Path, head: RunRecord, source: Path) -> None:
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


def write_series(folder: Path, head: RunRecord, source: Path) -> list[str]:
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


def write_iterations(folder: Path, head: RunRecord, source: Path) -> list[str]:
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


def summary_csv(head: RunRecord, summary: Summary) -> str:
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
