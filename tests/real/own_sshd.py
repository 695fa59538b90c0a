"""A real sshd of the tests' own on a loopback address that is not this host's usual one: "another host"."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

SSHD: Final = "/usr/sbin/sshd"
ADDRESS: Final = "127.0.0.2"

_DAEMON: Final = """\
ListenAddress {address}:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""
_CLIENT: Final = """\
IdentityFile {folder}/user
IdentitiesOnly yes
UserKnownHostsFile {folder}/known
StrictHostKeyChecking accept-new
LogLevel ERROR
"""


class OwnSshd:
    """The daemon, from its making until ``stop``; root may log in with ``key``."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vmvc-sshd-"))
        self.key = self.folder / "user"
        for name in ("host", "user"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(made, check=True)
        with socket.socket() as one:
            one.bind((ADDRESS, 0))
            self.port = int(one.getsockname()[1])
        given = {"address": ADDRESS, "port": self.port, "folder": self.folder}
        (self.folder / "daemon").write_text(_DAEMON.format(**given))
        (self.folder / "client").write_text(_CLIENT.format(**given))
        # What the package's own service makes for its daemon.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "daemon"], stderr=log)
        self._wait()

    @property
    def address(self) -> str:
        return f"root@{ADDRESS}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return this process' environment with an ``ssh`` whose user's configuration is the test's."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        client = folder / "ssh"
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/client "$@"\n')
        client.chmod(0o755)
        return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self.folder)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection((ADDRESS, self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("sshd does not answer")
