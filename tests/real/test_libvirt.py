"""What a machine of libvirt does beyond the contract: its disk, its end, its owner's end, what goes wrong."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.real.boot_sector import RESETS, boot_sector
from tests.real.virsh import virsh
from vmvc import owner
from vmvc.backends import libvirt_connection
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.backends.libvirt_connection import Drivers
from vmvc.backends.libvirt_files import Files, records
from vmvc.backends.libvirt_instance import LibvirtInstance
from vmvc.console import ConsoleTap
from vmvc.contract import Completed, Guest, MonotonicClock, Tag
from vmvc.errors import (
    CleanupError,
    DeadlineExceeded,
    EngineError,
    GuestDied,
    InputError,
    StepFailed,
    Unavailable,
    VmvcError,
)
from vmvc.probes import wait
from vmvc.spec import (
    BUILT_IN_IMAGES,
    Console,
    DiskImage,
    Exec,
    Http,
    ReadyConsole,
    ReadyExec,
    ReadyHttp,
    RecipeImage,
)

CLOCK = MonotonicClock()
LINE = b"boot sector speaks\r\n"
SYSTEM = LibvirtOptions(uri="qemu:///system", machine="pc", accelerator="tcg")
WEB = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=ReadyHttp(http=Http(port=80)))
SPEAKS = ReadyConsole(console=Console(pattern="boot sector speaks"))


def sector(folder: Path, *, end: bytes | None = None, name: str = "disk.img") -> Guest:
    """Return a guest that needs next to nothing: a boot sector on a disk of its own."""
    text = boot_sector(LINE) if end is None else boot_sector(LINE, end)
    (folder / name).write_bytes(text.ljust(2**20, b"\0"))
    return Guest(DiskImage(disk=name, format="raw"), 1, 64 * 2**20, SPEAKS, folder=folder)


@contextmanager
def instance_of(options: LibvirtOptions, guest: Guest) -> Iterator[LibvirtInstance]:
    backend = LibvirtBackend("libvirt", options)
    backend.prepare(guest)
    instance = backend.instance(Tag(f"test-{secrets.token_hex(4)}", 1, owner.current()), guest)
    assert isinstance(instance, LibvirtInstance)
    try:
        yield instance
    finally:
        instance.destroy()
        backend.close()


def speak(instance: LibvirtInstance) -> ConsoleTap:
    instance.create()
    instance.start()
    tap = ConsoleTap(instance.console(), CLOCK)
    wait(SPEAKS, instance, tap, CLOCK, CLOCK.now() + 60 * 10**9)
    return tap


# --- the disk ---------------------------------------------------------------------------------------------


@pytest.mark.real("libvirtd")
def test_the_users_disk_is_read_and_never_written_to(tmp_path: Path) -> None:
    guest = sector(tmp_path)
    (tmp_path / "disk.img").chmod(0o400)
    before = (tmp_path / "disk.img").stat()
    with instance_of(SYSTEM, guest) as instance:
        speak(instance).close()
        usage = instance.disk()
        assert usage.virtual == 2**20
        assert usage.shared == before.st_blocks * 512
        assert usage.unique is not None
        assert usage.unique > 0
        assert usage.allocated == usage.shared + usage.unique
        with pytest.raises(DeadlineExceeded, match="the guest agent did not appear"):
            instance.run(["true"], timeout=0.1)
    after = (tmp_path / "disk.img").stat()
    assert (after.st_mtime_ns, after.st_uid, after.st_gid, after.st_mode) == (
        before.st_mtime_ns,
        before.st_uid,
        before.st_gid,
        before.st_mode,
    )


@pytest.mark.real("libvirtd")
def test_a_chain_is_counted_whole(tmp_path: Path) -> None:
    guest = sector(tmp_path, name="bottom.img")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "bottom.img", "-F", "raw", "top.qcow2"],
        cwd=tmp_path,
        check=True,
    )
    guest = replace(guest, image=DiskImage(disk="top.qcow2"))
    with instance_of(SYSTEM, guest) as instance:
        speak(instance).close()
        files = [tmp_path / name for name in ("bottom.img", "top.qcow2")]
        assert instance.disk().shared == sum(file.stat().st_blocks * 512 for file in files)


@pytest.mark.real("libvirtd")
@pytest.mark.parametrize("name", ["a b,c=d;e&f'\"<g>%h.img", "ünïcødé 漢字.img", "--help.img", "json:{}.img"])
def test_a_disk_may_have_any_name(tmp_path: Path, name: str) -> None:
    with instance_of(SYSTEM, sector(tmp_path, name=name)) as instance:
        speak(instance).close()


@pytest.mark.real("libvirtd")
def test_what_prepare_says_is_what_runs(tmp_path: Path) -> None:
    guest = sector(tmp_path)
    backend = LibvirtBackend("libvirt", SYSTEM)
    facts = backend.prepare(guest).facts
    assert 'machine="pc-i440fx' in str(facts["domain_xml"]) or "machine='pc-i440fx" in str(
        facts["domain_xml"]
    )
    instance = backend.instance(Tag(f"test-{secrets.token_hex(4)}", 1, owner.current()), guest)
    try:
        instance.create()
        instance.start()
        (pid,) = instance.processes().own
        really = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        said = str(facts["command_line"])
        for argument in ("-accel", "tcg", "-m", "64", "-no-shutdown"):
            assert argument in really
            assert f" {argument} " in said
        assert len(said.split(" -")) == len(" ".join(really).split(" -"))
        assert "rehearsal" not in said + str(facts["domain_xml"])
    finally:
        instance.destroy()
        backend.close()


# --- the end ----------------------------------------------------------------------------------------------


@pytest.mark.real("libvirtd")
def test_a_guest_that_dies_at_once_leaves_its_words(tmp_path: Path) -> None:
    with instance_of(SYSTEM, sector(tmp_path, end=RESETS)) as instance:
        instance.create()
        instance.start()
        tap = ConsoleTap(instance.console(), CLOCK)
        assert tap.drain(60), "the console does not end with the machine"
        assert LINE in tap.head
        instance.stop(timeout=30)
        assert not instance.alive()
        for call in (instance.processes, instance.cgroup):
            with pytest.raises(Unavailable):
                call()
        with pytest.raises(GuestDied):
            instance.endpoint(80)
        with pytest.raises(GuestDied):
            instance.run(["true"], timeout=60)
        tap.close()


@pytest.mark.real("libvirtd")
def test_a_guest_that_knows_no_power_button(tmp_path: Path) -> None:
    with instance_of(SYSTEM, sector(tmp_path)) as instance:
        tap = speak(instance)
        before = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"did not power off within 0\.6 s"):
            instance.stop(timeout=0.6)
        assert 0.55 < time.monotonic() - before < 5
        assert instance.alive()
        tap.close()


@pytest.mark.real("libvirtd")
def test_a_machine_is_never_held_up_by_a_console_nobody_reads() -> None:
    script = "dd if=/dev/zero bs=1024 count=32 2>/dev/null | tr '\\000' x; touch /tmp/said; exec sleep 600"
    ready = ReadyExec(exec=Exec(command=("test", "-e", "/tmp/said")))
    with instance_of(SYSTEM, replace(WEB, command=("sh", "-c", script), ready=ready)) as instance:
        instance.create()
        instance.start()
        wait(ready, instance, None, CLOCK, CLOCK.now() + 60 * 10**9)
        stream = instance.console()
        assert b"x" * 1000 in (stream.read(5.0) or b"")


@pytest.mark.real("libvirtd")
def test_microvm_lives_the_whole_life() -> None:
    with instance_of(LibvirtOptions(uri="qemu:///system", machine="microvm"), WEB) as instance:
        instance.create()
        instance.start()
        wait(WEB.ready, instance, None, CLOCK, CLOCK.now() + 120 * 10**9)
        assert instance.run(["uname"], timeout=60).stdout == b"Linux\n"
        instance.stop(timeout=60)
        assert not instance.alive()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real("libvirtd", "mmdebstrap")
def test_the_guest_agent_runs_commands_where_systemd_boots() -> None:
    nginx = RecipeImage(base="debian:bookworm", packages=("nginx-light",), services=("nginx",))
    guest = replace(WEB, image=nginx, boot="systemd", memory=2**29, env={"WHO": "a  b; $HOME"})
    with instance_of(LibvirtOptions(uri="qemu:///system"), guest) as instance:
        instance.create()
        instance.start()
        script = 'printf %s "$WHO"; cat; echo err >&2; exit 42'
        # The agent appears some time after the start: the first command waits for it.
        done = instance.run(["sh", "-c", script], timeout=300, stdin=b"\0in\n")
        assert done == Completed(42, b"a  b; $HOME\0in\n", b"err\n")
        assert instance.run(["no-such-command"], timeout=60).returncode == 127
        assert (
            instance.run(["printf", "%s|", "a b", "", "$HOME", "'\n"], timeout=60).stdout
            == b"a b||$HOME|'\n|"
        )
        assert instance.run(["sh", "-c", "kill -TERM $$"], timeout=60).returncode == 128 + signal.SIGTERM
        with pytest.raises(DeadlineExceeded):
            instance.run(["sleep", "4321"], timeout=0.5)
        still = instance.run(["sh", "-c", "cat /proc/[0-9]*/comm | grep -cx sleep"], timeout=60)
        assert still.stdout == b"0\n", "a command that took too long is killed"
        usage = instance.disk()
        assert usage.virtual is not None
        assert usage.shared is not None
        assert usage.unique is not None
        assert 0 < usage.unique < usage.shared < usage.virtual
        instance.stop(timeout=120)
        assert not instance.alive()


@pytest.mark.real("libvirtd")
def test_nothing_remains(tmp_path: Path) -> None:
    with instance_of(SYSTEM, sector(tmp_path)) as instance:
        speak(instance).close()
        (record,) = (one for one in records() if one.tag == instance.tag)
        assert record.sockets.stat().st_mode & 0o777 == 0o700
        assert Files(instance.tag).overlay.parent.stat().st_mode & 0o777 == 0o700
    assert not record.sockets.exists()
    assert not Files(instance.tag).overlay.parent.exists()
    assert not libvirt_connection.log_of("qemu:///system", instance.tag.name).exists()


# --- the end of its owner ---------------------------------------------------------------------------------

OWNER = """
    import sys, time
    from pathlib import Path
    from vmvc import owner
    from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
    from vmvc.contract import Guest, Tag
    from vmvc.spec import Console, DiskImage, ReadyConsole

    uri, run, folder = sys.argv[1:]
    backend = LibvirtBackend("libvirt", LibvirtOptions(uri=uri, machine="pc", accelerator="tcg"))
    ready = ReadyConsole(console=Console(pattern="."))
    guest = Guest(DiskImage(disk="disk.img", format="raw"), 1, 64 * 2**20, ready, folder=Path(folder))
    backend.prepare(guest)
    instance = backend.instance(Tag(run, 1, owner.current()), guest)
    instance.create()
    instance.start()
    print(*instance.processes().own, flush=True)
    time.sleep(600)
