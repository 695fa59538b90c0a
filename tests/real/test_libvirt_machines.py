"""Machines that exist already, on libvirt's mock, its containers and QEMU: the contract, and more."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

import libvirt
import psutil
import pytest

from tests.real.own_libvirtd import OwnLibvirtd
from vmvc import images, owner
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import Backend, Guest, Isolation, Tag
from vmvc.errors import CleanupError, DeadlineExceeded, EngineError, StepFailed, Unavailable
from vmvc.spec import BUILT_IN_IMAGES, Console, Http, ReadyConsole, ReadyHttp, ReadyTcp, Tcp
from vmvc.testing import MachineContract
from vmvc.testing.machine import State

pytestmark = pytest.mark.xdist_group("own libvirtd")


class _Hello(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            self.request.sendall(b"SSH-2.0-vmvc\r\n")


@contextmanager
def answering() -> Iterator[int]:
    """Stand in for the guest of a machine that runs nothing."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Defined(MachineContract):
    """Machines that a test defines through libvirt, as their user would."""

    uri: ClassVar[str]
    opened: ClassVar[Any] = None

    @classmethod
    def setup_class(cls) -> None:
        cls.opened = libvirt.open(cls.uri)

    @classmethod
    def teardown_class(cls) -> None:
        cls.opened.close()

    def backend(self) -> Backend:
        return LibvirtBackend("mine", LibvirtOptions.model_validate({"uri": self.uri}))

    def made(self, stack: ExitStack) -> tuple[str, Guest]:
        """Return the XML of a new machine and the guest that names it."""
        raise NotImplementedError

    @contextmanager
    def off(self) -> Iterator[Guest]:
        with ExitStack() as stack:
            xml, guest = self.made(stack)
            domain = self.opened.defineXML(xml)
            try:
                yield guest
            finally:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()

    @contextmanager
    def running(self) -> Iterator[Guest]:
        with self.off() as guest:
            self.opened.lookupByName(guest.machine).create()
            yield guest

    def state(self, guest: Guest) -> State:
        return "running" if self.opened.lookupByName(guest.machine).isActive() else "off"

    def definition(self, guest: Guest) -> object:
        domain = self.opened.lookupByName(guest.machine)
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        return domain.XMLDesc(flags if self.uri.startswith("qemu") else libvirt.VIR_DOMAIN_XML_INACTIVE)


NAME = "my vm; \"$HOME\" & 'ünï'"


@pytest.mark.real("libvirt")
class TestMock(Defined):
    """libvirt's test driver: a real libvirt whose machines run nothing."""

    uri = "test:///default"
    timeout = 20.0

    def made(self, stack: ExitStack) -> tuple[str, Guest]:
        port = stack.enter_context(answering())
        xml = f"""<domain type='test'><name>{escape(NAME)}</name><memory unit='MiB'>64</memory>
            <vcpu>2</vcpu><os><type>hvm</type></os></domain>"""
        ready = ReadyTcp(tcp=Tcp(port=port, expect="SSH-"))
        return xml, Guest(None, None, None, ready, machine=NAME, address="127.0.0.1")

    def test_what_is_known_of_it(self) -> None:
        with self.off() as guest:
            backend = self.backend()
            facts = backend.prepare(guest).facts
            assert (facts["existing_cpus"], facts["existing_memory"]) == (2, 64 * 2**20)
            assert [finding.code for finding in backend.check()] == ["libvirt.mock"]
            assert backend.describe()["driver"] == "TEST"
            backend.close()

    @pytest.mark.parametrize(("state", "cure"), [("paused", "virsh resume"), ("saved", "managedsave-remove")])
    def test_a_machine_in_another_state_is_refused_and_left_in_it(self, state: str, cure: str) -> None:
        with self.running() as guest:
            domain = self.opened.lookupByName(guest.machine)
            (domain.suspend if state == "paused" else lambda: domain.managedSave(0))()
            for asked in (guest, replace(guest, attach=True)):
                refusal = self._refusal(asked)
                assert refusal is not None
                assert f"is {state}" in refusal
                assert cure in refusal
            assert domain.isActive() == (state == "paused")
            if state == "saved":
                assert domain.hasManagedSaveImage(0)
                domain.managedSaveRemove(0)

    def test_what_the_driver_lacks_is_absent_with_the_reason(self) -> None:
        with self.off() as guest, self._instance(guest) as (_, instance):
            instance.create()
            instance.start()
            for call in (
                instance.console,
                instance.processes,
                instance.cgroup,
                lambda: instance.run(("true",), timeout=1),
            ):
                with pytest.raises(Unavailable, match="libvirt"):
                    call()
            assert set(instance.disk().absent) == {"virtual", "allocated", "shared", "unique"}

    def test_an_image_cannot_be_made_there(self) -> None:
        refusal = self._refusal(Guest(BUILT_IN_IMAGES["tiny"], 1, 2**26, ReadyHttp(http=Http(port=80))))
        assert "machines that exist already" in str(refusal)

    def test_its_address_is_what_the_driver_tells(self) -> None:
        name = "test"
        guest = Guest(None, None, None, ReadyHttp(http=Http(port=80)), machine=name, attach=True)
        with self._instance(guest) as (_, instance):
            instance.create()
            host, port = instance.endpoint(80)
            assert host.startswith("192.168.122.")
            assert port == 80


