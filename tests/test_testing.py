"""The contract tests: the fake backend passes them all, and each of many planted faults is caught."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, Field

from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.backends.streams import Fed
from vmvc.contract import (
    Absent,
    Backend,
    Completed,
    DiskUsage,
    Finding,
    Guest,
    Instance,
    Limits,
    Metric,
    Observation,
    Observes,
    Options,
    Preparation,
    Processes,
    Quantity,
    Reading,
    Scalar,
    Scene,
    Series,
    Severity,
    Tag,
)
from vmvc.errors import (
    CleanupError,
    DeadlineExceeded,
    Fault,
    InputError,
    StepFailed,
    Unavailable,
    VmvcError,
)
from vmvc.spec import BUILT_IN_IMAGES, Console, Exec, Http, ReadyConsole, ReadyExec, ReadyHttp
from vmvc.testing import BackendContract, MetricContract

GUEST = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))


class FakeContract(BackendContract):
    """The contract of the fake backend, or of a faulty variant of it."""

    timeout = 10.0
    has_forget = True
    backend_type: ClassVar[type[FakeBackend]] = FakeBackend
    state: ClassVar[tempfile.TemporaryDirectory[str]]

    @classmethod
    def setup_class(cls) -> None:
        cls.state = tempfile.TemporaryDirectory()

    @classmethod
    def teardown_class(cls) -> None:
        try:
            super().teardown_class()
        finally:
            cls.state.cleanup()

    def fake(self, **script: object) -> FakeBackend:
        options = self.backend_type.options_model.model_validate({"state": self.state.name, **script})
        return self.backend_type("fake", options)

    def backend(self) -> Backend:
        return self.fake()

    def guest(self) -> Guest:
        return GUEST

    def stubborn(self) -> tuple[Backend, Guest]:
        return self.fake(stop=3600.0), replace(GUEST, ready=ReadyExec(exec=Exec(command=("true",))))

    def speaking(self) -> tuple[Backend, Guest]:
        ready = ReadyConsole(console=Console(pattern="vmvc speaks"))
        return self.fake(console=("boot", "vmvc speaks"), ready=0.05), replace(GUEST, ready=ready)

    @contextmanager
    def stranger(self) -> Iterator[Callable[[], bool]]:
        folder = Path(self.state.name) / "somebody-elses"
        folder.mkdir()
        (folder / "labels.json").write_text('{"vmvc": "image"}')
        yield folder.exists

    def exits(self, status: int) -> Sequence[str]:
        return ("exit", str(status))

    def complains(self) -> Sequence[str]:
        return ("complain", "out", "err")

    def shows(self, variable: str) -> Sequence[str]:
        return ("printenv", variable)

    def cpus_of(self, instance: Instance) -> set[tuple[int, ...]]:
        """A thread of this process has no CPUs of its own: the guest's folder says which it was told."""
        assert isinstance(instance, FakeInstance)
        told = instance.cpuset()
        return {told if told is not None else tuple(sorted(os.sched_getaffinity(0)))}


class TestFake(FakeContract):
    """No fault, no complaint."""


# --- faulty instances -------------------------------------------------------------------------------------


