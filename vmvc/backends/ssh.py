"""A command -> what it did inside a machine, by this host's own OpenSSH client.

That client, rather than a library, reads the user's configuration, asks the user's agent and knows every kind
of key and jump host, where the machine is the user's. One connection serves all commands of a trial.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from vmvc import hostrun
from vmvc.backends.ssh_connection import ENDS_WITHIN, Connection, Refused
from vmvc.backends.ssh_login import Login
from vmvc.backends.streams import too_much
from vmvc.contract import MOST_OUTPUT, Completed
from vmvc.errors import DeadlineExceeded, StepFailed

OWN: Final = 255
"""Exit code by which the client says that it failed itself."""
NOTICED_WITHIN: Final = 1.0
"""Seconds in which the client notices that the far end is gone."""
_AGAIN: Final = 0.05
"""Seconds between two attempts to reach a server that is starting."""


class Ssh:
    """Commands in one machine; ``reach`` tells where a port of it is reached, ``alive`` whether it runs."""

    def __init__(
        self, login: Login, reach: Callable[[int], tuple[str, int]], alive: Callable[[], bool]
    ) -> None:
        self._login = login
        self._reach = reach
        self._alive = alive
        self._connection = Connection()

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed:
        """Run a command; every argument arrives as given.

        Raises: DeadlineExceeded, and StepFailed where it prints too much: it is then ended (on Linux);
        StepFailed where the machine cannot be reached or does not let this user in.
        """
        deadline = time.monotonic() + timeout
        if not self._connection.stands:
            self._connect(argv, timeout, deadline)
        mark = secrets.token_hex(8)
        request, before = self._login.asked(mark, argv)
        left = max(0.0, deadline - time.monotonic())
        try:
            done = hostrun.run(
                self._by(request), env={}, timeout=left, stdin=before + stdin, most=MOST_OUTPUT
            )
        except DeadlineExceeded as error:
            self._end(mark)
            what = f"'{argv[0]}' did not end within {timeout:g} s"
            raise DeadlineExceeded(what, hint="give it more time, or see why it hangs") from error
        if max(len(done.stdout), len(done.stderr)) > MOST_OUTPUT:
            self._end(mark)
            raise too_much(argv)
        if done.returncode == OWN and self._connection.ends(NOTICED_WITHIN):
            what = f"the connection ended while '{argv[0]}' ran in the machine"
            raise StepFailed(what, hint="read the guest's console")
        return done

    def close(self) -> None:
        """End the connection; may be called twice."""
        self._connection.close()

    def _connect(self, argv: Sequence[str], timeout: float, deadline: float) -> None:
        self._login.known.parent.mkdir(parents=True, exist_ok=True)
        host, port = self._reach(self._login.port)
        # What comes too early may be kept somewhere on the way: do not wait for its answer alone.
        patience = 1 if self._login.waits else max(1, round(timeout))
        while True:
            command = [
                *(*self._login.client(), "-M", "-S", str(self._connection.socket), "-p", str(port)),
                *(*self._login.options(f"ConnectTimeout={patience}"), "--", host, *self._login.held()),
            ]
            began = time.monotonic()
            try:
                self._connection.open(command, max(0.0, deadline - began))
            except Refused as error:
                if not (self._login.waits and error.silent and self._alive()):
                    raise self._shut_out(error, host, port) from error
            except TimeoutError as error:
                what = f"the machine did not let '{argv[0]}' in by SSH within {timeout:g} s ({host}:{port})"
                raise DeadlineExceeded(what, hint=self._late()) from error
            else:
                return
            if time.monotonic() >= began + patience:
                patience *= 2
            time.sleep(min(_AGAIN, max(0.0, deadline - time.monotonic())))

    def _late(self) -> str:
        if self._login.waits and self._login.configured:
            return f"have an SSH server answer at port {self._login.port} of the disk, or give it more time"
        return "give it more time, or see why it hangs"

    def _shut_out(self, error: Refused, host: str, port: int) -> StepFailed:
        hint = error.hint or self._login.changed
        if error.silent:
            hint = "let guest.ready wait until somebody does, such as {exec: {command: ['true']}}"
        return StepFailed(f"commands do not get into the machine at {host}:{port}: {error}", hint=hint)

    def _by(self, request: Sequence[str]) -> list[str]:
        """Return the client's command line; without the shared connection it fails."""
        shared = ("-S", str(self._connection.socket), *self._login.options("ProxyCommand=false"))
        return [*self._login.client(), *shared, "--", "machine", *request]

    def _end(self, mark: str) -> None:
        """End all that has the mark in its environment; best effort, as the machine may be gone."""
        request, before = self._login.ended(mark)
        with suppress(DeadlineExceeded):
            hostrun.run(self._by(request), env={}, timeout=ENDS_WITHIN, stdin=before)
