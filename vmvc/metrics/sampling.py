"""An interval and a length -> the moments at which a ready instance is looked at again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from vmvc.contract import Clock, Options
from vmvc.units import Duration

MOST: Final = 100_000
"""Rows that one trial may add to a series."""


class Sample(Options):
    """How often and how long to look again."""

    every: Duration = Field(
        default=1.0, ge=0.1, description="Time from one look to the next; 100ms at the least."
    )
    for_: Duration = Field(alias="for", gt=0, description="How long to go on.")

    @model_validator(mode="after")
    def _some_but_not_too_many(self) -> Sample:
        if self.for_ < self.every:
            raise PydanticCustomError("sample", "`for` is shorter than `every`, so there is no second look")
        if self.for_ / self.every > MOST:
            raise PydanticCustomError("sample", "`for` and `every` make more than 100,000 looks a trial")
        return self

    def moments(self, clock: Clock) -> Iterator[float]:
        """Wait for each moment and yield the seconds since the first, which is now.

        They lie on a fixed grid, so that they do not drift; what a late look has missed is left out.
        """
        began = clock.now()
        count = round(self.for_ / self.every)
        step = 0
        while step <= count:
            due = began + round(step * self.every * 1e9)
            if (left := (due - clock.now()) / 1e9) > 0:
                clock.sleep(left)
            now = clock.now()
            yield (now - began) / 1e9
            step = max(step + 1, int((clock.now() - began) / 1e9 / self.every) + 1)
