"""One trial: the order of its calls, its events, and that destroy runs whatever happened."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import (
    EVENTS,
    Absent,
    Event,
    Guest,
    Metric,
    MonotonicClock,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Tag,
)
from vmvc.errors import DeadlineExceeded, GuestDied, Interrupted, StepFailed, TrialError
from vmvc.job import Job, Outcome
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.trial import Trial

GUEST = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**20, ready=ReadyHttp(http=Http(port=80, interval=0.001))
)
THERE = [name for name in EVENTS if name not in ("kernel", "init", "network")]
"""Events that a fake guest has."""


class Probe(Metric):
    """Remembers what it was shown."""

    name = "probe"
    quantities = (Quantity("seen", "1", "neutral", "Events seen."),)
    observes: ClassVar[Observes] = Observes.READY
    says: ClassVar[str] = "for tests"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(Options())
        self.error = error
        self.scenes: list[Scene] = []

    def before(self) -> Any:
        return "before"

    def observe(self, scene: Scene) -> Iterable[Reading | Absent]:
        if self.error is not None:
            raise self.error
        self.scenes.append(scene)
        return [Reading("seen", len(scene.events))]


class Last(Probe):
    """The same, over the whole trial."""

    name = "last"
    observes: ClassVar[Observes] = Observes.EVENTS


class Bench:
    """A fake backend with its log, and a trial on it."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.log = folder / "calls"
        self.state = folder / "state"
        self.backend = FakeBackend(
            "fake",
            FakeOptions.model_validate({"log": str(self.log), "state": str(self.state), **options}),
        )
        self.announced: list[str] = []

    def run(self, *metrics: Metric, timeout: float = 5.0, stop_timeout: float = 5.0) -> Outcome:
        job = Job(Tag("r", 1, "h:1:1"), self.backend, GUEST, metrics, timeout, stop_timeout)
        return Trial(job, lambda step, seconds: self.announced.append(step), MonotonicClock()).run()

    @property
    def calls(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]

    @property
    def left(self) -> list[str]:
        return [one.tag.name for one in self.backend.leftovers()]


def test_a_trial_calls_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.run(Probe(), Last())
    assert outcome.failure is None
    assert bench.calls == ["create", "start", "console", "endpoint", "stop", "destroy"]
    assert bench.announced == ["create", "start", "ready", "observe", "stop", "observe", "destroy"]
    assert bench.left == []


def test_events_stand_in_their_order(tmp_path: Path) -> None:
    events = Bench(tmp_path, create=0.01, start=0.01, ready=0.05, stop=0.02).run().events
    assert sorted(events, key=EVENTS.index) == THERE
    chain = [events[name].at for name in THERE if name not in ("console", "exec")]
    assert chain == sorted(chain)
    assert events["created"].at < events["exec"].at < events["started"].at
    assert 0.01 <= (events["created"].at - events["requested"].at) / 1e9 < 0.5
    assert 0.02 <= (events["gone"].at - events["stop_requested"].at) / 1e9 < 0.5
    assert events["started"] == Event(events["started"].at, 0.0)
    assert 0 < events["ready"].resolution < 0.5


