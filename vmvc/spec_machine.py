"""A machine that exists already, as a file names it -> which settings of ``guest`` go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field
from pydantic_core import PydanticCustomError

from vmvc.spec_model import Model

MACHINE: Final = ("machine", "attach", "address")
"""Keys of ``guest`` that are about a machine that exists already; the first names it."""
REACHED: Final = (*MACHINE, "ssh")
"""Those, and how commands get into one: of no use to another machine, and no setting to compare."""
USERS: Final = ("user", "key")
"""Keys of ``guest.ssh`` that mean nothing to a machine of an image: vmvc brings both."""
BROUGHT: Final = ("image", "cpus", "memory", "pids", "command", "env", "boot")
"""Keys of ``guest`` that mean nothing to such a machine: it brings these along."""

USUAL_PORT: Final = 22
OWN_PORT: Final = 60022
"""Where vmvc's own server answers in a machine of an image, which may have another at the usual port."""

MachineName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9:]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$")]


class Ssh(Model):
    """How commands get into the machine: by the OpenSSH client of this host.

    Into a machine that the user has, or that boots a disk of the user's, with the user's configuration; into
    one of another image with a key of vmvc's own.
    """

    user: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.@-]{0,63}$",
        description="The user in a machine or disk of yours; by default the one that ssh chooses.",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description=f"The port in the machine; by default {USUAL_PORT}, in a machine of an image {OWN_PORT}.",
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00]+$",
        description="File of the private key for a machine or disk of yours, relative to the experiment; by "
        "default those that ssh finds.",
        examples=["~/.ssh/id_ed25519"],
    )


ALONE: Final[Mapping[str, Any]] = {
    "if": {"required": ["machine"]},
    "then": {"not": {"anyOf": [{"required": [key]} for key in BROUGHT]}},
}
"""JSON Schema of ``without_what_it_brings``."""
NAMED: Final[Mapping[str, Any]] = {
    **ALONE,
    "else": {"not": {"anyOf": [{"required": [key]} for key in MACHINE]}},
}
"""The same, and of ``with_a_machine``."""

_Guest = TypeVar("_Guest", bound=Model)


def without_what_it_brings(guest: _Guest) -> _Guest:
    """Refuse a machine beside settings that it brings along."""
    if "machine" in guest.model_fields_set and not guest.model_fields_set.isdisjoint(BROUGHT):
        raise PydanticCustomError("machine_brings", "expected a machine without what it brings along")
    return guest


def with_a_machine(guest: _Guest) -> _Guest:
    """Refuse settings of a machine where none is named."""
    if "machine" not in guest.model_fields_set and not guest.model_fields_set.isdisjoint(MACHINE):
        raise PydanticCustomError("needs_machine", "expected these settings beside a machine")
    return guest


def merged(guest: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``guest`` with a backend's own settings in place of it.

    A machine of its own drops what machines bring along, an image of its own drops the machine.
    """
    dropped: tuple[str, ...] = ()
    if own.get("machine") is not None:
        dropped = (*REACHED, *BROUGHT)
    elif own.get("image") is not None and guest.get("machine") is not None:
        dropped = REACHED
    return {
        **{key: value for key, value in guest.items() if key not in dropped},
        **{key: value for key, value in own.items() if value is not None},
    }
