"""A libvirt daemon of the tests' own, beside whatever runs on the host: for containers, to be killed or hung.

It lives in a mount namespace of its own, with empty folders where libvirt keeps its state, so that it and the
host's daemon do not meet. On a host with both versions of cgroups it sees version 1 only: containers of
libvirt 9 do not start with both.
"""

from __future__ import annotations

import shutil
import signal
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
ln -sf {folder}/libvirt-sock /run/libvirt/libvirt-sock
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
touch {folder}/made
exec sleep infinity
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
        script = _SCRIPT.format(
            state=" ".join(_STATE),
            folders=" ".join(_FOLDERS),
            folder=self.folder,
            kept=self.folder / "state",
        )
        settings = self.folder / "state" / "etc/libvirt"
        settings.mkdir(parents=True)
        (settings / "qemu.conf").write_text('stdio_handler = "file"\n')  # Its virtlogd would be the host's.
        # The namespace outlives the daemon.
        self._place = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL)
        self._entered = ["nsenter", f"--mount=/proc/{self._place.pid}/ns/mnt"]
        self._command = [*self._entered, "libvirtd", "-f", str(configuration), "-p", f"{self.folder}/pid"]
        while not (self.folder / "made").exists():
            assert self._place.poll() is None
            time.sleep(0.05)
        self.start()

    def start(self) -> None:
        """Start it, or start it again: it finds what it has defined and what still runs."""
        with (self.folder / "out").open("wb") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "out").read_text()
            assert time.monotonic() < deadline, "the daemon does not answer"
            time.sleep(0.1)

    def inside(self, folder: Path) -> list[str]:
        """Return the words that run a command in a folder where ``qemu:///system`` is this daemon."""
        return [*self._entered, "env", f"--chdir={folder}"]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone; its machines are not touched."""
        self._process.send_signal(number)

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
        self._place.kill()
        self._place.wait()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri("lxc"), "version"], capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0