def test_a_first_line_that_follows_the_probes_answer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest may log the very request that finds it ready; its line reaches the host after the answer."""
    observed = threading.Event()

    class Late:
        def read(self, timeout: float) -> bytes | None:
            return b"GET /\n" if observed.wait(timeout) else None

        def close(self) -> None:
            observed.set()

    class Observed(Probe):
        def observe(self, scene: Scene) -> Iterable[Reading | Absent]:
            observed.set()
            return super().observe(scene)

    monkeypatch.setattr(FakeInstance, "console", lambda self: Late())
    events = Bench(tmp_path).run(Observed()).events
    assert events["ready"].at < events["console"].at < events["stop_requested"].at


def test_metrics_see_their_moment(tmp_path: Path) -> None:
    probe, last = Probe(), Last()
    Bench(tmp_path, ready=0.05).run(probe, last)
    assert set(probe.scenes[0].events) == {"requested", "created", "started", "exec", "console", "ready"}
    assert probe.scenes[0].before == "before"
    assert set(last.scenes[0].events) == set(THERE)


def test_a_metric_that_runs_commands_inside_is_asked_after_those_that_only_look(tmp_path: Path) -> None:
    class Inside(Probe):
        name = "inside"
        runs_inside: ClassVar[bool] = True

    outcome = Bench(tmp_path).run(Inside(), Probe())
    assert [metric for metric, _ in outcome.readings] == ["probe", "inside"]


@pytest.mark.parametrize("step", ["create", "start", "stop"])
def test_a_failed_step_is_the_failure_and_destroy_runs(tmp_path: Path, step: str) -> None:
    bench = Bench(tmp_path, fail={step: "no more coffee"})
    outcome = bench.run(Probe())
    assert outcome.failure is not None
    assert (outcome.failure[0], outcome.failure[1].what) == (step, "no more coffee")
    assert isinstance(outcome.failure[1], StepFailed)
    assert outcome.readings == []
    assert bench.calls[-1] == "destroy"
    assert bench.left == []


def test_a_guest_that_never_answers_is_a_deadline(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hang="ready")
    outcome = bench.run(timeout=0.2)
    assert outcome.failure is not None
    assert outcome.failure[0] == "ready"
    assert isinstance(outcome.failure[1], DeadlineExceeded)
    assert "ready" not in outcome.events
    assert bench.left == []


def test_a_guest_that_dies_is_told_from_one_that_is_slow(tmp_path: Path) -> None:
    outcome = Bench(tmp_path, ready=5.0, dies_after=0.5).run(timeout=4.0)
    assert outcome.failure is not None
    assert isinstance(outcome.failure[1], GuestDied)


def test_a_metric_that_fails_makes_the_trial_fail_without_readings(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.run(Probe(), Last(TrialError("it would not say")))
    assert outcome.failure is not None
    assert outcome.failure[0] == "observe"
    assert outcome.readings == []


def test_a_guest_that_will_not_stop_is_a_finding_and_no_duration(tmp_path: Path) -> None:
    last = Last()
    outcome = Bench(tmp_path, stop=1.0).run(last, stop_timeout=0.05)
    assert outcome.failure is None
    assert "gone" not in outcome.events
    assert [finding.code for finding in outcome.findings] == ["stop.forced"]
    assert "ended by force" in last.scenes[0].notes["gone"]


def test_a_destroy_that_fails_is_reported_beside_the_measurement(tmp_path: Path) -> None:
    outcome = Bench(tmp_path, destroy_fails=1).run(Probe())
    assert outcome.failure is None
    assert outcome.readings
    assert outcome.cleanup is not None


@pytest.mark.parametrize("error", [Interrupted("stop"), RuntimeError("a bug in a plug-in")])
def test_whatever_is_raised_destroy_runs_and_it_goes_up(tmp_path: Path, error: Exception) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(type(error)):
        bench.run(Probe(error))
    assert bench.calls[-1] == "destroy"
    assert bench.left == []


def test_a_silent_console_is_noted(tmp_path: Path) -> None:
    last = Last()
    outcome = Bench(tmp_path, console=()).run(last)
    assert "console" not in outcome.events
    assert last.scenes[0].notes["console"] == "the guest printed nothing"


def test_an_instance_is_a_handle_that_touches_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert isinstance(bench.backend.instance(Tag("r", 1, "h:1:1"), GUEST), FakeInstance)
    assert not bench.log.exists()


@pytest.mark.parametrize("step", ["create", "start"])
def test_a_step_that_returns_too_late_has_failed(tmp_path: Path, step: str) -> None:
    outcome = Bench(tmp_path, **{step: 0.2}).run(Probe(), timeout=0.1)
    assert outcome.failure is not None
    assert outcome.failure[0] == step
    assert re.fullmatch(
        rf"{step} returned after [23]\d\d ms; each step may take 100 ms", outcome.failure[1].what
    )
    assert outcome.readings == []
