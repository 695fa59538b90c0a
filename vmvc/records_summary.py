"""The shape of summary.json: every planned condition and quantity, and how they compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from vmvc.records import UNIT, VERSION, FindingRecord, Record
from vmvc.records_journal import StopRecord
from vmvc.spec import Level


class SummaryRow(Record):
    """Statistics of one quantity in one condition; warm-ups are not in it."""

    backend: str = Field(description="Backend, by its name in the experiment.")
    condition: str = Field(description="Condition: the backend and its factor levels.")
    factors: Mapping[str, Level] = Field(description="Factor path -> level of this condition.")
    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    unit: str = Field(description=UNIT)
    better: Literal["lower", "higher", "neutral"] = Field(description="Which direction is better.")
    n: int = Field(ge=0, description="Values.")
    failed: int = Field(ge=0, description="Trials of the condition whose last attempt failed.")
    failed_low: float | None = Field(
        default=None,
        description="Lower end of the failed share's 95% Wilson interval, of trials that ended; absent where "
        "none has.",
    )
    failed_high: float | None = Field(
        default=None, description="Upper end of that interval; absent where failed_low is."
    )
    cleanup_failed: int = Field(
        default=0,
        ge=0,
        description="Trials of the condition that were measured and whose instance could not be removed.",
    )
    retried: int = Field(
        default=0, ge=0, description="Trials of the condition that needed more than one attempt."
    )
    attempts: int = Field(
        default=0,
        ge=0,
        description="Attempts at the condition's trials, failed ones included: what a success rate is over.",
    )
    planned: int = Field(
        ge=0, description="Trials of the condition that were planned; those it ran where a rule stopped it."
    )
    median: float | None = Field(default=None, description="Median; absent where n is 0.")
    q1: float | None = Field(default=None, description="Lower quartile; absent where n is 0.")
    q3: float | None = Field(default=None, description="Upper quartile; absent where n is 0.")
    min: float | None = Field(default=None, description="Smallest value; absent where n is 0.")
    max: float | None = Field(default=None, description="Largest value; absent where n is 0.")
    low: float | None = Field(
        default=None,
        description="Lower end of the median's 95% order-statistic interval, widened by the resolution; "
        "absent below n = 6.",
    )
    high: float | None = Field(default=None, description="Upper end of that interval; absent below n = 6.")
    needs: int | None = Field(
        default=None, description="The n from which on the median has an interval; absent where it has one."
    )
    mean: float | None = Field(default=None, description="Arithmetic mean; absent where n is 0.")
    sd: float | None = Field(default=None, description="Sample standard deviation; absent below n = 2.")
    p90: float | None = Field(
        default=None, description="90% quantile; absent below n = 36, where it has no interval."
    )
    p90_low: float | None = Field(
        default=None,
        description="Lower end of its 95% order-statistic interval, widened by the resolution; absent where "
        "p90 is.",
    )
    p90_high: float | None = Field(
        default=None, description="Upper end of that interval; absent where p90 is."
    )
    p95: float | None = Field(default=None, description="95% quantile; absent below n = 72.")
    p95_low: float | None = Field(default=None, description="Lower end of its interval; absent where p95 is.")
    p95_high: float | None = Field(
        default=None, description="Upper end of its interval; absent where p95 is."
    )
    p99: float | None = Field(default=None, description="99% quantile; absent below n = 368.")
    p99_low: float | None = Field(default=None, description="Lower end of its interval; absent where p99 is.")
    p99_high: float | None = Field(
        default=None, description="Upper end of its interval; absent where p99 is."
    )
    resolution: float | None = Field(
        default=None, description="Largest resolution among the values; absent where none is known."
    )
    iterations: int | None = Field(
        default=None,
        description="Iterations in each trial that its value is made of; absent where there are none, or "
        "where trials differ in it.",
    )
    sd_within: float | None = Field(
        default=None, description="Standard deviation of the iterations within a trial, by all trials."
    )
    sd_between: float | None = Field(
        default=None,
        description="The part of the trials' standard deviation that their iterations do not explain.",
    )
    iterations_best: int | None = Field(
        default=None,
        description="Iterations in each trial that would give the narrowest interval in the same time "
        "(Kalibera and Jones); absent where it cannot be told, and where starts add no spread of their own.",
    )
    outliers: int | None = Field(
        default=None,
        description="Values flagged by their modified z-score (beyond 3.5), which all stay in; absent where "
        "n is 0.",
    )
    tau: float | None = Field(
        default=None,
        description="Kendall's tau of the values against their order in time; absent below n = 8, and where "
        "all are equal.",
    )
    tau_p: float | None = Field(
        default=None, description="Its two-sided p-value: small where values drift; absent where tau is."
    )
    lag1: float | None = Field(
        default=None, description="Lag-1 autocorrelation of the values' ranks; absent where tau is."
    )
    flags: tuple[str, ...] = Field(
        default=(),
        description="What to look at in the points: outliers, slow-first, drift, autocorrelated, bimodal, "
        "at-resolution.",
    )
    reason: str = Field(default="", description="Why values are missing, where any is.")


class Comparison(Record):
    """One condition against the baseline's at the same levels, for one quantity."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    unit: str = Field(description=UNIT)
    better: Literal["lower", "higher", "neutral"] = Field(description="Which direction is better.")
    condition: str = Field(description="Condition that is compared.")
    baseline: str = Field(description="Condition that it is compared with.")
    n: int = Field(ge=0, description="Values of the condition.")
    baseline_n: int = Field(ge=0, description="Values of the baseline.")
    ratio: float | None = Field(
        default=None, description="Median over the baseline's median; absent where that is 0."
    )
    ratio_low: float | None = Field(
        default=None,
        description="Lower end of the ratio's 95% percentile bootstrap interval, widened by the resolutions.",
    )
    ratio_high: float | None = Field(default=None, description="Upper end of that interval.")
    ratio_reason: str = Field(default="", description="Why the ratio or its interval is absent.")
    difference: float | None = Field(default=None, description="Median less the baseline's, in `unit`.")
    difference_low: float | None = Field(
        default=None, description="Lower end of the difference's interval, as of the ratio's."
    )
    difference_high: float | None = Field(default=None, description="Upper end of that interval.")
    paired: bool = Field(
        default=False,
        description="Whether blocks were resampled whole, so that what disturbed both in a block cancels.",
    )
    a12: float | None = Field(
        default=None, description="Chance that a value is larger than one of the baseline; ties count half."
    )
    delta: float | None = Field(default=None, description="Cliff's delta, 2 a12 - 1.")
    test: str = Field(default="", description="Name of the two-sided test; absent where none was made.")
    statistic: float | None = Field(default=None, description="Its statistic: U, or Brunner and Munzel's W.")
    p: float | None = Field(default=None, description="Its p-value.")
    p_adjusted: float | None = Field(
        default=None, description="p by Holm, over all comparisons of this quantity in the run."
    )
    family: int | None = Field(default=None, description="How many comparisons that are.")
    needs: int | None = Field(
        default=None, description="Values of each from which on all of this can be given."
    )
    reason: str = Field(default="", description="Why something is absent, where anything is.")


