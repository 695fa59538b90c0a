"""The XML of a machine says what was asked for, whatever characters it is asked with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from vmvc.backends.libvirt_domain import (
    METADATA,
    Boot,
    Hardware,
    Places,
    domain_xml,
    mac,
    read_tag,
)
from vmvc.contract import Guest, Tag
from vmvc.errors import InputError
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp

UUID = "0b3c3e5d-f06f-4c0a-9fec-1e926b5917ef"
TAG = Tag("run", 3, "host:12:1.50")
GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=2, memory=256 * 2**20, ready=ReadyHttp(http=Http(port=80)))
KERNEL = Boot(Path("/k/vmlinuz"), Path("/k/initrd"), "console=ttyS0 quiet", (), "init")
DISK = Boot(None, None, "", ((Path("/d/base.img"), "raw"),), "none")
HARDWARE = Hardware("qemu", "q35", "maximum")
PLACES = Places(Path("/s/console"), Path("/s/channel"), Path("/f/disk.qcow2"))
HOSTILE = "</name><x a='1'>&amp; \"quoted\" ]]> <!-- ünïcødé \u2028 🙂 -->"


def made(
    *,
    tag: Tag = TAG,
    guest: Guest = GUEST,
    boot: Boot = KERNEL,
    hardware: Hardware = HARDWARE,
    places: Places = PLACES,
) -> Element:
    return ElementTree.fromstring(domain_xml(tag, UUID, guest, boot, hardware, places))


def test_the_guest_decides_cpus_and_memory() -> None:
    domain = made()
    assert domain.get("type") == "qemu"
    assert domain.findtext("name") == "vmvc-run-3"
    assert domain.findtext("uuid") == UUID
    assert domain.findtext("vcpu") == "2"
    memory = domain.find("memory")
    assert memory is not None
    assert (memory.text, memory.get("unit")) == (str(256 * 2**20), "b")


def test_a_guest_that_is_free_has_no_pins() -> None:
    vcpu = made().find("vcpu")
    assert vcpu is not None
    assert vcpu.attrib == {}
    assert made().find("cputune") is None


def test_vcpus_and_emulator_stay_on_the_cpus_of_the_guest() -> None:
    domain = made(guest=replace(GUEST, cpuset=(1, 3)))
    vcpu, emulator = domain.find("vcpu"), domain.find("cputune/emulatorpin")
    assert vcpu is not None
    assert (vcpu.text, vcpu.attrib) == ("2", {"placement": "static", "cpuset": "1,3"})
    assert emulator is not None
    assert emulator.attrib == {"cpuset": "1,3"}


def test_a_kernel_is_booted_directly() -> None:
    system = made().find("os")
    assert system is not None
    assert [system.findtext(name) for name in ("kernel", "initrd", "cmdline")] == [
        "/k/vmlinuz",
        "/k/initrd",
        "console=ttyS0 quiet",
    ]
    assert system.find("boot") is None
    assert made().find("devices/video") is None


def test_firmware_boots_a_disk_and_finds_a_display() -> None:
    domain = made(boot=DISK)
    assert domain.find("os/kernel") is None
    assert domain.find("os/boot[@dev='hd']") is not None
    assert domain.find("devices/video/model[@type='vga']") is not None


def test_the_disk_is_the_overlay_and_names_all_below_it() -> None:
    chain = ((Path("/d/top.qcow2"), "qcow2"), (Path("/d/bottom.img"), "raw"))
    disk = made(boot=replace(DISK, chain=chain), hardware=replace(HARDWARE, disk_cache="none")).find(
        "devices/disk"
    )
    assert disk is not None
    assert [one.get("file") for one in disk.iter("source")] == [
        "/f/disk.qcow2",
        "/d/top.qcow2",
        "/d/bottom.img",
    ]
    assert [one.get("type") for one in disk.iter("format")] == ["qcow2", "raw"]
    assert disk.find(".//backingStore/backingStore/backingStore") is not None, "libvirt need not look further"
    driver = disk.find("driver")
    assert driver is not None
    assert driver.get("cache") == "none"


@pytest.mark.parametrize(("bus", "target"), [("virtio", "vda"), ("sata", "sda"), ("ide", "hda")])
def test_the_disk_bus(bus: str, target: str) -> None:
    found = made(boot=DISK, hardware=replace(HARDWARE, disk_bus=bus)).find("devices/disk/target")
    assert found is not None
    assert found.attrib == {"dev": target, "bus": bus}


@pytest.mark.parametrize(
    ("channel", "port", "connects"),
    [("init", "vmvc.init.0", True), ("agent", "org.qemu.guest_agent.0", False)],
)
def test_the_way_in_for_commands(channel: str, port: str, connects: bool) -> None:
    found = made(boot=replace(KERNEL, channel=channel)).find("devices/channel")
    assert found is not None
    assert found.find(f"target[@name='{port}']") is not None
    assert (found.find("source[@path='/s/channel']") is not None) == connects


def test_without_a_way_in_there_is_no_channel() -> None:
    assert made(boot=DISK).find("devices/channel") is None


def test_microvm_has_memory_mapped_devices_and_no_usb() -> None:
    boot = replace(KERNEL, chain=((Path("/d/base.qcow2"), "qcow2"),))
    devices = made(boot=boot, hardware=replace(HARDWARE, machine="microvm")).find("devices")
    assert devices is not None
    for kind in ("disk", "interface", "controller[@type='virtio-serial']"):
        assert devices.find(f"{kind}/address[@type='virtio-mmio']") is not None, kind
    assert devices.find("controller[@type='usb'][@model='none']") is not None


def test_other_machines_leave_the_addresses_to_libvirt() -> None:
    assert made(boot=replace(KERNEL, chain=DISK.chain)).find(".//address") is None


def test_hidden_cpu_features() -> None:
    cpu = made(hardware=replace(HARDWARE, hidden=("arch-capabilities", "avx"))).find("cpu")
    assert cpu is not None
    assert [(one.get("policy"), one.get("name")) for one in cpu] == [
        ("disable", "arch-capabilities"),
        ("disable", "avx"),
    ]


def test_qemu_runs_as_its_owner_without_relabelling() -> None:
    labels = made(hardware=replace(HARDWARE, owner="+1000:+100", confinements=("apparmor",))).findall(
        "seclabel"
    )
    assert [one.attrib for one in labels] == [
        {"type": "static", "model": "dac", "relabel": "no"},
        {"type": "none", "model": "apparmor"},
    ]
    assert labels[0].findtext("label") == "+1000:+100"
    assert made().find("seclabel") is None


def test_the_tag_comes_back_from_the_metadata() -> None:
    tag = Tag("run", 3, HOSTILE)
    element = made(tag=tag).find(f"metadata/{{{METADATA}}}labels")
    assert element is not None
    assert read_tag(ElementTree.tostring(element, encoding="unicode")) == tag


@pytest.mark.parametrize(
    "labels",
    [{}, {"vmvc": "instance"}, {**TAG.labels(), "vmvc": "image"}, {**TAG.labels(), "vmvc.trial": "x"}],
)
def test_other_metadata_is_not_a_tag(labels: dict[str, str]) -> None:
    element = Element("labels")
    for name, value in labels.items():
        ElementTree.SubElement(element, "label", name=name).text = value
    assert read_tag(ElementTree.tostring(element, encoding="unicode")) is None


def test_hostile_text_stays_text() -> None:
    place = Path("/f") / HOSTILE.replace("/", "")
    domain = made(
        boot=replace(DISK, kernel=place, append=HOSTILE, chain=((place, "raw"),)),
        places=Places(place, place, place),
    )
    assert domain.findtext("os/kernel") == str(place)
    assert domain.findtext("os/cmdline") == HOSTILE
    assert {one.get("file") for one in domain.iter("source") if one.get("file")} == {str(place)}
    console = domain.find("devices/serial/source")
    assert console is not None
    assert console.get("path") == str(place)


@pytest.mark.parametrize("character", ["\0", "\x01", "\x1b", "\ud800", "\ufffe"])
def test_what_xml_cannot_say_is_refused(character: str) -> None:
    place = Path(f"/d/a{character}b")
    for boot in (
        replace(KERNEL, append=f"a{character}b"),
        replace(KERNEL, kernel=place),
        replace(DISK, chain=((place, "raw"),)),
    ):
        with pytest.raises(InputError, match="character"):
            made(boot=boot)
    with pytest.raises(InputError, match="character"):
        made(places=replace(PLACES, console=place))


def test_an_address_belongs_to_its_machine() -> None:
    assert mac(UUID) == "52:54:00:59:17:ef"
