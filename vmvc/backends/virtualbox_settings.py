"""The settings of one machine, as VirtualBox wrote them -> those of another with a name and disks of its own.

VirtualBox makes a machine once by its own commands, which take seconds each; every trial's machine is a copy
of those settings, in the very format of that version.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vmvc.contract import Tag
from vmvc.errors import EngineError

GROUP: Final = "/vmvc"
INSIDE: Final = "10.0.2.15"
"""The guest's address behind VirtualBox's NAT."""
_SPACE: Final = "http://www.virtualbox.org/"
_IDENTITY_AT: Final = 392
"""Where a VDI has its own UUID."""


@dataclass(frozen=True, slots=True)
class Template:
    """A machine that VirtualBox has made: its settings, and by name its empty disks over the image's."""

    settings: bytes
    overlays: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Particulars:
    """What one machine has for itself."""

    identity: uuid.UUID
    tag: Tag
    overlays: Mapping[str, tuple[Path, uuid.UUID]]
    """Name in the template -> the machine's own, and the UUID that it is registered by."""
    console: str
    channel: str
    ports: Mapping[int, int]
    """Guest port -> port of this host."""


def description(tag: Tag) -> str:
    """Return what is written into a machine, so that it is known as ours."""
    return json.dumps(tag.labels(), sort_keys=True)


def read_tag(text: str) -> Tag | None:
    """Read back ``description``; ``None`` where it is none of ours."""
    try:
        labels = json.loads(text)
    except ValueError:
        return None
    return Tag.from_labels(labels) if isinstance(labels, dict) else None


def written(template: Template, own: Particulars) -> bytes:
    """Return the settings file of one machine.

    Raises: EngineError where VirtualBox's settings are not as known.
    """
    ElementTree.register_namespace("", _SPACE)
    root = ElementTree.fromstring(template.settings)
    machine = _only(root, "Machine")
    machine.set("uuid", f"{{{own.identity}}}")
    machine.set("name", own.tag.name)
    _only(machine, "Description").text = description(own.tag)
    for adapter in machine.iter(_named("Adapter")):
        adapter.set("MACAddress", f"080027{secrets.token_hex(3).upper()}")
    for forward in machine.iter(_named("Forwarding")):
        forward.set("hostport", str(own.ports[int(forward.get("guestport", "0"))]))
    for port in machine.iter(_named("Port")):
        port.set("path", own.console if port.get("slot") == "0" else own.channel)
    named = {}
    for disk in machine.iterfind(f".//{_named('HardDisk')}/{_named('HardDisk')}"):
        path, identity = own.overlays[Path(disk.get("location", "")).stem]
        named[disk.get("uuid")] = f"{{{identity}}}"
        disk.set("location", str(path))
        disk.set("uuid", f"{{{identity}}}")
    for attached in machine.iter(_named("Image")):
        attached.set("uuid", named[attached.get("uuid")])
    settings: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return settings


def renamed(overlay: bytes, identity: uuid.UUID) -> bytes:
    """Return a VDI under another UUID."""
    return overlay[:_IDENTITY_AT] + identity.bytes_le + overlay[_IDENTITY_AT + 16 :]


def _named(name: str) -> str:
    return f"{{{_SPACE}}}{name}"


def _only(parent: Element, name: str) -> Element:
    found = parent.find(f".//{_named(name)}")
    if found is None:
        raise EngineError(
            f"VirtualBox's settings have no {name}", hint="report it, with the version of VirtualBox"
        )
    return found
