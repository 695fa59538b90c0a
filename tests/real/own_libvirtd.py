"""A libvirt daemon of the tests' own, beside whatever runs on the host: for containers, and to be killed.

It lives in a mount namespace of its own, with empty folders where libvirt keeps its state, so that it and the
host's daemon do not meet. On a host with both versions of cgroups it sees version 1 only: containers of
libvirt 9 do not start with both.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

_STATE = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt")
_FOLDERS = (
    "qemu",
    "images",
    "dnsmasq",
    "boot",
    "lockd",
    "network",
    "swtpm",
    "lxc",
    "storage",
    "nwfilter",
    "secrets",
)
_SCRIPT = """
set -eu
mount --make-rprivate /
for one in {state}; do
  mkdir -p "$one"
  for inner in {folders}; do mkdir -p "{kept}/$one/$inner"; done
  mount --bind "{kept}/$one" "$one"
done
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
exec libvirtd -f {configuration} -p {pid}
"""


class OwnLibvirtd:
    """The daemon, from its making until ``stop``."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vmvc-libvirtd-"))
        configuration = self.folder / "libvirtd.conf"
        configuration.write_text(
            f'unix_sock_dir = "{self.folder}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
            f'log_outputs = "3:file:{self.folder}/log"\n'
        )
        self._script = _SCRIPT.format(
            state=" ".join(_STATE),
            folders=" ".join(_FOLDERS),
            kept=self.folder / "state",
            configuration=configuration,
            pid=self.folder / "pid",
        )
        self.start()

    def start(self) -> None:
        """Start it, or start it again: it finds what it has defined and what still runs."""
        with (self.folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", self._script],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "out").read_text()
            assert time.monotonic() < deadline, "the daemon does not answer"
            time.sleep(0.1)

    def uri(self, driver: str) -> str:
        return f"{driver}+unix:///system?socket={self.folder}/libvirt-sock"

    def kill(self) -> None:
        """End it by force."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri("lxc"), "version"], capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0
