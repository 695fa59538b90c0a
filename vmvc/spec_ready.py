"""When an instance counts as ready, as a file says it: exactly one probe."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, Tag
from pydantic_core import PydanticCustomError

from vmvc.spec_model import Model
from vmvc.spec_values import Command, Port, exactly_one_key
from vmvc.units import Duration


class Http(Model):
    """Ready when an HTTP request to a guest port is answered with the wanted status."""

    port: Port = Field(description="Guest port.")
    path: str = Field(
        default="/", pattern=r"^/[\x21-\x7e]*$", max_length=2048, description="Path to request."
    )
    status: int = Field(default=200, ge=100, le=599, description="The status that means ready.")
    interval: Duration = Field(
        default=0.01, description="Time between two attempts; the resolution of the reading."
    )


class Tcp(Model):
    """Ready when a connection to a guest port yields the wanted bytes.

    A forwarded port accepts connections before the guest does, so only bytes from the guest prove it.
    """

    port: Port = Field(description="Guest port.")
    expect: str = Field(
        min_length=1,
        max_length=256,
        description="Text that the guest sends, such as `SSH-`.",
        examples=["SSH-"],
    )
    send: str = Field(default="", max_length=4096, description="Text to send first.")
    interval: Duration = Field(
        default=0.01, description="Time between two attempts; the resolution of the reading."
    )


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise PydanticCustomError(
            "regex", "expected a regular expression ({why})", {"why": str(error)}
        ) from error
    return pattern


class Console(Model):
    """Ready when the guest prints a line that matches; the host is told, nothing polls."""

    pattern: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_regular_expression)] = (
        Field(description="Regular expression searched in the guest's console output.")
    )


class Exec(Model):
    """Ready when a command inside the guest exits with 0."""

    command: Command = Field(description="Command to run inside the guest (argv, no shell).")
    interval: Duration = Field(
        default=0.05, description="Time between two attempts; the resolution of the reading."
    )


class ReadyHttp(Model):
    """Readiness by HTTP."""

    http: Http = Field(description="An HTTP request is answered.")


class ReadyTcp(Model):
    """Readiness by TCP."""

    tcp: Tcp = Field(description="A TCP connection yields the wanted bytes.")


class ReadyConsole(Model):
    """Readiness by the console."""

    console: Console = Field(description="The console prints a matching line.")


class ReadyExec(Model):
    """Readiness by a command."""

    exec: Exec = Field(description="A command inside the guest exits with 0.")


Ready = Annotated[
    Annotated[ReadyHttp, Tag("http")]
    | Annotated[ReadyTcp, Tag("tcp")]
    | Annotated[ReadyConsole, Tag("console")]
    | Annotated[ReadyExec, Tag("exec")],
    exactly_one_key("http", "tcp", "console", "exec"),
]
"""When an instance counts as ready: exactly one probe."""
