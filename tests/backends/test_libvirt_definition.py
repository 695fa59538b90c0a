"""What is read out of a machine's XML."""

from __future__ import annotations

from pathlib import Path

from vmvc.backends.libvirt_definition import Disk, read

XML = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>ubuntu-vm</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <memory unit='KiB'>1048576</memory><vcpu placement='static'>2</vcpu>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a b.qcow2'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/x'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><source file='/x.iso'/><target dev='sda'/></disk>
    <interface type='user'><backend type='passt'/>
      <portForward proto='tcp' address='127.0.0.2'><range start='8080' end='8081' to='80'/></portForward>
      <portForward proto='tcp'><range start='22022' to='22'/></portForward>
    </interface>
    <serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
  </devices>
  <qemu:commandline><qemu:arg value='-netdev'/>
    <qemu:arg value='user,id=n,hostfwd=tcp::2222-:23,hostfwd=tcp:127.0.0.1:8443-:443'/></qemu:commandline>
</domain>
"""


def test_all_that_matters_is_read() -> None:
    found = read(XML)
    assert (found.kind, found.name, found.cpus, found.memory) == ("kvm", "ubuntu-vm", 2, 2**30)
    assert found.disks == (Disk("vda", Path("/a b.qcow2"), "qcow2"), Disk("vdb", None, "raw"))
    assert found.forwards == {
        23: ("127.0.0.1", 2222),
        443: ("127.0.0.1", 8443),
        80: ("127.0.0.2", 8080),
        81: ("127.0.0.2", 8081),
        22: ("127.0.0.1", 22022),
    }
    assert found.console
    assert found.agent


def test_what_a_definition_does_not_say_is_absent() -> None:
    found = read("<domain type='lxc'><name>x</name><devices><console type='file'/></devices></domain>")
    assert (found.cpus, found.memory) == (None, None)
    assert not found.disks
    assert not found.folders
    assert not found.forwards
    assert not found.console
    assert not found.agent
