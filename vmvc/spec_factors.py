"""What is swept: paths to settings -> levels, and conditions to add and to leave out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from vmvc.spec_model import FACTOR_PATH, MOST_FACTORS, Level, Model

MOST_ENTRIES: Final = 1000
"""Most conditions that are listed under ``include``, and most entries of ``exclude``."""
Entry = Mapping[str, Level]
"""Levels by factor path, and under ``backend`` the one backend that they are for."""
_Key = Annotated[str, Field(pattern=rf"^(backend|{FACTOR_PATH[2:-2]})$")]
_Entries = Annotated[
    tuple[Annotated[Mapping[_Key, Level], Field(min_length=1, max_length=MOST_FACTORS)], ...],
    Field(max_length=MOST_ENTRIES),
]


class Factors(Model):
    """What to sweep: a path to a setting -> its levels. Every combination is a condition."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "propertyNames": {"anyOf": [{"enum": ["include", "exclude"]}, {"pattern": FACTOR_PATH}]},
            "maxProperties": MOST_FACTORS + 2,
        },
    )
    __pydantic_extra__: dict[str, Annotated[tuple[Level, ...], Field(min_length=1, max_length=10_000)]]

    include: _Entries = Field(
        default=(),
        description="Conditions to add: each a mapping of paths (and `backend`) to levels. What an entry "
        "does not name stays as the file gives it. Where nothing is swept, these are all conditions.",
    )
    exclude: _Entries = Field(
        default=(),
        description="Combinations to leave out: those that have all levels (and the `backend`) of an entry.",
    )

    @property
    def axes(self) -> Mapping[str, tuple[Level, ...]]:
        """What is swept: path -> levels, in file order."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _paths(self) -> Factors:
        if len(self.axes) > MOST_FACTORS:
            counts = {"field_type": "Dictionary", "max_length": MOST_FACTORS, "actual_length": len(self.axes)}
            raise PydanticKnownError("too_long", counts)
        if not all(re.fullmatch(FACTOR_PATH, path) for path in self.axes):
            raise PydanticCustomError("factor_path", "expected paths to settings")
        return self