"""


@pytest.mark.real("libvirtd")
@pytest.mark.parametrize("uri", ["qemu:///system", "qemu:///embed"])
def test_a_killed_owners_machine_is_found_and_removed(tmp_path: Path, uri: str) -> None:
    sector(tmp_path)
    run = f"test-{secrets.token_hex(4)}"
    killed = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), uri, run, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    pid = int(killed.stdout.readline())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert psutil.Process(pid).is_running(), "QEMU outlives its owner"

    # By default the system's driver: machines of an embedded one are found by their files.
    backend = LibvirtBackend("libvirt", LibvirtOptions())
    (leftover,) = (one for one in backend.leftovers() if one.tag.run == run)
    assert not owner.alive(leftover.tag.owner)
    assert _cgroups(run) or os.geteuid() != 0
    leftover.destroy()
    assert not _runs(pid)
    assert _cgroups(run) == []
    assert run not in [one.tag.run for one in backend.leftovers()]
    leftover.destroy()
    backend.close()


@pytest.mark.real("libvirtd")
def test_a_machine_without_files_is_found_by_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with instance_of(SYSTEM, sector(tmp_path)) as instance:
        speak(instance).close()
        (pid,) = instance.processes().own
        with monkeypatch.context() as patch:
            patch.setenv("VMVC_CACHE", str(tmp_path / "another"))
            backend = LibvirtBackend("libvirt", SYSTEM)
            (leftover,) = (one for one in backend.leftovers() if one.tag == instance.tag)
            leftover.destroy()
            backend.close()
        assert not _runs(pid)


@pytest.mark.real("libvirt")
def test_two_processes_have_an_embedded_driver_each() -> None:
    ours = Drivers("qemu:///embed").own()
    code = "from vmvc.backends.libvirt_connection import *; print(Drivers('qemu:///embed').own().uri)"
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert theirs.stdout.strip().startswith("qemu:///embed?root=")
    assert theirs.stdout.strip() != ours.uri
    assert theirs.stderr == "", "libvirt speaks for itself"


@pytest.mark.real("libvirt")
def test_the_embedded_drivers_folder_may_have_any_name() -> None:
    code = (
        "from vmvc.backends.libvirt_connection import *; print(root_of(Drivers('qemu:///embed').own().uri))"
    )
    with TemporaryDirectory(prefix="v") as folder:
        cache = Path(folder) / "a &?=%20#b"
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "VMVC_CACHE": str(cache)},
        )
        assert done.stdout.strip() == str(cache / "libvirt" / "0")
        assert (cache / "libvirt" / "0" / "run" / "qemu").is_dir()


@pytest.mark.real("libvirt")
def test_an_embedded_drivers_folder_with_a_long_name_is_refused(tmp_path: Path) -> None:
    code = "from vmvc.backends.libvirt_connection import *; Drivers('qemu:///embed').own()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "VMVC_CACHE": str(tmp_path / ("long" * 20))},
    )
    assert "the path is too long" in done.stderr
    assert "hint: set VMVC_CACHE to a shorter path" in done.stderr


@pytest.mark.real("libvirtd")
def test_a_closed_connection_holds_nothing() -> None:
    drivers = Drivers("qemu:///system")

    def files() -> int:
        drivers.own()
        drivers.close()
        return len(list(Path("/proc/self/fd").iterdir()))

    before = files()
    assert [files() for _ in range(20)][-1] < before + 20


# --- others' machines -------------------------------------------------------------------------------------


@pytest.mark.real("libvirtd")
def test_a_strangers_machine_of_the_same_name_stays(tmp_path: Path) -> None:
    run = secrets.token_hex(4)
    stranger = tmp_path / "stranger.xml"
    stranger.write_text(
        f"<domain type='qemu'><name>vmvc-{run}-1</name><memory unit='MiB'>16</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    virsh("create", str(stranger))
    backend = LibvirtBackend("libvirt", SYSTEM)
    guest = sector(tmp_path)
    backend.prepare(guest)
    instance = backend.instance(Tag(run, 1, owner.current()), guest)
    try:
        instance.create()
        with pytest.raises(StepFailed, match="already exists") as refused:
            instance.start()
        assert refused.value.hint == "another machine has that name: virsh list --all"
        instance.destroy()
        backend.instance(instance.tag, guest).destroy()
        assert virsh("domstate", f"vmvc-{run}-1") == "running"
        assert run not in [one.tag.run for one in backend.leftovers()]
    finally:
        backend.close()
        virsh("destroy", f"vmvc-{run}-1")


# --- what goes wrong --------------------------------------------------------------------------------------


def test_no_daemon_has_a_cure() -> None:
    with pytest.raises(EngineError) as refused:
        Drivers("qemu+unix:///system?socket=/nowhere/libvirt-sock").own()
    assert "No such file" in refused.value.what
    assert refused.value.hint.startswith("start libvirt's daemon (sudo systemctl start libvirtd)")


@pytest.mark.real("root")
def test_a_socket_of_others_has_a_cure() -> None:
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o755)
        path = Path(folder) / "libvirt-sock"
        listener.bind(str(path))
        listener.listen(1)
        path.chmod(0o600)
        code = f"""
            import os
            from vmvc.backends.libvirt_connection import Drivers
            from vmvc.errors import EngineError
            os.setegid(65534), os.seteuid(65534)
            try:
                Drivers("qemu+unix:///system?socket={path}").own()
            except EngineError as error:
                print(error.what, error.hint, sep="|")
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    what, _, hint = done.stdout.strip().partition("|")
    assert "Permission denied" in what
    assert hint.startswith("sudo usermod -aG libvirt $USER")


