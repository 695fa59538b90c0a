"""How often conditions are tried, in which order, how patiently, and until when."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from vmvc.spec_model import Model
from vmvc.units import Duration, Percent


class Until(Model):
    """Stop a condition when its median is known well enough; on precision, never on significance."""

    metric: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*\.[a-z0-9][a-z0-9_.-]*$",
        description="Metric and quantity whose median decides, such as `startup.ready`.",
    )
    relative_ci: Percent = Field(
        description="Enough: the 95% interval's half-width over the median, at most."
    )
    max: int = Field(ge=1, le=10**6, description="Measured trials of a condition after which it ends anyhow.")
    min: int = Field(
        default=10,
        ge=1,
        le=10**6,
        description="Values before which no condition counts as known (an interval needs 6); at most `max`.",
    )


class Trials(Model):
    """How often, in which order and how patiently."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["count", "until"]}})

    count: int = Field(default=10, ge=1, le=10**6, description="Measured trials of every condition.")
    until: Until | None = Field(
        default=None, description="Instead of `count`: as many trials as a precise median takes."
    )
    warmup: int = Field(
        default=1, ge=0, le=1000, description="Trials of every condition that run first, stored and flagged."
    )
    order: Literal["randomized-blocks", "interleaved", "sequential"] = Field(
        default="randomized-blocks",
        description="`randomized-blocks`: each block holds every condition once, shuffled; `interleaved`: "
        "the same, in file order; `sequential`: all trials of a condition in a row.",
    )
    seed: int = Field(default=1, ge=0, le=2**32 - 1, description="Seed of the shuffled order.")
    timeout: Duration = Field(
        default=180.0, description="Longest time for each step of a trial: create, start, ready, observe."
    )
    stop_timeout: Duration = Field(
        default=30.0, description="Longest time for an orderly stop before the instance is ended by force."
    )
    cache: Literal["warm", "cold"] = Field(
        default="warm",
        description="`cold`: drop the host's page cache just before each trial (root only); also a factor.",
    )
    image: Literal["present", "absent"] = Field(
        default="present",
        description="`absent`: the backend's image is removed before each trial and pulled or made again in "
        "it, as `startup.image`; also a factor.",
    )
    pause: Duration = Field(default=0.0, description="Idle time before each trial, outside of what is timed.")
    retries: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How often a trial that failed is tried again at once; every attempt stays on record.",
    )
    on_failure: Literal["continue", "stop"] = Field(
        default="continue",
        description="`stop`: end the run, resumable, after a measured trial whose last attempt failed.",
    )

    @property
    def most(self) -> int:
        """The most measured trials of a condition."""
        return self.count if self.until is None else self.until.max

    @model_validator(mode="after")
    def _count_or_until(self) -> Trials:
        if self.until is not None and "count" in self.model_fields_set:
            raise PydanticCustomError("count_and_until", "expected count or until, got both")
        return self

    @model_serializer(mode="wrap")
    def _one_of_them(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if self.until is not None:
            written.pop("count", None)
        return written
