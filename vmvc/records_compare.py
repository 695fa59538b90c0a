"""The shape that ``vmvc compare --json`` prints: what several runs say beside a reference."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from vmvc.records import VERSION, Record

Verdict = Literal["faster", "slower", "lower", "higher", "same", "cannot tell", "unlike"]


class ComparedWith(Record):
    """Which run it is."""

    run: str = Field(description="Id of the run.")
    name: str = Field(description="Name of the experiment.")
    folder: str = Field(description="Folder of the run, as it was given.")


class ComparedRow(Record):
    """One quantity in one condition of a run against the same of the reference."""

    condition: str = Field(description="Condition: the backend and its factor levels.")
    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    unit: str = Field(description="Unit of the quantity.")
    better: Literal["lower", "higher", "neutral"] = Field(description="Which direction is better.")
    n: int = Field(ge=0, description="Values of the run.")
    reference_n: int = Field(ge=0, description="Values of the reference.")
    median: float = Field(description="Median of the run, as in its summary.json.")
    reference_median: float = Field(description="Median of the reference.")
    ratio: float | None = Field(
        default=None, description="Median over the reference's; absent where that is 0, and of unlike things."
    )
    ratio_low: float | None = Field(
        default=None,
        description="Lower end of the ratio's 95% percentile bootstrap interval, widened by the resolutions.",
    )
    ratio_high: float | None = Field(default=None, description="Upper end of that interval.")
    difference: float | None = Field(default=None, description="Median less the reference's, in `unit`.")
    difference_low: float | None = Field(default=None, description="Lower end of its interval.")
    difference_high: float | None = Field(default=None, description="Upper end of its interval.")
    a12: float | None = Field(
        default=None, description="Chance that a value is larger than one of the reference; ties count half."
    )
    delta: float | None = Field(default=None, description="Cliff's delta, 2 a12 - 1.")
    test: str = Field(default="", description="Name of the two-sided test; absent where none was made.")
    p: float | None = Field(default=None, description="Its p-value.")
    p_adjusted: float | None = Field(default=None, description="p by Holm, over all rows of the two runs.")
    verdict: Verdict = Field(description="What the numbers say.")
    effect: Literal["better", "worse", ""] = Field(
        default="", description="What a difference means; empty where there is none, or no better direction."
    )
    flags: tuple[str, ...] = Field(
        default=(), description="What else differs in this condition, so that the runs may not be alike."
    )
    reason: str = Field(default="", description="Why it cannot be told, or is not compared.")


class Unmatched(Record):
    """What only one of the two runs has."""

    condition: str = Field(default="", description="Condition; absent where it is a quantity in all of them.")
    quantity: str = Field(default="", description="METRIC.QUANTITY; absent where it is a whole condition.")
    reason: str = Field(description="Which run has no values of it, and why.")


class Difference(Record):
    """One fact that the two runs do not share."""

    what: str = Field(description="Where it stands in run.json, with dots between the keys.")
    reference: JsonValue = Field(
        default=None, description="What the reference has; absent where it has none."
    )
    other: JsonValue = Field(default=None, description="What the run has; absent where it has none.")


class ComparedRun(ComparedWith):
    """A run beside the reference."""

    family: int = Field(ge=0, description="Tests that Holm's correction is over.")
    rows: tuple[ComparedRow, ...] = Field(description="One row a condition and quantity that both have.")
    unmatched: tuple[Unmatched, ...] = Field(default=(), description="What only one of them has.")
    differences: tuple[Difference, ...] = Field(
        default=(), description="What differs in environment, options and parameters."
    )
    notes: tuple[str, ...] = Field(default=(), description="What to know before reading the numbers.")


class ComparedRuns(Record):
    """Runs beside their reference."""

    version: int = Field(default=VERSION, description="Version of this shape.")
    reference: ComparedWith = Field(description="The run that the others are compared with.")
    tolerance: float = Field(ge=0, description="Share by which a median may differ and still be the same.")
    confidence: float = Field(default=0.95, description="Confidence level of the intervals.")
    runs: tuple[ComparedRun, ...] = Field(min_length=1, description="The others, in the given order.")
