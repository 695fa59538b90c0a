"""A fleet: started together, each step with its deadline, and gone in reverse whatever happens."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from vmvc import fleet as module
from vmvc import worker as worker_module
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import (
    Finding,
    Guest,
    Metric,
    MonotonicClock,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Series,
    Severity,
    Tag,
)
from vmvc.errors import CleanupError, DeadlineExceeded, Interrupted, StepFailed, TrialError
from vmvc.job import Job, Outcome
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.trial import Trial
from vmvc.worker import Worker, WorkerDied

GUEST = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**20, ready=ReadyHttp(http=Http(port=80, interval=0.001))
)
TAG = Tag("r", 1, "h:1:1")


class Growing(Metric):
    """Grows by bursts of the sizes that it is given, and then does what the test wants."""

    name = "growing"
    quantities = (Quantity("members", "1", "higher", "Members."),)
    observes: ClassVar[Observes] = Observes.FLEET
    says: ClassVar[str] = "for tests"

    def __init__(self, *bursts: int, then: Exception | None = None, keep: bool = True) -> None:
        super().__init__(Options())
        self.bursts = bursts
        self.then = then
        self.keep = keep
        self.failures: list[str] = []
        self.numbers: list[int] = []
        self.scene: Scene | None = None

    def observe(self, scene: Scene) -> Iterable[Observation]:
        assert scene.fleet is not None
        self.scene = scene
        for count in self.bursts:
            try:
                scene.fleet.grow(count)
            except TrialError as error:
                if not self.keep:
                    raise
                self.failures.append(error.what)
        self.numbers = [one.number for one in scene.fleet.members]
        if self.then is not None:
            raise self.then
        yield Reading("members", len(scene.fleet.members))
        yield Finding("growing.done", Severity.INFO, "it has grown", "nothing to do")
        yield Series({"member": "1"}, [{"member": number} for number in self.numbers])


class Bench:
    """A fake backend with its log, and a trial of a fleet on it."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.log = folder / "calls"
        self.backend = FakeBackend(
            "fake",
            FakeOptions.model_validate({"log": str(self.log), "state": str(folder / "state"), **options}),
        )
        self.announced: list[tuple[str, float]] = []
        self.announced_at: list[float] = []

    def job(self, *metrics: Metric, timeout: float = 5.0) -> Job:
        return Job(TAG, self.backend, GUEST, metrics, timeout, 5.0)

    def run(self, *metrics: Metric, timeout: float = 5.0) -> Outcome:
        return Trial(
            self.job(*metrics, timeout=timeout),
            self._announce,
            MonotonicClock(),
        ).run()

    def _announce(self, step: str, seconds: float) -> None:
        self.announced.append((step, seconds))
        self.announced_at.append(time.monotonic())

    def calls(self, call: str) -> list[str]:
        """Return who was called so, by member: 0 is the trial's own instance."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [name.removeprefix(TAG.name).removeprefix("-m") or "0" for what, name in lines if what == call]

    @property
    def left(self) -> list[str]:
        return [one.tag.name for one in self.backend.leftovers()]


def test_members_come_one_by_one_and_go_in_reverse_after_which_the_trial_ends(tmp_path: Path) -> None:
    bench, metric = Bench(tmp_path), Growing(1, 1, 1)
    outcome = bench.run(metric)
    assert outcome.failure is None
    assert metric.numbers == [1, 2, 3, 4]
    assert bench.calls("create") == ["0", "2", "3", "4"]
    assert bench.calls("destroy") == ["4", "3", "2", "0"]
    assert bench.calls("stop") == ["0"]
    assert bench.left == []


def test_what_the_metric_gives_is_in_the_outcome(tmp_path: Path) -> None:
    outcome = Bench(tmp_path).run(Growing(1))
    assert outcome.readings == [("growing", Reading("members", 2))]
    assert [one.code for one in outcome.findings] == ["growing.done"]
    assert outcome.series == [("growing", Series({"member": "1"}, [{"member": 1}, {"member": 2}]))]


def test_a_burst_starts_together_and_each_member_has_events_of_its_own(tmp_path: Path) -> None:
    metric = Growing(6)
    began = time.monotonic()
    Bench(tmp_path, create=0.2, ready=0.2).run(metric)
    assert time.monotonic() - began < 1.6, "six one after the other would take 2.4 s"
    assert metric.scene is not None
    assert metric.scene.fleet is not None
    members = metric.scene.fleet.members
    assert len({one.events["requested"].at for one in members}) == 7
    for one in members:
        chain = [one.events[name].at for name in ("requested", "created", "started", "ready")]
        assert chain == sorted(chain)
        assert 0.2 <= (chain[1] - chain[0]) / 1e9 < 0.5
        assert 0 < one.events["ready"].resolution < 0.3
    latest = max(one.events["requested"].at for one in members[1:])
    assert latest < min(one.events["ready"].at for one in members[1:]), "all were under way at once"


def test_the_most_urgent_step_is_announced_once_with_what_is_left_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announced again and again while it blocks, a step would never be late."""
    monkeypatch.setattr(module, "LOOK", 0.01)
    bench = Bench(tmp_path, create=0.2, ready=0.05)
    bench.run(Growing(3), timeout=4.0)
    names = [step for step, _ in bench.announced]
    assert names[:4] == ["create", "start", "ready", "observe"]
    assert names[-5:] == ["destroy", "destroy", "destroy", "stop", "destroy"]
    burst = [(step, seconds) for step, seconds in bench.announced[4:-5] if step != "observe"]
    assert {step for step, _ in burst} <= {"create", "start", "ready"}
    assert "ready" in {step for step, _ in burst}
    assert all(0 < seconds <= 4.0 for _, seconds in burst)
    assert len(burst) <= 9
    assert names[-6] == "observe", "after a burst the trial is at the observation again"


