"""The name of a machine that exists already -> its UUID, settings and disks, as VirtualBox tells them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from vmvc.backends.virtualbox_manage import Manage
from vmvc.contract import Guest, Scalar
from vmvc.errors import Fault, InputError
from vmvc.wording import did_you_mean

OFF: Final = ("poweroff", "aborted")
"""States of a machine that can be started afresh."""
SAVED: Final = ("saved", "aborted-saved")
INACCESSIBLE: Final = "<inaccessible>"

_IMAGE: Final = re.compile(r"^(.+)-ImageUUID-(\d+)-(\d+)$")
_SPACE: Final = "{http://www.virtualbox.org/}"


@dataclass(frozen=True, slots=True)
class Found:
    """A machine of a user: its name, its UUID, and what VirtualBox tells of it."""

    name: str
    identity: str
    shown: Mapping[str, str]

    @property
    def state(self) -> str:
        return self.shown.get("VMState", "unknown")

    @property
    def forwards(self) -> Mapping[int, tuple[str, int]]:
        """Guest port -> where this host reaches it, by the rules of the machine's NAT."""
        rules = (value.split(",") for key, value in self.shown.items() if key.startswith("Forwarding("))
        return {
            int(rule[5]): (rule[2] or "127.0.0.1", int(rule[3]))
            for rule in rules
            if len(rule) == 6 and rule[1] == "tcp" and rule[5].isdigit() and rule[3].isdigit()
        }

    @property
    def serial(self) -> tuple[str, str] | None:
        """The first serial port that goes to this host: mode and place."""
        for number in range(1, 5):
            mode, _, place = self.shown.get(f"uartmode{number}", "").partition(",")
            if mode in ("file", "server", "tcpserver") and place:
                return mode, place
        return None

    def facts(self) -> Mapping[str, Scalar]:
        kept = {"existing_cpus": "cpus", "existing_memory": "memory", "os_type": "ostype"}
        kept |= {"firmware": "firmware", "chipset": "chipset", "network": "nic1"}
        told = {fact: self.shown[name] for fact, name in kept.items() if name in self.shown}
        numbers: dict[str, Scalar] = {
            name: int(told.pop(name)) * scale
            for name, scale in (("existing_cpus", 1), ("existing_memory", 2**20))
            if told.get(name, "").isdigit()
        }
        return {"existing_machine": self.name, "existing_id": self.identity, **numbers, **told}

    def disks(self) -> list[Path] | None:
        """Return the files of its hard disks with all that they stand on; ``None`` where that is not told."""
        attached = [
            (identity, self.shown.get(f"{match[1]}-{match[2]}-{match[3]}", ""))
            for key, identity in self.shown.items()
            if (match := _IMAGE.match(key)) is not None
        ]
        try:
            chains = dict(_chains(Path(self.shown["CfgFile"])))
        except (KeyError, OSError, ElementTree.ParseError):
            return None
        hard = [identity for identity, path in attached if not path.endswith((".iso", ".img", ".viso"))]
        if any(identity not in chains for identity in hard):
            return None
        return list(dict.fromkeys(path for identity in hard for path in chains[identity]))


def _chains(settings: Path) -> Iterator[tuple[str, list[Path]]]:
    """Read a machine's own list of disks: the UUID of each -> its file and those below it."""

    def walk(parent: ElementTree.Element, below: list[Path]) -> Iterator[tuple[str, list[Path]]]:
        for disk in parent.findall(f"{_SPACE}HardDisk"):
            path = settings.parent / disk.get("location", "")
            yield disk.get("uuid", "").strip("{}"), [path, *below]
            yield from walk(disk, [path, *below])

    for known in ElementTree.parse(settings).getroot().iter(f"{_SPACE}HardDisks"):
        yield from walk(known, [])


def find(manage: Manage, guest: Guest) -> Found:
    """Find the machine that a guest names, by its name or UUID, in a state that the guest can do with.

    Raises: InputError; EngineError; StepFailed.
    """
    wanted = guest.machine or ""
    machines = manage.machines()
    named = [(name, identity) for name, identity in machines if wanted in (name, identity)]
    if not named:
        hint = did_you_mean(wanted, [name for name, _ in machines if name != INACCESSIBLE])
        what = f"VirtualBox has no machine {wanted!r} of this user"
        raise InputError(Fault(what, hint=hint or "see VBoxManage list vms"))
    if len(named) > 1:
        what = f"VirtualBox has {len(named)} machines {wanted!r}"
        raise InputError(Fault(what, hint=f"name it by its UUID: {named[0][1]}"))
    name, identity = named[0]
    if name == INACCESSIBLE:
        what = f"the settings of the machine {wanted!r} cannot be read"
        raise InputError(Fault(what, hint=f"see why: VBoxManage showvminfo {identity}"))
    found = Found(name, identity, manage.show(identity))
    _judge(found, attach=guest.attach)
    return found


def _judge(found: Found, *, attach: bool) -> None:
    if found.state in SAVED:
        what = f"the machine {found.name!r} has a saved state, which a start would use up"
        hint = "start it and shut it down once, or VBoxManage discardstate it"
    elif found.state == "inaccessible":
        what = f"the machine {found.name!r} is inaccessible"
        hint = f"see why: VBoxManage showvminfo {found.identity}"
    elif attach and found.state != "running":
        what = f"the machine {found.name!r} does not run ({found.state}), and guest.attach only observes"
        hint = "start it, or leave guest.attach out"
    elif not attach and found.state not in OFF:
        what = f"the machine {found.name!r} runs already ({found.state})"
        hint = "shut it down, or only observe it: guest.attach: true"
    else:
        return
    raise InputError(Fault(what, hint=hint))
