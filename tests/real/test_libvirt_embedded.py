"""The embedded driver where none of libvirt's daemons runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIFE = """
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import Guest
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing.handles import new_tag

backend = LibvirtBackend("embedded", LibvirtOptions(uri="qemu:///embed", accelerator="tcg"))
guest = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=ReadyHttp(http=Http(port=80)))
backend.prepare(guest)
instance = backend.instance(new_tag(), guest)
try:
    instance.create()
    instance.start()
    print("lives" if instance.alive() else "does not live")
finally:
    instance.destroy()
"""


@pytest.mark.real("libvirt", "root")
def test_it_needs_no_daemon_also_as_root() -> None:
    """The sockets of daemons that run here are out of sight."""
    hidden = 'mount -t tmpfs none /run/libvirt && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", hidden, "sh", sys.executable, "-c", LIFE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "lives\n", done.stderr
