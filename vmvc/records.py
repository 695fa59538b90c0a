"""The shapes on disk, versioned: the lines of the journal and the summary.

Field names are the keys of the files; descriptions go into ``schemas/`` and the README. A missing value is an
absent key or an entry under ``absent``, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from vmvc.contract import Absent, Event, Finding, Quantity, Reading, Series
from vmvc.spec import Level

VERSION: Final = 1
"""Version of every file in a run's folder; a folder of another version is refused."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EventRecord(Record):
    """One instant of a trial."""

    at_ns: int = Field(description="Nanoseconds on the host's monotonic clock since its boot.")
    resolution: float = Field(
        description="Seconds by which the instant may be recorded late; 0 where the host was told.", ge=0
    )

    @classmethod
    def of(cls, event: Event) -> EventRecord:
        return cls(at_ns=event.at, resolution=event.resolution)


class QuantityRecord(Record):
    """What one value of a metric means."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    unit: str = Field(description="`s`, `B` or `1`.")
    better: Literal["lower", "higher", "neutral"] = Field(description="Which direction is better.")
    says: str = Field(description="Meaning, in one sentence.")

    @classmethod
    def of(cls, metric: str, quantity: Quantity) -> QuantityRecord:
        return cls(
            metric=metric,
            quantity=quantity.name,
            unit=quantity.unit,
            better=quantity.better,
            says=quantity.says,
        )


class ReadingRecord(Record):
    """One measured value."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    value: float = Field(description="Value in `unit`.")
    unit: str = Field(description="`s`, `B` or `1`.")
    resolution: float | None = Field(
        default=None, description="The true value lies between `value` less this and `value`, in `unit`."
    )

    @classmethod
    def of(cls, metric: str, reading: Reading, unit: str) -> ReadingRecord:
        return cls(
            metric=metric,
            quantity=reading.quantity,
            value=float(reading.value),
            unit=unit,
            resolution=reading.resolution,
        )


