"""VirtualBox's texts, as VirtualBox 7.2 printed and wrote them: read, explained, and written anew."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import psutil
import pytest

from vmvc.backends import virtualbox_host
from vmvc.backends.virtualbox import VirtualBoxBackend, VirtualBoxOptions
from vmvc.backends.virtualbox_instance import Prepared, VirtualBoxInstance
from vmvc.backends.virtualbox_machine import press_until_gone
from vmvc.backends.virtualbox_manage import Hangs, Manage, NotFound, explained, fields
from vmvc.backends.virtualbox_process import Process
from vmvc.backends.virtualbox_settings import Particulars, Template, description, read_tag, renamed, written
from vmvc.backends.virtualbox_survey import Found
from vmvc.contract import Guest, Severity, Tag
from vmvc.errors import DeadlineExceeded, EngineError, InputError, StepFailed
from vmvc.images import Vdi, VdiBoot
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp

READY = ReadyHttp(http=Http(port=80))
TAG = Tag("r1", 3, "host:1:2", 2)
SHOWN = """name="vmvc-x \\"q\\" \\\\ é"
groups="/vmvc"
memory=192
VMState="poweroff"
"sata-0-0"="/in/diff.vdi"
"sata-ImageUUID-0-0"="c7e94f32-62b4-4186-99e0-70d3abbe669e"
uart1="0x03f8,4"
uartmode1="file,/in/printed"
Forwarding(0)="ssh,tcp,127.0.0.1,2222,,22"
Forwarding(1)="dns,udp,,5353,,53"
 rec_screen0
