"""A command -> what it did inside a machine that exists already, by the user's own OpenSSH client.

That client, rather than a library, reads the user's configuration, asks the user's agent and knows every kind
of key and jump host. One connection serves all commands of a trial. The machine's host key is kept on first
use, by the machine and not by its address, in vmvc's cache.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from vmvc import hostrun, images
from vmvc.backends import ssh_connection
from vmvc.backends.ssh_connection import ENDS_WITHIN, Connection, Refused
from vmvc.backends.streams import too_much
from vmvc.contract import MOST_OUTPUT, Completed, Guest
from vmvc.errors import DeadlineExceeded, Fault, InputError, StepFailed

OWN: Final = 255
"""Exit code by which the client says that it failed itself."""
NOTICED_WITHIN: Final = 1.0
"""Seconds in which the client notices that the far end is gone."""
MARK: Final = "VMVC_COMMAND"
"""Variable in the environment of every command, by which one that does not end is found inside."""
_KILL: Final = (
    'for one in /proc/[0-9]*; do if grep -qs "$0" "$one/environ"; then kill -KILL "${one#/proc/}"; fi; done'
)


def check(guest: Guest) -> None:
    """Refuse what can be known to fail before a machine is started.

    Raises: InputError.
    """
    if guest.ssh is None:
        return
    if not ssh_connection.there():
        raise InputError(Fault("guest.ssh needs the OpenSSH client", hint="install it: openssh-client"))
    key = _key(guest)
    if key is not None and not key.is_file():
        what = f"the private key of guest.ssh.key is not there: {key}"
        hint = "correct the path, or leave it out for the keys that ssh finds itself"
        raise InputError(Fault(what, hint=hint))


class Ssh:
    """Commands in one machine, known by its ``name``; ``reach`` tells where a port of it is reached."""

    def __init__(self, guest: Guest, name: str, reach: Callable[[int], tuple[str, int]]) -> None:
        assert guest.ssh is not None
        self._settings = guest.ssh
        self._key = _key(guest)
        self._reach = reach
        self._alias = f"vmvc-{name}"
        self._known = images.cache_dir() / "machines" / "known_hosts"
        self._connection = Connection()

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed:
        """Run a command as the login shell of the machine's user finds it; every argument arrives as given.

        Raises: DeadlineExceeded, and StepFailed where it prints too much: it is then ended (on Linux);
        StepFailed where the machine cannot be reached or does not let this user in.
        """
        deadline = time.monotonic() + timeout
        if not self._connection.stands:
            self._connect(argv, timeout)
        mark = f"{MARK}={secrets.token_hex(8)}"
        command = self._command(shlex.join(["env", mark, *argv]))
        left = max(0.0, deadline - time.monotonic())
        try:
            done = hostrun.run(command, env={}, timeout=left, stdin=stdin, most=MOST_OUTPUT)
        except DeadlineExceeded as error:
            self._kill(mark)
            what = f"'{argv[0]}' did not end within {timeout:g} s"
            raise DeadlineExceeded(what, hint="give it more time, or see why it hangs") from error
        if max(len(done.stdout), len(done.stderr)) > MOST_OUTPUT:
            self._kill(mark)
            raise too_much(argv)
        if done.returncode == OWN and self._connection.ends(NOTICED_WITHIN):
            what = f"the connection ended while '{argv[0]}' ran in the machine"
            raise StepFailed(what, hint="read the guest's console")
        return done

    def close(self) -> None:
        """End the connection; may be called twice."""
        self._connection.close()

    def _connect(self, argv: Sequence[str], timeout: float) -> None:
        self._known.parent.mkdir(parents=True, exist_ok=True)
        host, port = self._reach(self._settings.port)
        arguments = [
            *("-M", "-S", str(self._connection.socket), "-p", str(port)),
            *self._options(f"ConnectTimeout={max(1, round(timeout))}"),
            *(("-l", self._settings.user) if self._settings.user else ()),
            *(("-i", str(self._key), "-o", "IdentitiesOnly=yes") if self._key else ()),
            *("--", host),
        ]
        try:
            self._connection.open(arguments, timeout)
        except Refused as error:
            forget = f"ssh-keygen -f {shlex.quote(str(self._known))} -R {self._alias}"
            hint = error.hint or f"if the machine was installed anew, forget the old key: {forget}"
            if "nobody answers" in error.what:
                hint = "let guest.ready wait until somebody does, such as {exec: {command: ['true']}}"
            what = f"commands do not get into the machine at {host}:{port}: {error}"
            raise StepFailed(what, hint=hint) from error
        except TimeoutError as error:
            what = f"the machine did not let '{argv[0]}' in by SSH within {timeout:g} s ({host}:{port})"
            raise DeadlineExceeded(what, hint="give it more time, or see why it hangs") from error

    def _options(self, *more: str) -> list[str]:
        how = ("ClearAllForwardings=yes", "StrictHostKeyChecking=accept-new", "HashKnownHosts=no")
        known = ("UpdateHostKeys=no", f"HostKeyAlias={self._alias}", f'UserKnownHostsFile="{self._known}"')
        return ssh_connection.options(*how, *known, *more)

    def _command(self, command: str) -> list[str]:
        """Return the client's command line; without the shared connection it fails."""
        shared = ["-S", str(self._connection.socket), *self._options("ProxyCommand=false")]
        return ["ssh", *shared, "--", "machine", command]

    def _kill(self, mark: str) -> None:
        """End all that has the mark in its environment; best effort, as the machine may be gone."""
        command = self._command(shlex.join(["sh", "-c", _KILL, mark]))
        with suppress(DeadlineExceeded):
            hostrun.run(command, env={}, timeout=ENDS_WITHIN)


def _key(guest: Guest) -> Path | None:
    if guest.ssh is None or guest.ssh.key is None:
        return None
    return guest.folder / Path(guest.ssh.key).expanduser()
