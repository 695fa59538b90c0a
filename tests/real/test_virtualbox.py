"""A real VirtualBox without starting machines: disks, names, what it leaves behind, the start that fails.

Its root file system is its own (``vboxmanage`` beside this file), so that no VirtualBox need be installed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.real.boot_sector import boot_sector
from vmvc import owner
from vmvc.backends.virtualbox import VirtualBoxBackend, VirtualBoxOptions
from vmvc.backends.virtualbox_files import records
from vmvc.backends.virtualbox_manage import Manage
from vmvc.contract import Guest, Severity, Tag
from vmvc.errors import EngineError, InputError, StepFailed
from vmvc.spec import BUILT_IN_IMAGES, Console, DiskImage, Http, ReadyConsole, ReadyHttp

PROGRAM = str(Path(__file__).with_name("vboxmanage"))
WEB = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=ReadyHttp(http=Http(port=80)))

pytestmark = [pytest.mark.real("root", "mmdebstrap")]


@pytest.fixture
def manage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manage]:
    """Give a VirtualBox without machines, whose daemon no other test talks to."""
    monkeypatch.setenv("VBOX_USER_HOME", str(tmp_path / "home"))
    daemon = f"vmvc{secrets.token_hex(4)}"
    monkeypatch.setenv("VBOX_IPC_SOCKETID", daemon)
    found = Manage(PROGRAM)
    yield found
    assert found.machines() == [], "a machine remains"
    assert "Location:" not in found.run("list", "hdds", doing="list disks"), "a disk remains registered"
    assert [one for one in records() if one.tag.run.startswith("vbox-test")] == []
    shutil.rmtree(f"/tmp/.vbox-{daemon}-ipc")


@pytest.fixture
def backend(manage: Manage) -> VirtualBoxBackend:
    return VirtualBoxBackend("virtualbox", VirtualBoxOptions(vboxmanage=PROGRAM))


@pytest.fixture
def user(manage: Manage, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Make machines as a user does; give their UUIDs."""
    made = []

    def make(name: str) -> str:
        before = {one for _, one in manage.machines()}
        manage.run("createvm", f"--name={name}", "--basefolder", tmp_path, "--register", doing="make it")
        (identity,) = {one for _, one in manage.machines()} - before
        made.append(identity)
        return identity

    yield make
    for identity in made:
        manage.run("unregistervm", identity, "--delete", doing="remove it")


def sector(folder: Path) -> Guest:
    """Return a guest with a disk of its own."""
    (folder / "disk.img").write_bytes(boot_sector(b"boot sector speaks\r\n").ljust(2**20, b"\0"))
    ready = ReadyConsole(console=Console(pattern="boot sector speaks"))
    return Guest(DiskImage(disk="disk.img", format="raw"), 1, 64 * 2**20, ready, folder=folder)


def new_tag() -> Tag:
    return Tag(f"vbox-test-{secrets.token_hex(4)}", 1, owner.current())


def test_a_machine_is_known_from_create_to_destroy(backend: VirtualBoxBackend, manage: Manage) -> None:
    facts = backend.prepare(WEB).facts
    assert dict(backend.prepare(WEB).facts) == dict(facts)
    instance = backend.instance(new_tag(), WEB)
    instance.create()
    ((name, identity),) = manage.machines()
    assert name == instance.tag.name
    shown = manage.show(identity)
    assert shown["groups"] == "/vmvc"
    assert shown["memory"] == "192"
    assert shown["uart1"] == "0x03f8,4"
    assert shown["uartmode2"].startswith("client,")
    assert f"port80,tcp,127.0.0.1,{instance.endpoint.__self__._ports[80]},10.0.2.15,80" in shown.values()  # type: ignore[attr-defined]
    usage = instance.disk()
    assert usage.allocated is not None
    assert usage.shared is not None
    assert usage.unique is not None
    assert 0 < usage.unique < usage.shared
    assert [one.tag for one in backend.leftovers()] == [instance.tag]
    instance.destroy()
    instance.destroy()
    assert backend.leftovers() == []


def test_a_start_without_the_driver_says_what_to_build(backend: VirtualBoxBackend) -> None:
    if Path("/dev/vboxdrv").exists():
        pytest.skip("this host has VirtualBox's driver")
    (finding,) = [one for one in backend.check() if one.severity is Severity.ERROR]
    assert finding.code == "virtualbox.driver"
    backend.prepare(WEB)
    instance = backend.instance(new_tag(), WEB)
    try:
        instance.create()
        with pytest.raises(StepFailed) as refusal:
            instance.start()
        assert "cannot start the machine" in refusal.value.what
        assert "virtualbox-dkms" in refusal.value.hint
        assert not instance.alive()
    finally:
        instance.destroy()


