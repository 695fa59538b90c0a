"""libvirt keeps every promise of the contract, with the system's daemon and with the embedded driver."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import pytest

from tests.real.virsh import virsh
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.backends.libvirt_domain import METADATA
from vmvc.contract import Backend, Guest, Tag
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import BackendContract


class Machines(BackendContract):
    options: ClassVar[LibvirtOptions]
    has_forget = True

    def backend(self) -> Backend:
        return LibvirtBackend("libvirt", self.options)

    def guest(self) -> Guest:
        return Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=ReadyHttp(http=Http(port=80)))


@pytest.mark.real("libvirtd")
class TestSystem(Machines):
    options = LibvirtOptions(uri="qemu:///system")

    @contextmanager
    def stranger(self) -> Iterator[Callable[[], bool]]:
        """Define machines whose names and metadata could be taken for ours."""
        run = secrets.token_hex(4)
        labels = Tag(run, 2, "host:1:1").labels()
        bodies = [
            _definition(f"vmvc-{run}-1", {}),
            _definition(f"vmvc-{run}-2", {**labels, "vmvc": "image"}),
            _definition(f"vmvc-{run}-3", {name: labels[name] for name in ("vmvc", "vmvc.run")}),
        ]
        with TemporaryDirectory() as folder:
            for number, body in enumerate(bodies):
                path = Path(folder) / f"{number}.xml"
                path.write_text(body)
                virsh("define", str(path))
        names = {f"vmvc-{run}-{number}" for number in (1, 2, 3)}
        try:
            yield lambda: names <= set(virsh("list", "--all", "--name").split())
        finally:
            for name in names:
                virsh("undefine", name)


@pytest.mark.real("libvirt")
class TestEmbedded(Machines):
    options = LibvirtOptions(uri="qemu:///embed")


def _definition(name: str, labels: dict[str, str]) -> str:
    domain = Element("domain", type="qemu")
    SubElement(domain, "name").text = name
    SubElement(domain, "memory", unit="MiB").text = "64"
    SubElement(SubElement(domain, "os"), "type", arch="x86_64").text = "hvm"
    parent = SubElement(SubElement(domain, "metadata"), f"{{{METADATA}}}labels")
    for label, value in labels.items():
        SubElement(parent, f"{{{METADATA}}}label", name=label).text = value
    return ElementTree.tostring(domain, encoding="unicode")
