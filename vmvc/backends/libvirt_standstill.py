"""A machine of libvirt's that lives and does not run -> why its CPUs stand still."""

from __future__ import annotations

import threading
from typing import Any, Final

from vmvc.backends.libvirt_binding import libvirt

ANSWERS_WITHIN: Final = 2.0
"""Seconds for libvirt to say so; a daemon that hangs does not."""
_REASONS: Final = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "as somebody asked",
    libvirt.VIR_DOMAIN_PAUSED_SAVE: "to be saved",
    libvirt.VIR_DOMAIN_PAUSED_DUMP: "to be dumped",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "after an I/O error, such as a full disk under its image",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "by its watchdog",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "as its guest crashed",
}
"""Source: virDomainPausedReason of libvirt."""


def standstill(domain: Any) -> str:
    """Return why a domain's CPUs stand still, "" where they run, or libvirt does not say so in time."""
    said: list[str] = []

    def ask() -> None:
        try:
            state, reason = domain.state()
        except libvirt.libvirtError:
            return
        if state == libvirt.VIR_DOMAIN_PAUSED:
            why = _REASONS.get(reason, "for a reason that only QEMU's log may tell")
            said.append(f"its CPUs are paused, {why}")

    asking = threading.Thread(target=ask, name="libvirt state", daemon=True)
    asking.start()
    asking.join(ANSWERS_WITHIN)
    return "".join(said)
