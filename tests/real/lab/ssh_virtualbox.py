"""Commands by SSH in machines that VirtualBox really starts, vmvc's and a user's; to be run in the lab."""

from __future__ import annotations

import secrets
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.real.lab.contract_virtualbox import OPTIONS, manage
from vmvc import images
from vmvc.backends.virtualbox import VirtualBoxBackend
from vmvc.backends.virtualbox_instance import free_port
from vmvc.backends.virtualbox_manage import Manage
from vmvc.backends.virtualbox_survey import OFF
from vmvc.contract import Guest, Instance, MonotonicClock
from vmvc.errors import DeadlineExceeded, StepFailed
from vmvc.probes import wait
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec
from vmvc.spec_machine import Ssh
from vmvc.testing.handles import new_tag

PATIENCE = 600.0
READY = ReadyExec(exec=Exec(command=("true",), interval=2.0))
MADE = Guest(
    *(BUILT_IN_IMAGES["tiny"], 1, 192 * 2**20), ready=READY, env={"GREETING": "a  b; $HOME"}, ssh=Ssh()
)


@contextmanager
def ready(guest: Guest) -> Iterator[Instance]:
    backend, clock = VirtualBoxBackend("virtualbox", OPTIONS), MonotonicClock()
    assert guest.machine is not None or backend.prepare(guest).facts["commands"] == "ssh"
    instance = backend.instance(new_tag(), guest)
    try:
        instance.create()
        instance.start()
        wait(guest.ready, instance, None, clock, clock.now() + round(PATIENCE * 1e9))
        yield instance
    finally:
        instance.destroy()
        backend.close()


def test_a_machine_that_vmvc_makes_runs_commands_by_ssh() -> None:
    with ready(MADE) as instance:
        _commands(instance)
        shown = instance.run(("sh", "-c", 'printf "%s\\n" "$GREETING"'), timeout=PATIENCE).stdout
        assert shown == b"a  b; $HOME\n"
        # A hundred times what the serial port would carry in this time.
        much = b"0123456789abcde\n" * 2**16
        assert instance.run(("cat",), timeout=PATIENCE, stdin=much).stdout == much
        instance.stop(timeout=PATIENCE)


def test_a_users_machine_runs_commands_by_ssh_through_its_nat() -> None:
    with of_a_user() as guest:
        with ready(guest) as instance:
            _commands(instance)
            assert instance.endpoint(22) == ("127.0.0.1", int(_rule(guest)[3]))
            instance.stop(timeout=PATIENCE)
        assert Manage().show(guest.machine or "")["VMState"] in OFF


def test_a_users_machine_without_a_rule_for_ssh_says_so() -> None:
    with of_a_user() as guest:
        backend = VirtualBoxBackend("virtualbox", OPTIONS)
        instance = backend.instance(new_tag(), replace(guest, ssh=Ssh(port=2222)))
        try:
            instance.create()
            instance.start()
            with pytest.raises(
                StepFailed, match="port 2222 of the machine is not forwarded by its NAT"
            ) as refused:
                instance.run(("true",), timeout=20)
            assert "--natpf1" in refused.value.hint
        finally:
            instance.destroy()


def _commands(instance: Instance) -> None:
    odd = ("a  b; $HOME", "", "'\"\\", "*", "ünï\n2\n")
    said = instance.run(("printf", "%s|", *odd), timeout=PATIENCE).stdout.decode()
    assert said == "".join(f"{one}|" for one in odd)
    given = bytes(range(256))
    assert instance.run(("cat",), timeout=PATIENCE, stdin=given).stdout == given
    ended = instance.run(("sh", "-c", "echo out; echo bad >&2; exit 42"), timeout=PATIENCE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (42, b"out\n", b"bad\n")
    assert instance.run(("no-such-command",), timeout=PATIENCE).returncode == 127
    word = f"1{uuid.uuid4().int % 10**8:08}"
    with pytest.raises(DeadlineExceeded, match="'sh' did not end within 10 s"):
        instance.run(("sh", "-c", f"sleep {word} & setsid sleep {word} & wait"), timeout=10)
    look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    assert f"sleep {word}".encode() not in instance.run(("sh", "-c", look), timeout=PATIENCE).stdout


@contextmanager
def of_a_user() -> Iterator[Guest]:
    """Make a machine with an SSH server at port 22, as its user would: behind NAT, with a rule for it."""
    name = f"a user's machine {secrets.token_hex(3)}"
    boot = images.vdi_boot(replace(MADE, ssh=Ssh(port=22)), OPTIONS.kernel_arguments)
    assert boot.medium is not None
    with TemporaryDirectory() as home:
        raw, disk, key = Path(home, "disk.img"), Path(home, "disk.vdi"), Path(home, "key")
        shutil.copy(images.ssh_keys().private, key)
        manage("clonemedium", "disk", str(boot.medium.path), str(raw), "--format", "RAW")
        manage("convertfromraw", str(raw), str(disk), "--format", "VDI")
        for path in (raw, boot.medium.path):
            manage("closemedium", "disk", str(path))
        manage("createvm", "--name", name, "--ostype", "Linux_64", "--basefolder", home, "--register")
        manage(
            *("modifyvm", name, "--memory", "256", "--graphicscontroller", "vboxvga", "--vram", "8"),
            *("--audio-enabled", "off", "--ioapic", "on", "--boot1", "disk"),
            *("--nic1", "nat", "--nictype1", "virtio", "--natpf1", f"ssh,tcp,127.0.0.1,{free_port()},,22"),
        )
        manage("storagectl", name, "--name", "ide", "--add", "ide")
        manage(
            *("storageattach", name, "--storagectl", "ide", "--port", "0", "--device", "0"),
            *("--type", "hdd", "--medium", str(disk)),
        )
        try:
            ssh = Ssh(user="root", key=str(key))
            yield Guest(None, None, None, ready=READY, machine=name, ssh=ssh)
        finally:
            manage("unregistervm", name, "--delete")


def _rule(guest: Guest) -> list[str]:
    return next(
        value for key, value in Manage().show(guest.machine or "").items() if key.startswith("Forward")
    ).split(",")


@pytest.fixture(autouse=True, scope="module")
def _nothing_remains() -> Iterator[None]:
    yield
    assert manage("list", "vms") == ""
    assert manage("list", "hdds") == ""
