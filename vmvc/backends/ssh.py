"""A command -> what it did inside a machine that exists already, by the user's own OpenSSH client.

That client, rather than a library, reads the user's configuration, asks the user's agent and knows every kind
of key and jump host. One connection serves all commands of a trial; it ends with this process, however that
ends. The machine's host key is kept on first use, by the machine and not by its address, in vmvc's cache.
"""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from vmvc import hostrun, images
from vmvc.backends.streams import too_much
from vmvc.contract import MOST_OUTPUT, Completed, Guest
from vmvc.errors import DeadlineExceeded, Fault, InputError, StepFailed

OWN: Final = 255
"""Exit code by which the client says that it failed itself."""
MARK: Final = "VMVC_COMMAND"
"""Variable in the environment of every command, by which one that does not end is found inside."""
ENDS_WITHIN: Final = 5.0
_LOOK: Final = 0.005
_OPTIONS: Final = (
    *(
        "BatchMode=yes",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
    ),
    *("RequestTTY=no", "EscapeChar=none", "LogLevel=ERROR", "StrictHostKeyChecking=accept-new"),
    *("HashKnownHosts=no", "UpdateHostKeys=no", "ControlPersist=no"),
)
_KILL: Final = (
    'for one in /proc/[0-9]*; do if grep -qs "$0" "$one/environ"; then kill -KILL "${one#/proc/}"; fi; done'
)
_CURES: Final = (
    (
        r"HOST IDENTIFICATION HAS CHANGED|[Hh]ost key verification failed|host key .* has changed",
        "the machine's SSH host key is not the one that vmvc saw first",
        "if the machine was installed anew, forget the old key: ssh-keygen -f {known} -R {alias}",
    ),
    (
        r"UNPROTECTED PRIVATE KEY|bad permissions",
        "the private key of guest.ssh.key can be read by others, so ssh does not use it",
        "chmod 600 it",
    ),
    (
        r"Permission denied",
        "the machine lets nobody in by SSH with the keys there are",
        "put the public key into the user's authorized_keys there, and name key and user in guest.ssh",
    ),
    (
        r"refused|timed out|reset by|closed by|No route|kex_exchange|lost connection",
        "nobody answers by SSH",
        "let guest.ready wait until somebody does, such as {{exec: {{command: ['true']}}}}",
    ),
    (
        r"resolve hostname",
        "the machine's address cannot be resolved",
        "correct guest.address",
    ),
)
"""What the client complains of -> what that is, and what to do."""


def check(guest: Guest) -> None:
    """Refuse what can be known to fail before a machine is started.

    Raises: InputError.
    """
    if guest.ssh is None:
        return
    if shutil.which("ssh") is None:
        raise InputError(Fault("guest.ssh needs the OpenSSH client", hint="install it: openssh-client"))
    key = _key(guest)
    if key is not None and not key.is_file():
        what = f"the private key of guest.ssh.key is not there: {key}"
        raise InputError(
            Fault(what, hint="correct the path, or leave it out for the keys that ssh finds itself")
        )


