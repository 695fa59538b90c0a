"""A folder -> a Docker Engine of the test's own, which may hang and be killed without harm to others."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import docker
import psutil


@dataclass
class Engine:
    """A daemon on a socket of its own, without networks: its guests are heard by their consoles only.

    It lives in a network namespace of its own, since an engine without a bridge removes the host's docker0.
    """

    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self, seconds: float = 60.0) -> None:
        """Start the daemon; return when it answers."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                *("unshare", "--net", "dockerd", "--host", self.host, "--data-root", self.folder / "data"),
                *("--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid"),
                *("--bridge=none", "--iptables=false", "--ip-forward=false"),
            ],
            stdout=log,
            stderr=log,
        )
        log.close()
        limit = time.monotonic() + seconds
        while not self._answers():
            assert time.monotonic() < limit, (self.folder / "log").read_text()[-2000:]
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def containers(self) -> list[str]:
        """Return the names of all containers that are there."""
        with closing(docker.DockerClient(base_url=self.host)) as client:
            return [one.name or "" for one in client.containers.list(all=True, ignore_removed=True)]

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as asking:
                asking.settimeout(2)
                asking.connect(f"{self.folder}/docker.sock")
                asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in asking.recv(100)
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone; its containers' processes are not touched."""
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()

    def end(self) -> None:
        """End the daemon in good order, then whatever of it is left, by its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
        for one in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in one.info["cmdline"] or ()) and one.pid != os.getpid():
                one.kill()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(str(self.folder)):
                subprocess.run(["umount", "--lazy", place], check=False)