class JoinsArgvInShell(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = subprocess.run(" ".join(argv), shell=True, input=stdin, capture_output=True, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)


class JoinsAndSplitsArgv(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        return super().run(" ".join(argv).split(), timeout=timeout, stdin=stdin)


class LosesEmptyArguments(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        return super().run([argument for argument in argv if argument], timeout=timeout, stdin=stdin)


class SwallowsExitStatus(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        return replace(super().run(argv, timeout=timeout, stdin=stdin), returncode=0)


class SignedExitStatus(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = super().run(argv, timeout=timeout, stdin=stdin)
        return replace(done, returncode=done.returncode - 256 if done.returncode > 127 else done.returncode)


class RaisesOnUnknownCommand(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = super().run(argv, timeout=timeout, stdin=stdin)
        if done.returncode == 127:
            raise StepFailed("no such command")
        return done


class MixesOutputs(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = super().run(argv, timeout=timeout, stdin=stdin)
        return Completed(done.returncode, done.stdout + done.stderr, b"")


class ThinksBytesAreText(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = super().run(argv, timeout=timeout, stdin=stdin)
        return replace(done, stdout=done.stdout.decode(errors="replace").encode())


class ActsLikeTerminal(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = super().run(argv, timeout=timeout, stdin=stdin)
        return replace(done, stdout=done.stdout.replace(b"\n", b"\r\n"))


class GivesInputToReader(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        return super().run(argv, timeout=timeout, stdin=stdin or b"left over")


class CutsOutput(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        done = super().run(argv, timeout=timeout, stdin=stdin)
        return replace(done, stdout=done.stdout[:65536])


class ForgetsEnvironment(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        bare, self.guest = self.guest, replace(self.guest, env={})
        try:
            return super().run(argv, timeout=timeout, stdin=stdin)
        finally:
            self.guest = bare


class HidesTimeout(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        try:
            return super().run(argv, timeout=timeout, stdin=stdin)
        except DeadlineExceeded:
            return Completed(124, b"", b"")


class TimesOutAtOnce(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        return super().run(argv, timeout=timeout / 100, stdin=stdin)


class DiesOfTimeout(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        try:
            return super().run(argv, timeout=timeout, stdin=stdin)
        except DeadlineExceeded:
            super().stop(timeout=1)
            raise


class RunsWhenEnded(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        with suppress(StepFailed):
            return super().run(argv, timeout=timeout, stdin=stdin)
        return Completed(0, b"", b"")


class HasNoWayIn(FakeInstance):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        raise Unavailable("no way in")


class CreateStarts(FakeInstance):
    def create(self) -> None:
        super().create()
        super().start()

    def start(self) -> None: ...


class CreateForgetsLabels(FakeInstance):
    def create(self) -> None:
        super().create()
        (self._folder / "labels.json").unlink()


class CreateLosesTrial(FakeInstance):
    def create(self) -> None:
        right, self.tag = self.tag, replace(self.tag, owner="other:1:1")
        super().create()
        self.tag = right


class StartDoesNothing(FakeInstance):
    def start(self) -> None: ...


class HandleCreates(FakeInstance):
    def __init__(self, tag: Tag, guest: Guest, script: Any) -> None:
        super().__init__(tag, guest, script)
        with suppress(StepFailed):
            super().create()


class StopReturnsEarly(FakeInstance):
    def stop(self, *, timeout: float) -> None:
        threading.Timer(0.2, super().stop, kwargs={"timeout": timeout}).start()


class StopNeverSaysItWasForced(FakeInstance):
    def stop(self, *, timeout: float) -> None:
        with suppress(DeadlineExceeded):
            super().stop(timeout=timeout)


class StopIsImpatient(FakeInstance):
    def stop(self, *, timeout: float) -> None:
        super().stop(timeout=timeout / 100)


class StopRemoves(FakeInstance):
    def stop(self, *, timeout: float) -> None:
        super().stop(timeout=timeout)
        super().destroy()


class DestroyWorksOnce(FakeInstance):
    def destroy(self) -> None:
        if not self._folder.exists():
            raise CleanupError("no such instance")
        super().destroy()


class DestroyNeedsStop(FakeInstance):
    def destroy(self) -> None:
        if not self.alive():
            super().destroy()


class DestroyOnlyStops(FakeInstance):
    def destroy(self) -> None:
        self._end()


class DestroyRemovesEverybodys(FakeInstance):
    def destroy(self) -> None:
        for folder in self._folder.parent.glob("vmvc-*"):
            shutil.rmtree(folder, ignore_errors=True)
        super().destroy()


class DestroyOnlyByMaker(FakeInstance):
    def destroy(self) -> None:
        if self._running is not None or not self.alive():
            super().destroy()


class KeepsName(FakeInstance):
    def create(self) -> None:
        used = self._folder.with_name(f"used-{self.tag.name}")
        if used.exists():
            raise StepFailed("the name is taken")
        super().create()
        used.touch()


class AliveAsksSlowly(FakeInstance):
    def alive(self) -> bool:
        time.sleep(0.006)
        return super().alive()


class AliveForEver(FakeInstance):
    def alive(self) -> bool:
        return self._folder.exists()


class SharesPort(FakeInstance):
    def endpoint(self, port: int) -> tuple[str, int]:
        first = sorted(self._folder.parent.glob("vmvc-*/running.json"))[0].parent
        mine, self._folder = self._folder, first
        try:
            return super().endpoint(port)
        finally:
            self._folder = mine


class WandersPort(FakeInstance):
    calls = 0

    def endpoint(self, port: int) -> tuple[str, int]:
        host, number = super().endpoint(port)
        self.calls += 1
        return host, number if self.calls == 1 else number + self.calls


class LongEpitaph(FakeInstance):
    def epitaph(self) -> str:
        return "ended\nfor many reasons"


class GhostProcesses(FakeInstance):
    def processes(self) -> Processes:
        return Processes(own=(2**22 + 1,))


class NoProcesses(FakeInstance):
    def processes(self) -> Processes:
        return Processes()


class TwiceCountedProcesses(FakeInstance):
    def processes(self) -> Processes:
        own = super().processes().own
        return Processes(own=own, helpers=own)


class GhostCgroup(FakeInstance):
    def cgroup(self) -> Path | None:
        return self._folder


class DiskWithoutReason(FakeInstance):
    def disk(self) -> DiskUsage:
        return DiskUsage()


class DiskWithBoth(FakeInstance):
    def disk(self) -> DiskUsage:
        return replace(super().disk(), virtual=0)


class DiskWithMoreThanAll(FakeInstance):
    def disk(self) -> DiskUsage:
        absent = {"virtual": "x", "shared": "x"}
        return DiskUsage(allocated=1, unique=2, absent=absent)


class DiskWithUnknownName(FakeInstance):
    def disk(self) -> DiskUsage:
        usage = super().disk()
        return replace(usage, absent={**usage.absent, "actual": "x"})


class LimitsWithoutReason(FakeInstance):
    def limits(self) -> Limits:
        return Limits()


class LimitsOfNothing(FakeInstance):
    def limits(self) -> Limits:
        return Limits(cpus=0.0, held_by="cgroup", absent={"memory": "x", "pids": "x"})


class LimitsHeldByNobody(FakeInstance):
    def limits(self) -> Limits:
        return Limits(cpus=1.0, absent={"memory": "x", "pids": "x"})


class NoConsole(FakeInstance):
    def console(self) -> Fed:
        raise Unavailable("no console")


class _Faulty(Fed):
    def __init__(self, inner: Fed) -> None:
        super().__init__()
        self.inner = inner

    def read(self, timeout: float) -> bytes | None:
        return self.inner.read(timeout)

    def close(self) -> None:
        self.inner.close()


class DeafConsole(FakeInstance):
    def console(self) -> Fed:
        class Silent(_Faulty):
            def read(self, timeout: float) -> bytes | None:
                time.sleep(timeout)
                return None

        return Silent(super().console())


class EndlessConsole(FakeInstance):
    def console(self) -> Fed:
        class Endless(_Faulty):
            def read(self, timeout: float) -> bytes | None:
                return self.inner.read(timeout) or None

        return Endless(super().console())


class EndsTwiceConsole(FakeInstance):
    def console(self) -> Fed:
        class Reborn(_Faulty):
            ended = 0

            def read(self, timeout: float) -> bytes | None:
                chunk = self.inner.read(timeout)
                self.ended += chunk == b""
                return chunk if self.ended < 2 else None

        return Reborn(super().console())


class EndsEarlyConsole(FakeInstance):
    def console(self) -> Fed:
        class Early(_Faulty):
            def read(self, timeout: float) -> bytes | None:
                return self.inner.read(0.001) or b""

        return Early(super().console())


class RepeatingConsole(FakeInstance):
    def console(self) -> Fed:
        class Repeating(_Faulty):
            def read(self, timeout: float) -> bytes | None:
                chunk = self.inner.read(timeout)
                return chunk * 2 if chunk else chunk

        return Repeating(super().console())


class StuckConsole(FakeInstance):
    def console(self) -> Fed:
        class Stuck(_Faulty):
            def read(self, timeout: float) -> bytes | None:
                return self.inner.read(timeout + 3)

        return Stuck(super().console())


class UncloseableConsole(FakeInstance):
    def console(self) -> Fed:
        class Uncloseable(_Faulty):
            def close(self) -> None: ...

        return Uncloseable(super().console())


class IgnoresItsCpus(FakeInstance):
    def start(self) -> None:
        self.guest = replace(self.guest, cpuset=None)
        super().start()


# --- faulty backends --------------------------------------------------------------------------------------


class RefusesCpusWithoutAWord(FakeBackend):
    def prepare(self, guest: Guest) -> Preparation:
        if guest.cpuset is not None:
            raise InputError(Fault("no"))
        return super().prepare(guest)


class BadKind(FakeBackend):
    kind = "Fake Backend"


class SaysNothing(FakeBackend):
    says = ""


class ThawedOptions(FakeOptions):
    model_config = ConfigDict(frozen=False)


class OpenOptions(FakeOptions):
    model_config = ConfigDict(extra="allow")


class BareOptions(FakeOptions):
    bare: int = 0


class OneWayOptions(FakeOptions):
    hidden: str = Field(default="a", description="Not written.", exclude=True)


class HasThawedOptions(FakeBackend):
    options_model = ThawedOptions


class HasOpenOptions(FakeBackend):
    options_model = OpenOptions


class HasBareOptions(FakeBackend):
    options_model = BareOptions


class HasOneWayOptions(FakeBackend):
    options_model = OneWayOptions

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options.model_copy(update={"hidden": "b"}))


class Unpicklable(FakeBackend):
    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self.lock = threading.Lock()


class ForgetsInPickle(FakeBackend):
    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "name": "lost"}


class CannotRunHere(FakeBackend):
    def check(self) -> Sequence[Finding]:
        return (Finding("fake.refuses", Severity.ERROR, "not here", "go there"),)


class FindsWithoutRemedy(FakeBackend):
    def check(self) -> Sequence[Finding]:
        return (Finding("fake.slow", Severity.WARNING, "slow"),)


class FindsWithoutCode(FakeBackend):
    def check(self) -> Sequence[Finding]:
        return (Finding("It is slow", Severity.WARNING, "slow", "be fast"),)


class DescribesNothingAsNone(FakeBackend):
    def describe(self) -> Mapping[str, Scalar]:
        unknown: Any = None
        return {"version": unknown}


class DescribesNan(FakeBackend):
    def describe(self) -> Mapping[str, Scalar]:
        return {"version": math.nan}


class ClosesForGood(FakeBackend):
    closed = False

    def close(self) -> None:
        self.closed = True

    def describe(self) -> Mapping[str, Scalar]:
        if self.closed:
            raise StepFailed("closed")
        return super().describe()


class LosesMember(FakeBackend):
    def instance(self, tag: Tag, guest: Guest) -> FakeInstance:
        return super().instance(replace(tag, member=0), guest)


class DestroysByTrial(FakeInstance):
    def destroy(self) -> None:
        for folder in self._script.folder.glob(f"{self.tag.name}-m*"):
            shutil.rmtree(folder)
        super().destroy()


class PreparesAnew(FakeBackend):
    def prepare(self, guest: Guest) -> Preparation:
        return Preparation(facts={"image": uuid.uuid4().hex})


class ListsNothing(FakeBackend):
    def leftovers(self) -> Sequence[FakeInstance]:
        return ()


class ListsTwice(FakeBackend):
    def leftovers(self) -> Sequence[FakeInstance]:
        return [*super().leftovers(), *super().leftovers()]


class ListsOwnOnly(FakeBackend):
    def instance(self, tag: Tag, guest: Guest) -> FakeInstance:
        self.run = tag.run
        return super().instance(tag, guest)

    def leftovers(self) -> Sequence[FakeInstance]:
        return [found for found in super().leftovers() if found.tag.run == getattr(self, "run", "")]


class ListsStrangers(FakeBackend):
    def leftovers(self) -> Sequence[FakeInstance]:
        names = sorted(path.parent.name for path in self._script.folder.glob("*/labels.json"))
        tags = [Tag(name, 0, "") for name in names]
        return [FakeInstance(tag, GUEST, self._script) for tag in tags]


class SweepsWhileListing(FakeBackend):
    def leftovers(self) -> Sequence[FakeInstance]:
        found = super().leftovers()
        shutil.rmtree(self._script.folder / "somebody-elses", ignore_errors=True)
        return found


def _with(instance: type[FakeInstance]) -> type[FakeBackend]:
    return type(instance.__name__, (FakeBackend,), {"instance_type": instance})


class FetchesNothing(FakeBackend):
    def fetch(self, guest: Guest) -> None:
        pass


class ForgetsOnce(FakeBackend):
    def forget(self, guest: Guest) -> None:
        if self._gone.exists():
            raise StepFailed("there is no image")
        super().forget(guest)


FAULTS: Sequence[tuple[type[FakeInstance | FakeBackend], str, tuple[object, ...]]] = [
    (IgnoresItsCpus, "a_guest_stays_on_its_cpus_or_is_refused", ()),
    (RefusesCpusWithoutAWord, "a_guest_stays_on_its_cpus_or_is_refused", ()),
    (FetchesNothing, "an_image_that_was_removed_comes_back", ()),
    (ForgetsOnce, "an_image_that_was_removed_comes_back", ()),
    (JoinsArgvInShell, "run_passes_every_argument_as_given", ()),
    (JoinsAndSplitsArgv, "run_passes_every_argument_as_given", ()),
    (LosesEmptyArguments, "run_passes_every_argument_as_given", ()),
    (SwallowsExitStatus, "run_returns_the_exit_status", (42,)),
    (SwallowsExitStatus, "run_says_127_where_there_is_no_such_command", ()),
    (SignedExitStatus, "run_returns_the_exit_status", (255,)),
    (RaisesOnUnknownCommand, "run_says_127_where_there_is_no_such_command", ()),
    (MixesOutputs, "run_keeps_the_two_outputs_apart", ()),
    (ThinksBytesAreText, "run_carries_bytes_in_and_out", ()),
    (ActsLikeTerminal, "run_carries_bytes_in_and_out", ()),
    (GivesInputToReader, "run_without_input_ends_a_reader", ()),
    (CutsOutput, "run_carries_much", ()),
    (ForgetsEnvironment, "run_sees_the_environment", ()),
    (ForgetsEnvironment, "two_side_by_side_do_not_mix", ()),
    (HidesTimeout, "run_times_out_and_the_guest_goes_on", ()),
    (TimesOutAtOnce, "run_times_out_and_the_guest_goes_on", ()),
    (DiesOfTimeout, "run_times_out_and_the_guest_goes_on", ()),
    (RunsWhenEnded, "a_life", ()),
    (HasNoWayIn, "run_carries_bytes_in_and_out", ()),
    (CreateStarts, "create_defines_and_runs_nothing", ()),
    (CreateForgetsLabels, "create_defines_and_runs_nothing", ()),
    (CreateLosesTrial, "create_defines_and_runs_nothing", ()),
    (HandleCreates, "a_handle_touches_nothing", ()),
    (StartDoesNothing, "a_life", ()),
    (StopReturnsEarly, "a_life", ()),
    (LongEpitaph, "a_life", ()),
    (StopRemoves, "a_life", ()),
    (StopNeverSaysItWasForced, "stop_says_when_the_guest_does_not_obey", ()),
    (StopIsImpatient, "stop_says_when_the_guest_does_not_obey", ()),
    (DestroyWorksOnce, "destroy_from_every_state", ("nothing",)),
    (DestroyWorksOnce, "a_life", ()),
    (DestroyWorksOnce, "stop_says_when_the_guest_does_not_obey", ()),
    (DestroyNeedsStop, "destroy_from_every_state", ("started",)),
    (DestroyOnlyStops, "destroy_from_every_state", ("created",)),
    (DestroyRemovesEverybodys, "two_side_by_side_do_not_mix", ()),
    (DestroyOnlyByMaker, "another_object_destroys_by_the_tag", ()),
    (DestroyOnlyByMaker, "two_side_by_side_do_not_mix", ()),
    (KeepsName, "destroy_from_every_state", ("created",)),
    (AliveAsksSlowly, "alive_is_quick", ()),
    (AliveForEver, "create_defines_and_runs_nothing", ()),
    (AliveForEver, "a_life", ()),
    (SharesPort, "two_side_by_side_do_not_mix", ()),
    (WandersPort, "an_endpoint_stays_the_same", ()),
    (LosesMember, "members_of_a_fleet_are_told_apart", ()),
    (DestroysByTrial, "members_of_a_fleet_are_told_apart", ()),
    (GhostProcesses, "processes_exist", ()),
    (NoProcesses, "processes_exist", ()),
    (TwiceCountedProcesses, "processes_exist", ()),
    (GhostCgroup, "the_cgroup_is_a_folder_with_memory_files", ()),
    (DiskWithoutReason, "disk_gives_bytes_or_reasons", ()),
    (DiskWithBoth, "disk_gives_bytes_or_reasons", ()),
    (DiskWithMoreThanAll, "disk_gives_bytes_or_reasons", ()),
    (DiskWithUnknownName, "disk_gives_bytes_or_reasons", ()),
    *(
        (faulty, "limits_are_amounts_or_absent_with_a_reason", ())
        for faulty in (LimitsWithoutReason, LimitsOfNothing, LimitsHeldByNobody)
    ),
    (NoConsole, "the_console_shows_what_the_guest_prints", ()),
    (DeafConsole, "the_console_shows_what_the_guest_prints", ()),
    (EndlessConsole, "the_console_shows_what_the_guest_prints", ()),
    (EndsTwiceConsole, "the_console_shows_what_the_guest_prints", ()),
    (EndsEarlyConsole, "the_console_shows_what_the_guest_prints", ()),
    (RepeatingConsole, "the_console_shows_what_the_guest_prints", ()),
    (StuckConsole, "the_console_shows_what_the_guest_prints", ()),
    (UncloseableConsole, "the_console_can_be_closed_while_it_is_read", ()),
    (BadKind, "it_says_what_it_is", ()),
    (SaysNothing, "it_says_what_it_is", ()),
    (HasThawedOptions, "it_says_what_it_is", ()),
    (HasOpenOptions, "it_says_what_it_is", ()),
    (HasBareOptions, "it_says_what_it_is", ()),
    (HasOneWayOptions, "it_says_what_it_is", ()),
    (Unpicklable, "it_travels_to_another_process_before_use", ()),
    (ForgetsInPickle, "it_travels_to_another_process_before_use", ()),
    (CannotRunHere, "check_finds_that_it_runs_here", ()),
    (FindsWithoutRemedy, "check_finds_that_it_runs_here", ()),
    (FindsWithoutCode, "check_finds_that_it_runs_here", ()),
    (DescribesNothingAsNone, "describe_gives_facts", ()),
    (DescribesNan, "describe_gives_facts", ()),
    (ClosesForGood, "close_does_not_end_it", ()),
    (PreparesAnew, "prepare_twice_gives_the_same", ()),
    (ListsNothing, "create_defines_and_runs_nothing", ()),
    (ListsTwice, "create_defines_and_runs_nothing", ()),
    (ListsOwnOnly, "two_side_by_side_do_not_mix", ()),
    (ListsStrangers, "what_is_not_ours_is_not_a_leftover", ()),
    (SweepsWhileListing, "what_is_not_ours_is_not_a_leftover", ()),
]


@pytest.mark.parametrize(
    ("fault", "test", "arguments"), FAULTS, ids=[f"{fault.__name__}-{test}" for fault, test, _ in FAULTS]
)
def test_a_planted_fault_is_caught(
    fault: type[FakeInstance | FakeBackend],
    test: str,
    arguments: tuple[object, ...],
) -> None:
    class Planted(FakeContract):
        timeout = 2.0 if "console" in test else 30.0
        slack = 1.0
        backend_type = fault if issubclass(fault, FakeBackend) else _with(fault)

    Planted.setup_class()
    try:
        with pytest.raises((AssertionError, VmvcError, pytest.fail.Exception, TypeError)) as caught:
            getattr(Planted(), f"test_{test}")(*arguments)
        assert caught.type is not TypeError or "cannot pickle" in str(caught.value)
        assert "was not ready after" not in str(caught.value), "caught for a wrong reason"
    finally:
        with suppress(VmvcError):
            Planted.teardown_class()


def test_a_fault_in_another_process_is_caught() -> None:
    class Planted(FakeContract):
        backend_type = KnownToOneProcess

    Planted.setup_class()
    try:
        with pytest.raises(AssertionError):
            Planted().test_another_process_destroys_by_the_tag()
    finally:
        Planted.teardown_class()


_MADE_HERE: set[str] = set()


class DestroyOnlyInMakersProcess(FakeInstance):
    def create(self) -> None:
        _MADE_HERE.add(self.tag.name)
        super().create()

    def destroy(self) -> None:
        if self.tag.name in _MADE_HERE:
            super().destroy()


class KnownToOneProcess(FakeBackend):
    instance_type = DestroyOnlyInMakersProcess


def test_every_test_of_the_contract_catches_something() -> None:
    """A test that no planted fault fails may test nothing."""
    tests = {name.removeprefix("test_") for name in dir(BackendContract) if name.startswith("test_")}
    caught = {test for _, test, _ in FAULTS} | {"another_process_destroys_by_the_tag"}
    assert tests - caught == {"run_is_unavailable_where_there_is_no_way_in"}


class TestWithoutAWayIn(FakeContract):
    """A platform that has neither commands nor console nor visible processes says so."""

    has_run = has_console = has_processes = False

    class _Closed(FakeInstance):
        def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
            raise Unavailable("no way in")

        def console(self) -> Fed:
            raise Unavailable("no console")

        def processes(self) -> Processes:
            raise Unavailable("on another host")

    class _ClosedBackend(FakeBackend): ...

    _ClosedBackend.instance_type = _Closed
    backend_type = _ClosedBackend

    def stubborn(self) -> tuple[Backend, Guest]:
        return self.fake(stop=3600.0), GUEST


# --- metrics ----------------------------------------------------------------------------------------------


class Lateness(Metric):
    """A metric without a fault: how late each event was, and one value that this host never shows."""

    name = "lateness"
    quantities: tuple[Quantity, ...] = (
        Quantity("started", "s", "lower", "How late the start was."),
        Quantity("moon", "1", "neutral", "The phase of the moon."),
    )
    observes = Observes.EVENTS
    says = "how late things were"

    def observe(self, scene: Scene) -> Iterable[Observation]:
        if "started" in scene.events:
            yield Reading("started", 0.5, 0.0)
        else:
            yield Absent("started", "it was never started")
        yield Absent("moon", "the host has no window")


class TestLateness(MetricContract):
    def metric(self) -> Metric:
        return Lateness(Options())


class BadUnit(Lateness):
    quantities = (replace(Lateness.quantities[0], unit="ms"), Lateness.quantities[1])


class NoFullStop(Lateness):
    quantities = (replace(Lateness.quantities[0], says="How late"), Lateness.quantities[1])


class SameNameTwice(Lateness):
    quantities = (*Lateness.quantities, Lateness.quantities[0])


class BadName(Lateness):
    name = "Lateness!"


class NegativeSeconds(Lateness):
    def seconds(self) -> float:
        return -1.0


class UnpicklableMetric(Lateness):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.lock = threading.Lock()


class ForgetsOne(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return list(super().observe(scene))[:1]


class SaysOneTwice(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [*super().observe(scene), Absent("moon", "again")]


class Undeclared(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [*super().observe(scene), Reading("sun", 1.0)]


class NotANumber(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [Reading("started", math.nan), Absent("moon", "x")]


class NumpyLike(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [Reading("started", True), Absent("moon", "x")]


class NegativeResolution(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [Reading("started", 1.0, -0.1), Absent("moon", "x")]


class NoReason(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [Reading("started", 1.0), Absent("moon", "")]


class ZeroForMissing(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [Reading("started", 0.0), Absent("moon", "x")]


class WorksOnce(Lateness):
    asked = 0

    def observe(self, scene: Scene) -> Iterable[Observation]:
        self.asked += 1
        return super().observe(scene) if self.asked == 1 else ()


class StraySeries(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [
            *super().observe(scene),
            Series({"at": "s", "size": "B"}, [{"at": 1.0}, {"size": 2.0, "mass": 3.0}]),
        ]


class SeriesWithoutUnit(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [*super().observe(scene), Series({"at": "ms"}, [])]


class FindsWithoutCure(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [*super().observe(scene), Finding("late.very", Severity.INFO, "it was late")]


class NoLife(Lateness):
    def lives(self) -> int:
        return 0


class KeepsItsName(Lateness):
    def __init__(self, options: Options, name: str = "") -> None:
        super().__init__(options)


class NeedsWithoutCure(Lateness):
    def check(self, guest: Guest) -> Sequence[Finding]:
        return [Finding("late.clock", Severity.ERROR, "the guest has no clock")]


class IteratesWithoutRule(Lateness):
    def observe(self, scene: Scene) -> Iterable[Observation]:
        return [Reading("started", 1.0, None, (1.0, 1.0)), Absent("moon", "x")]


class ForgetsIterations(Lateness):
    quantities = (replace(Lateness.quantities[0], rule="mean"), Lateness.quantities[1])


METRIC_FAULTS: Sequence[tuple[type[Metric], str]] = [
    (BadUnit, "every_quantity_is_declared_in_full"),
    (NoFullStop, "every_quantity_is_declared_in_full"),
    (SameNameTwice, "every_quantity_is_declared_in_full"),
    (BadName, "it_says_what_it_is"),
    (NegativeSeconds, "it_says_what_it_is"),
    (UnpicklableMetric, "it_travels_to_another_process_before_use"),
    (ForgetsOne, "every_quantity_comes_exactly_once"),
    (SaysOneTwice, "every_quantity_comes_exactly_once"),
    (Undeclared, "every_quantity_comes_exactly_once"),
    (NotANumber, "every_quantity_comes_exactly_once"),
    (NumpyLike, "every_quantity_comes_exactly_once"),
    (NegativeResolution, "every_quantity_comes_exactly_once"),
    (NoReason, "every_quantity_comes_exactly_once"),
    (StraySeries, "every_quantity_comes_exactly_once"),
    (SeriesWithoutUnit, "every_quantity_comes_exactly_once"),
    (FindsWithoutCure, "every_quantity_comes_exactly_once"),
    (NoLife, "it_says_what_it_is"),
    (KeepsItsName, "it_takes_the_name_that_an_experiment_gives_it"),
    (NeedsWithoutCure, "what_it_needs_is_told_before_the_first_trial"),
    (IteratesWithoutRule, "every_quantity_comes_exactly_once"),
    (ForgetsIterations, "every_quantity_comes_exactly_once"),
    (ZeroForMissing, "what_cannot_be_seen_is_absent_and_never_zero"),
    (WorksOnce, "asking_twice_gives_the_same_quantities"),
]


@pytest.mark.parametrize(("fault", "test"), METRIC_FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_of_a_metric_is_caught(fault: type[Metric], test: str) -> None:
    class Planted(MetricContract):
        def metric(self) -> Metric:
            return fault(Options())

    with pytest.raises((AssertionError, TypeError)):
        getattr(Planted(), f"test_{test}")()


def test_every_test_of_the_metric_contract_catches_something() -> None:
    tests = {name.removeprefix("test_") for name in dir(MetricContract) if name.startswith("test_")}
    assert tests == {test for _, test in METRIC_FAULTS}
