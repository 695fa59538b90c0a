"""Startup and shutdown: the right difference of the right instants, each with its resolution."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from vmvc.backends.fake import FakeBackend, FakeOptions
from vmvc.contract import (
    EVENTS,
    IMAGE_EVENTS,
    Absent,
    Event,
    Guest,
    Metric,
    MonotonicClock,
    Options,
    Reading,
    Scene,
    Tag,
)
from vmvc.metrics.shutdown import Shutdown
from vmvc.metrics.startup import Startup
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
# Powers of two apart, in steps of 1 ms, so that no other pair of instants has the same difference.
INSTANTS = {name: Event(7 * 10**9 + 10**6 * 2**place) for place, name in enumerate(EVENTS)}


class TestStartup(MetricContract):
    def metric(self) -> Metric:
        return Startup(Options())


class TestShutdown(MetricContract):
    def metric(self) -> Metric:
        return Shutdown(Options())


def scene(events: Mapping[str, Event], notes: Mapping[str, str] | None = None) -> Scene:
    instance = FakeBackend("fake", FakeOptions()).instance(Tag("r", 1, "h:1:1"), GUEST)
    return Scene(events=events, guest=GUEST, instance=instance, clock=MonotonicClock(), notes=notes or {})


def without(name: str) -> dict[str, Event]:
    return {other: event for other, event in INSTANTS.items() if other != name}


def test_startup_counts_everything_from_the_request() -> None:
    assert list(Startup(Options()).observe(scene(INSTANTS))) == [
        Reading("created", 0.001, 0.0),
        Reading("started", 0.003, 0.0),
        Reading("console", 0.007, 0.0),
        Reading("ready", 0.015, 0.0),
        Absent("image", "the trial has no event 'image_requested'"),
    ]


def test_an_image_counts_from_its_own_request() -> None:
    first, last = IMAGE_EVENTS
    events = {first: Event(10**9), last: Event(3 * 10**9), **INSTANTS}
    *others, image = Startup(Options()).observe(scene(events))
    assert image == Reading("image", 2.0, 0.0)
    assert others == list(Startup(Options()).observe(scene(INSTANTS)))[:-1]


def test_shutdown_counts_from_the_request_to_stop() -> None:
    assert list(Shutdown(Options()).observe(scene(INSTANTS))) == [Reading("gone", 0.032, 0.0)]


def test_nanoseconds_are_kept() -> None:
    events = {**INSTANTS, "ready": Event(INSTANTS["requested"].at + 1_234_567_891)}
    assert list(Startup(Options()).observe(scene(events)))[3] == Reading("ready", 1.234567891, 0.0)


@pytest.mark.parametrize("late", ["console", "ready"])
def test_a_polled_instant_hands_on_its_resolution(late: str) -> None:
    events = {**INSTANTS, late: Event(INSTANTS[late].at, 0.01)}
    values = list(Startup(Options()).observe(scene(events)))
    assert {value.quantity: value.resolution for value in values if isinstance(value, Reading)} == {
        **dict.fromkeys(("created", "started", "console", "ready"), 0.0),
        late: 0.01,
    }


def test_a_missing_instant_is_absent_with_its_reason_and_costs_no_other() -> None:
    values = list(Startup(Options()).observe(scene(without("console"), {"console": "it has no console"})))
    assert values[2] == Absent("console", "it has no console")
    assert [type(value) for value in values] == [Reading, Reading, Absent, Reading, Absent]


def test_a_guest_ended_by_force_has_no_time_of_shutdown() -> None:
    found = list(Shutdown(Options()).observe(scene(without("gone"), {"gone": "it ignored the signal"})))
    assert found == [Absent("gone", "it ignored the signal")]


def test_a_missing_instant_without_a_note_is_still_absent() -> None:
    assert list(Shutdown(Options()).observe(scene(without("stop_requested")))) == [
        Absent("gone", "the trial has no event 'stop_requested'")
    ]
