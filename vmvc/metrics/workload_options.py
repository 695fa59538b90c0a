"""The options of a workload: what is run, and how often within a trial."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from vmvc.contract import Options
from vmvc.metrics.presets import PRESETS, SECONDS
from vmvc.metrics.task import Task, refuse
from vmvc.spec_model import exactly_one, schema_of_exactly_one
from vmvc.units import Duration, Size
from vmvc.wording import did_you_mean


def _known(name: str) -> str:
    if name not in PRESETS:
        raise PydanticCustomError(
            "preset", "expected a ready-made workload ({hint})", {"hint": did_you_mean(name, PRESETS)}
        )
    return name


class WorkloadOptions(Options):
    """A preset by name, or a task of one's own; and how often it is repeated within a trial."""

    model_config = ConfigDict(json_schema_extra=schema_of_exactly_one(("use", "run")))

    use: Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(PRESETS)})] | None = (
        Field(
            default=None, description="A ready-made task by name (`vmvc list metrics` says what each gives)."
        )
    )
    run: Task | None = Field(default=None, description="A task of your own.")
    iterations: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="Times that it is run and counted in each trial; nested, not pooled.",
    )
    warmup: int = Field(
        default=1, ge=0, le=1000, description="Times it runs before that; stored, in no statistic."
    )
    rule: Literal["mean", "median"] = Field(
        default="mean", description="How iterations become the trial's value."
    )
    time: Duration | None = Field(
        default=None,
        description="What `{seconds}` stands for, in whole seconds: how long one iteration lasts; by default "
        "2s (10s for stream, which takes 5s at least).",
    )
    size: Size = Field(default=64 * 2**20, description="What `{size}` stands for: bytes of a test file.")
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="What `{threads}` stands for; by default guest.cpus."
    )
    deadline: Duration = Field(
        default=120.0, description="Longest time for one iteration; one that takes longer fails the trial."
    )
    accept: Annotated[
        tuple[Annotated[int, Field(ge=0, le=255)], ...], Field(min_length=1, max_length=256)
    ] = Field(default=(0,), description="Exit codes that are no failure.")

    @model_validator(mode="after")
    def _sound(self) -> WorkloadOptions:
        exactly_one(self, ("use", "run"))
        if self.seconds != int(self.seconds) or self.seconds < 1:
            raise PydanticCustomError("workload", "time: expected whole seconds, at least 1s")
        if self.use is not None and self.seconds < (least := PRESETS[self.use].least):
            raise PydanticCustomError(
                "workload",
                "time: {use} gives its numbers after {least}s and more, got {got}s",
                {"use": self.use, "least": least, "got": round(self.seconds)},
            )
        if self.lasting and self.deadline <= self.seconds:
            raise PydanticCustomError("workload", "deadline: expected more than time")
        if self.time is not None and not self.lasting:
            raise PydanticCustomError(
                "workload", "time: the command has no {slot} for it", {"slot": "{seconds}"}
            )
        if self.run is not None:
            refuse(self.run)
        return self

    @property
    def lasting(self) -> bool:
        """True where the command is told how long to run, so that its own time says nothing."""
        task = self.run if self.use is None else PRESETS[self.use].task
        return task is not None and any("{seconds}" in argument for argument in task.command)

    @property
    def seconds(self) -> float:
        """What one iteration is told to last."""
        if self.time is not None:
            return self.time
        return SECONDS if self.use is None else PRESETS[self.use].seconds