class AbsentRecord(Record):
    """A value that could not be had."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    reason: str = Field(description="Why there is no value.")

    @classmethod
    def of(cls, metric: str, absent: Absent) -> AbsentRecord:
        return cls(metric=metric, quantity=absent.quantity, reason=absent.reason)


class SeriesRecord(Record):
    """Values that one metric took one after the other; `series-METRIC.csv` is made from them."""

    metric: str = Field(description="Metric.")
    columns: Mapping[str, str] = Field(description="Column -> its unit: `s`, `B` or `1`.")
    rows: tuple[Mapping[str, float], ...] = Field(
        description="Column -> value; a value that there is not is not there."
    )

    @classmethod
    def of(cls, metric: str, series: Series) -> SeriesRecord:
        return cls(metric=metric, columns=dict(series.columns), rows=tuple(map(dict, series.rows)))


class FindingRecord(Record):
    """Something that may spoil a number."""

    code: str = Field(description="Stable name of the finding.")
    severity: Literal["info", "warning", "error"] = Field(description="How bad it is.")
    what: str = Field(description="What was found.")
    remedy: str = Field(default="", description="What to do about it.")

    @classmethod
    def of(cls, finding: Finding) -> FindingRecord:
        return cls(
            code=finding.code, severity=finding.severity.value, what=finding.what, remedy=finding.remedy
        )


class Failure(Record):
    """Why a trial has no readings."""

    phase: str = Field(
        description="Step in which it failed: prepare, create, start, ready, observe, destroy."
    )
    error: str = Field(description="Class of the error.")
    reason: str = Field(description="What happened.")
    hint: str = Field(default="", description="What to do about it.")


class TrialRecord(Record):
    """One trial that has ended, measured or failed."""

    record: Literal["trial"] = Field(default="trial", description="Kind of this line.")
    trial: int = Field(ge=1, description="Number in the plan, from 1.")
    block: int = Field(ge=1, description="Block, from 1; warm-up blocks come first.")
    position: int = Field(ge=1, description="Place within the block, from 1.")
    warmup: bool = Field(description="True for a warm-up: stored, never summarised.")
    backend: str = Field(description="Backend, by its name in the experiment.")
    condition: str = Field(description="Condition: the backend and its factor levels.")
    factors: Mapping[str, Level] = Field(description="Factor path -> level of this condition.")
    metrics: tuple[str, ...] = Field(description="Metrics that this life of an instance was for.")
    instance: str = Field(description="Name of the instance on its engine.")
    wall: str = Field(
        description="Wall-clock time (UTC, ISO 8601) of the trial's begin; a label, never a duration."
    )
    outcome: Literal["measured", "failed"] = Field(description="Whether there are readings.")
    failure: Failure | None = Field(default=None, description="Why it failed; absent where it did not.")
    events: Mapping[str, EventRecord] = Field(description="Event -> instant; only those that happened.")
    readings: tuple[ReadingRecord, ...] = Field(default=(), description="Values; none in a failed trial.")
    absent: tuple[AbsentRecord, ...] = Field(default=(), description="Values that could not be had.")
    findings: tuple[FindingRecord, ...] = Field(default=(), description="What may spoil these numbers.")
    series: tuple[SeriesRecord, ...] = Field(
        default=(),
        description="Values taken one after the other, one table a metric; none where no metric does.",
    )
    noise: Mapping[str, float] = Field(
        default_factory=dict, description="What else the host did during the trial, by name."
    )


class RunRecord(Record):
    """First line of a journal: what the run is."""

    record: Literal["run"] = Field(default="run", description="Kind of this line.")
    version: int = Field(description="Version of the shapes in this folder.")
    run: str = Field(description="Id of the run.")
    experiment_sha256: str = Field(description="Digest of experiment.yaml, as given.")
    name: str = Field(description="Name of the experiment.")
    seed: int = Field(description="Seed of the order.")
    count: int = Field(ge=1, description="Measured trials of every condition.")
    trials: int = Field(ge=0, description="Planned trials, warm-ups included.")
    axes: Mapping[str, Mapping[str, tuple[Level, ...]]] = Field(
        description="Backend -> factor path -> levels: with `only`, every planned condition."
    )
    only: tuple[str, ...] = Field(description="Selection given on the command line; empty for all.")
    quantities: tuple[QuantityRecord, ...] = Field(description="What is measured.")
    findings: tuple[FindingRecord, ...] = Field(
        default=(), description="What was found on host, engines and conditions before the first trial."
    )
    boot: str = Field(default="", description="Boot id of the host: instants of one boot can be compared.")


class ResumeRecord(Record):
    """The run was taken up again."""

    record: Literal["resume"] = Field(default="resume", description="Kind of this line.")
    wall: str = Field(description="Wall-clock time (UTC, ISO 8601).")
    boot: str = Field(default="", description="Boot id of the host.")
    repaired_bytes: int = Field(default=0, ge=0, description="Bytes of a torn last line that were cut off.")


JournalLine = Annotated[RunRecord | TrialRecord | ResumeRecord, Field(discriminator="record")]
JOURNAL_LINE: Final[TypeAdapter[RunRecord | TrialRecord | ResumeRecord]] = TypeAdapter(JournalLine)


class SummaryRow(Record):
    """Statistics of one quantity in one condition; warm-ups are not in it."""

    backend: str = Field(description="Backend, by its name in the experiment.")
    condition: str = Field(description="Condition: the backend and its factor levels.")
    factors: Mapping[str, Level] = Field(description="Factor path -> level of this condition.")
    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    unit: str = Field(description="`s`, `B` or `1`.")
    better: Literal["lower", "higher", "neutral"] = Field(description="Which direction is better.")
    n: int = Field(ge=0, description="Values.")
    failed: int = Field(ge=0, description="Trials of the condition that failed.")
    planned: int = Field(ge=0, description="Trials of the condition that were planned.")
    median: float | None = Field(default=None, description="Median; absent where n is 0.")
    q1: float | None = Field(default=None, description="Lower quartile.")
    q3: float | None = Field(default=None, description="Upper quartile.")
    min: float | None = Field(default=None, description="Smallest value.")
    max: float | None = Field(default=None, description="Largest value.")
    low: float | None = Field(
        default=None,
        description="Lower end of the median's 95% order-statistic interval, widened by the resolution.",
    )
    high: float | None = Field(default=None, description="Upper end of that interval; absent below n = 6.")
    resolution: float | None = Field(default=None, description="Largest resolution among the values.")
    outliers: int | None = Field(
        default=None, description="Values flagged by their modified z-score (beyond 3.5); all stay in."
    )
    reason: str = Field(default="", description="Why values are missing, where any is.")


class Summary(Record):
    """summary.json: every planned condition and quantity."""

    version: int = Field(default=VERSION, description="Version of this shape.")
    run: str = Field(description="Id of the run.")
    name: str = Field(description="Name of the experiment.")
    confidence: float = Field(default=0.95, description="Confidence level of the intervals.")
    trials: int = Field(ge=0, description="Planned trials, warm-ups included.")
    measured: int = Field(ge=0, description="Trials with readings, warm-ups included.")
    failed: int = Field(ge=0, description="Trials that failed, warm-ups included.")
    findings: tuple[FindingRecord, ...] = Field(
        default=(), description="What may spoil these numbers: found before the run, then in its trials."
    )
    rows: tuple[SummaryRow, ...] = Field(description="One row a condition and quantity.")
