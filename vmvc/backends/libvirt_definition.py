"""The XML of a machine that exists already -> what of it matters: size, disks, ports, console, agent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vmvc.units import BYTES

_QEMU: Final = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_FORWARD: Final = re.compile(r"hostfwd=tcp:([^:,]*):(\d+)-[^:,]*:(\d+)")
AGENT: Final = "org.qemu.guest_agent.0"


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk or a file system: what libvirt calls it, and its file or folder where it is one."""

    target: str
    path: Path | None
    format: str


@dataclass(frozen=True, slots=True)
class Definition:
    """``forwards``: guest port -> host and port, as the definition has them."""

    kind: str
    name: str
    uuid: str
    cpus: int | None
    memory: int | None
    disks: tuple[Disk, ...]
    folders: tuple[Path, ...]
    forwards: Mapping[int, tuple[str, int]]
    console: bool
    agent: bool


def read(xml: str) -> Definition:
    """Read a domain's XML; memory in bytes."""
    root = ElementTree.fromstring(xml)
    cpus = root.findtext("vcpu")
    return Definition(
        kind=root.get("type", ""),
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        cpus=int(cpus) if cpus else None,
        memory=_memory(root),
        disks=tuple(_disks(root)),
        folders=tuple(Path(one.get("dir", "")) for one in root.iterfind("devices/filesystem/source[@dir]")),
        forwards=dict(_forwards(root)),
        console=any(
            one.get("type") == "pty"
            for path in ("devices/console", "devices/serial")
            for one in root.iterfind(path)
        ),
        agent=root.find(f"devices/channel/target[@name='{AGENT}']") is not None,
    )


def _memory(root: Element) -> int | None:
    node = root.find("memory")
    if node is None or not node.text:
        return None
    unit = node.get("unit", "KiB")
    return int(node.text) * BYTES.get(unit, 1 if unit in ("b", "bytes") else 1024)


def _disks(root: Element) -> Iterator[Disk]:
    for one in root.iterfind("devices/disk"):
        target, source, driver = one.find("target"), one.find("source"), one.find("driver")
        if one.get("device", "disk") not in ("disk", "lun") or target is None:
            continue
        path = source.get("file") or source.get("dev") if source is not None else None
        shown = driver.get("type", "raw") if driver is not None else "raw"
        yield Disk(target.get("dev", ""), Path(path) if path else None, shown)


def _forwards(root: Element) -> Iterator[tuple[int, tuple[str, int]]]:
    """Yield what user networking forwards: by QEMU's own arguments, or by passt."""
    for argument in root.iterfind(f"{_QEMU}commandline/{_QEMU}arg"):
        for host, outside, inside in _FORWARD.findall(argument.get("value", "")):
            yield int(inside), (host or "127.0.0.1", int(outside))
    for forward in root.iterfind("devices/interface/portForward[@proto='tcp']"):
        host = forward.get("address", "127.0.0.1")
        for one in forward.iterfind("range"):
            outside = int(one.get("start", "0"))
            inside = int(one.get("to", str(outside)))
            for step in range(int(one.get("end", str(outside))) - outside + 1):
                yield inside + step, (host, outside + step)
