"""Startup and shutdown: the right difference of the right instants, each with its resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import (
    EVENTS,
    IMAGE_EVENTS,
    Absent,
    Ending,
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
        Reading("kernel", 0.015, 0.0),
        Reading("init", 0.031, 0.0),
        Reading("network", 0.063, 0.0),
        Reading("exec", 0.127, 0.0),
        Reading("ready", 0.255, 0.0),
        Absent("pull", "the trial has no event 'image_requested'"),
        Absent("image", "the trial has no event 'image_requested'"),
    ]


def test_an_image_counts_from_its_own_request() -> None:
    first, last = IMAGE_EVENTS
    events = {first: Event(10**9), last: Event(3 * 10**9), **INSTANTS}
    *others, pull, image = Startup(Options()).observe(scene(events))
    assert image == Reading("image", 2.0, 0.0)
    assert pull == Reading("pull", 2.0, 0.0)
    assert others == list(Startup(Options()).observe(scene(INSTANTS)))[:-2]


def test_an_image_that_is_made_here_is_not_pulled() -> None:
    first, last = IMAGE_EVENTS
    events = {first: Event(10**9), last: Event(3 * 10**9), **INSTANTS}
    *_, pull, image = Startup(Options()).observe(scene(events, {"pull": "it was made here"}))
    assert pull == Absent("pull", "it was made here")
    assert image == Reading("image", 2.0, 0.0)


def test_shutdown_counts_from_the_request_to_stop() -> None:
    ended = replace(scene(INSTANTS), ending=Ending(orderly=True, code=143))
    assert list(Shutdown(Options()).observe(ended)) == [
        Reading("stopped", 0.512, 0.0),
        Reading("gone", 1.536, 0.0),
        Reading("orderly", 1),
        Reading("code", 143),
    ]


def test_an_exit_code_that_nobody_told_is_absent_and_never_zero() -> None:
    ended = replace(scene(INSTANTS), ending=Ending(orderly=True, reason="nobody told"))
    assert list(Shutdown(Options()).observe(ended))[2:] == [
        Reading("orderly", 1),
        Absent("code", "nobody told"),
    ]


def test_nanoseconds_are_kept() -> None:
    events = {**INSTANTS, "ready": Event(INSTANTS["requested"].at + 1_234_567_891)}
    assert list(Startup(Options()).observe(scene(events)))[7] == Reading("ready", 1.234567891, 0.0)


@pytest.mark.parametrize("late", ["console", "ready"])
def test_a_polled_instant_hands_on_its_resolution(late: str) -> None:
    events = {**INSTANTS, late: Event(INSTANTS[late].at, 0.01)}
    values = list(Startup(Options()).observe(scene(events)))
    assert {value.quantity: value.resolution for value in values if isinstance(value, Reading)} == {
        **dict.fromkeys(EVENTS[1 : EVENTS.index("ready") + 1], 0.0),
        late: 0.01,
    }


def test_a_missing_instant_is_absent_with_its_reason_and_costs_no_other() -> None:
    values = list(Startup(Options()).observe(scene(without("console"), {"console": "it has no console"})))
    assert values[2] == Absent("console", "it has no console")
    assert [value.quantity for value in values if isinstance(value, Absent)] == ["console", "pull", "image"]


def test_a_guest_ended_by_force_has_no_time_of_shutdown() -> None:
    forced = scene(without("gone"), {"gone": "it ignored the signal"})
    found = list(Shutdown(Options()).observe(replace(forced, ending=Ending(False, reason="it took force"))))
    assert found[1:] == [
        Absent("gone", "it ignored the signal"),
        Reading("orderly", 0),
        Absent("code", "it took force"),
    ]


def test_a_missing_instant_without_a_note_is_still_absent() -> None:
    assert list(Shutdown(Options()).observe(scene(without("stop_requested")))) == [
        Absent("stopped", "the trial has no event 'stop_requested'"),
        Absent("gone", "the trial has no event 'stop_requested'"),
        Absent("orderly", "the guest was not asked to stop"),
        Absent("code", "the guest was not asked to stop"),
    ]