@pytest.mark.real("lxc")
class TestLxc(Defined):
    """System containers of libvirt, of the root file system that every backend gets."""

    timeout = 30.0
    heeds = "exit 0"
    daemon: ClassVar[OwnLibvirtd]

    @classmethod
    def setup_class(cls) -> None:
        cls.daemon = OwnLibvirtd()
        cls.uri = cls.daemon.uri("lxc")
        super().setup_class()

    @classmethod
    def teardown_class(cls) -> None:
        super().teardown_class()
        cls.daemon.stop()

    def made(self, stack: ExitStack) -> tuple[str, Guest]:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(
            images.unpacked(images.root_filesystem(BUILT_IN_IMAGES["tiny"], Path())),
            folder / "root",
            symlinks=True,
        )
        (folder / "root/init").write_text(
            f"#!/bin/sh\ntrap '{self.heeds}' TERM\nhttpd -p \"127.0.0.1:$1\" -h /www\n"
            "echo container is up\nwhile :; do sleep 0.2; done\n"
        )
        (folder / "root/init").chmod(0o755)
        port = free_port()
        name = f"vmvc test {uuid.uuid4().hex[:8]}"
        xml = f"""<domain type='lxc'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
            <resource><partition>/machine</partition></resource>
            <os><type>exe</type><init>/init</init><initarg>{port}</initarg></os>
            <devices><filesystem type='mount'><source dir='{folder}/root'/><target dir='/'/></filesystem>
            <console type='pty'/></devices></domain>"""
        ready = ReadyHttp(http=Http(port=port))
        return xml, Guest(None, None, None, ready, machine=name, address="127.0.0.1")

    def test_what_is_seen_of_it(self) -> None:
        with self.off() as guest, self._instance(guest) as (backend, instance):
            assert backend.isolated_by() is Isolation.CONTAINER
            instance.create()
            instance.start()
            self._wait(instance)
            seen = instance.processes()
            assert len(seen.own) >= 2
            assert len(seen.helpers) == 1
            assert seen.shared
            folder = instance.cgroup()
            assert folder is not None
            assert any((folder / name).is_file() for name in ("memory.current", "memory.usage_in_bytes"))
            usage = instance.disk()
            assert usage.unique is not None
            assert usage.unique > 2**20
            done = instance.run(("printf", "%s|", "a  b; $HOME", ""), timeout=10.0)
            assert done.stdout == b"a  b; $HOME||"
            assert instance.run(("sh", "-c", "exit 7"), timeout=10.0).returncode == 7
            assert instance.run(("no-such-command",), timeout=10.0).returncode == 127
            assert instance.run(("cat", "/proc/1/cmdline"), timeout=10.0).stdout.count(b"/init") == 1
            assert b"container is up" in (instance.console().read(5.0) or b"")

    def test_one_that_ignores_its_stop_is_ended_by_force_and_stays(self) -> None:
        self.heeds = ""
        with self.off() as guest, self._instance(guest) as (_, instance):
            instance.create()
            instance.start()
            self._wait(instance)
            with pytest.raises(DeadlineExceeded, match="did not power off within 1 s"):
                instance.stop(timeout=1.0)
            assert self.state(guest) == "running"
            instance.destroy()
            assert self.state(guest) == "off"

    def test_a_daemon_that_goes_in_mid_trial_is_named_and_nothing_is_forgotten(self) -> None:
        daemon = OwnLibvirtd()
        try:
            with ExitStack() as stack:
                xml, guest = self.made(stack)
                opened = libvirt.open(daemon.uri("lxc"))
                opened.defineXML(xml)
                backend = LibvirtBackend("mine", LibvirtOptions(uri=daemon.uri("lxc")))
                backend.prepare(guest)
                tag = Tag(f"daemon-{uuid.uuid4().hex[:8]}", 1, owner.current())
                instance = backend.instance(tag, guest)
                instance.create()
                instance.start()
                daemon.kill()
                with pytest.raises((StepFailed, EngineError)) as refused:
                    instance.stop(timeout=5.0)
                assert refused.value.hint
                with pytest.raises(CleanupError) as left:
                    instance.destroy()
                assert "may still run" in left.value.what
                assert [one.tag for one in backend.leftovers()] == [tag]
                backend.close()
                # The daemon comes back, and the next run's sweep ends what was left.
                daemon.start()
                (again,) = backend.leftovers()
                again.destroy()
                assert backend.leftovers() == []
                backend.close()
        finally:
            daemon.stop()


