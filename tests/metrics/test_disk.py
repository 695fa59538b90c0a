"""Disk: what the instance says, and the reason for what it cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc.backends.fake import FakeBackend, FakeDisk, FakeInstance, FakeOptions
from vmvc.contract import Absent, DiskUsage, Guest, Metric, MonotonicClock, Options, Reading, Scene, Tag
from vmvc.errors import StepFailed, Unavailable
from vmvc.metrics.disk import Disk
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))


class TestDisk(MetricContract):
    def metric(self) -> Metric:
        return Disk(Options())


@pytest.fixture
def instance(tmp_path: Path) -> FakeInstance:
    disk = FakeDisk(virtual=1000, allocated=400, unique=100)
    found = FakeBackend("fake", FakeOptions(state=str(tmp_path), disk=disk)).instance(
        Tag("r", 1, "h:1:1"), GUEST
    )
    assert isinstance(found, FakeInstance)
    return found


def observe(instance: FakeInstance) -> list[Reading | Absent]:
    return list(
        Disk(Options()).observe(Scene(events={}, guest=GUEST, instance=instance, clock=MonotonicClock()))
    )


def test_bytes_come_as_they_are(instance: FakeInstance) -> None:
    assert observe(instance) == [
        Reading("virtual", 1000),
        Reading("allocated", 400),
        Absent("shared", "the script does not say"),
        Reading("unique", 100),
    ]


def test_nothing_used_is_a_value(instance: FakeInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "disk", lambda: DiskUsage(0, 0, 0, 0))
    assert observe(instance) == [Reading(name, 0) for name in ("virtual", "allocated", "shared", "unique")]


def test_an_absence_always_has_a_reason(instance: FakeInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "disk", lambda: DiskUsage(virtual=5))
    assert observe(instance)[1:] == [
        Absent(name, "the backend cannot tell and gives no reason")
        for name in ("allocated", "shared", "unique")
    ]


def test_an_engine_elsewhere_shows_nothing(instance: FakeInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere() -> DiskUsage:
        raise Unavailable("the engine is on another host")

    monkeypatch.setattr(instance, "disk", elsewhere)
    assert {value.reason for value in observe(instance) if isinstance(value, Absent)} == {
        "the engine is on another host"
    }


def test_an_engine_that_fails_fails_the_trial(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> DiskUsage:
        raise StepFailed("no answer")

    monkeypatch.setattr(instance, "disk", failing)
    with pytest.raises(StepFailed):
        observe(instance)