@pytest.mark.real("libvirtd")
@pytest.mark.parametrize(
    ("options", "guest", "error", "words"),
    [
        ({}, {"memory": 2**49}, InputError, "guest.memory is more than"),
        ({}, {"cpus": 1024}, EngineError, "lower guest.cpus"),
        ({"machine": "microvm"}, {}, InputError, "microvm boots kernels, not disks"),
        ({"hide_cpu_features": ("no-such-feature",)}, {}, EngineError, "no-such-feature"),
        ({"disk_bus": "ide", "machine": "q35"}, {}, EngineError, "IDE"),
        ({}, {"image": DiskImage(disk="missing.img")}, VmvcError, "missing.img"),
        ({}, {"image": DiskImage(disk="torn.qcow2", format="qcow2")}, VmvcError, "torn.qcow2"),
    ],
)
def test_what_cannot_be_prepared(
    tmp_path: Path, options: dict[str, object], guest: dict[str, object], error: type[VmvcError], words: str
) -> None:
    (tmp_path / "torn.qcow2").write_bytes(b"QFI\xfb\0\0\0\x09".ljust(4096, b"\0"))
    backend = LibvirtBackend("libvirt", SYSTEM.model_copy(update=options))
    asked: Guest = replace(sector(tmp_path), **guest)  # type: ignore[arg-type]
    with pytest.raises(error) as refused:
        backend.prepare(asked)
    assert words in str(refused.value)
    backend.close()


