"""The shape of run.json: what a run was made of, as it was before its first trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from vmvc.contract import Scalar
from vmvc.records import FindingRecord, Record


class PlanFacts(Record):
    """The plan in numbers; the order itself follows from these and the seed."""

    conditions: int = Field(ge=0, description="Planned conditions.")
    trials: int = Field(ge=0, description="Planned trials, warm-ups included; the most, with a stop rule.")
    blocks: int = Field(ge=0, description="Blocks, warm-up blocks included.")
    warmup: int = Field(ge=0, description="Warm-up trials of every condition.")
    count: int = Field(ge=1, description="Measured trials of every condition; the most, with a stop rule.")
    order: str = Field(description="Order of trials: `randomized-blocks`, `interleaved` or `sequential`.")
    seed: int = Field(description="Seed of the order.")
    groups: tuple[tuple[str, ...], ...] = Field(
        description="Metrics that share an instance, one list an instance."
    )
    only: tuple[str, ...] = Field(description="Selection given on the command line; empty for all.")


class BackendFacts(Record):
    """What one backend of the run was."""

    kind: str = Field(description="Kind of the backend.")
    isolation: str = Field(description="What stands between guest and host: `none`, `container` or `vm`.")
    options: Mapping[str, Any] = Field(description="Its options, defaults written out.")
    settled: Mapping[str, Scalar] = Field(
        default_factory=dict,
        description="Options that were left to it, as it has decided them for the whole run; absent in runs "
        "of older versions.",
    )
    facts: Mapping[str, Scalar] = Field(
        description="What the engine says of itself: versions and settings that decide numbers; `emulated` "
        "is true where a machine ran without hardware virtualisation. What it does not tell is absent."
    )


class ConditionFacts(Record):
    """What was prepared for one condition."""

    facts: Mapping[str, Scalar] = Field(
        description="Digests of the image, and the exact command line or domain XML."
    )
    findings: tuple[FindingRecord, ...] = Field(description="What was found while it was prepared.")


class About(Record):
    """run.json: what the run was made of."""

    version: int = Field(description="Version of the shapes in this folder.")
    run: str = Field(description="Id of the run.")
    vmvc: str = Field(description="Version of vmvc.")
    wall: str = Field(description="Wall-clock time (UTC, ISO 8601) of its begin; a label, never a duration.")
    folder: str = Field(description="Folder of the experiment's file, against which its paths were read.")
    git: Mapping[str, Scalar] = Field(
        description="`commit` of the checkout that holds the experiment, and whether it was `dirty`; empty "
        "where there is none."
    )
    experiment: Mapping[str, Any] = Field(description="The experiment, every default written out.")
    plan: PlanFacts = Field(description="What was planned.")
    host: Mapping[str, Scalar] = Field(
        description="Facts of the host, listed below; what it does not show is absent."
    )
    findings: tuple[FindingRecord, ...] = Field(
        description="What was found on host and engines before the first trial."
    )
    backends: Mapping[str, BackendFacts] = Field(description="Backend, by its name -> what it was.")
    metrics: Mapping[str, Mapping[str, Any]] = Field(
        description="Metric -> its options, defaults written out."
    )
    conditions: Mapping[str, ConditionFacts] = Field(description="Condition -> what was prepared for it.")
