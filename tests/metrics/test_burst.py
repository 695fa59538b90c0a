"""Parallel starts: whose times they are, from which instants, and that a full host is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from vmvc import host
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import (
    Event,
    Fleet,
    Guest,
    Instance,
    Member,
    Metric,
    MonotonicClock,
    Reading,
    Scene,
    Series,
    Tag,
)
from vmvc.errors import StepFailed
from vmvc.job import Job
from vmvc.metrics.burst import Burst, BurstOptions
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract
from vmvc.trial import Trial

GIB = 2**30
GUEST = Guest(
    BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80, interval=0.001))
)


class TestBurst(MetricContract):
    def metric(self) -> Metric:
        return Burst(BurstOptions(instances=3))


class Scripted(Fleet):
    """A fleet whose members take the times of a script; ``grown`` is what was asked of it."""

    def __init__(self, instance: Instance) -> None:
        self.grown: list[int] = []
        self._instance = instance
        self._members = [self._member(1, 0.0, 0.25, 0.0)]

    @property
    def members(self) -> list[Member]:
        return self._members

    def grow(self, count: int, enough: Callable[[], str] = lambda: "") -> None:
        self.grown.append(count)
        times = [(10.0, 4.0, 0.1), (10.5, 2.0, 0.5), (11.0, 1.5, 0.0)]
        self._members += [self._member(place, *one) for place, one in enumerate(times, 2)]

    def _member(self, number: int, begin: float, taken: float, late: float) -> Member:
        instants = {"requested": begin, "created": begin + taken / 4, "started": begin + taken / 2}
        events = {name: Event(round(at * 1e9)) for name, at in instants.items()}
        return Member(number, self._instance, {**events, "ready": Event(round((begin + taken) * 1e9), late)})


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    instance = FakeBackend("fake", FakeOptions(state=str(tmp_path))).instance(Tag("r", 1, "h:1:1"), GUEST)
    seen = Scene({}, GUEST, instance, MonotonicClock(), before=12 * GIB)
    return replace(seen, fleet=Scripted(instance))


def test_a_burst_is_told_from_the_one_that_started_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "mem_available", lambda: 12 * GIB)
    *readings, series = Burst(BurstOptions(instances=3)).observe(scene)
    assert readings == [
        Reading("alone", 0.25, 0.0),
        Reading("fastest", 1.5, 0.5),
        Reading("median", 2.0, 0.5),
        Reading("slowest", 4.0, 0.5),
        Reading("all_ready", 4.0, 0.5),
    ]
    assert isinstance(scene.fleet, Scripted)
    assert scene.fleet.grown == [3]
    assert isinstance(series, Series)
    assert series.rows[1] == {
        "instance": 2, "created": 1.0, "started": 2.0, "ready": 4.0, "ready_resolution": 0.1
    }  # fmt: skip
    assert len(series.rows) == 4


def test_a_burst_that_the_host_has_no_room_for_is_not_begun(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "mem_available", lambda: 9 * GIB)
    monkeypatch.setattr(host, "memory_floor", lambda total: GIB)
    with pytest.raises(StepFailed, match="3 more would leave less than 1 GiB of the host's memory free"):
        list(Burst(BurstOptions(instances=3)).observe(scene))
    assert isinstance(scene.fleet, Scripted)
    assert scene.fleet.grown == []


@pytest.mark.parametrize("count", [0, 1, 65, 10**6])
def test_a_burst_of_none_or_of_a_million_is_refused(count: int) -> None:
    with pytest.raises(ValidationError):
        BurstOptions(instances=count)


def test_a_whole_trial_starts_them_at_once_and_leaves_none(tmp_path: Path) -> None:
    backend = FakeBackend("fake", FakeOptions(state=str(tmp_path), ready=0.5))
    job = Job(Tag("r", 1, "h:1:1"), backend, GUEST, (Burst(BurstOptions(instances=4)),), 30.0, 5.0)
    outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
    assert outcome.failure is None
    values = {one.quantity: one.value for _, one in outcome.readings}
    assert 0.5 <= values["fastest"] <= values["median"] <= values["slowest"] <= values["all_ready"]
    assert values["all_ready"] < 4 * 0.5, "one after the other would take longer"
    assert list(backend.leftovers()) == []


def test_one_that_does_not_become_ready_fails_the_trial(tmp_path: Path) -> None:
    options = FakeOptions(state=str(tmp_path), fail={"start": "no more"}, fault_members=(3,))
    backend = FakeBackend("fake", options)
    job = Job(Tag("r", 1, "h:1:1"), backend, GUEST, (Burst(BurstOptions(instances=3)),), 30.0, 5.0)
    outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
    assert outcome.failure is not None
    assert outcome.failure[1].what == "instance 3 failed in start: no more"
    assert list(backend.leftovers()) == []
