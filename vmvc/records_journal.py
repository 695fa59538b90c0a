"""The shapes of the journal's lines: a run, its trials, where it was taken up again, what a rule stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, TypeAdapter

from vmvc.contract import Absent, Event, Metric, Quantity, Reading, Series
from vmvc.records import UNIT, FindingRecord, Record
from vmvc.spec import Entry, Level
from vmvc.spec_claims import Claim

UNCLEAN: Final = "measured-cleanup-failed"
"""Outcome of a trial that has its values while its instance could not be removed."""


class Line(Record):
    """One line of the journal; ``check`` stands last in it."""

    check: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{16}$",
        description="Digest of this line without it and the line before's; absent in older runs.",
    )


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
    unit: str = Field(description=UNIT)
    better: Literal["lower", "higher", "neutral"] = Field(description="Which direction is better.")
    says: str = Field(description="Meaning, in one sentence.")
    rule: Literal["mean", "median"] | None = Field(
        default=None,
        description="How iterations within a trial become its value; absent where there are none.",
    )
    host_best: bool | None = Field(
        default=None, description="True where no guest can be better than the bare host; else absent."
    )
    own_clock: bool | None = Field(
        default=None,
        description="True where the guest's own clock told it, so that it is not compared across backends.",
    )

    @classmethod
    def of(cls, metric: str, quantity: Quantity) -> QuantityRecord:
        return cls(
            metric=metric,
            quantity=quantity.name,
            unit=quantity.unit,
            better=quantity.better,
            says=quantity.says,
            rule=quantity.rule or None,
            host_best=quantity.host_best or None,
            own_clock=quantity.own_clock or None,
        )


class ReadingRecord(Record):
    """One measured value."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    value: float = Field(description="Value in `unit`.")
    unit: str = Field(description=UNIT)
    resolution: float | None = Field(
        default=None, description="The true value lies between `value` less this and `value`, in `unit`."
    )
    iterations: tuple[float, ...] | None = Field(
        default=None,
        description="Values within this trial, in their order, that `value` is made of by the quantity's "
        "rule; absent where it is one value.",
    )
    warmups: tuple[float, ...] | None = Field(
        default=None, description="Values of the iterations before them, which are in no statistic."
    )

    @classmethod
    def of(cls, metric: str, reading: Reading, unit: str) -> ReadingRecord:
        return cls(
            metric=metric,
            quantity=reading.quantity,
            value=float(reading.value),
            unit=unit,
            resolution=reading.resolution,
            iterations=tuple(map(float, reading.iterations)) or None,
            warmups=tuple(map(float, reading.warmups)) or None,
        )


class AbsentRecord(Record):
    """A value that could not be had."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    reason: str = Field(description="Why there is no value.")

    @classmethod
    def of(cls, metric: str, absent: Absent) -> AbsentRecord:
        return cls(metric=metric, quantity=absent.quantity, reason=absent.reason)


def recorded_options(metric: Metric) -> dict[str, JsonValue]:
    """Return a metric's options, defaults written out, and its kind where that is not its name."""
    options: dict[str, JsonValue] = metric.options.model_dump(mode="json", exclude_none=True, by_alias=True)
    kind = type(metric).name
    return options if kind == metric.name else {"kind": kind, **options}


class SeriesRecord(Record):
    """Values that one metric took one after the other; `series-METRIC.csv` is made from them."""

    metric: str = Field(description="Metric.")
    columns: Mapping[str, str] = Field(description="Column -> its unit, as of a quantity.")
    rows: tuple[Mapping[str, float], ...] = Field(
        description="Column -> value; a value that there is not is not there."
    )

    @classmethod
    def of(cls, metric: str, series: Series) -> SeriesRecord:
        return cls(metric=metric, columns=dict(series.columns), rows=tuple(map(dict, series.rows)))


class Failure(Record):
    """Why a trial has no readings."""

    phase: str = Field(
        description="Step in which it failed: prepare, forget, cool, fetch, create, start, ready, observe "
        "or destroy."
    )
    error: str = Field(description="Class of the error.")
    reason: str = Field(description="What happened.")
    hint: str = Field(default="", description="What to do about it.")


class TrialRecord(Line):
    """One trial that has ended, measured or failed."""

    record: Literal["trial"] = Field(default="trial", description="Kind of this line.")
    trial: int = Field(ge=1, description="Number in the plan, from 1.")
    attempt: int = Field(
        default=1, ge=1, description="Which attempt at this trial, from 1; only a failed one has a next."
    )
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
    outcome: Literal["measured", "measured-cleanup-failed", "failed"] = Field(
        description="Whether there are readings; `measured-cleanup-failed`: there are, and its instance "
        "could not be removed, so that the run stopped. Runs of older versions call that `measured`, too."
    )
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
    proof: Mapping[str, float] = Field(
        default_factory=dict,
        description="`disk_read_bytes`: what the host read from its disks between request and readiness.",
    )

    @property
    def measured(self) -> bool:
        """Say whether it has its values, whatever became of its instance."""
        return self.outcome != "failed"


class UntilRecord(Record):
    """The rule by which conditions stop, as it was declared before the first trial."""

    metric: str = Field(description="Metric and quantity whose median decides.")
    relative_ci: float = Field(
        ge=0, description="Enough: the interval's half-width over the median, at most."
    )
    min: int = Field(ge=1, description="Values before which no condition counts as known.")
    max: int = Field(ge=1, description="Measured trials of a condition after which it ends anyhow.")


