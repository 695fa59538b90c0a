"""The shape of claims.json: a verdict on each claim of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, TypeAdapter

from vmvc.records import FindingRecord, Record


class VerdictRecord(Record):
    """What the numbers say of one claim."""

    id: str = Field(description="Id of the claim.")
    says: str = Field(description="The claim, as the experiment says it.")
    verdict: Literal["supported", "refuted", "inconclusive"] = Field(
        description="`supported`: the whole interval meets the bound; `refuted`: it misses it; else "
        "`inconclusive`."
    )
    sentence: str = Field(description="The verdict and the numbers that it stands on, for people.")
    metric: str = Field(description="Metric.")
    quantity: str = Field(description="Quantity of that metric.")
    form: str = Field(description="What is claimed: `median`, `ratio`, `order`, ...")
    unit: str = Field(default="", description="Unit of `value` and `interval`; absent where there is none.")
    conditions: tuple[str, ...] = Field(
        default=(),
        description="The conditions that decide; where the claim is about more, the decisive ones.",
    )
    decided: Mapping[str, int] = Field(
        default_factory=dict,
        description="Verdict -> in how many conditions (or groups of compared ones) it holds.",
    )
    values: Mapping[str, float] = Field(
        default_factory=dict, description="Condition -> its own figure, in the quantity's unit."
    )
    value: float | None = Field(default=None, description="The figure that the bound is about.")
    interval: tuple[float, float] | None = Field(
        default=None,
        description="Its confidence interval, widened by the resolution; absent where n is small.",
    )
    confidence: float = Field(description="Confidence level of the interval.")
    n: int = Field(
        default=0, ge=0, description="Values that it stands on; of two samples, the smaller one's."
    )
    method: str = Field(default="", description="How the interval was made.")
    spoilers: tuple[FindingRecord, ...] = Field(
        default=(), description="What may spoil the numbers that the verdict stands on."
    )
    needs_trials: int | None = Field(
        default=None,
        description="Trials of each condition that would roughly decide; absent where none would.",
    )
    reason: str = Field(default="", description="Why the verdict is inconclusive; empty where it is not.")


VERDICTS: Final[TypeAdapter[tuple[VerdictRecord, ...]]] = TypeAdapter(tuple[VerdictRecord, ...])
"""claims.json: one verdict a claim, in file order."""
