"""A guest and the settings of its machine -> libvirt's domain XML; and the tag in it -> a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from vmvc.contract import Guest, Tag
from vmvc.errors import Fault, InputError

METADATA: Final = "urn:vmvc:tag:1"
"""Namespace of the element that carries the tag."""
CHANNEL: Final = "vmvc.init.0"
AGENT: Final = "org.qemu.guest_agent.0"
EMULATED: Final = "qemu"
ACCELERATED: Final = "kvm"
MICROVM: Final = "microvm"

_LABELS: Final = f"{{{METADATA}}}labels"
_LABEL: Final = f"{{{METADATA}}}label"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TARGETS: Final = {"virtio": "vda", "sata": "sda", "ide": "hda"}


@dataclass(frozen=True, slots=True)
class Boot:
    """What the machine boots: a kernel, or else its firmware boots the disk."""

    kernel: Path | None
    initrd: Path | None
    append: str
    chain: tuple[tuple[Path, str], ...]
    """The read-only disk and what it stands on, each with its format; empty without a disk."""
    channel: str
    """``init``, ``agent`` or ``none``: the way in for commands."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """How the machine is made, apart from the guest."""

    accelerator: str
    """``kvm`` or ``qemu``."""
    machine: str
    cpu: str
    hidden: tuple[str, ...] = ()
    disk_bus: str = "virtio"
    disk_cache: str = "writeback"
    owner: str | None = None
    """``+UID:+GID`` that QEMU runs as; ``None`` where libvirt has no say."""
    confinements: tuple[str, ...] = ()
    """Security modules that libvirt would otherwise confine QEMU with."""


@dataclass(frozen=True, slots=True)
class Places:
    """Files of one machine."""

    console: Path
    channel: Path
    overlay: Path


def domain_xml(tag: Tag, uuid: str, guest: Guest, boot: Boot, hardware: Hardware, places: Places) -> str:
    """Write the XML of one machine.

    Raises: InputError where a text cannot be written in XML.
    """
    domain = Element("domain", type=hardware.accelerator)
    _text(domain, "name", tag.name)
    _text(domain, "uuid", uuid)
    metadata = SubElement(SubElement(domain, "metadata"), _LABELS)
    for name, value in tag.labels().items():
        _text(metadata, _LABEL, value, name=name)
    _text(domain, "memory", str(guest.made.memory), unit="b")
    _add_vcpus(domain, guest)
    _add_boot(domain, boot, hardware)
    SubElement(SubElement(domain, "features"), "acpi")
    _add_cpu(domain, hardware)
    for event in ("on_reboot", "on_crash"):
        _text(domain, event, "destroy")
    _add_devices(SubElement(domain, "devices"), uuid, boot, hardware, places)
    if hardware.owner is not None:
        label = SubElement(domain, "seclabel", type="static", model="dac", relabel="no")
        _text(label, "label", hardware.owner)
    for model in hardware.confinements:
        SubElement(domain, "seclabel", type="none", model=model)
    written = ElementTree.tostring(domain, encoding="unicode")
    if found := _NOT_XML.search(written):
        around = written[max(0, found.start() - 40) : found.end() + 10]
        raise InputError(
            Fault(
                f"libvirt takes no text with the character {found[0]!r}, got {around!r}",
                hint="rename the file, or leave the character out",
            )
        )
    return written


def read_tag(element: str) -> Tag | None:
    """Read back the tag from the metadata element; ``None`` where it is none of ours."""
    labels = {label.get("name", ""): label.text or "" for label in ElementTree.fromstring(element)}
    return Tag.from_labels(labels)


def _text(parent: Element, name: str, text: str, /, **attributes: str) -> None:
    SubElement(parent, name, attributes).text = text


def _add_boot(domain: Element, boot: Boot, hardware: Hardware) -> None:
    system = SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine=hardware.machine)
    if boot.kernel is None:
        SubElement(system, "boot", dev="hd")
        return
    _text(system, "kernel", str(boot.kernel))
    if boot.initrd is not None:
        _text(system, "initrd", str(boot.initrd))
    _text(system, "cmdline", boot.append)


def _add_vcpus(domain: Element, guest: Guest) -> None:
    """Say how many CPUs, and on which of the host they and QEMU's other threads stay."""
    if guest.cpuset is None:
        _text(domain, "vcpu", str(guest.made.cpus))
        return
    _text(domain, "vcpu", str(guest.made.cpus), placement="static", cpuset=guest.cpu_list)
    SubElement(SubElement(domain, "cputune"), "emulatorpin", cpuset=guest.cpu_list)


def _add_cpu(domain: Element, hardware: Hardware) -> None:
    cpu = SubElement(domain, "cpu", mode=hardware.cpu, check="none")
    for feature in hardware.hidden:
        SubElement(cpu, "feature", policy="disable", name=feature)


def _add_devices(devices: Element, uuid: str, boot: Boot, hardware: Hardware, places: Places) -> None:
    mapped = hardware.machine == MICROVM
    SubElement(devices, "controller", type="usb", model="none")
    if boot.chain:
        disk = SubElement(devices, "disk", type="file", device="disk")
        SubElement(disk, "driver", name="qemu", type="qcow2", cache=hardware.disk_cache)
        SubElement(disk, "source", file=str(places.overlay))
        _add_chain(disk, boot.chain)
        SubElement(disk, "target", dev=TARGETS[hardware.disk_bus], bus=hardware.disk_bus)
        _address(disk, mapped)
    network = SubElement(devices, "interface", type="user")
    SubElement(network, "mac", address=mac(uuid))
    SubElement(network, "model", type="virtio")
    if not mapped:
        SubElement(network, "rom", enabled="no")
    _address(network, mapped)
    console = SubElement(devices, "serial", type="unix")
    SubElement(console, "source", mode="connect", path=str(places.console))
    SubElement(console, "target", type="isa-serial", port="0")
    if boot.channel != "none":
        _address(SubElement(devices, "controller", type="virtio-serial", index="0"), mapped)
        channel = SubElement(devices, "channel", type="unix")
        if boot.channel == "init":
            SubElement(channel, "source", mode="connect", path=str(places.channel))
        SubElement(channel, "target", type="virtio", name=CHANNEL if boot.channel == "init" else AGENT)
    if boot.kernel is None:
        SubElement(SubElement(devices, "video"), "model", type="vga")
    SubElement(devices, "memballoon", model="none")


def _add_chain(parent: Element, chain: tuple[tuple[Path, str], ...]) -> None:
    """Name every file below the overlay, so that libvirt need not look for itself."""
    for path, image_format in chain:
        parent = SubElement(parent, "backingStore", type="file")
        SubElement(parent, "format", type=image_format)
        SubElement(parent, "source", file=str(path))
    SubElement(parent, "backingStore")


def _address(device: Element, mapped: bool) -> None:
    """Put a device on microvm's memory-mapped bus; elsewhere libvirt chooses the PCI address."""
    if mapped:
        SubElement(device, "address", type="virtio-mmio")


def mac(uuid: str) -> str:
    """Return an address in QEMU's range that is always the same for a machine."""
    return ":".join(("52:54:00", uuid[-6:-4], uuid[-4:-2], uuid[-2:]))
