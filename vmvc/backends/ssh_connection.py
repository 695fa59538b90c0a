"""An ``ssh`` of this host -> a connection that stands while this process does, with a socket at this end."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

ENDS_WITHIN: Final = 5.0
"""Seconds for the client to end of itself."""
_LOOK: Final = 0.005
"""Seconds between two looks whether the connection stands."""
OPTIONS: Final = (
    *("BatchMode=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no", "RequestTTY=no"),
    *("EscapeChar=none", "LogLevel=ERROR", "ControlPersist=no"),
)
"""Settings of the client under which it asks nothing and gives nothing of this host away."""
_SILENT: Final = "nobody answers by SSH"
_COMPLAINTS: Final = (
    (
        r"HOST IDENTIFICATION HAS CHANGED|[Hh]ost key verification failed|host key .* has changed",
        "its SSH host key is not the known one",
        "",
    ),
    (
        r"UNPROTECTED PRIVATE KEY|bad permissions",
        "the private key can be read by others, so ssh does not use it",
        "chmod 600 it",
    ),
    (
        r"Permission denied",
        "it lets nobody in by SSH with the keys there are",
        "put the public key into the user's authorized_keys there, and name user and key",
    ),
    (
        r"refused|timed out|reset by|closed by|No route|kex_exchange|lost connection",
        _SILENT,
        "start sshd there, and wait until it answers",
    ),
    (r"resolve hostname", "its address cannot be resolved", "correct the address"),
)
"""What the client complains of -> what that is, and what to do (of the host key its user says that)."""


class Refused(Exception):
    """The client ended before the connection stood; ``hint`` is empty of a host key that is not known.

    ``silent``: no server answered, which may change while the machine starts.
    """

    def __init__(self, said: str) -> None:
        last = said.strip().splitlines()[-1:] or ["no reason given"]
        found = [(what, hint) for pattern, what, hint in _COMPLAINTS if re.search(pattern, said)]
        self.what, self.hint = found[0] if found else ("ssh does not get through", "try it by hand: ssh")
        self.silent = self.what == _SILENT
        super().__init__(f"{self.what} ({last[0]})")


def there() -> bool:
    """Say whether this host has the client."""
    return shutil.which("ssh") is not None


def options(*more: str) -> list[str]:
    """Return ``OPTIONS`` and more as the client's arguments."""
    return [part for option in (*OPTIONS, *more) for part in ("-o", option)]


class Connection:
    """One client; ``socket`` is where its command line has it listen on this host.

    The far end is to run a `cat`, or what else reads what this process never writes: the connection ends with
    this process, however that ends, and leaves nothing.
    """

    def __init__(self) -> None:
        self.socket = Path(tempfile.gettempdir(), f"vmvc-ssh-{secrets.token_hex(8)}")
        self._client: subprocess.Popen[bytes] | None = None

    @property
    def stands(self) -> bool:
        return self._client is not None and self._client.poll() is None

    def ends(self, seconds: float) -> bool:
        """Say whether it ends within so many seconds."""
        if self._client is not None:
            with suppress(subprocess.TimeoutExpired):
                self._client.wait(seconds)
        return not self.stands

    def open(self, command: Sequence[str], seconds: float) -> None:
        """Start the client; return once it listens.

        Raises: Refused; TimeoutError.
        """
        self.close()
        self._client = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + seconds
        while not self.socket.exists():
            if self._client.poll() is not None:
                assert self._client.stderr is not None
                said = self._client.stderr.read().decode(errors="replace")
                self.close()
                raise Refused(said)
            if time.monotonic() >= deadline:
                self._client.kill()
                self.close()
                raise TimeoutError
            time.sleep(_LOOK)

    def close(self) -> None:
        """End the connection; may be called twice."""
        if self._client is None:
            return
        assert self._client.stdin is not None
        assert self._client.stderr is not None
        with suppress(OSError):
            self._client.stdin.close()
        try:
            self._client.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._client.kill()
            self._client.wait()
        self._client.stderr.close()
        self._client = None
        self.socket.unlink(missing_ok=True)
