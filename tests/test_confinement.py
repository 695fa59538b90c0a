"""How a process is confined: against processes that were confined on purpose, and planted files of /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmvc import confinement
from vmvc.confinement import Status
from vmvc.errors import Unavailable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has namespaces")

NO_NEW_PRIVS = "import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0); print(1, flush=True); input()"


@contextmanager
def program(*argv: str) -> Iterator[int]:
    """Run a program that prints a line and then waits for another; give its process id."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "the program did not come up"
        yield process.pid
        process.kill()


def unshared(*flags: str) -> Sequence[str]:
    return ("unshare", *flags, "sh", "-c", "echo up; read nothing")


def test_this_process_shares_everything_with_itself(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("/proc/self")
    (tmp_path / "7").symlink_to("/proc/self")
    assert confinement.own_namespaces(7, tmp_path) == dict.fromkeys(confinement.NAMESPACES, False)


@pytest.mark.real("root")
@pytest.mark.parametrize(
    ("flag", "name"),
    [("-n", "net"), ("-i", "ipc"), ("-m", "mnt"), ("-u", "uts"), ("-U", "user"), ("-C", "cgroup")],
)
def test_a_namespace_of_its_own_is_told_from_the_others(flag: str, name: str) -> None:
    with program(*unshared(flag)) as pid:
        found = confinement.own_namespaces(pid)
    assert {one for one, own in found.items() if own is True} == {name}


def test_a_namespace_that_the_kernel_lacks_is_absent(tmp_path: Path) -> None:
    (tmp_path / "self" / "ns").mkdir(parents=True)
    found = confinement.own_namespaces(os.getpid(), tmp_path)["time"]
    assert isinstance(found, Unavailable)
    assert found.what == "this host has no /proc/PID/ns/time"


def test_a_process_that_has_ended_is_absent_everywhere() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    told = [
        *confinement.own_namespaces(ended.pid).values(),
        confinement.root_is(ended.pid),
        confinement.status(ended.pid),
        confinement.confined(ended.pid),
    ]
    assert [one for one in told if not isinstance(one, Unavailable)] == []


def test_the_processes_of_others_need_a_right_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> Path:
        if self.parts[-3] == "self":
            return Path("net:[1]")
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "readlink", refuse)
    found = confinement.own_namespaces(os.getpid())["net"]
    assert isinstance(found, Unavailable)
    assert "needs root or CAP_SYS_PTRACE" in found.what


def test_the_hosts_namespaces_are_those_of_process_1(tmp_path: Path) -> None:
    for pid, number in (("1", 1), ("self", 2), ("7", 1), ("8", 2)):
        folder = tmp_path / pid / "ns"
        folder.mkdir(parents=True)
        (folder / "net").symlink_to(f"net:[{number}]")
    assert confinement.own_namespaces(7, tmp_path)["net"] is False
    assert confinement.own_namespaces(8, tmp_path)["net"] is True


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("         0          0 4294967295\n", 0),
        ("         0     100000      65536\n", 100000),
        ("      1000       1000          1\n", None),
        ("         5          0          1\n         0       1000          1\n", 1000),
        ("", None),
    ],
)
def test_the_user_map_says_who_root_is(tmp_path: Path, text: str, root: int | None) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "uid_map").write_text(text)
    assert confinement.root_is(7, tmp_path) == root


def test_status_is_read_field_by_field(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(
        "Name:\tx\nUid:\t1\t2\t3\t4\nCapPrm:\tffffffffffffffff\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n"
        "Seccomp:\t2\nSeccomp_filters:\t5\n"
    )
    assert confinement.status(7, tmp_path) == Status(2, 2, 1, 14)


def test_a_kernel_without_seccomp_does_not_read_as_none(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Uid:\t0\t0\t0\t0\nCapEff:\t0\n")
    found = confinement.status(7, tmp_path)
    assert isinstance(found, Status)
    assert isinstance(found.seccomp, Unavailable)
    assert found.capabilities == 0


def test_no_new_privs_is_seen_where_it_was_set() -> None:
    with program(sys.executable, "-c", NO_NEW_PRIVS) as pid:
        found = confinement.status(pid)
    assert isinstance(found, Status)
    assert found.no_new_privs == 1
    assert found.user == os.geteuid()


@pytest.mark.parametrize(
    ("label", "enforce", "confined"),
    [
        ("unconfined\n", "1", False),
        ("docker-default (enforce)\n", "0", True),
        ("libvirt-0a1b (enforce)\n", "0", True),
        ("docker-default (complain)\n", "1", False),
        ("unconfined (unconfined)\n", "1", None),
        ("system_u:system_r:container_t:s0:c1,c2\0", "1", True),
        ("system_u:system_r:container_t:s0:c1,c2\0", "0", False),
        ("system_u:system_r:spc_t:s0\0", "1", False),
        ("unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\0", "1", False),
        ("_\n", "1", None),
    ],
)
def test_labels_are_read_as_apparmor_and_selinux_mean_them(
    tmp_path: Path, label: str, enforce: str, confined: bool | None
) -> None:
    (tmp_path / "7/attr").mkdir(parents=True)
    (tmp_path / "7/attr/current").write_text(label)
    (tmp_path / "sys/fs/selinux").mkdir(parents=True)
    (tmp_path / "sys/fs/selinux/enforce").write_text(enforce)
    found = confinement.confined(7, tmp_path, tmp_path / "sys")
    assert isinstance(found, Unavailable) if confined is None else found is confined


def test_without_a_security_module_nothing_confines(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    assert confinement.confined(7, tmp_path) is False
