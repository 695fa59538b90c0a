"""A run's folder -> its trials, readings, events and statistics for Python code and notebooks.

``vmvc.load`` is the door to a run that there is: everything is read when it is asked for, from the
journal, and nothing is written. ``vmvc.run`` measures, as ``vmvc run`` does, and returns the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_type_hints

from vmvc import attempts, checksums, journal, report, results, runs
from vmvc.building import Source, load_experiment
from vmvc.conditions import factors_of
from vmvc.errors import Fault, InputError, MissingSdk, ResultsError
from vmvc.execution import start
from vmvc.notebook import html_of
from vmvc.plan import show_level
from vmvc.planning import plan_of
from vmvc.records import FindingRecord
from vmvc.records_claims import VerdictRecord
from vmvc.records_journal import RunRecord, TrialRecord
from vmvc.records_summary import Summary, SummaryRow
from vmvc.results_csv import MEASUREMENT_COLUMNS, SERIES_COLUMNS, SUMMARY_COLUMNS
from vmvc.spec import Experiment, Level
from vmvc.watching import RunWatcher, Silent

__all__ = ["EventRow", "Experiment", "ReadingRow", "Run", "load", "load_experiment", "run"]

Kind = Literal["readings", "trials", "events", "summary"]
Library = Literal["pandas", "polars"]
KINDS: Final[tuple[Kind, ...]] = ("readings", "trials", "events", "summary")

TRIAL_COLUMNS: Final = (
    *SERIES_COLUMNS,
    *("attempt", "instance", "wall", "outcome", "phase", "error", "reason"),
)
EVENT_COLUMNS: Final = (*SERIES_COLUMNS, "event", "at_ns", "after", "resolution")


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """One row of measurements.csv; ``value`` is ``None`` where there is none, and ``reason`` says why."""

    run: str
    trial: int
    block: int
    position: int
    warmup: bool
    backend: str
    condition: str
    metric: str
    quantity: str
    value: float | None
    unit: str
    factors: Mapping[str, Level]
    resolution: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One instant of a trial.

    ``at_ns``: nanoseconds on the host's monotonic clock since its boot; ``after``: seconds since the trial's
    ``requested``, ``None`` where it has none; ``resolution``: seconds by which it may be recorded late.
    """

    run: str
    trial: int
    block: int
    position: int
    warmup: bool
    backend: str
    condition: str
    event: str
    at_ns: int
    after: float | None
    resolution: float
    factors: Mapping[str, Level]


