"""A backend -> a test for every promise that ``vmvc.contract`` makes in its name."""

from __future__ import annotations

import os
import pickle
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from vmvc import owner
from vmvc.console import ConsoleTap
from vmvc.contract import (
    Backend,
    Completed,
    DiskUsage,
    Event,
    Guest,
    Instance,
    Isolation,
    MonotonicClock,
    Preparation,
    Severity,
    Tag,
)
from vmvc.errors import DeadlineExceeded, InputError, Unavailable, VmvcError
from vmvc.probes import wait
from vmvc.spec import Console, Exec, ReadyConsole, ReadyExec, RecipeImage
from vmvc.testing.plugin import (
    NAME,
    check_facts,
    check_findings,
    check_options,
    check_pickle,
    check_sentence,
)

SLACK = 10.0
"""Seconds beyond a timeout within which its error must have come."""

HOSTILE = (
    "a  b; $HOME",
    "",
    "'single' \"double\" `back` \\slash",
    "first line\nsecond line\n",
    "*",
    "ünïcødé 漢字",
    "-n",
    "--",
    "$(exit 3) | & < > # ~ !",
    "\t",
    "%s",
)
"""Arguments that a shell, or a join and a split, would spoil."""

_SPEAKS = "vmvc speaks"
_REMOVE = """
import pickle, sys
sys.path[:0] = pickle.load(sys.stdin.buffer)
backend, tag, guest = pickle.load(sys.stdin.buffer)
backend.instance(tag, guest).destroy()
backend.close()
"""


