"""A guest -> how its machine is entered by SSH: who, by which key, how it proves itself, how it is asked."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc import images
from vmvc.backends import ssh_connection
from vmvc.contract import Guest
from vmvc.errors import Fault, InputError

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
    if not guest.brings_ssh and (key is not None or guest.ssh.user is not None):
        what = "guest.ssh names a user or a key, and the machine is of an image, in which vmvc has its own"
        raise InputError(Fault(what, hint="remove user and key"))
    if key is not None and not key.is_file():
        what = f"the private key of guest.ssh.key is not there: {key}"
        hint = "correct the path, or leave it out for the keys that ssh finds itself"
        raise InputError(Fault(what, hint=hint))


@dataclass(frozen=True, slots=True)
class Login:
    """Who gets in by what; ``configured``: this host's user has a say in it, by the client's configuration.

    ``known``, ``alias``: the file that says which host key a machine of that name has; ``first``: a key that
    is not there is taken, and kept. ``waits``: the machine's server may still be starting. ``changed``: what
    to do where the host key is another one.
    """

    port: int
    user: str | None
    key: Path | None
    known: Path
    alias: str
    changed: str
    first: bool = True
    configured: bool = True
    waits: bool = False

    def client(self) -> list[str]:
        """Return how every client begins."""
        return ["ssh"] if self.configured else ["ssh", "-F", "none"]

    def options(self, *more: str) -> list[str]:
        """Return the settings of the client that connects."""
        how = "accept-new" if self.first else "yes"
        trust = (f"StrictHostKeyChecking={how}", f"HostKeyAlias={self.alias}", "HashKnownHosts=no")
        file = (f'UserKnownHostsFile="{self.known}"', "UpdateHostKeys=no", "ClearAllForwardings=yes")
        alone = () if self.configured else ("GlobalKnownHostsFile=none", "IdentityAgent=none")
        return [
            *ssh_connection.options(*trust, *file, *alone, *more),
            *(("-l", self.user) if self.user else ()),
            *(("-i", str(self.key), "-o", "IdentitiesOnly=yes") if self.key else ()),
        ]

    def held(self) -> list[str]:
        """Return what is asked of the server for the connection to stand."""
        return ["cat"] if self.configured else []

    def asked(self, mark: str, argv: Sequence[str]) -> tuple[list[str], bytes]:
        """Return what is asked of the server that a command be run, and what comes before its input.

        vmvc's own server is told by the input (``images/guest/request_ssh.sh``): a request of SSH may be
        too short for a script.
        """
        if self.configured:
            return [shlex.join(["env", f"{MARK}={mark}", *argv])], b""
        words = (base64.b64encode(one.encode()).decode() or "=" for one in argv)
        return [], f"{' '.join((mark, *words))}\n".encode()

    def ended(self, mark: str) -> tuple[list[str], bytes]:
        """Return the same, that all which has the mark be killed."""
        if self.configured:
            return [shlex.join(["sh", "-c", _KILL, f"{MARK}={mark}"])], b""
        return [], f"{mark}\n".encode()


def into_machine(guest: Guest, name: str) -> Login:
    """Return how a user's machine is entered; its host key is kept by ``name``, not by address."""
    assert guest.ssh is not None
    assert guest.ssh_port is not None
    port = guest.ssh_port
    known, alias = images.cache_dir() / "machines" / "known_hosts", f"vmvc-{name}"
    forget = f"ssh-keygen -f {shlex.quote(str(known))} -R {alias}"
    changed = f"if the machine was installed anew, forget the old key: {forget}"
    return Login(port, guest.ssh.user, _key(guest), known, alias, changed)


def into_made(guest: Guest, folder: Path) -> Login:
    """Return how a machine that vmvc made is entered; ``folder`` is there as long as the machine.

    vmvc's images have its keys and its server. A user's own disk has what the user put there, and perhaps
    makes its host key in every life anew: the one that is seen first in a life counts until its end.

    Raises: ImageError.
    """
    assert guest.ssh is not None
    assert guest.ssh_port is not None
    port = guest.ssh_port
    another = f"another program answers there: let nothing else in the guest use port {port}, or name another"
    changed = f"{another} in guest.ssh.port"
    if guest.brings_ssh:
        known = folder / "known_hosts"
        return Login(port, guest.ssh.user, _key(guest), known, "vmvc", changed, waits=True)
    own = images.ssh_keys()
    return Login(
        *(port, "root", own.private, own.known_hosts, images.HOST_ALIAS, changed),
        first=False,
        configured=False,
        waits=True,
    )


def _key(guest: Guest) -> Path | None:
    if guest.ssh is None or guest.ssh.key is None:
        return None
    return guest.folder / Path(guest.ssh.key).expanduser()