class Run:
    """One run, read only; a trial stands by its last attempt, as in measurements.csv.

    Every member raises ResultsError where what it is read from is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        self.head: Final[RunRecord] = journal.head(self._journal)

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.head.run

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.head.name

    @cached_property
    def experiment(self) -> str:
        """The experiment's YAML, as it was given."""
        path = self.folder / "experiment.yaml"
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise ResultsError(f"{path}: {error.strerror}", hint="restore it from a copy") from error
        except UnicodeDecodeError as error:
            raise ResultsError(f"{path}: not UTF-8", hint="restore it from a copy") from error

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What run.json says: host, engines, options, digests, plan."""
        return runs.facts_of(self.folder)

    @cached_property
    def summary(self) -> Summary:
        """What summary.json says of the journal as it is now."""
        return results.summary_of(self.folder)

    @cached_property
    def verdicts(self) -> tuple[VerdictRecord, ...]:
        """A verdict on each claim; none where the experiment has no claims."""
        return results.verdicts_of(self.folder)

    @property
    def findings(self) -> tuple[FindingRecord, ...]:
        """What may spoil the numbers."""
        return self.summary.findings

    def trials(self) -> Iterator[TrialRecord]:
        """Yield each trial by its last attempt so far, in the order in which they ran."""
        return attempts.trials_of(self._journal)

    def attempts(self) -> Iterator[TrialRecord]:
        """Yield every attempt at every trial, failed ones included, in the order in which they ran."""
        return attempts.attempts_of(self._journal)

    def readings(self) -> Iterator[ReadingRow]:
        """Yield the rows of measurements.csv, in its order."""
        units = {(one.metric, one.quantity): one.unit for one in self.head.quantities}
        for trial in self.trials():
            left = self._left(trial)
            for one in trial.readings:
                named = (one.metric, one.quantity, one.value, one.unit)
                yield ReadingRow(*left, *named, trial.factors, one.resolution)
            for absent in trial.absent:
                unit = units[absent.metric, absent.quantity]
                yield ReadingRow(
                    *left, absent.metric, absent.quantity, None, unit, trial.factors, reason=absent.reason
                )

    def events(self) -> Iterator[EventRow]:
        """Yield the instants of every trial, each trial's in the order in which they happened."""
        for trial in self.trials():
            left = self._left(trial)
            begin = trial.events.get("requested")
            for name, one in sorted(trial.events.items(), key=lambda item: item[1].at_ns):
                after = None if begin is None else (one.at_ns - begin.at_ns) / 1e9
                yield EventRow(*left, name, one.at_ns, after, one.resolution, trial.factors)

    def frame(self, kind: Kind = "readings", library: Library = "pandas") -> Any:
        """Return a ``DataFrame`` of the library, a row a reading, trial, event, or condition and quantity.

        Columns: those of measurements.csv for ``readings`` and of summary.csv for ``summary``; factors come
        last, as text. What is absent is the library's null.

        Raises: MissingSdk where the library is not installed; ValueError for another kind or library.
        """
        if kind not in KINDS:
            raise ValueError(f"expected a kind of {', '.join(KINDS)}, got {kind!r}")
        if library not in ("pandas", "polars"):
            raise ValueError(f"expected pandas or polars, got {library!r}")
        try:
            frames = import_module(library)
        except ImportError as error:
            raise MissingSdk(f"{library} is not installed: {error}", hint=f"pip install {library}") from error
        table = self.table(kind)
        cells = list(table.rows)
        columns = {name: [row[at] for row in cells] for at, name in enumerate(table.types)}
        if library == "polars":
            types = {float: frames.Float64, int: frames.Int64, bool: frames.Boolean, str: frames.String}
            schema = {name: types[kind] for name, kind in table.types.items()}
            return frames.DataFrame(columns, schema=schema)
        kept = {float: "float64", int: "Int64", bool: "bool"}
        made = frames.DataFrame(columns, columns=list(table.types))
        return made.astype({name: kept[kind] for name, kind in table.types.items() if kind in kept})

    def table(self, kind: Kind = "readings") -> Table:
        """Return what a frame of that kind holds, without any library."""
        tables = {
            "readings": self._reading_table,
            "trials": self._trial_table,
            "events": self._event_table,
            "summary": self._summary_table,
        }
        types, rows = tables[kind]()
        factors = factors_of(self.head)
        cells = ([*row, *_levels(levels, factors)] for row, levels in rows)
        return Table({**types, **dict.fromkeys(factors, str)}, cells)

    @property
    def changed(self) -> tuple[Fault, ...]:
        """Files of the folder that are not as they were written; edited lines of the journal are errors."""
        return tuple(checksums.changed(self.folder))

    def _repr_html_(self) -> str:
        summary = self.summary
        to_come = summary.trials - summary.measured - summary.failed
        left = attempts.troubles(0, summary.cleanup_failed)
        lines = [
            ("experiment", self.name),
            ("run", self.id),
            ("folder", str(self.folder)),
            ("trials", f"{summary.measured} measured, {summary.failed} failed{left}, {to_come} to come"),
            ("conditions", ", ".join(dict.fromkeys(row.condition for row in summary.rows))),
            *(("claim " + one.id, one.sentence) for one in self.verdicts),
        ]
        return html_of(lines, summary)

    def __repr__(self) -> str:
        return f"<Run {self.name} {self.id}>"

    def _left(self, trial: TrialRecord) -> tuple[str, int, int, int, bool, str, str]:
        where = (trial.trial, trial.block, trial.position)
        return (self.id, *where, trial.warmup, trial.backend, trial.condition)

    def _reading_table(self) -> _Rows:
        types = _types(ReadingRow, MEASUREMENT_COLUMNS)
        return types, (([getattr(row, name) for name in types], row.factors) for row in self.readings())

    def _event_table(self) -> _Rows:
        types = _types(EventRow, EVENT_COLUMNS)
        return types, (([getattr(row, name) for name in types], row.factors) for row in self.events())

    def _trial_table(self) -> _Rows:
        types = _types(ReadingRow, SERIES_COLUMNS) | {"attempt": int}
        return {name: types.get(name, str) for name in TRIAL_COLUMNS}, self._trial_rows()

    def _trial_rows(self) -> Iterator[tuple[list[Any], Mapping[str, Level]]]:
        for one in self.trials():
            bad = one.failure
            why = (None, None, None) if bad is None else (bad.phase, bad.error, bad.reason)
            rest = (one.attempt, one.instance, one.wall, one.outcome)
            yield [*self._left(one), *rest, *why], one.factors

    def _summary_table(self) -> _Rows:
        types = _types(SummaryRow, SUMMARY_COLUMNS)
        return types, (
            ([cells[name] for name in types], row.factors)
            for row in self.summary.rows
            for cells in [row.model_dump() | {"flags": " ".join(row.flags)}]
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, each with the type of what it holds where it holds anything, and rows in their order."""

    types: Mapping[str, type]
    rows: Iterable[list[Any]]


_Rows = tuple[dict[str, type], Iterable[tuple[list[Any], Mapping[str, Level]]]]
"""Columns, and of each row its cells and its factors' levels."""


def _types(shape: type, columns: Iterable[str]) -> dict[str, type]:
    """Return the plain type of each column, from what the shape declares; text where it is anything else."""
    hints = get_type_hints(shape)
    plain = {name: {*get_args(hints[name]), hints[name]} & {float, int, bool, str} for name in columns}
    return {name: next(iter(found), str) for name, found in plain.items()}


def _levels(levels: Mapping[str, Level], factors: tuple[str, ...]) -> list[str | None]:
    return [show_level(levels[path]) if path in levels else None for path in factors]


def load(path: str | Path) -> Run:
    """Return the run in a folder; the folder of an experiment stands for its newest run.

    Raises: ResultsError where there is no run, or one of another version.
    """
    return Run(runs.newest(Path(path)))


def run(
    experiment: Source,
    *,
    results: str | Path = "results",
    only: Iterable[str] = (),
    trials: int | None = None,
    wait: bool = False,
    watcher: RunWatcher | None = None,
) -> Run:
    """Measure an experiment on real engines, as ``vmvc run`` does, and return its run.

    ``experiment``: a file, what a file would say, or a model; ``watcher`` is told what happens, by default
    nobody. An interrupt ends the trial in good order.

    Raises: InputError with every fault; EngineError, ImageError, ResultsError, StorageError, CleanupError;
    Interrupted, and ``vmvc run --resume`` goes on.
    """
    loaded = load_experiment(experiment)
    plan = plan_of(loaded, only=tuple(only), count=trials)
    if not len(plan):
        raise InputError(Fault("selects no condition", "only", hint="vmvc plan lists them"))
    finished = start(loaded, plan, Path(results), watcher or Silent(), wait=wait)
    report.write(finished.folder, finished.summary)
    return Run(finished.folder)