def test_while_one_is_being_created_the_readiness_of_another_is_less_urgent(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    class Slow(FakeInstance):
        def create(self) -> None:
            super().create()
            if self.tag.member:
                both.wait()
            if self.tag.member == 3:
                time.sleep(0.3)

    class SlowBackend(FakeBackend):
        instance_type = Slow

    bench = Bench(tmp_path, ready=0.6)
    bench.backend = SlowBackend("fake", bench.backend.options)
    bench.run(Growing(2))
    said = [(step, at) for (step, _), at in zip(bench.announced, bench.announced_at, strict=True)][4:]
    begun, ready = said[0][1], next(at for step, at in said if step == "ready")
    assert ready - begun > 0.28, "the one that is being created has the earlier deadline"


@pytest.mark.parametrize("step", ["create", "start"])
def test_a_member_that_fails_is_removed_at_once_and_the_others_stay(tmp_path: Path, step: str) -> None:
    bench = Bench(tmp_path, fail={step: "no more coffee"}, fault_members=(3,))
    metric = Growing(1, 3)
    outcome = bench.run(metric)
    assert outcome.failure is None
    assert metric.failures == [f"instance 3 failed in {step}: no more coffee"]
    assert metric.numbers == [1, 2, 4, 5]
    assert bench.calls("destroy") == ["3", "5", "4", "2", "0"]
    assert bench.left == []


def test_a_member_that_is_never_ready_fails_at_its_deadline(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hang="ready", fault_members=(2,))
    metric = Growing(2)
    bench.run(metric, timeout=0.3)
    assert metric.numbers == [1, 3]
    assert metric.failures[0].startswith("instance 2 failed in ready: the guest was not ready after 30")
    assert bench.left == []


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fail={"create": "no"}, fault_members=(2,))
    metric = Growing(1, 1)
    bench.run(metric)
    assert metric.numbers == [1, 3]
    assert bench.calls("create") == ["0", "2", "3"]


def test_when_it_is_enough_what_is_not_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK", 0.02)

    class Cautious(Growing):
        def observe(self, scene: Scene) -> Iterable[Observation]:
            assert scene.fleet is not None
            with pytest.raises(StepFailed, match="instance 2 failed in ready: given up: memory is low"):
                scene.fleet.grow(2, lambda: "memory is low")
            assert [one.number for one in scene.fleet.members] == [1]
            return [Reading("members", 1)]

    bench = Bench(
        tmp_path,
        hang="ready",
        fault_members=(
            2,
            3,
        ),
    )
    began = time.monotonic()
    assert bench.run(Cautious(), timeout=30.0).failure is None
    assert time.monotonic() - began < 5
    assert bench.calls("destroy") == ["3", "2", "0"]
    assert bench.left == []


