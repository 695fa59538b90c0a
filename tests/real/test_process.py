"""The process backend on this very host: its root, its tree, what it leaves (nothing), and bad inputs."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from vmvc import images, owner
from vmvc.backends import process_tree
from vmvc.backends.process import ProcessBackend
from vmvc.backends.process_instance import ProcessInstance, instances
from vmvc.backends.process_launcher import GLIBC_SIGNALS, RT_SIGACTION
from vmvc.contract import Guest, Options, Severity, Tag
from vmvc.errors import CleanupError, DeadlineExceeded, EngineError, InputError, StepFailed
from vmvc.spec import BUILT_IN_IMAGES, DiskImage, Exec, Http, ReadyExec, ReadyHttp

pytestmark = [pytest.mark.real("root"), pytest.mark.xdist_group("bare host")]

TIME = 30.0
HERE = Path(__file__).parents[2]
WAITS = Guest(
    BUILT_IN_IMAGES["tiny"],
    cpus=1,
    memory=64 * 2**20,
    ready=ReadyExec(exec=Exec(command=("true",))),
    command=("sleep", "600"),
)

Make = Callable[..., ProcessInstance]


def says(script: str) -> Guest:
    return replace(WAITS, command=("sh", "-c", script))


def listens(port: int) -> Guest:
    return replace(
        WAITS, ready=ReadyHttp(http=Http(port=port)), command=("httpd", "-f", "-p", str(port), "-h", "/www")
    )


def until(condition: Callable[[], bool], seconds: float = TIME) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def printed(instance: ProcessInstance) -> bytes:
    """Return all that it prints until it ends."""
    console = instance.console()
    text = b""
    while (chunk := console.read(TIME)) != b"":
        assert chunk is not None, text
        text += chunk
    return text


def mounted(instance: ProcessInstance) -> list[str]:
    """Return what this process sees mounted in an instance's folder."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if instance.tag.name in line]


@pytest.fixture
def backend() -> Iterator[ProcessBackend]:
    backend = ProcessBackend("process", Options())
    yield backend
    backend.close()


@pytest.fixture
def make(backend: ProcessBackend) -> Iterator[Make]:
    """Make instances that are gone after the test."""
    made: list[ProcessInstance] = []
    run = f"test-{secrets.token_hex(4)}"

    def one(guest: Guest, *, start: bool = True) -> ProcessInstance:
        backend.prepare(guest)
        instance = backend.instance(Tag(run, len(made) + 1, owner.current()), guest)
        made.append(instance)
        instance.create()
        if start:
            instance.start()
        return instance

    yield one
    for instance in made:
        instance.destroy()
        assert not instance.folder.exists()


# --- its own root -------------------------------------------------------


def test_it_sees_the_image_and_not_the_host(make: Make) -> None:
    text = printed(make(says("cat /www/index.html; ls /; id -u; pwd; test -e /work || echo alone")))
    assert b"alone" in text
    assert {"bin", "dev", "proc", "sys", "www"} <= set(text.decode().split())


def test_what_it_writes_is_its_own(make: Make, backend: ProcessBackend) -> None:
    one, two = make(says("echo one > /www/index.html; sleep 600")), make(WAITS)
    until(lambda: one.run(["cat", "/www/index.html"], timeout=TIME).stdout == b"one\n")
    assert two.run(["cat", "/www/index.html"], timeout=TIME).stdout != b"one\n"
    lower = images.unpacked(images.root_filesystem(WAITS.made.image, WAITS.folder))
    assert (lower / "www/index.html").read_bytes() != b"one\n"


def test_its_mounts_are_never_the_hosts(make: Make) -> None:
    instance = make(WAITS)
    assert instance.run(["test", "-e", "/proc/self/status"], timeout=TIME).returncode == 0
    assert instance.run(["test", "-c", "/dev/null"], timeout=TIME).returncode == 0
    assert instance.run(["test", "-d", "/sys/kernel"], timeout=TIME).returncode == 0
    assert mounted(instance) == []
    assert list((instance.folder / "root").iterdir()) == []