description="{\\"vmvc\\": \\"a\\"}
x \\"q\\" \\\\ ü"
GuestMemoryBalloon=0
"""
SETTINGS = (Path(__file__).parents[1] / "files/machine.vbox").read_bytes()


def test_machine_readable_text_is_read_with_its_quotes_and_newlines() -> None:
    shown = dict(fields(SHOWN))
    assert shown["name"] == 'vmvc-x "q" \\ é'
    assert shown["memory"] == "192"
    assert shown["sata-0-0"] == "/in/diff.vdi"
    assert shown["description"] == '{"vmvc": "a"}\nx "q" \\ ü'
    assert shown["GuestMemoryBalloon"] == "0"


def test_a_users_machine_tells_its_ports_and_its_serial_port() -> None:
    found = Found("mine", "1", dict(fields(SHOWN)))
    assert found.forwards == {22: ("127.0.0.1", 2222)}
    assert found.serial == ("file", "/in/printed")
    assert found.facts()["existing_memory"] == 192 * 2**20
    assert found.disks() is None, "its settings cannot be read, so its disks are not known"


def test_only_a_machine_that_boots_vmvcs_own_init_announces_its_network(tmp_path: Path) -> None:
    """A probe waits for the announcement, where there is to be one."""
    vdi = Vdi(tmp_path, uuid.uuid4(), 0)
    guest, template = Guest(BUILT_IN_IMAGES["tiny"], 1, 2**28, READY), SimpleNamespace()
    announced = {}
    for name, medium in (("own init", vdi), ("own disk", None)):
        boot = VdiBoot(tmp_path, vdi, medium, "none", "", {})
        prepared = Prepared(boot, template)  # type: ignore[arg-type]
        announced[name] = VirtualBoxInstance(TAG, guest, Manage(), prepared).marks()
    assert "network" in announced["own init"].lines
    assert "network" not in announced["own disk"].lines
    assert "does not announce it" in announced["own disk"].absent["network"]


def test_machines_are_listed_whatever_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    identities = [str(uuid.uuid4()) for _ in range(3)]
    names = ['a "q" b', "two\nlines", "--type"]
    said = "".join(f'"{name}" {{{one}}}\n' for name, one in zip(names, identities, strict=True))
    monkeypatch.setattr(Manage, "run", lambda *_, **__: said)
    assert Manage().machines() == list(zip(names, identities, strict=True))


@pytest.mark.parametrize(
    ("said", "what", "hint"),
    [
        (
            (
                "VBoxManage: error: The machine 'x' has terminated unexpectedly during startup\n"
                "VBoxManage: error: Details: code NS_ERROR_FAILURE\nVERR_VM_DRIVER_NOT_INSTALLED (-1908)"
            ),
            "terminated unexpectedly",
            "virtualbox-dkms",
        ),
        (
            "VBoxManage: error: VirtualBox can't enable the AMD-V extension (VERR_SVM_IN_USE)",
            "AMD-V",
            "modprobe -r",
        ),
        (
            "VBoxManage: error: Unresolved (unknown) host platform error. (VERR_UNRESOLVED_ERROR)",
            "host platform error",
            "modprobe -r",
        ),
        ("VBoxManage: error: x (VERR_VM_DRIVER_VERSION_MISMATCH)", "x", "another version"),
        (
            "VBoxManage: error: The machine 'x' is already locked by a session",
            "already locked",
            "has the machine open",
        ),
        ("VBoxManage: error: AMD-V is disabled in the BIOS (VERR_SVM_DISABLED)", "disabled", "firmware"),
        ("", "does not say why", "vmvc doctor"),
    ],
    ids=["driver", "in use", "not to be had", "mismatch", "locked", "disabled", "silent"],
)
def test_a_complaint_is_put_plainly_with_what_to_do(said: str, what: str, hint: str) -> None:
    text, action = explained(said)
    assert what in text
    assert "Details" not in text
    assert hint in action


def test_a_machine_is_written_as_virtualbox_wrote_it_but_for_its_own(tmp_path: Path) -> None:
    own = {name: (tmp_path / f"{name}.vdi", uuid.uuid4()) for name in ("boot", "disk")}
    identity = uuid.uuid4()
    places = Particulars(identity, TAG, own, "/s/console", "/s/channel", {80: 40080})
    text = written(Template(SETTINGS, {"boot": b"", "disk": b""}), places).decode()
    assert "rehearsal" not in text
    assert "/old/" not in text
    assert "/nowhere/" not in text
    for old in ("fbf6cfb9", "fe376e7b", "c7e94f32", "08002798BD56"):
        assert old not in text
    for new in (f'"{{{identity}}}"', '"/s/console"', '"/s/channel"', 'hostport="40080"', f'"{TAG.name}"'):
        assert text.count(new) == 1
    for path, disk in own.values():
        assert text.count(f"{{{disk}}}") == 2, "in the registry and where it is attached"
        assert str(path) in text
    assert text.count("/cache/") == 2
    (told,) = [one for one in ElementTree.fromstring(text).iter() if one.tag.endswith("Description")]
    assert read_tag(told.text or "") == TAG


def test_settings_of_an_unknown_kind_are_refused() -> None:
    places = Particulars(uuid.uuid4(), TAG, {}, "", "", {})
    with pytest.raises(EngineError, match="have no Machine"):
        written(Template(b"<VirtualBox/>", {}), places)


def test_a_disk_gets_another_identity_and_nothing_else() -> None:
    before, identity = bytes(range(256)) * 4, uuid.uuid4()
    after = renamed(before, identity)
    assert len(after) == len(before)
    assert [at for at in range(1024) if before[at] != after[at]]
    assert after[:392] == before[:392]
    assert after[408:] == before[408:]
    assert uuid.UUID(bytes_le=after[392:408]) == identity


@pytest.mark.parametrize("text", ["", "mine", "[]", "{}", description(TAG).replace("instance", "image")])
def test_what_a_user_has_written_is_no_tag(text: str) -> None:
    assert read_tag(text) is None
    assert read_tag(description(TAG)) == TAG


# --- the program ------------------------------------------------------------------------------------------


def program(folder: Path, script: str) -> Manage:
    path = folder / "VBoxManage"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Manage(str(path))


def test_arguments_reach_it_as_given(tmp_path: Path) -> None:
    assert program(tmp_path, r'printf "%s\0" "$@"').run("a  b; $HOME", "", doing="x") == "a  b; $HOME\0\0"


def test_one_that_finds_its_daemon_ending_is_called_again(tmp_path: Path) -> None:
    script = (
        'test -e "$0.tried" && exec echo fine; touch "$0.tried"; '
        'echo "error: Failed to create the VirtualBox object!" >&2; exit 1'
    )
    assert program(tmp_path, script).run("list", "vms", doing="x") == "fine\n"


def test_what_is_not_there_is_told_apart(tmp_path: Path) -> None:
    manage = program(tmp_path, 'echo "VBoxManage: error: code VBOX_E_OBJECT_NOT_FOUND" >&2; exit 1')
    with pytest.raises(NotFound):
        manage.run("unregistervm", "x", doing="let go")
    with pytest.raises(EngineError):
        manage.run("unregistervm", "x", doing="let go", failure=EngineError)


@pytest.mark.parametrize(
    ("said", "why"), [("6.1.50r1", "too old"), ("hello", "is no VBoxManage"), ("", "is no")]
)
def test_a_version_that_will_not_do_is_refused(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(EngineError, match=why):
        program(tmp_path, f"echo '{said}'").version()


def test_a_refusal_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="cannot start the machine: no luck"):
        program(tmp_path, "echo 'VBoxManage: error: no luck' >&2; exit 1").run(
            "startvm", doing="start the machine"
        )


def test_a_daemon_that_hangs_is_told_apart(tmp_path: Path) -> None:
    manage, before = program(tmp_path, "exec sleep 60"), time.monotonic()
    with pytest.raises(Hangs, match=r"did not let go within 0\.2 s") as refusal:
        manage.run("unregistervm", "x", doing="let go", patience=0.2)
    assert "VBoxSVC" in refusal.value.hint
    assert time.monotonic() - before < 10


def test_a_backend_waits_for_its_daemon_as_long_as_it_is_told(tmp_path: Path) -> None:
    program(tmp_path, "exec sleep 60")
    options = VirtualBoxOptions(vboxmanage=str(tmp_path / "VBoxManage"))
    (finding,) = VirtualBoxBackend("vb", options, patience=0.2).check()
    assert "VBoxManage did not tell its version within 0.2 s" in finding.what


def test_a_button_that_was_never_pressed_is_not_blamed_on_the_guest(tmp_path: Path) -> None:
    manage, here = program(tmp_path, "exec sleep 60"), Process(psutil.Process())
    with pytest.raises(DeadlineExceeded, match="did not press the power button"):
        press_until_gone(manage, "x", here, 0.3)
    manage = program(tmp_path, "exit 0")
    with pytest.raises(DeadlineExceeded, match="the guest did not power off"):
        press_until_gone(manage, "x", here, 3.0)


# --- what cannot be had -----------------------------------------------------------------------------------


def test_every_fault_of_a_guest_is_said_at_once(tmp_path: Path) -> None:
    program(tmp_path, "echo 7.2.4r1")
    backend = VirtualBoxBackend("vb", VirtualBoxOptions(vboxmanage=str(tmp_path / "VBoxManage")))
    guest = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**60 + 1, ready=READY, cpuset=(0,))
    with pytest.raises(InputError) as refusal:
        backend.prepare(guest)
    assert [
        next(word for word in ("CPUs", "whole MiB", "more than the host's") if word in fault.what)
        for fault in refusal.value.faults
    ] == ["CPUs", "whole MiB", "more than the host's"]


def test_a_host_without_the_driver_is_told_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtualbox_host, "DRIVER", tmp_path / "vboxdrv")
    monkeypatch.setattr(virtualbox_host, "MODULES", tmp_path)
    (found,) = virtualbox_host.findings()
    assert (found.code, found.severity) == ("virtualbox.driver", Severity.ERROR)
    assert "virtualbox-dkms" in found.remedy
    (tmp_path / "vboxdrv").touch()
    assert not list(virtualbox_host.findings())


def test_another_hypervisor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vboxdrv").touch()
    (tmp_path / "kvm_amd").mkdir()
    (tmp_path / "kvm_amd/refcnt").write_text("3\n")
    monkeypatch.setattr(virtualbox_host, "DRIVER", tmp_path / "vboxdrv")
    monkeypatch.setattr(virtualbox_host, "MODULES", tmp_path)
    there = [
        SimpleNamespace(info={"name": "qemu-system-x86", "pid": 7}),
        SimpleNamespace(info={"name": None, "pid": 8}),
    ]
    monkeypatch.setattr(psutil, "process_iter", lambda _: there)
    (found,) = virtualbox_host.findings()
    assert "qemu-system-x86 (pid 7)" in found.what
    (tmp_path / "kvm_amd/refcnt").write_text("0\n")
    assert not list(virtualbox_host.findings())
