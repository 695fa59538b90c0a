"""Commands by SSH in a user's machine: a container of libvirt's in which a real sshd answers."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

import libvirt
import psutil
import pytest

from tests.command import vmvc
from tests.real.own_libvirtd import OwnLibvirtd
from tests.real.test_libvirt_machines import free_port
from vmvc import images, owner, probes
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import MOST_OUTPUT, Guest, Instance, MonotonicClock, Tag
from vmvc.errors import DeadlineExceeded, InputError, StepFailed
from vmvc.spec import Exec, ReadyExec, RecipeImage
from vmvc.spec_machine import Ssh

pytestmark = [
    pytest.mark.real("lxc", "mmdebstrap", "ssh"),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("own libvirtd"),
]

IMAGE = RecipeImage(base="debian:bookworm", packages=("openssh-server",))
INIT = """#!/bin/sh
trap 'kill "$!"; exit 0' TERM
mkdir -p /run/sshd
ssh-keygen -q -A
/usr/sbin/sshd -D -p "$1" -o ListenAddress=127.0.0.1 &
while :; do wait; sleep 1; done
"""


@dataclass
class Machine:
    """A user's machine, and how to get into it."""

    uri: str
    root: Path
    guest: Guest

    def instance(self, guest: Guest | None = None) -> tuple[LibvirtBackend, Instance]:
        backend = LibvirtBackend("mine", LibvirtOptions(uri=self.uri))
        asked = guest or self.guest
        backend.prepare(asked)
        return backend, backend.instance(Tag(f"ssh-{uuid.uuid4().hex[:8]}", 1, owner.current()), asked)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Define a container in which sshd answers, with a key of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="vmvc-ssh-machine-"))
    daemon = OwnLibvirtd()
    uri = daemon.uri("lxc")
    opened = libvirt.open(uri)
    try:
        root = folder / "root"
        shutil.copytree(images.unpacked(images.root_filesystem(IMAGE, Path())), root, symlinks=True)
        (root / "init").unlink(missing_ok=True)
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        (root / "root/.ssh/authorized_keys").write_text(key.with_suffix(".pub").read_text())
        name, port = f"vmvc ssh {uuid.uuid4().hex[:8]}", free_port()
        domain = opened.defineXML(
            f"""<domain type='lxc'><name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
            <resource><partition>/machine</partition></resource>
            <os><type>exe</type><init>/init</init><initarg>{port}</initarg></os>
            <devices><filesystem type='mount'><source dir='{escape(str(root))}'/>
            <target dir='/'/></filesystem>
            <console type='pty'/></devices></domain>"""
        )
        ready = ReadyExec(exec=Exec(command=("true",)))
        ssh = Ssh(user="root", port=port, key=str(key))
        yield Machine(
            uri,
            root,
            Guest(None, None, None, ready, machine=name, address="127.0.0.1", ssh=ssh, folder=folder),
        )
        if domain.isActive():
            domain.destroy()
        domain.undefine()
    finally:
        opened.close()
        daemon.stop()
        shutil.rmtree(folder)


@pytest.fixture
def running(machine: Machine) -> Iterator[Instance]:
    backend, instance = machine.instance()
    instance.create()
    instance.start()
    ready(instance)
    yield instance
    instance.destroy()
    backend.close()
    assert clients() == []


def ready(instance: Instance) -> None:
    clock = MonotonicClock()
    probes.wait(instance.guest.ready, instance, None, clock, clock.now() + 60 * 10**9)


def clients() -> list[str]:
    """Return SSH clients and sockets of vmvc's that are there."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    found = [line for line in lines if line.startswith("ssh ") and "vmvc-ssh-" in line]
    return found + [str(path) for path in Path(tempfile.gettempdir()).glob("vmvc-ssh-*") if path.is_socket()]


def inside(word: str) -> list[int]:
    """Return the processes with that word in their command line; the host sees those of containers."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if word in (one.info["cmdline"] or ())]


def gone(word: str) -> bool:
    deadline = time.monotonic() + 5
    while inside(word):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_command_arrives_as_given_and_tells_how_it_ended(running: Instance) -> None:
    odd = ("a  b; $HOME", "", "'\"\\", "*", "ünï\n2")
    assert running.run(("printf", "%s|", *odd), timeout=20).stdout.decode() == "".join(
        f"{one}|" for one in odd
    )
    assert running.run(("cat",), timeout=20, stdin=b"\0\xff given").stdout == b"\0\xff given"
    ended = running.run(("sh", "-c", "echo bad >&2; exit 7"), timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"bad\n")
    assert running.run(("no-such-command",), timeout=20).returncode == 127
    # What the client says of itself, a command may say, too.
    assert running.run(("sh", "-c", "exit 255"), timeout=20).returncode == 255
    assert b"/init" in running.run(("cat", "/proc/1/cmdline"), timeout=20).stdout


def test_a_command_that_does_not_end_is_ended_with_its_children(running: Instance) -> None:
    word = f"1{uuid.uuid4().int % 10**8:08}"
    with pytest.raises(DeadlineExceeded, match="'sh' did not end within 1 s"):
        running.run(("sh", "-c", f"sleep {word} & setsid sleep {word} & wait"), timeout=1)
    assert gone(word)


