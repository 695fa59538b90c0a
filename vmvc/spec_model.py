"""What all models of the language share: their base, names, levels and "exactly one of these keys"."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

NAME: Final = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"

Name = Annotated[str, Field(pattern=NAME)]
"""A name that is safe as folder, label, host name and condition: ``a-z 0-9 -``, 1 to 64 characters."""

MOST_FACTORS: Final = 20
FACTOR_PATH: Final = r"^((guest|backends)(\.[A-Za-z0-9_-]+)+|trials\.(cache|image))$"
FactorPath = Annotated[str, Field(pattern=FACTOR_PATH)]
"""``guest.KEY``, ``backends.NAME.options.KEY``, ``trials.cache`` or ``trials.image``."""

Level = bool | int | float | str
"""One level of a factor, as the file gives it."""


class Model(BaseModel):
    """Frozen; refuses unknown keys and, in a file, any value of another type."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=False
    )


def exactly_one(model: BaseModel, keys: tuple[str, ...]) -> None:
    """Refuse a model that has none or several of these keys.

    Raises: PydanticCustomError (a ``ValueError``).
    """
    given = [key for key in keys if getattr(model, key) is not None]
    if len(given) != 1:
        raise PydanticCustomError("exactly_one", "expected exactly one of {keys}", {"keys": ", ".join(keys)})


def schema_of_exactly_one(keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the same as a part of a JSON Schema."""
    return {"oneOf": [{"required": [key]} for key in keys]}
