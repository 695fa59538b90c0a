"""Disk: what the instance says, and the reason for what it cannot say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeDisk, FakeOptions
from vmvc.contract import (
    Absent,
    DiskUsage,
    Guest,
    Metric,
    Observation,
    Reading,
    Scene,
    Series,
    Tag,
)
from vmvc.errors import GuestDied, StepFailed, Unavailable
from vmvc.metrics.disk import Disk, DiskOptions
from vmvc.metrics.sampling import Sample
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))


class TestDisk(MetricContract):
    def metric(self) -> Metric:
        return Disk(DiskOptions())


@pytest.fixture
def instance(tmp_path: Path) -> FakeInstance:
    disk = FakeDisk(virtual=1000, allocated=400, unique=100)
    found = FakeBackend("fake", FakeOptions(state=str(tmp_path), disk=disk)).instance(
        Tag("r", 1, "h:1:1"), GUEST
    )
    assert isinstance(found, FakeInstance)
    return found


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> int:
        return round(self.at * 1e9)

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def observe(instance: FakeInstance) -> list[Observation]:
    """Return all but what needs a second look."""
    *found, growth = everything(instance, DiskOptions())
    assert growth == Absent("growth", "it was looked at once only: set metrics.disk.sample")
    return found


def everything(instance: FakeInstance, options: DiskOptions) -> list[Observation]:
    scene = Scene(events={}, guest=GUEST, instance=instance, clock=Clock())
    return list(Disk(options).observe(scene))


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


WATCHED = DiskOptions.model_validate_json('{"sample": {"every": "100ms", "for": "300ms"}}')


def test_growth_is_what_was_added_while_it_was_watched(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([50, 100, 200, 300, 1100])
    monkeypatch.setattr(instance, "alive", lambda: True)
    monkeypatch.setattr(instance, "disk", lambda: DiskUsage(9, 9, None, next(sizes)))
    found = everything(instance, WATCHED)
    assert found[3:5] == [Reading("unique", 50), Reading("growth", 1000)]
    (series,) = [one for one in found if isinstance(one, Series)]
    assert [row["unique"] for row in series.rows] == [100, 200, 300, 1100]
    assert all("shared" not in row for row in series.rows)
    assert Disk(WATCHED).seconds() == pytest.approx(0.3)


def test_growth_of_what_is_unknown_is_absent(instance: FakeInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "alive", lambda: True)
    monkeypatch.setattr(instance, "disk", lambda: DiskUsage(absent={"unique": "it is elsewhere"}))
    assert Absent("growth", "it is elsewhere") in everything(instance, WATCHED)


def test_a_guest_that_ends_while_it_is_watched_fails_the_trial(instance: FakeInstance) -> None:
    with pytest.raises(GuestDied):
        everything(instance, WATCHED)


def test_what_a_slow_look_has_missed_is_left_out_and_nothing_drifts() -> None:
    clock, seen = Clock(), []
    for at in Sample.model_validate_json('{"every": "1s", "for": "6s"}').moments(clock):
        seen.append(at)
        clock.at += 2.5 if len(seen) == 2 else 0.1
    assert seen == [0, 1, 4, 5, 6]