class Trend(Record):
    """One quantity across the levels of one factor, everything else held."""

    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    unit: str = Field(description=UNIT)
    factor: str = Field(description="Factor path.")
    backend: str = Field(description="Backend, by its name in the experiment.")
    factors: Mapping[str, Level] = Field(description="The other factors' levels, which are held.")
    levels: tuple[Level, ...] = Field(description="Levels with values, in file order.")
    n: tuple[int, ...] = Field(description="Values at each of them.")
    test: str = Field(default="", description="Name of the test; absent where none was made.")
    statistic: float | None = Field(default=None, description="Its statistic: Kruskal and Wallis's H.")
    p: float | None = Field(default=None, description="Its p-value.")
    p_adjusted: float | None = Field(
        default=None, description="p by Holm, over all trends of this quantity in the run."
    )
    slope: float | None = Field(
        default=None, description="Theil-Sen slope in `unit` per `level_unit`; absent where levels are text."
    )
    slope_low: float | None = Field(default=None, description="Lower end of its 95% interval.")
    slope_high: float | None = Field(default=None, description="Upper end of that interval.")
    intercept: float | None = Field(default=None, description="Value of that line at level 0, in `unit`.")
    level_unit: str = Field(default="", description="Unit of the levels; absent where these are text.")
    reason: str = Field(default="", description="Why something is absent, where anything is.")


class Summary(Record):
    """summary.json: every planned condition and quantity."""

    version: int = Field(default=VERSION, description="Version of this shape.")
    run: str = Field(description="Id of the run.")
    name: str = Field(description="Name of the experiment.")
    confidence: float = Field(default=0.95, description="Confidence level of the intervals.")
    trials: int = Field(
        ge=0, description="Planned trials, warm-ups included, less those that the stop rule left out."
    )
    measured: int = Field(ge=0, description="Trials with readings, warm-ups included.")
    cleanup_failed: int = Field(
        default=0,
        ge=0,
        description="Those of them whose instance could not be removed, so that the run stopped there.",
    )
    failed: int = Field(ge=0, description="Trials whose last attempt failed, warm-ups included.")
    findings: tuple[FindingRecord, ...] = Field(
        default=(), description="What may spoil these numbers: found before the run, then in its trials."
    )
    stops: tuple[StopRecord, ...] = Field(
        default=(), description="Which conditions the stop rule has ended, and why; none without a rule."
    )
    rows: tuple[SummaryRow, ...] = Field(description="One row a condition and quantity.")
    baseline: str = Field(default="", description="Backend that the others are compared with.")
    comparisons: tuple[Comparison, ...] = Field(
        default=(), description="Every other condition against the baseline's at the same levels."
    )
    trends: tuple[Trend, ...] = Field(
        default=(), description="Every quantity across the levels of each factor, everything else held."
    )
    claims: str = Field(default="", description="Digest of claims.json; absent in what older versions made.")
    seal: str = Field(
        default="", description="Digest of the journal, of vmvc's version and of all else in this file."
    )