SHARED = """
import sys
from pathlib import Path
from tests.real.test_process import WAITS, mounted
from vmvc import owner
from vmvc.backends.process import ProcessBackend
from vmvc.contract import Options, Tag
backend = ProcessBackend("process", Options())
backend.prepare(WAITS)
instance = backend.instance(Tag(sys.argv[1], 1, owner.current()), WAITS)
instance.create()
instance.start()
print(mounted(instance) == [] and "shared:" in Path("/proc/self/mountinfo").read_text())
instance.destroy()
"""


def test_its_mounts_do_not_spread_where_mounts_are_shared() -> None:
    """As they are under systemd."""
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--propagation",
            "shared",
            sys.executable,
            "-c",
            SHARED,
            f"test-{secrets.token_hex(4)}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
        timeout=60,
    )
    assert done.stdout == "True\n", done.stderr


def test_it_inherits_nothing_of_ours(make: Make) -> None:
    show = "ls /proc/self/fd; grep -E 'SigBlk|SigIgn' /proc/self/status; readlink /proc/self/fd/0"
    text = printed(make(says(show))).decode().split()
    assert text[:4] == ["0", "1", "2", "3"]
    assert text[4:8] == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]
    assert text[-1] == "/dev/null"


@pytest.mark.parametrize("number", GLIBC_SIGNALS)
def test_signals_that_glibc_keeps_for_itself_are_not_inherited_ignored(make: Make, number: int) -> None:
    """As they are after glibc's ``posix_spawn`` out of a program that cancels threads."""
    set_action(number, b"\1")
    try:
        text = printed(make(replace(WAITS, command=("grep", "SigIgn", "/proc/self/status")))).decode()
    finally:
        set_action(number, b"\0")
    assert text.split() == ["SigIgn:", "0" * 16]


def set_action(number: int, handler: bytes) -> None:
    """Set the action of a signal past glibc, in this process: 0 is the default, 1 to ignore it."""
    call = ctypes.c_long(RT_SIGACTION[os.uname().machine])
    action = handler.ljust(32, b"\0")
    done = ctypes.CDLL(None).syscall(call, ctypes.c_long(number), action, None, ctypes.c_long(8))
    assert done == 0


def test_its_environment_is_the_guests_and_the_label(make: Make) -> None:
    instance = make(replace(says("env | sort; exit 0"), env={"A": "b  c; $HOME"}))
    seen = set(printed(instance).decode().splitlines())
    assert "A=b  c; $HOME" in seen
    names = {line.partition("=")[0] for line in seen}
    assert names == {"A", "HOME", "PATH", "PWD", "SHLVL", *process_tree.environment(instance.tag)}


@pytest.mark.real("docker")
def test_user_folder_and_environment_of_an_image(make: Make) -> None:
    import io

    import docker

    from vmvc.spec import OciImage

    name = f"vmvc-test-{secrets.token_hex(4)}:x"
    with docker.APIClient(version="auto") as api:
        base = images.docker_image(WAITS.made.image, api, WAITS.folder)
        lines = (
            f"FROM {base}",
            "RUN echo 'web:x:1234:2345:w:/home/web:/bin/sh' >> /etc/passwd",
            "RUN echo 'more:x:3456:web' >> /etc/group",
            "USER web",
            "WORKDIR /srv",
            "ENV COLOUR=blue",
        )
        list(api.build(fileobj=io.BytesIO("\n".join(lines).encode()), tag=name, rm=True))
        try:
            guest = replace(says("id; pwd; echo $COLOUR $HOME"), image=OciImage(oci=name))
            text = printed(make(guest)).decode()
        finally:
            api.remove_image(name, force=True)
    assert "uid=1234(web) gid=2345" in text
    assert "3456(more)" in text
    assert text.splitlines()[1:] == ["/srv", "blue /home/web"]


def test_disk_counts_blocks_as_du_does(make: Make) -> None:
    instance = make(WAITS)
    before = instance.disk()
    instance.run(["dd", "if=/dev/zero", "of=/file", "bs=1M", "count=3"], timeout=TIME)
    os.sync()
    after = instance.disk()
    lower = images.unpacked(images.root_filesystem(WAITS.made.image, WAITS.folder))
    du = [
        int(
            subprocess.run(["du", "-sB1", folder], capture_output=True, text=True, check=True).stdout.split()[
                0
            ]
        )
        for folder in (instance.folder, lower)
    ]
    assert [after.unique, after.shared] == du
    assert after.allocated == sum(du)
    assert after.virtual is not None
    assert before.virtual is not None
    assert after.virtual - before.virtual == 3 * 2**20


