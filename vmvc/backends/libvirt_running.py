"""A domain of libvirt's binding -> a machine of vmvc's own that runs: its monitor, its agent, its button."""

from __future__ import annotations

import threading
from typing import Any

from vmvc.backends.libvirt_binding import AGENT_IS_SILENT, NOTHING_THERE, libvirt, libvirt_qemu, translated
from vmvc.backends.libvirt_standstill import standstill
from vmvc.errors import DeadlineExceeded


class Domain:
    """One running machine; ``agent`` is set while its guest agent can be asked."""

    def __init__(self, domain: Any, agent: threading.Event) -> None:
        self.agent = agent
        self._domain = domain

    def monitor(self, command: str) -> str:
        """Give QEMU's human monitor a command, and return what it prints."""
        with translated(f"have QEMU do '{command}'"):
            flags = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
            return str(libvirt_qemu.qemuMonitorCommand(self._domain, command, flags)).strip()

    def ask_agent(self, command: str, timeout: float) -> str:
        """Give the guest agent a command as JSON, and return its answer."""
        try:
            return str(libvirt_qemu.qemuAgentCommand(self._domain, command, max(1, round(timeout)), 0))
        except libvirt.libvirtError as error:
            if error.get_error_code() in AGENT_IS_SILENT:
                raise DeadlineExceeded(
                    f"the guest agent did not answer within {timeout:g} s",
                    hint="see what keeps the guest busy",
                ) from error
            with translated("ask the guest agent"):
                raise

    def press_power_button(self) -> None:
        """Ask the guest to power off; nothing happens to a machine that has ended."""
        try:
            self._domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in NOTHING_THERE:
                with translated("press the machine's power button"):
                    raise

    def standstill(self) -> str:
        """Return why its CPUs do not run, "" where they do."""
        return standstill(self._domain)

    def xml(self) -> str:
        """Return what libvirt made of the XML: versions, addresses and all."""
        with translated("describe the machine"):
            return str(self._domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
