"""Values that several parts of an experiment file share: ports, paths, commands, and a choice by one key."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field
from pydantic_core import PydanticCustomError

from vmvc.spec_model import Model

Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute(path: str) -> str:
    """Accept an absolute, normal POSIX path without ``..``."""
    pure = PurePosixPath(path)
    if not pure.name or path.startswith("//") or ".." in pure.parts or path != str(pure):
        raise PydanticCustomError(
            "path", "expected a plain absolute path without '..', such as /www/index.html"
        )
    return path


GuestPath = Annotated[
    str,
    Field(
        pattern=r"^/[^\x00]*$",
        max_length=4096,
        json_schema_extra={"not": {"pattern": r"//|/$|/\.{1,2}(/|$)"}},
    ),
    AfterValidator(_absolute),
]
Argument = Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=131072)]
Command = Annotated[tuple[Argument, ...], Field(min_length=1, max_length=1024)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def exactly_one_key(*wanted: str) -> Discriminator:
    """Tell the members of a union by the one key that each of them must have."""

    def choose(value: object) -> str | None:
        if isinstance(value, Model):
            value = type(value).model_fields
        given = [key for key in wanted if isinstance(value, dict) and key in value]
        return given[0] if len(given) == 1 else None

    return Discriminator(
        choose,
        custom_error_type="exactly_one",
        custom_error_message=f"expected exactly one of {', '.join(wanted)}",
    )