@pytest.mark.real("docker")
def test_the_same_image_has_the_same_size_as_in_docker(make: Make) -> None:
    import docker

    with docker.APIClient(version="auto") as api:
        image = images.docker_image(WAITS.made.image, api, WAITS.folder)
        size = api.inspect_image(image)["Size"]  # type: ignore[no-untyped-call]
    assert make(WAITS).disk().virtual == size


def test_where_an_overlay_is_refused_the_image_is_copied(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overlay cannot be the upper layer of an overlay."""
    for name in ("low", "up", "work", "cache"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/low,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "cache"], check=True)
    try:
        monkeypatch.setenv("VMVC_CACHE", str(tmp_path / "cache"))
        backend = ProcessBackend("process", Options())
        prepared = backend.prepare(WAITS)
        assert prepared.facts["root"] == "copy"
        assert "process.copy" in [finding.code for finding in prepared.findings]
        instance = make(says("echo mine > /www/index.html; exec sleep 600"))
        assert instance.run(["cat", "/www/index.html"], timeout=TIME).returncode == 0
        usage = instance.disk()
        assert usage.shared == 0
        assert usage.allocated == usage.unique
        instance.destroy()
        assert list(instances().iterdir()) == []
        backend.close()
    finally:
        subprocess.run(["umount", tmp_path / "cache"], check=True)


def test_the_cache_may_lie_anywhere(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path / "a:b,c\\d e=f ü"))
    instance = make(WAITS)
    assert instance.run(["touch", "/mine"], timeout=TIME).returncode == 0
    assert (instance.folder / "upper" / "mine").exists()
    instance.destroy()
    assert list(instances().iterdir()) == []


# --- the whole tree -------------------------------------------------------

DAEMON = "(setsid sleep 700 >/dev/null 2>&1 &) ; (env -i setsid sleep 701 >/dev/null 2>&1 &)"


def commands(pids: tuple[int, ...]) -> list[str]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # also one that has ended and is not waited for yet
            found.append(" ".join(psutil.Process(pid).cmdline()))
    return sorted(found)


def test_what_forks_away_stays_in_the_tree(make: Make) -> None:
    """Twice forked, in its own session, and even without the label in its environment."""
    instance = make(says(DAEMON))
    until(lambda: commands(instance.processes().own) == ["sleep 700", "sleep 701"])
    assert instance.alive()
    assert instance.epitaph() == "exit code 0"
    pids = instance.processes().own
    instance.stop(timeout=TIME)
    assert not instance.alive()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_destroy_ends_the_whole_tree(make: Make) -> None:
    instance = make(says(f"trap '' TERM; {DAEMON}; while :; do sleep 702; done"))
    until(lambda: len(instance.processes().own) == 4)
    pids = instance.processes().own
    with pytest.raises(DeadlineExceeded, match=r"within 0\.5 s"):
        instance.stop(timeout=0.5)
    assert instance.alive()
    instance.destroy()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_tree_that_grows_while_it_is_killed(make: Make) -> None:
    instance = make(
        says("f() { sleep 703 & f & sleep 0.01; wait; }; (i=0; while :; do sleep 703 & sleep 0.001; done)")
    )
    time.sleep(0.3)
    instance.destroy()
    assert not instance.alive()


def test_a_tree_whose_keeper_was_killed_is_found_by_its_label(make: Make, backend: ProcessBackend) -> None:
    instance = make(says("setsid sleep 704 & wait"))
    until(lambda: len(instance.processes().own) == 2)
    (keeper,) = set(instance.processes().shared) - {backend._launcher().pid}
    pids = instance.processes().own
    os.kill(keeper, signal.SIGKILL)
    until(lambda: process_tree.started(keeper) is None)
    assert instance.tag in [one.tag for one in backend.leftovers()]
    instance.destroy()
    assert all(process_tree.started(pid) is None for pid in pids)


def test_the_instrument_is_not_the_guests_cost(make: Make) -> None:
    instance = make(WAITS)
    seen = instance.processes()
    assert commands(seen.own) == ["sleep 600"]
    assert seen.helpers == ()
    assert all("process_launcher" in one for one in commands(seen.shared))


def test_a_guest_that_ends_is_noticed_and_says_how(make: Make) -> None:
    instance = make(says("sleep 0.3; exit 7"))
    assert instance.alive()
    assert instance.epitaph() == ""
    until(lambda: not instance.alive())
    assert instance.epitaph() == "exit code 7"
    killed = make(says("kill -9 $$"))
    until(lambda: not killed.alive())
    assert killed.epitaph() == "killed by SIGKILL"


def test_a_guest_is_never_held_up_by_a_console_nobody_reads(make: Make) -> None:
    instance = make(says("dd if=/dev/zero bs=1M count=40 2>/dev/null; echo end"))
    until(lambda: not instance.alive())
    text = printed(instance)
    assert text.endswith(b"end\n")
    assert len(text) < 20 * 2**20


def test_a_console_that_is_closed_does_not_disturb(make: Make) -> None:
    instance = make(says("while :; do echo words; sleep 0.01; done"))
    console = instance.console()
    assert console.read(TIME)
    console.close()
    assert console.read(1.0) == b""
    time.sleep(0.1)
    assert instance.alive()


def test_a_command_that_times_out_is_ended_with_its_children(make: Make) -> None:
    instance = make(WAITS)
    with pytest.raises(DeadlineExceeded):
        instance.run(["sh", "-c", "setsid sleep 705 & sleep 706"], timeout=0.3)
    assert commands(instance.processes().own) == ["sleep 600"]


def test_a_command_that_leaves_something_behind_returns(make: Make) -> None:
    instance = make(WAITS)
    done = instance.run(["sh", "-c", "sleep 707 & echo started"], timeout=TIME)
    assert done.stdout == b"started\n"
    until(lambda: "sleep 707" in commands(instance.processes().own))


# --- the end of whoever made it -------------------------------------------------------

MAKER = """
import sys, time
from tests.real.test_process import WAITS
from vmvc import owner
from vmvc.backends.process import ProcessBackend
from vmvc.contract import Options, Tag
backend = ProcessBackend("process", Options())
backend.prepare(WAITS)
instance = backend.instance(Tag(sys.argv[1], 1, owner.current()), WAITS)
instance.create()
if sys.argv[2] == "started":
    instance.start()
print(*instance.processes().own, *instance.processes().shared, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("state", ["created", "started"])
def test_what_a_killed_maker_leaves_is_found_and_removed(state: str, backend: ProcessBackend) -> None:
    run = f"test-{secrets.token_hex(4)}"
    maker = subprocess.Popen([sys.executable, "-c", MAKER, run, state], stdout=subprocess.PIPE, cwd=HERE)
    assert maker.stdout is not None
    with maker.stdout:
        pids = [int(word) for word in maker.stdout.readline().split()]
        maker.kill()
        maker.wait()
    (left,) = [one for one in backend.leftovers() if one.tag.run == run]
    assert not owner.alive(left.tag.owner)
    if state == "started":
        assert left.alive()
        assert commands(left.processes().own) == ["sleep 600"]
    else:
        until(lambda: not any(process_tree.started(pid) for pid in pids))
    left.destroy()
    until(lambda: not any(process_tree.started(pid) for pid in pids))
    assert run not in [one.tag.run for one in backend.leftovers()]
    assert not left.folder.exists()


def test_a_launcher_that_dies_is_an_error_and_comes_again(make: Make, backend: ProcessBackend) -> None:
    first = make(WAITS)
    launcher = backend._launcher().pid
    assert launcher is not None
    os.kill(launcher, signal.SIGKILL)
    with pytest.raises(EngineError, match="launcher"):
        first.run(["true"], timeout=TIME)
    assert first.alive()
    assert first.run(["true"], timeout=TIME).returncode == 0


def test_nothing_is_removed_through_a_mount(make: Make, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    instance = make(WAITS)
    target = instance.folder / "root"
    subprocess.run(["mount", "--bind", tmp_path, target], check=True)
    try:
        with pytest.raises(CleanupError, match="is mounted"):
            instance.destroy()
        assert precious.read_text() == "data"
    finally:
        subprocess.run(["umount", target], check=True)


def test_folders_that_are_not_ours_stay(backend: ProcessBackend) -> None:
    folder = instances() / f"vmvc-foreign-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        for text in ("no json", "{}", json.dumps(Tag("other", 1, "h:1:1").labels())):
            (folder / "tag.json").write_text(text)
            assert folder not in [one.folder for one in backend.leftovers()]
    finally:
        (folder / "tag.json").unlink()
        folder.rmdir()


# --- bad inputs -------------------------------------------------------


def test_a_port_in_use_names_its_holder(backend: ProcessBackend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EngineError, match=rf"port {port} of this host is in use by .*\(pid {os.getpid()}\)"
        ):
            backend.prepare(listens(port))
    guest = listens(port)
    backend.prepare(guest)
    instance = backend.instance(Tag(f"test-{secrets.token_hex(4)}", 1, owner.current()), guest)
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(StepFailed, match=f"port {port} of this host is in use"):
            instance.create()
        assert not instance.folder.exists()
    instance.destroy()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("no-such-program",), "No such file"),
        (("/bin/no-such-program",), "No such file"),
        (("/www/index.html",), "Permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed(make: Make, command: tuple[str, ...], why: str) -> None:
    instance = make(replace(WAITS, command=command), start=False)
    with pytest.raises(StepFailed, match=why) as failed:
        instance.start()
    assert "guest.command" in failed.value.hint
    assert not instance.alive()


def test_the_same_name_twice(make: Make, backend: ProcessBackend) -> None:
    instance = make(WAITS)
    with pytest.raises(StepFailed, match="is there already"):
        backend.instance(instance.tag, WAITS).create()
    assert instance.alive()


def test_a_disk_image_is_for_machines(backend: ProcessBackend) -> None:
    with pytest.raises(InputError, match="virtual machine"):
        backend.prepare(replace(WAITS, image=DiskImage(disk="x.qcow2")))


def test_findings_about_the_guest(backend: ProcessBackend) -> None:
    findings = backend.prepare(replace(WAITS, boot="systemd")).findings
    assert {(one.code, one.severity) for one in findings} == {
        ("process.limits", Severity.INFO),
        ("process.boot", Severity.INFO),
    }


BARE = """
import sys
from contextlib import suppress
from dataclasses import replace
from tests.real.test_process import WAITS, listens, printed, says, until
from vmvc import owner
from vmvc.backends.process import ProcessBackend
from vmvc.contract import Options, Tag
from vmvc.errors import VmvcError
backend = ProcessBackend("process", Options())
print([finding.code for finding in backend.check()], backend.describe()["root"])
guest = says("id -u; exec sleep 4")
print([finding.code for finding in backend.prepare(guest).findings], backend.prepare(guest).facts["root"])
instance = backend.instance(Tag(sys.argv[1], 1, owner.current()), guest)
instance.create()
instance.start()
until(lambda: len(instance.processes().own) == 1)  # `id` may not have ended.
print(instance.alive(), instance.run(["id", "-u"], timeout=10).stdout, len(instance.processes().own))
print(printed(instance))
print(instance.disk().unique is not None, sorted(instance.disk().absent))
instance.destroy()
for bad in (replace(WAITS, command=("no-such-program",)), listens(80)):
    try:
        backend.prepare(bad)
    except VmvcError as error:
        print(error.what)
"""


def test_without_root_it_is_the_hosts_own_program() -> None:
    """Without the capabilities of root, that is: another user might not reach this interpreter."""
    bare = ["setpriv", "--bounding-set=-sys_admin,-sys_chroot,-net_bind_service"]
    run = f"test-{secrets.token_hex(4)}"
    done = subprocess.run(
        [*bare, sys.executable, "-c", BARE, run],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        "['process.not-root'] host",
        "['process.not-root', 'process.limits'] host",
        "True b'0\\n' 1",
        "b'0\\n'",
        "True ['allocated', 'shared', 'virtual']",
    ], done.stderr
    assert "no program 'no-such-program'" in lines[5]
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 80:
        assert "may not listen on port 80" in lines[6]
