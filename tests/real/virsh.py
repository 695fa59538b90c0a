"""What libvirt's own command says of the system's machines: another witness than vmvc."""

from __future__ import annotations

import subprocess


def virsh(*arguments: str) -> str:
    """Run virsh on the system's driver and return what it prints."""
    command = ["virsh", "--quiet", "--connect", "qemu:///system", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
