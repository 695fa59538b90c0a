"""``ssh://user@host:port`` -> the engine's socket on that host, as a socket of this one.

The client's own way through SSH cannot be interrupted, and knows no streams; an ordinary socket can and does.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from vmvc.backends import ssh_connection
from vmvc.backends.ssh_connection import Connection, Refused

SOCKET: Final = "/var/run/docker.sock"
"""Where an engine listens unless the address names another path."""


def forward(address: str, seconds: float) -> Connection:
    """Open a connection whose ``socket`` leads to the engine.

    Raises: OSError, with the reason and nothing else for its text.
    """
    parts = urlsplit(address)
    if not ssh_connection.there():
        raise OSError("ssh is not installed here (openssh-client)")
    connection = Connection()
    far = parts.path if parts.path not in ("", "/") else SOCKET
    command = [
        *("ssh", "-L", f"{connection.socket}:{far}", "-S", "none"),
        *ssh_connection.options("ExitOnForwardFailure=yes", f"ConnectTimeout={max(1, round(seconds))}"),
        *(("-p", str(parts.port)) if parts.port else ()),
        *(("-l", unquote(parts.username)) if parts.username else ()),
        *("--", parts.hostname or "", "cat"),
    ]
    try:
        connection.open(command, seconds)
    except Refused as error:
        hint = error.hint or "connect once by hand, and compare the key"
        raise OSError(f"{error}; {hint}") from error
    except TimeoutError as error:
        raise OSError(f"ssh has no connection within {seconds:g} s") from error
    return connection
