"""Isolation: what is proved, what follows from a kernel of its own, and the reason where neither is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from vmvc import confinement, host
from vmvc.backends.fake_instance import FakeInstance
from vmvc.confinement import Status
from vmvc.contract import (
    Absent,
    Completed,
    Guest,
    Metric,
    MonotonicClock,
    Options,
    Processes,
    Reading,
    Scene,
    Tag,
)
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed, Unavailable, VmvcError
from vmvc.metrics import isolation
from vmvc.metrics.isolation import Isolation
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows these facts")

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
ELSEWHERE = str(uuid.UUID(int=7))
SHELLS = (["sh"], ["busybox", "sh"], ["bash"], ["dash"])
APART = tuple(f"{name}_ns" for name in confinement.NAMESPACES)


class TestIsolation(MetricContract):
    def metric(self) -> Metric:
        return Isolation(Options())


class Known(FakeInstance):
    """An instance whose processes and answers the test chooses."""

    def __init__(self, pids: Sequence[int] | None = None, **answers: bytes | VmvcError | Completed) -> None:
        self.tag, self.guest = Tag("r", 1, "h:1:1"), GUEST
        self._pids = [os.getpid()] if pids is None else pids
        self._answers = {"boot": host.boot_id().encode() + b"\n", **answers}
        self.asked: list[Sequence[str]] = []

    def processes(self) -> Processes:
        if not self._pids:
            raise Unavailable("the engine is elsewhere")
        return Processes(own=tuple(self._pids))

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        self.asked.append(argv)
        name = {"boot_id": "boot", "cpuinfo": "cpu", "version": "version"}.get(Path(argv[-1]).name, argv[0])
        said = self._answers.get(name, b"")
        if isinstance(said, VmvcError):
            raise said
        return said if isinstance(said, Completed) else Completed(0, said, b"")


def facts(instance: FakeInstance) -> Mapping[str, float | str]:
    """Return every value, or the reason why there is none."""
    scene = Scene(events={}, guest=GUEST, instance=instance, clock=MonotonicClock())
    return {
        one.quantity: one.reason if isinstance(one, Absent) else one.value
        for one in Isolation(Options()).observe(scene)
    }


def test_equal_boot_ids_are_one_kernel() -> None:
    assert facts(Known())["shares_kernel"] == 1


def test_another_boot_id_is_a_kernel_of_its_own_and_nothing_of_the_host_is_shared() -> None:
    found = facts(Known(boot=ELSEWHERE.encode()))
    assert found["shares_kernel"] == 0
    assert {found[name] for name in APART} == {1}


def test_namespaces_of_one_kernel_are_those_of_the_process() -> None:
    found = facts(Known())
    told = confinement.own_namespaces(os.getpid())
    assert {name: found[f"{name}_ns"] for name in told} == {
        name: int(own is True) for name, own in told.items()
    }


@pytest.mark.parametrize(
    "said",
    [b"", b"6.1.0\n", Completed(127, b"", b"not found"), Unavailable("no way in"), StepFailed("no exec")],
)
def test_without_a_boot_id_nothing_is_claimed_of_the_kernel(
    said: bytes | Completed | VmvcError, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {**dict.fromkeys(confinement.NAMESPACES, False), "pid": True}
    monkeypatch.setattr(confinement, "own_namespaces", lambda pid: own)
    found = facts(Known(boot=said))
    assert isinstance(found["shares_kernel"], str)
    assert found["pid_ns"] == 1, "a namespace of its own is enough, whatever the kernel"
    assert "its kernel is not known" in str(found["net_ns"])
    assert found["seccomp"] == 0, "what the host shows needs no command in the guest"


def test_a_kernel_that_shows_no_boot_id_is_told_by_its_version() -> None:
    """As gVisor's; the host's own version proves nothing."""
    missing = Completed(1, b"", b"no such file")
    assert facts(Known(boot=missing, version=b"Linux version 4.4.0 #1 SMP\n"))["shares_kernel"] == 0
    mine = Path("/proc/version").read_bytes()
    assert isinstance(facts(Known(boot=missing, version=mine))["shares_kernel"], str)
    assert isinstance(facts(Known((), boot=missing, version=b"Linux 4.4.0\n"))["shares_kernel"], str)


def test_an_engine_elsewhere_proves_no_kernel_of_its_own() -> None:
    found = facts(Known(pids=(), boot=ELSEWHERE.encode()))
    assert found["shares_kernel"] == "the engine is elsewhere"
    assert found["capabilities"] == "the engine is elsewhere"


def test_equal_boot_ids_are_proof_even_where_no_process_is_seen() -> None:
    found = facts(Known(pids=()))
    assert found["shares_kernel"] == 1
    assert found["pid_ns"] == "the engine is elsewhere"


@pytest.mark.parametrize(
    ("root", "user", "boot", "mapped"),
    [
        (0, 0, None, 0),
        (0, 1000, None, 0),
        (100000, 0, None, 1),
        (None, 0, None, 1),
        (0, 0, ELSEWHERE, 0),
        (0, 64055, ELSEWHERE, 1),
        (0, 0, "", 0),
        (0, 64055, "", "depends on its kernel"),
    ],
)
def test_roots_user_is_judged_by_map_or_by_hypervisor(
    root: int | None,
    user: int,
    boot: str | None,
    mapped: int | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confinement, "root_is", lambda pid: root)
    monkeypatch.setattr(confinement, "status", lambda pid: Status(user, 2, 1, 14))
    found = facts(Known() if boot is None else Known(boot=boot.encode()))
    if isinstance(mapped, str):
        assert mapped in str(found["user_mapped"])
    else:
        assert found["user_mapped"] == mapped
    assert (found["seccomp"], found["no_new_privs"], found["capabilities"]) == (2, 1, 14)


def test_the_oldest_process_carries_the_guest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def status(pid: int) -> Unavailable:
        seen.append(pid)
        return Unavailable("no matter")

    monkeypatch.setattr(confinement, "status", status)
    facts(Known(pids=(os.getpid(), os.getppid())))
    assert seen == [os.getppid()]


def test_what_the_guest_sees_is_counted() -> None:
    found = facts(
        Known(
            find=b"/dev/null\n/dev/zero\n/dev/pts/0\n",
            sh=b"/proc/sysrq-trigger\n",
            cpu=b"flags\t\t: fpu hypervisor x\n",
        )
    )
    assert (found["devices"], found["writable_sys"], found["hypervisor"]) == (3, 1, 1)
    bare = facts(Known(cpu=b"flags\t: fpu vmx\n"))
    assert (bare["devices"], bare["writable_proc"], bare["hypervisor"]) == (0, 0, 0)


def test_a_cpu_without_flags_says_nothing_of_a_hypervisor() -> None:
    assert "no flag" in str(facts(Known(cpu=b"processor : 0\n"))["hypervisor"])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Completed(127, b"", b""), "the guest has no command 'find'"),
        (Completed(1, b"/dev/null\n", b"find: /dev/x: Permission denied\n"), "ended with 1: find: /dev/x"),
        (DeadlineExceeded("'find' did not end within 30 s"), "did not end within 30 s"),
    ],
)
def test_a_count_that_may_be_too_low_is_none(said: Completed | VmvcError, reason: str) -> None:
    assert reason in str(facts(Known(find=said))["devices"])


def test_a_guest_that_died_is_no_fact() -> None:
    with pytest.raises(GuestDied):
        facts(Known(sh=GuestDied("it is gone")))


@pytest.mark.parametrize("shell", [one for one in SHELLS if shutil.which(one[0])])
def test_only_what_can_be_opened_for_writing_counts_and_nothing_is_written(
    shell: Sequence[str], tmp_path: Path
) -> None:
    """A folder, a missing file and a device that masks a file do not count."""
    (tmp_path / "a  b; $HOME").write_text("kept")
    (tmp_path / "folder").mkdir()
    names = ["a  b; $HOME", "folder", "missing"]
    paths = [*(str(tmp_path / name) for name in names), "/dev/null"]
    argv = list(isolation._may_write(paths))
    done = subprocess.run([*shell, *argv[1:]], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/a  b; $HOME\n"
    assert (tmp_path / "a  b; $HOME").read_text() == "kept"
    assert not (tmp_path / "missing").exists()


def test_no_file_is_named_twice_and_each_is_where_it_belongs() -> None:
    for root, files in (("/sys/", isolation.SYS_FILES), ("/proc/", isolation.PROC_FILES)):
        assert len(set(files)) == len(files)
        assert all(name.startswith(root) for name in files)


def test_every_value_is_a_whole_number() -> None:
    scene = Scene(events={}, guest=GUEST, instance=Known(), clock=MonotonicClock())
    readings = [one for one in Isolation(Options()).observe(scene) if isinstance(one, Reading)]
    assert readings
    assert {type(one.value) for one in readings} == {int}