def test_what_was_given_up_once_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.02)

    class Twice(Growing):
        def observe(self, scene: Scene) -> Iterable[Observation]:
            assert scene.fleet is not None
            with pytest.raises(StepFailed):
                scene.fleet.grow(1, lambda: "not now")
            scene.fleet.grow(1)
            return [Reading("members", len(scene.fleet.members))]

    outcome = Bench(tmp_path, hang="ready", fault_members=(2,)).run(Twice(), timeout=30.0)
    assert outcome.readings == [("growing", Reading("members", 2))]


@pytest.mark.parametrize("error", [Interrupted("stop"), RuntimeError("a bug in a plug-in"), TrialError("no")])
def test_whatever_is_raised_in_the_middle_all_are_gone_in_reverse(tmp_path: Path, error: Exception) -> None:
    bench = Bench(tmp_path)
    if isinstance(error, TrialError):
        outcome = bench.run(Growing(2, 1, then=error))
        assert outcome.failure is not None
        assert outcome.failure[0] == "observe"
        assert (outcome.readings, outcome.series) == ([], [])
    else:
        with pytest.raises(type(error)):
            bench.run(Growing(2, 1, then=error))
    assert bench.calls("destroy") == ["4", "3", "2", "0"]
    assert bench.left == []


def test_a_bug_in_a_members_thread_goes_up_and_leaves_nothing(tmp_path: Path) -> None:
    class Broken(FakeInstance):
        def start(self) -> None:
            if self.tag.member == 3:
                raise ZeroDivisionError
            super().start()

    class BrokenBackend(FakeBackend):
        instance_type = Broken

    bench = Bench(tmp_path)
    bench.backend = BrokenBackend("fake", bench.backend.options)
    with pytest.raises(ZeroDivisionError):
        bench.run(Growing(3))
    assert bench.left == []


def test_a_member_that_cannot_be_removed_is_reported_and_the_others_go(tmp_path: Path) -> None:
    class Sticky(FakeInstance):
        def destroy(self) -> None:
            if self.tag.member == 3:
                raise CleanupError("it will not go", hint="vmvc clean")
            super().destroy()

    class StickyBackend(FakeBackend):
        instance_type = Sticky

    bench = Bench(tmp_path)
    bench.backend = StickyBackend("fake", bench.backend.options)
    outcome = bench.run(Growing(3))
    assert outcome.failure is None
    assert outcome.cleanup is not None
    assert outcome.cleanup.what == "it will not go"
    assert bench.left == [f"{TAG.name}-m3"]
    for one in FakeBackend("fake", bench.backend.options).leftovers():
        one.destroy()


def test_an_interrupt_waits_for_what_is_being_made_before_it_removes(tmp_path: Path) -> None:
    """A member whose create is under way would else come into being after its removal."""
    bench = Bench(tmp_path, create=0.6)
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, lambda number, frame: _interrupt())

    def shoot() -> None:
        while bench.calls("create").count("2") == 0:
            time.sleep(0.005)
        signal.pthread_kill(main, signal.SIGUSR1)

    shooter = threading.Thread(target=shoot)
    bench.log.touch()
    shooter.start()
    try:
        with pytest.raises(Interrupted):
            bench.run(Growing(3))
    finally:
        shooter.join()
        signal.signal(signal.SIGUSR1, before)
    assert bench.calls("destroy") == ["4", "3", "2", "0"]
    assert "4" not in bench.calls("start")
    time.sleep(0.1)
    assert bench.left == []