class SampleRecord(Record):
    """Values of one condition of another run."""

    values: tuple[float, ...] = Field(description="Values, in the quantity's unit, in the order of trials.")
    resolution: float = Field(ge=0, description="Largest resolution among them; 0 where none is known.")


class ReferenceRecord(Record):
    """What a claim on another run compares with, as it was before the first trial."""

    claim: str = Field(description="Id of the claim.")
    run: str = Field(description="Id of the other run.")
    samples: Mapping[str, SampleRecord] = Field(
        description="Condition -> values there; only conditions that have any."
    )


class RunRecord(Line):
    """First line of a journal: what the run is."""

    record: Literal["run"] = Field(default="run", description="Kind of this line.")
    version: int = Field(description="Version of the shapes in this folder.")
    run: str = Field(description="Id of the run.")
    experiment_sha256: str = Field(description="Digest of experiment.yaml, as given.")
    about_sha256: str = Field(
        default="", description="Digest of run.json, as written; absent in runs of older versions."
    )
    name: str = Field(description="Name of the experiment.")
    seed: int = Field(description="Seed of the order.")
    pause: float = Field(default=0.0, ge=0, description="Idle seconds before each trial.")
    count: int = Field(ge=1, description="Measured trials of every condition.")
    until: UntilRecord | None = Field(
        default=None, description="The stop rule; `count` is its `max` then. Absent where there is none."
    )
    trials: int = Field(ge=0, description="Planned trials, warm-ups included; the most, with a stop rule.")
    axes: Mapping[str, Mapping[str, tuple[Level, ...]]] = Field(
        description="Backend -> factor path -> levels: with `only`, every planned condition."
    )
    include: tuple[Entry, ...] = Field(
        default=(), description="Conditions besides those: backend, and factor path -> level."
    )
    exclude: tuple[Entry, ...] = Field(
        default=(), description="Combinations that are none: backend, and the levels that they have."
    )
    only: tuple[str, ...] = Field(description="Selection given on the command line; empty for all.")
    quantities: tuple[QuantityRecord, ...] = Field(description="What is measured.")
    options: Mapping[str, Mapping[str, JsonValue]] = Field(
        default_factory=dict, description="Metric -> its options; absent in runs of older versions."
    )
    baseline: str = Field(
        default="",
        description="Backend that the others are compared with: the first without isolation, else the first; "
        "absent in runs of older versions, which take the first.",
    )
    isolation: Mapping[str, Literal["none", "container", "vm"]] = Field(
        default_factory=dict,
        description="Backend -> what stands between guest and host; absent in runs of older versions.",
    )
    findings: tuple[FindingRecord, ...] = Field(
        default=(), description="What was found on host, engines and conditions before the first trial."
    )
    boot: str = Field(default="", description="Boot id of the host: instants of one boot can be compared.")
    claims: tuple[Claim, ...] = Field(default=(), description="The claims of the experiment, in file order.")
    references: tuple[ReferenceRecord, ...] = Field(
        default=(), description="Values of the other runs that claims refer to."
    )


class ResumeRecord(Line):
    """The run was taken up again."""

    record: Literal["resume"] = Field(default="resume", description="Kind of this line.")
    wall: str = Field(description="Wall-clock time (UTC, ISO 8601).")
    boot: str = Field(default="", description="Boot id of the host.")
    repaired_bytes: int = Field(default=0, ge=0, description="Bytes of a torn last line that were cut off.")
    findings: tuple[FindingRecord, ...] = Field(
        default=(), description="What was found on host and engines when it was taken up."
    )


class StepRecord(Record):
    """How well the median was known after one block."""

    n: int = Field(ge=0, description="Values until then.")
    median: float | None = Field(default=None, description="Their median; absent where there is none.")
    low: float | None = Field(
        default=None, description="Lower end of its 95% interval, widened by the resolution."
    )
    high: float | None = Field(default=None, description="Upper end; absent below n = 6.")
    relative: float | None = Field(
        default=None, description="Half-width over the median; absent without interval or at a median of 0."
    )


class StopRecord(Line):
    """A condition needs no more trials: the decision, and the way to it."""

    record: Literal["stop"] = Field(default="stop", description="Kind of this line.")
    backend: str = Field(description="Backend, by its name in the experiment.")
    condition: str = Field(description="Condition: the backend and its factor levels.")
    metric: str = Field(description="Metric and quantity whose median decided.")
    reason: Literal["precise", "max"] = Field(
        description="`precise`: the interval is narrow enough; `max`: it is not, and the most trials are run."
    )
    wanted: float = Field(ge=0, description="Half-width over the median that was wanted.")
    trials: int = Field(ge=1, description="Measured trials that each metric of the condition has had.")
    skipped: int = Field(ge=0, description="Trials of the plan that are left out by this decision.")
    path: tuple[StepRecord, ...] = Field(min_length=1, description="One step a block; the last one decided.")


JournalRecord = RunRecord | TrialRecord | ResumeRecord | StopRecord
JournalLine = Annotated[JournalRecord, Field(discriminator="record")]
JOURNAL_LINE: Final[TypeAdapter[JournalRecord]] = TypeAdapter(JournalLine)