class Ssh:
    """Commands in one machine, known by its ``name``; ``reach`` tells where a port of it is reached."""

    def __init__(self, guest: Guest, name: str, reach: Callable[[int], tuple[str, int]]) -> None:
        assert guest.ssh is not None
        self._settings = guest.ssh
        self._key = _key(guest)
        self._reach = reach
        self._alias = f"vmvc-{name}"
        self._known = images.cache_dir() / "machines" / "known_hosts"
        self._socket = Path(tempfile.gettempdir(), f"vmvc-ssh-{secrets.token_hex(8)}")
        self._connection: subprocess.Popen[bytes] | None = None

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed:
        """Run a command as the login shell of the machine's user finds it; every argument arrives as given.

        Raises: DeadlineExceeded, and StepFailed where it prints too much: it is then ended (on Linux);
        StepFailed where the machine cannot be reached or does not let this user in.
        """
        deadline = time.monotonic() + timeout
        self._connect(argv, deadline)
        mark = f"{MARK}={secrets.token_hex(8)}"
        command = shlex.join(["env", mark, *argv])
        try:
            done = hostrun.run(
                self._command(command),
                env={},
                timeout=max(0.0, deadline - time.monotonic()),
                stdin=stdin,
                most=MOST_OUTPUT,
            )
        except DeadlineExceeded as error:
            self._kill(mark)
            what = f"'{argv[0]}' did not end within {timeout:g} s"
            raise DeadlineExceeded(what, hint="give it more time, or see why it hangs") from error
        if max(len(done.stdout), len(done.stderr)) > MOST_OUTPUT:
            self._kill(mark)
            raise too_much(argv)
        if done.returncode == OWN and not self._connected():
            what = f"the connection ended while '{argv[0]}' ran in the machine"
            raise StepFailed(what, hint="read the guest's console")
        return done

    def close(self) -> None:
        """End the connection; may be called twice."""
        if self._connection is None:
            return
        with suppress(OSError):
            assert self._connection.stdin is not None
            self._connection.stdin.close()
        try:
            self._connection.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._connection.kill()
            self._connection.wait()
        assert self._connection.stderr is not None
        self._connection.stderr.close()
        self._connection = None
        self._socket.unlink(missing_ok=True)

    def _connected(self) -> bool:
        return self._connection is not None and self._connection.poll() is None

    def _connect(self, argv: Sequence[str], deadline: float) -> None:
        """Open the connection that commands share, unless it is.

        It lives as long as a `cat` in the machine, which reads what this process never writes.
        """
        if self._connected():
            return
        self.close()
        self._known.parent.mkdir(parents=True, exist_ok=True)
        host, port = self._reach(self._settings.port)
        seconds = max(1, round(deadline - time.monotonic()))
        self._connection = subprocess.Popen(
            [
                *("ssh", "-M", "-S", str(self._socket), "-p", str(port)),
                *self._options(f"ConnectTimeout={seconds}"),
                *(("-l", self._settings.user) if self._settings.user else ()),
                *(("-i", str(self._key), "-o", "IdentitiesOnly=yes") if self._key else ()),
                *("--", host, "cat"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        while not self._socket.exists():
            if self._connection.poll() is not None:
                assert self._connection.stderr is not None
                said = self._connection.stderr.read().decode(errors="replace")
                self.close()
                self._refused(said, host, port)
            if time.monotonic() >= deadline:
                self._connection.kill()
                self.close()
                what = f"the machine did not let '{argv[0]}' in by SSH in time ({host}:{port})"
                raise DeadlineExceeded(what, hint="give it more time, or see why it hangs")
            time.sleep(_LOOK)

    def _options(self, *more: str) -> list[str]:
        own = (f"HostKeyAlias={self._alias}", f"UserKnownHostsFile={self._known}", *more)
        return [part for option in (*_OPTIONS, *own) for part in ("-o", option)]

    def _command(self, command: str) -> list[str]:
        """Return the client's command line; without the shared connection it fails."""
        return [
            "ssh",
            "-S",
            str(self._socket),
            *self._options("ProxyCommand=false"),
            "--",
            "machine",
            command,
        ]

    def _kill(self, mark: str) -> None:
        """End all that has the mark in its environment; best effort, as the machine may be gone."""
        with suppress(DeadlineExceeded):
            hostrun.run(self._command(shlex.join(["sh", "-c", _KILL, mark])), env={}, timeout=ENDS_WITHIN)

    def _refused(self, said: str, host: str, port: int) -> NoReturn:
        last = said.strip().splitlines()[-1:] or ["no reason given"]
        for pattern, what, hint in _CURES:
            if re.search(pattern, said):
                cure = hint.format(known=self._known, alias=self._alias)
                raise StepFailed(f"{what} ({host}:{port}: {last[0]})", hint=cure)
        raise StepFailed(
            f"ssh cannot reach the machine at {host}:{port}: {last[0]}", hint="try it by hand: ssh"
        )


def _key(guest: Guest) -> Path | None:
    if guest.ssh is None or guest.ssh.key is None:
        return None
    return guest.folder / Path(guest.ssh.key).expanduser()