@pytest.mark.real("libvirtd")
@pytest.mark.quiet  # With those that open no embedded driver, which would take its URI in their process.
class TestQemu(Defined):
    """A machine of QEMU that its user has defined, with a serial console and a disk over a base."""

    uri = "qemu:///system"
    timeout = 90.0
    lives = 1
    has_attach = False
    # Containers and the mock show these, and a machine starts in seconds.
    test_two_trials_cannot_have_it_at_once = None  # type: ignore[assignment]
    test_what_a_dead_run_left_running_is_ended_by_its_tag = None  # type: ignore[assignment]

    def made(self, stack: ExitStack) -> tuple[str, Guest]:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=images.cache_dir())))
        folder.chmod(0o755)
        script = "echo machine is up; while :; do sleep 1; done"
        ready = ReadyConsole(console=Console(pattern="machine is up"))
        asked = Guest(BUILT_IN_IMAGES["tiny"], 1, 2**27, ready, command=("sh", "-c", script))
        boot = images.bootable(asked)
        base, top = folder / "base.qcow2", folder / "top.qcow2"
        for arguments in ((base, "16M"), ("-b", base, "-F", "qcow2", top)):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *map(str, arguments)], check=True)
        name = f"vmvc test {uuid.uuid4().hex[:8]}"
        xml = f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
            <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{boot.kernel}</kernel>
            <initrd>{boot.initrd}</initrd>
            <cmdline>{escape(boot.append)} {images.emulated_clock()}</cmdline></os>
            <features><acpi/></features><cpu mode='maximum'/>
            <seclabel type='static' model='dac' relabel='no'><label>+0:+0</label></seclabel>
            <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
            <source file='{top}'/><target dev='vdb' bus='virtio'/></disk>
            <serial type='pty'/><console type='pty'/></devices></domain>"""
        return xml, Guest(None, None, None, ready, machine=name)

    def test_what_is_seen_of_it(self) -> None:
        with self.off() as guest, self._instance(guest) as (backend, instance):
            preparation = backend.prepare(guest)
            assert [finding.code for finding in preparation.findings] == ["libvirt.emulated"]
            assert backend.describe()["emulated"] is True
            instance.create()
            instance.start()
            self._wait(instance)
            (own,) = instance.processes().own
            assert psutil.Process(own).name().startswith("qemu-system")
            usage = instance.disk()
            assert usage.virtual == 16 * 2**20
            assert usage.shared
            assert usage.unique
            with pytest.raises(Unavailable):
                instance.run(("true",), timeout=5.0)
