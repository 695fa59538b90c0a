"""Machines that exist already, on a VirtualBox that really starts them; to be run in the lab."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from tests.real.boot_sector import boot_sector
from tests.real.lab.contract_virtualbox import OPTIONS, PATIENCE, manage
from vmvc.backends.virtualbox import VirtualBoxBackend
from vmvc.backends.virtualbox_manage import Manage
from vmvc.backends.virtualbox_survey import OFF
from vmvc.contract import Backend, Guest
from vmvc.spec import Console, ReadyConsole
from vmvc.testing import MachineContract
from vmvc.testing.machine import State


class TestVirtualBoxMachine(MachineContract):
    """A boot sector that speaks on the serial port and halts: it ignores its power button."""

    timeout: ClassVar[float] = 300.0
    stops = False

    def backend(self) -> Backend:
        return VirtualBoxBackend("virtualbox", OPTIONS, PATIENCE)

    @contextmanager
    def off(self) -> Iterator[Guest]:
        name = f'a "user\'s" machine {secrets.token_hex(3)}'
        with TemporaryDirectory() as home:
            raw, disk, printed = Path(home, "disk.img"), Path(home, "disk.vdi"), Path(home, "printed")
            raw.write_bytes(boot_sector(b"boot sector speaks\r\n").ljust(2**20, b"\0"))
            manage("convertfromraw", str(raw), str(disk), "--format", "VDI")
            manage("createvm", "--name", name, "--ostype", "Other_64", "--basefolder", home, "--register")
            manage(
                *("modifyvm", name, "--memory", "64", "--graphicscontroller", "vboxvga", "--vram", "8"),
                *("--audio-enabled", "off", "--nic1", "none", "--boot1", "disk"),
                *("--uart1", "0x3F8", "4", "--uartmode1", "file", str(printed)),
            )
            manage("storagectl", name, "--name", "ide", "--add", "ide")
            manage(
                *("storageattach", name, "--storagectl", "ide", "--port", "0", "--device", "0"),
                *("--type", "hdd", "--medium", str(disk)),
            )
            ready = ReadyConsole(console=Console(pattern="boot sector speaks"))
            try:
                yield Guest(None, None, None, ready=ready, machine=name)
            finally:
                manage("unregistervm", name, "--delete")

    @contextmanager
    def running(self) -> Iterator[Guest]:
        with self.off() as guest:
            assert guest.machine is not None
            manage("startvm", guest.machine, "--type", "headless")
            try:
                yield guest
            finally:
                manage("controlvm", guest.machine, "poweroff")
                self._settle(guest)

    def state(self, guest: Guest) -> State:
        return "off" if Manage(patience=PATIENCE).show(guest.machine or "")["VMState"] in OFF else "running"

    def definition(self, guest: Guest) -> object:
        """All that VirtualBox tells of it, but for its state and what it notes of the last run."""
        shown = dict(Manage(patience=PATIENCE).show(guest.machine or ""))
        return {key: value for key, value in shown.items() if not re.match("VMState|Session|Video|VRDE", key)}

    def _settle(self, guest: Guest) -> None:
        import time

        while self.state(guest) != "off":
            time.sleep(0.5)
        time.sleep(2)  # its session may be closing still