class BackendContract:
    """Inherit, and fill in ``backend`` and ``guest``; override what differs on your platform.

    Hooks are called on different objects of the class, in any order: keep state in the class or outside.
    """

    timeout: ClassVar[float] = 120.0
    """Seconds that any one step may take here."""
    has_console: ClassVar[bool] = True
    has_run: ClassVar[bool] = True
    has_processes: ClassVar[bool] = True
    """False where the platform has none: the tests then want ``Unavailable``."""
    has_forget: ClassVar[bool] = False
    """True where an image can be removed and made again, as ``trials.image: absent`` needs it."""
    large: ClassVar[int] = 2**20
    """Bytes of a large output of a command."""

    _shared: ClassVar[tuple[Backend, Instance] | None] = None

    # --- hooks --------------------------------------------------------------------------------------------

    def backend(self) -> Backend:
        """Return a new object, not used yet."""
        raise NotImplementedError

    def guest(self) -> Guest:
        """Return a guest that gets ready on this backend, by a probe that asks a port."""
        raise NotImplementedError

    def forgettable(self) -> Guest:
        """Return a guest whose image nothing else uses, so that it can be removed."""
        files = {"/forgettable": f"Only {type(self).__qualname__} uses this image.\n"}
        return replace(self.guest(), image=RecipeImage(base="tiny", files=files))

    def stubborn(self) -> tuple[Backend, Guest]:
        """Return a guest that gets ready and ignores the stop signal."""
        script = "trap '' TERM INT QUIT; touch /tmp/stubborn; while :; do sleep 1; done"
        ready = ReadyExec(exec=Exec(command=("test", "-e", "/tmp/stubborn")))
        return self.backend(), replace(self.guest(), command=("sh", "-c", script), ready=ready)

    def speaking(self) -> tuple[Backend, Guest]:
        """Return a guest that prints ``vmvc speaks`` and heeds the stop signal."""
        script = f"trap 'exit 0' TERM INT QUIT; echo {_SPEAKS}; while :; do sleep 0.2; done"
        ready = ReadyConsole(console=Console(pattern=_SPEAKS))
        return self.backend(), replace(self.guest(), command=("sh", "-c", script), ready=ready)

    def stranger(self) -> AbstractContextManager[Callable[[], bool]]:
        """Make something on this platform that is not vmvc's; say whether it is still there."""
        return nullcontext(lambda: True)

    def prints(self, arguments: Sequence[str]) -> Sequence[str]:
        """Return a command that prints every argument and a zero byte after each."""
        return ("printf", r"%s\0", *arguments)

    def exits(self, status: int) -> Sequence[str]:
        """Return a command that exits with that status."""
        return ("sh", "-c", f"exit {status}")

    def sleeps(self, seconds: int) -> Sequence[str]:
        """Return a command that takes that long."""
        return ("sleep", str(seconds))

    def copies(self) -> Sequence[str]:
        """Return a command that copies its input to its output."""
        return ("cat",)

    def complains(self) -> Sequence[str]:
        """Return a command that prints ``out`` and, on standard error, ``err``."""
        return ("sh", "-c", "echo out; echo err >&2")

    def shows(self, variable: str) -> Sequence[str]:
        """Return a command that prints an environment variable and a newline."""
        return ("sh", "-c", f'printf "%s\\n" "${variable}"')

    def cpus_of(self, instance: Instance) -> set[tuple[int, ...]]:
        """Return the sets of CPUs of this host that the threads of a running instance may use."""
        found = set()
        for pid in instance.processes().own:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(ProcessLookupError):
                    found.add(tuple(sorted(os.sched_getaffinity(int(task.name)))))
        return found

    # --- the object ---------------------------------------------------------------------------------------

    def test_it_says_what_it_is(self) -> None:
        backend = self.backend()
        assert NAME.fullmatch(backend.kind)
        assert isinstance(backend.isolation, Isolation)
        check_sentence(backend.says)
        assert isinstance(backend.options, backend.options_model)
        check_options(backend.options)

    def test_it_travels_to_another_process_before_use(self) -> None:
        check_pickle(self.backend())

    def test_check_finds_that_it_runs_here(self) -> None:
        backend = self.backend()
        findings = backend.check()
        check_findings(findings)
        assert not [finding for finding in findings if finding.severity is Severity.ERROR]
        assert [finding.code for finding in backend.check()] == [finding.code for finding in findings]
        backend.close()

    def test_describe_gives_facts(self) -> None:
        backend = self.backend()
        check_facts(backend.describe())
        backend.close()

    def test_prepare_twice_gives_the_same(self) -> None:
        backend = self.backend()
        first, second = backend.prepare(self.guest()), backend.prepare(self.guest())
        assert isinstance(first, Preparation)
        check_facts(first.facts)
        check_findings(first.findings)
        assert dict(second.facts) == dict(first.facts)
        backend.close()

    def test_close_does_not_end_it(self) -> None:
        backend = self.backend()
        backend.close()
        facts = backend.describe()
        backend.close()
        assert backend.describe() == facts
        backend.close()

    def test_an_image_that_was_removed_comes_back(self) -> None:
        backend, guest = self.backend(), self.forgettable()
        facts = backend.prepare(guest).facts
        if not self.has_forget:
            with pytest.raises(Unavailable):
                backend.forget(guest)
            backend.close()
            return
        backend.forget(guest)
        backend.forget(guest)
        backend.fetch(guest)
        with self._instance(prepared=(backend, guest)) as (_, instance):
            self._bring_up(instance)
        assert backend.prepare(guest).facts.keys() == facts.keys()
        backend.forget(guest)
        backend.close()

    # --- from nothing to nothing --------------------------------------------------------------------------

    def test_a_handle_touches_nothing(self) -> None:
        with self._instance() as (backend, instance):
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []

    def test_create_defines_and_runs_nothing(self) -> None:
        with self._instance() as (backend, instance):
            instance.create()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == [instance.tag]

    def test_a_life(self) -> None:
        """Create, start, ready, stop, destroy."""
        with self._instance() as (backend, instance):
            instance.create()
            instance.start()
            assert instance.alive()
            before = time.monotonic_ns()
            ready = self._wait(instance)
            assert before <= ready.at <= time.monotonic_ns()
            assert instance.alive()
            pids = set(instance.processes().own) - {os.getpid()} if self.has_processes else set()
            instance.stop(timeout=self.timeout)
            assert not instance.alive(), "stop returned before the guest had ended"
            assert not _running(pids), "stop returned before the guest's processes had ended"
            assert "\n" not in instance.epitaph()
            assert self._leftovers(backend, instance) == [instance.tag], "stop removes nothing"
            if self.has_run:
                with pytest.raises(VmvcError):
                    instance.run(self.copies(), timeout=self.timeout)
            instance.destroy()
            assert self._leftovers(backend, instance) == []

    def test_stop_says_when_the_guest_does_not_obey(self) -> None:
        backend, guest = self.stubborn()
        with self._instance(backend, guest) as (_, instance):
            self._bring_up(instance)
            before = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                instance.stop(timeout=1.0)
            assert 0.9 <= time.monotonic() - before <= 1.0 + SLACK
            instance.destroy()
            assert not instance.alive()

    @pytest.mark.parametrize("state", ["nothing", "created", "started", "ready", "stopped"])
    def test_destroy_from_every_state(self, state: str) -> None:
        with self._instance() as (backend, instance):
            if state != "nothing":
                instance.create()
            if state not in ("nothing", "created"):
                instance.start()
            if state in ("ready", "stopped"):
                self._wait(instance)
            if state == "stopped":
                instance.stop(timeout=self.timeout)
            instance.destroy()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []
            instance.destroy()

    def test_the_name_can_be_used_again(self) -> None:
        with self._instance() as (backend, instance):
            instance.create()
            instance.start()
            instance.destroy()
            again = backend.instance(instance.tag, instance.guest)
            again.create()
            assert self._leftovers(backend, again) == [instance.tag]
            again.destroy()

    # --- found by its tag ---------------------------------------------------------------------------------

    def test_another_object_destroys_by_the_tag(self) -> None:
        with self._instance() as (backend, instance):
            self._bring_up(instance)
            other = self.backend()
            other.instance(instance.tag, instance.guest).destroy()
            other.close()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []

    def test_another_process_destroys_by_the_tag(self) -> None:
        with self._instance() as (backend, instance):
            self._bring_up(instance)
            search = pickle.dumps([str(Path.cwd()), *sys.path])
            done = subprocess.run(
                [sys.executable, "-c", _REMOVE],
                input=search + pickle.dumps((self.backend(), instance.tag, instance.guest)),
                capture_output=True,
                timeout=self.timeout,
                check=False,
            )
            assert done.returncode == 0, done.stderr.decode()
            assert not instance.alive()
            assert self._leftovers(backend, instance) == []

    def test_leftovers_can_be_removed(self) -> None:
        with self._instance() as (_, instance):
            self._bring_up(instance)
            other = self.backend()
            for leftover in other.leftovers():
                if leftover.tag == instance.tag:
                    leftover.destroy()
            assert self._leftovers(other, instance) == []
            other.close()
            assert not instance.alive()

    def test_removing_ours_leaves_another_run_alone(self) -> None:
        with self._instance() as (backend, instance), self._instance() as (_, foreign):
            self._bring_up(instance)
            self._bring_up(foreign)
            instance.destroy()
            assert foreign.alive()
            assert self._leftovers(backend, foreign) == [foreign.tag], "leftovers of every run are listed"

    def test_members_of_a_fleet_are_told_apart(self) -> None:
        """Those of one trial differ in nothing but their number, and each goes alone."""
        with self._instance() as (backend, first), ExitStack() as removals:
            members = [backend.instance(replace(first.tag, member=number), first.guest) for number in (2, 3)]
            for one in (first, *members):
                removals.callback(one.destroy)
                one.create()
            expected = {one.tag for one in (first, *members)}
            assert len({tag.name for tag in expected}) == 3
            assert set(self._leftovers(backend, first)) == expected
            for one in (first, *members):
                one.destroy()
                expected.remove(one.tag)
                assert set(self._leftovers(backend, first)) == expected

    def test_what_is_not_ours_is_not_a_leftover(self) -> None:
        with self.stranger() as is_there:
            backend = self.backend()
            found = backend.leftovers()
            for leftover in found:
                assert Tag.from_labels(leftover.tag.labels()) == leftover.tag
                assert leftover.tag.run
                assert ":" in leftover.tag.owner
            assert len({leftover.tag for leftover in found}) == len(found)
            assert is_there()
            backend.close()

    def test_two_side_by_side_do_not_mix(self) -> None:
        first, second = (_with_env(self.guest(), WHO=who) for who in ("one", "two"))
        with self._instance(guest=first) as (_, one), self._instance(guest=second) as (_, two):
            self._bring_up(one)
            self._bring_up(two)
            ports = [instance.guest.ports for instance in (one, two)]
            assert one.endpoint(ports[0][0]) != two.endpoint(ports[1][0])
            if self.has_processes:
                assert not set(one.processes().own) & set(two.processes().own) - {os.getpid()}
            if self.has_run:
                for instance, who in ((one, b"one\n"), (two, b"two\n")):
                    assert instance.run(self.shows("WHO"), timeout=self.timeout).stdout == who
            one.destroy()
            assert two.alive()
            self._wait(two)

    # --- what it prints -----------------------------------------------------------------------------------

    def test_the_console_shows_what_the_guest_prints(self) -> None:
        if not self.has_console:
            instance = self._ready()
            with pytest.raises(Unavailable):
                instance.console()
            return
        backend, guest = self.speaking()
        with self._instance(backend, guest) as (_, instance):
            instance.create()
            instance.start()
            stream = instance.console()
            text = b""
            deadline = time.monotonic() + self.timeout
            while _SPEAKS.encode() not in text and time.monotonic() < deadline:
                chunk = stream.read(0.2)
                assert chunk != b"", f"the console ended before the guest: {text!r}"
                text += chunk or b""
            assert text.count(_SPEAKS.encode()) == 1
            before = time.monotonic()
            text += stream.read(0.2) or b""
            assert time.monotonic() - before < 0.2 + SLACK, "read ignores its timeout"
            instance.stop(timeout=self.timeout)
            while (chunk := stream.read(0.2)) != b"":
                assert time.monotonic() < deadline, "the console does not end with the guest"
                text += chunk or b""
            assert stream.read(0.2) == b"", "the end stays the end"
            assert text.count(_SPEAKS.encode()) == 1
            stream.close()
            stream.close()

    def test_the_console_can_be_closed_while_it_is_read(self) -> None:
        if not self.has_console:
            return
        backend, guest = self.speaking()
        with self._instance(backend, guest) as (_, instance):
            instance.create()
            instance.start()
            stream = instance.console()
            closer = threading.Timer(0.2, stream.close)
            closer.start()
            before = time.monotonic()
            with suppress(OSError, ValueError, VmvcError):
                while stream.read(1.0) != b"" and time.monotonic() < before + SLACK:
                    pass
            closer.join()
            assert time.monotonic() - before < SLACK, "read goes on after close"

    # --- commands inside ----------------------------------------------------------------------------------

    def test_run_is_unavailable_where_there_is_no_way_in(self) -> None:
        if self.has_run:
            return
        with pytest.raises(Unavailable):
            self._ready().run(self.copies(), timeout=self.timeout)

    def test_run_passes_every_argument_as_given(self) -> None:
        done = self._run(self.prints(HOSTILE))
        assert done is None or done.stdout.decode().split("\0")[:-1] == list(HOSTILE)

    @pytest.mark.parametrize("status", [0, 1, 42, 255])
    def test_run_returns_the_exit_status(self, status: int) -> None:
        done = self._run(self.exits(status))
        assert done is None or done.returncode == status

    def test_run_says_127_where_there_is_no_such_command(self) -> None:
        done = self._run(("vmvc-no-such-command", "x"))
        assert done is None or done.returncode == 127

    def test_run_keeps_the_two_outputs_apart(self) -> None:
        done = self._run(self.complains())
        assert done is None or (done.stdout, done.stderr) == (b"out\n", b"err\n")

    def test_run_carries_bytes_in_and_out(self) -> None:
        data = bytes(range(256)) + b"\r\n\x04\x03\x00"
        done = self._run(self.copies(), stdin=data)
        assert done is None or done == Completed(0, data, b"")

    def test_run_without_input_ends_a_reader(self) -> None:
        done = self._run(self.copies())
        assert done is None or done == Completed(0, b"", b"")

    def test_run_carries_much(self) -> None:
        data = (b"0123456789abcde\n" * (self.large // 16 + 1))[: self.large]
        done = self._run(self.copies(), stdin=data)
        assert done is None or (done.returncode, len(done.stdout), done.stdout == data) == (
            0,
            self.large,
            True,
        )

    def test_run_sees_the_environment(self) -> None:
        done = self._run(self.shows("VMVC_CONTRACT"))
        assert done is None or done.stdout.decode() == HOSTILE[0] + "\n"

    def test_run_times_out_and_the_guest_goes_on(self) -> None:
        if not self.has_run:
            return
        instance = self._ready()
        before = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            instance.run(self.sleeps(600), timeout=1.0)
        assert 0.9 <= time.monotonic() - before <= 1.0 + SLACK
        assert instance.alive()
        assert instance.run(self.exits(0), timeout=self.timeout).returncode == 0

    # --- what the host sees -------------------------------------------------------------------------------

    def test_alive_is_quick(self) -> None:
        instance = self._ready()
        took = []
        for _ in range(51):
            before = time.perf_counter()
            assert instance.alive()
            took.append(time.perf_counter() - before)
        assert statistics.median(took) < 0.005, "alive() asks an engine"

    def test_processes_exist(self) -> None:
        instance = self._ready()
        if not self.has_processes:
            with pytest.raises(Unavailable):
                instance.processes()
            return
        seen = instance.processes()
        assert seen.own, "a running instance has processes"
        pids = (*seen.own, *seen.helpers, *seen.shared)
        assert len(set(pids)) == len(pids), f"a process is counted twice: {seen}"
        assert _running(set(pids)) == set(pids)

    def test_a_guest_stays_on_its_cpus_or_is_refused(self) -> None:
        """Every thread of it, whatever it has started; a backend that cannot keep it there says so."""
        if not hasattr(os, "sched_getaffinity"):
            return
        cpu = max(os.sched_getaffinity(0))
        guest = replace(self.guest(), cpus=1, cpuset=(cpu,))
        refusal = self._refusal(guest)
        if refusal is not None:
            assert "CPU" in refusal
            return
        with self._instance(guest=guest) as (_, instance):
            self._bring_up(instance)
            if self.has_processes:
                assert self.cpus_of(instance) == {(cpu,)}

    def test_the_cgroup_is_a_folder_with_memory_files(self) -> None:
        folder = self._ready().cgroup()
        if folder is not None:
            names = ("memory.current", "memory.usage_in_bytes")
            assert any((folder / name).is_file() for name in names), folder

    def test_disk_gives_bytes_or_reasons(self) -> None:
        usage = self._ready().disk()
        for name in ("virtual", "allocated", "shared", "unique"):
            value = getattr(usage, name)
            if value is None:
                assert usage.absent.get(name), f"{name} is absent without a reason"
            else:
                assert isinstance(value, int)
                assert value >= 0
                assert name not in usage.absent
        assert set(usage.absent) <= {field.name for field in fields(DiskUsage)}
        for part in (usage.shared, usage.unique):
            assert part is None or usage.allocated is None or part <= usage.allocated

    def test_an_endpoint_stays_the_same(self) -> None:
        instance = self._ready()
        for port in instance.guest.ports:
            host, number = instance.endpoint(port)
            assert host
            assert 0 < number < 65536
            assert instance.endpoint(port) == (host, number)

    # --- lives --------------------------------------------------------------------------------------------

    @classmethod
    def teardown_class(cls) -> None:
        """Remove the instance that tests share."""
        shared, cls._shared = cls._shared, None
        if shared is not None:
            shared[1].destroy()
            shared[0].close()

    @contextmanager
    def _instance(
        self,
        backend: Backend | None = None,
        guest: Guest | None = None,
        *,
        prepared: tuple[Backend, Guest] | None = None,
    ) -> Iterator[tuple[Backend, Instance]]:
        """Give a new handle of a new run; whatever happens, nothing of it remains."""
        backend, guest = prepared or (backend or self.backend(), guest or self.guest())
        if prepared is None:
            backend.prepare(guest)
        instance = backend.instance(_new_tag(), guest)
        try:
            yield backend, instance
        finally:
            instance.destroy()
            backend.close()

    def _refusal(self, guest: Guest) -> str | None:
        """Return why the backend cannot run that guest, ``None`` where it can."""
        backend = self.backend()
        try:
            backend.prepare(guest)
        except InputError as error:
            return error.what
        finally:
            backend.close()
        return None

    def _ready(self) -> Instance:
        """Return an instance that is ready; tests that do not end it share it."""
        cls = type(self)
        if cls._shared is None or not cls._shared[1].alive():
            cls.teardown_class()
            backend = self.backend()
            guest = _with_env(self.guest(), VMVC_CONTRACT=HOSTILE[0])
            backend.prepare(guest)
            instance = backend.instance(_new_tag(), guest)
            cls._shared = (backend, instance)
            self._bring_up(instance)
        return cls._shared[1]

    def _bring_up(self, instance: Instance) -> None:
        instance.create()
        instance.start()
        self._wait(instance)

    def _wait(self, instance: Instance) -> Event:
        clock = MonotonicClock()
        deadline = clock.now() + round(self.timeout * 1e9)
        tap = None
        if isinstance(instance.guest.ready, ReadyConsole):
            tap = ConsoleTap(instance.console(), clock)
        try:
            event = wait(instance.guest.ready, instance, tap, clock, deadline)
        finally:
            if tap is not None:
                tap.close()
        assert event.resolution >= 0
        return event

    def _run(self, argv: Sequence[str], stdin: bytes = b"") -> Completed | None:
        return self._ready().run(argv, timeout=self.timeout, stdin=stdin) if self.has_run else None

    def _leftovers(self, backend: Backend, instance: Instance) -> list[Tag]:
        return [found.tag for found in backend.leftovers() if found.tag.run == instance.tag.run]


def _with_env(guest: Guest, **more: str) -> Guest:
    return replace(guest, env={**guest.env, **more})


def _new_tag() -> Tag:
    return Tag(run=f"contract-{secrets.token_hex(4)}", trial=1, owner=owner.current())


def _running(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
    return found