def test_an_interrupt_that_meets_the_start_of_a_thread_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread runs, and its executor, which does not know of it, does not wait for it."""
    bench, start, begun = Bench(tmp_path, create=0.3), threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("vmvc-member"):
            begun.append(thread)
            if len(begun) == 2:
                _interrupt()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(Interrupted):
        bench.run(Growing(3))
    for thread in begun:
        thread.join()
    assert bench.left == []


def _interrupt() -> None:
    raise Interrupted("stop")


def test_an_interrupt_does_not_wait_for_a_guest_that_is_never_ready(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        hang="ready",
        fault_members=(
            2,
            3,
        ),
    )
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, lambda number, frame: _interrupt())
    timer = threading.Timer(0.4, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(Interrupted):
            bench.run(Growing(2), timeout=60.0)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - began < 5
    assert bench.left == []


# --- in the worker ----------------------------------------------------------------------------------------


@pytest.fixture
def worker(tmp_path: Path) -> Iterable[Worker]:
    made = Worker(tmp_path / "worker.log")
    yield made
    made.kill()


def test_a_worker_that_crashes_in_the_middle_leaves_a_fleet_that_can_be_disbanded(
    tmp_path: Path, worker: Worker
) -> None:
    bench = Bench(tmp_path, crash="start", fault_members=(4,))
    with pytest.raises(WorkerDied):
        worker.call("trial", bench.job(Growing(1, 1, 1)), timeout=20)
    assert len(bench.left) == 4
    whole = Bench(tmp_path)
    worker.call("disband", whole.backend, TAG, GUEST, timeout=20)
    assert whole.left == []
    assert whole.calls("destroy")[-4:] == ["4", "3", "2", "0"]


def test_a_call_that_blocks_in_the_middle_ends_at_the_members_own_deadline(
    tmp_path: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "GRACE", 0.2)
    bench = Bench(tmp_path, hang="create", fault_members=(3,))
    worker.call("check", bench.backend, timeout=20)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="create"):
        worker.call("trial", bench.job(Growing(2), timeout=0.5), timeout=20)
    assert time.monotonic() - began < 8
    worker.call("disband", bench.backend, TAG, GUEST, timeout=20)
    assert bench.left == []


def test_disbanding_leaves_other_trials_alone(tmp_path: Path, worker: Worker) -> None:
    bench = Bench(tmp_path)
    foreign = [
        Tag("r", 2, "h:1:1"),
        Tag("r", 2, "h:1:1", 2),
        Tag("s", 1, "h:1:1", 2),
        Tag("r", 1, "h:2:2", 3),
    ]
    for tag in (*foreign, TAG, replace(TAG, member=2)):
        bench.backend.instance(tag, GUEST).create()
    worker.call("disband", bench.backend, TAG, GUEST, timeout=20)
    assert sorted(bench.left) == sorted(tag.name for tag in foreign)


def test_disbanding_goes_on_after_one_that_cannot_be_removed(tmp_path: Path, worker: Worker) -> None:
    bench = Bench(tmp_path, destroy_fails=1, fault_members=(3,))
    for member in (0, 2, 3, 4):
        bench.backend.instance(replace(TAG, member=member), GUEST).create()
    with pytest.raises(CleanupError):
        worker.call("disband", bench.backend, TAG, GUEST, timeout=20)
    assert bench.left == [f"{TAG.name}-m3"]


# --- tags -------------------------------------------------------------------------------------------------


def test_a_member_has_a_name_and_labels_of_its_own() -> None:
    tag = Tag("r1", 3, "h:1:1", 12)
    assert tag.name == "vmvc-r1-3-m12"
    assert Tag.from_labels(tag.labels()) == tag
    assert Tag.from_labels({**tag.labels(), "vmvc.member": "x"}) is None


def test_labels_of_before_there_were_fleets_still_read() -> None:
    old = {"vmvc": "instance", "vmvc.run": "r1", "vmvc.trial": "3", "vmvc.owner": "h:1:1"}
    assert Tag.from_labels(old) == Tag("r1", 3, "h:1:1")
    assert Tag("r1", 3, "h:1:1").labels() == old


def test_a_sweep_finds_members_too(tmp_path: Path, worker: Worker) -> None:
    bench = Bench(tmp_path)
    tags = [TAG, replace(TAG, member=2)]
    for tag in tags:
        bench.backend.instance(tag, GUEST).create()
    assert {tag for tag, _ in worker.call("leftovers", bench.backend, timeout=20)} == set(tags)
    assert set(worker.call("sweep", bench.backend, [tags[1]], timeout=20)) == {tags[1]}
    assert bench.left == [TAG.name]