@pytest.mark.real("libvirtd")
def test_vmvcs_kernel_wants_a_virtio_disk(tmp_path: Path) -> None:
    backend = LibvirtBackend("libvirt", SYSTEM.model_copy(update={"disk_bus": "ide"}))
    with pytest.raises(InputError, match=r"options\.disk_bus"):
        backend.prepare(WEB)
    backend.close()


@pytest.mark.real("libvirtd")
def test_two_of_one_tag_do_not_mix(tmp_path: Path) -> None:
    guest = sector(tmp_path)
    with instance_of(SYSTEM, guest) as instance:
        speak(instance).close()
        backend = LibvirtBackend("libvirt", SYSTEM)
        backend.prepare(guest)
        with pytest.raises(StepFailed, match="File exists") as refused:
            backend.instance(instance.tag, guest).create()
        assert "vmvc clean" in refused.value.hint
        backend.close()
        assert instance.alive()


@pytest.mark.real("libvirtd")
def test_files_that_cannot_be_removed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance_of(SYSTEM, sector(tmp_path)) as instance:
        instance.create()

        def refuse(path: Path) -> None:
            raise PermissionError(1, "Operation not permitted", str(path))

        with monkeypatch.context() as patch:
            patch.setattr("shutil.rmtree", refuse)
            with pytest.raises(CleanupError, match="Operation not permitted"):
                instance.destroy()


@pytest.mark.real("libvirtd")
def test_a_torn_record_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path))
    labels = Tag("run", 1, "host:1:1").labels()
    for name, text in {
        "vmvc-a-1": "{",
        "vmvc-b-1": json.dumps({"labels": labels, "uri": "", "sockets": "/s"}),
        "vmvc-c-1": "[]",
    }.items():
        (tmp_path / "instances" / name).mkdir(parents=True)
        (tmp_path / "instances" / name / "tag.json").write_text(text)
    (tmp_path / "instances" / "file").touch()
    assert list(records()) == []


def _cgroups(run: str) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/*{run}*"))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