def test_two_machines_of_one_disk_do_not_know_each_other(
    backend: VirtualBoxBackend, manage: Manage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do the characters in the paths matter."""
    cache = tmp_path / 'a "cache" für ever; $HOME'
    monkeypatch.setenv("VMVC_CACHE", str(cache))
    guest = sector(tmp_path)
    backend.prepare(guest)
    one, two = backend.instance(new_tag(), guest), backend.instance(new_tag(), guest)
    try:
        one.create()
        two.create()
        known = manage.run("list", "hdds", doing="list disks")
        assert known.count("Parent UUID:    base") == 1
        assert known.count("Location:") == 3
        assert one.disk().virtual == 2**20
        one.destroy()
        assert [name for name, _ in manage.machines()] == [two.tag.name]
        assert manage.run("list", "hdds", doing="list disks").count("Location:") == 2
    finally:
        one.destroy()
        two.destroy()


def test_another_object_removes_what_a_dead_run_left(backend: VirtualBoxBackend, manage: Manage) -> None:
    backend.prepare(WEB)
    instance = backend.instance(new_tag(), WEB)
    instance.create()
    other = VirtualBoxBackend("other", VirtualBoxOptions(vboxmanage=PROGRAM))
    (left,) = other.leftovers()
    assert left.tag == instance.tag
    left.destroy()
    assert manage.machines() == []
    instance.destroy()
    # Files that are gone already, as after the removal of the cache, leave a machine that cannot be read.
    again = backend.instance(new_tag(), WEB)
    again.create()
    shutil.rmtree(again._files.folder)  # type: ignore[union-attr]
    other.instance(again.tag, WEB).destroy()
    again.destroy()


def test_a_users_machine_of_that_name_stays(
    backend: VirtualBoxBackend, manage: Manage, user: Callable[[str], str]
) -> None:
    """VirtualBox lets two machines have one name: vmvc goes by what it has written down, and by UUID."""
    backend.prepare(WEB)
    instance = backend.instance(new_tag(), WEB)
    identity = user(instance.tag.name)
    instance.create()
    assert [one.tag for one in backend.leftovers()] == [instance.tag]
    instance.destroy()
    assert manage.machines() == [(instance.tag.name, identity)]


NAMES = ('with "quotes" and spaces', "two\nlines", "ünïcødé 漢字", "--type", "back\\slash", "$(reboot); `x`")


def test_machines_of_a_user_are_found_whatever_they_are_called(
    backend: VirtualBoxBackend, manage: Manage, user: Callable[[str], str]
) -> None:
    made = {name: user(name) for name in NAMES}
    assert dict(manage.machines()) == made
    for name, identity in made.items():
        facts = backend.prepare(replace(ANY, machine=name)).facts
        assert (facts["existing_machine"], facts["existing_id"]) == (name, identity)
        assert manage.show(identity)["name"] == name
    with pytest.raises(InputError) as refusal:
        backend.prepare(replace(ANY, machine="--typ"))
    assert "did you mean '--type'" in str(refusal.value)
    with pytest.raises(InputError, match="attach"):
        backend.prepare(replace(ANY, machine="--type", attach=True))


ANY = Guest(None, None, None, ready=WEB.ready, machine="")


def test_a_machine_whose_settings_are_gone_is_refused(
    backend: VirtualBoxBackend, manage: Manage, user: Callable[[str], str]
) -> None:
    identity = user("mine")
    settings = Path(manage.show(identity)["CfgFile"])
    aside = settings.with_suffix(".aside")
    settings.rename(aside)
    try:
        manage.run("list", "vms", doing="look")
        time.sleep(6)  # its daemon ends, and the next one looks anew
        with pytest.raises(InputError) as refusal:
            backend.prepare(replace(ANY, machine=identity))
        assert "cannot be read" in str(refusal.value)
    finally:
        aside.rename(settings)
        time.sleep(6)


def test_an_installation_that_is_not_there_is_said(tmp_path: Path) -> None:
    missing = VirtualBoxBackend("virtualbox", VirtualBoxOptions(vboxmanage=str(tmp_path / "VBoxManage")))
    (finding,) = missing.check()
    assert finding.code == "virtualbox.unreachable"
    assert "options.vboxmanage" in finding.what
    assert missing.describe() == {}
    with pytest.raises(EngineError):
        missing.prepare(WEB)
    other = tmp_path / "VBoxManage"
    other.write_text("#!/bin/sh\necho 6.1.50r1\n")
    os.chmod(other, 0o755)  # noqa: PTH101
    (finding,) = missing.check()
    assert "too old" in finding.what