def test_one_that_prints_without_end_is_ended(running: Instance) -> None:
    word = f"y{uuid.uuid4().hex}"
    with pytest.raises(StepFailed, match=f"'yes' printed more than {MOST_OUTPUT // 2**20} MiB"):
        running.run(("yes", word), timeout=60)
    assert gone(word)


def test_a_machine_that_ends_under_a_command_is_told(running: Instance) -> None:
    with pytest.raises(StepFailed, match="the connection ended while 'sh' ran"):
        running.run(("sh", "-c", "pkill -o sshd; kill -KILL $PPID; sleep 30"), timeout=20)


def test_whoever_is_not_let_in_hears_why(running: Instance, machine: Machine, tmp_path: Path) -> None:
    ssh = machine.guest.ssh
    assert ssh is not None
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    open_to_all = tmp_path / "open"
    shutil.copy(str(ssh.key), open_to_all)
    open_to_all.chmod(0o644)
    wrong = [
        (replace_ssh(machine, key=str(other)), "lets nobody in by SSH", "authorized_keys"),
        (replace_ssh(machine, key=str(open_to_all)), "can be read by others", "chmod 600"),
        (replace_ssh(machine, port=free_port()), "nobody answers by SSH", "guest.ready"),
    ]
    for guest, what, cure in wrong:
        backend, instance = machine.instance(replace(guest, attach=True))
        instance.create()
        with pytest.raises(StepFailed, match=what) as refused:
            instance.run(("true",), timeout=20)
        assert cure in refused.value.hint
        instance.destroy()
        backend.close()
    with pytest.raises(InputError, match="is not there"):
        machine.instance(replace_ssh(machine, key=str(tmp_path / "none")))


def replace_ssh(machine: Machine, **changes: object) -> Guest:
    assert machine.guest.ssh is not None
    return replace(machine.guest, ssh=machine.guest.ssh.model_copy(update=changes))


def test_a_host_key_that_changed_is_refused_until_it_is_forgotten(machine: Machine) -> None:
    attempt(machine)
    for key in (machine.root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    with pytest.raises(StepFailed, match="host key is not the known one") as refused:
        attempt(machine)
    cure = refused.value.hint.partition("forget the old key: ")[2]
    subprocess.run(shlex.split(cure), check=True, capture_output=True)
    attempt(machine)


def attempt(machine: Machine) -> None:
    """Ask once sshd answers: a probe would ask again and again, and tell the reason only at its deadline."""
    backend, instance = machine.instance()
    instance.create()
    instance.start()
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                instance.run(("true",), timeout=10)
            except StepFailed as error:
                if "nobody answers" not in error.what or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return
    finally:
        instance.destroy()
        backend.close()


CONNECTS = """
import secrets, sys, time
from pathlib import Path
from vmvc.backends.ssh import Ssh as Way
from vmvc.backends.ssh_login import into_machine
from vmvc.contract import Guest
from vmvc.spec import Exec, ReadyExec
from vmvc.spec_machine import Ssh
port, key = int(sys.argv[1]), sys.argv[2]
ssh = Ssh(user="root", port=port, key=key)
guest = Guest(None, None, None, ReadyExec(exec=Exec(command=("true",))), machine="x", ssh=ssh)
way = Way(into_machine(guest, secrets.token_hex(8)), lambda asked: ("127.0.0.1", asked), lambda: True)
way.run(("true",), timeout=20, stdin=b"")
print("connected", flush=True)
time.sleep(60)
"""


def test_the_connection_of_a_killed_process_ends(running: Instance, machine: Machine) -> None:
    assert machine.guest.ssh is not None
    arguments = [str(machine.guest.ssh.port), str(machine.guest.ssh.key)]
    before = len(clients())
    with subprocess.Popen([sys.executable, "-c", CONNECTS, *arguments], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"connected\n"
        assert len(clients()) > before
        one.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while len(clients()) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(clients()) == before


def test_a_workload_is_measured_in_it(machine: Machine, tmp_path: Path) -> None:
    ssh = machine.guest.ssh
    assert ssh is not None
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"""name: mine
backends:
  mine:
    kind: libvirt
    options: {{uri: "{machine.uri}"}}
    guest:
      machine: {machine.guest.machine}
      address: 127.0.0.1
      ssh: {{user: root, port: {ssh.port}, key: {ssh.key}}}
      ready: {{exec: {{command: ["true"]}}}}
metrics:
  startup: {{}}
  work:
    kind: workload
    run:
      command: [sh, -c, "echo 42 points"]
      quantities: {{points: {{regex: '(\\d+) points', better: higher, says: Points.}}}}
trials: {{count: 2, warmup: 0, timeout: 60s}}
"""
    )
    environment = {**os.environ, "VMVC_LOCK": str(tmp_path / "lock")}
    said = vmvc("run", path, cwd=tmp_path, env=environment)
    assert said.code == 0, said.err
    (run,) = (tmp_path / "results" / "mine").iterdir()
    shown = vmvc("show", run, cwd=tmp_path).out
    assert "42" in shown, shown
    assert clients() == []
