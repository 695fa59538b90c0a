"""What an experiment requires of its host: warn, wait or stop, finding by finding."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vmvc import preflight
from vmvc.contract import Finding, Severity
from vmvc.errors import EngineError, Interrupted
from vmvc.spec_host import CODES, GROUPS, Require

LOAD = Finding("host.load", Severity.WARNING, "load 9.5 on 2 CPUs", "wait")
GUESTS = Finding("host.guests", Severity.WARNING, "2 of containerd-shim", "stop them")
GOVERNOR = Finding("host.governor", Severity.WARNING, "the governor is ondemand", "set performance")
DOCKER = Finding("docker.load", Severity.WARNING, "not the host's", "none")


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 5_000_000_000

    def now(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += round(seconds * 1e9)


class Host:
    """A host whose findings go away one look after the other."""

    def __init__(self, *looks: Sequence[Finding]) -> None:
        self.looks = list(looks)
        self.clock = Clock()
        self.told: list[tuple[list[str], float]] = []
        self.ticks = 0

    def find(self) -> Sequence[Finding]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def settle(self, **require: object) -> list[Finding]:
        return preflight.settle(
            Require.model_validate(require),
            self.find,
            self.clock,
            waiting=lambda findings, left: self.told.append(([one.code for one in findings], left)),
            tick=self.tick,
        )

    def tick(self) -> None:
        self.ticks += 1


@pytest.mark.parametrize(
    ("require", "code", "decision"),
    [
        ({}, "host.load", "warn"),
        ({"load": "stop"}, "host.load", "stop"),
        ({"load": "stop"}, "host.runnable", "warn"),
        ({"busy": "wait"}, "host.guests", "wait"),
        ({"busy": "wait", "guests": "warn"}, "host.guests", "warn"),
        ({"settings": "stop"}, "host.governor", "stop"),
        ({"settings": "stop"}, "host.virtualised", "warn"),
        ({"settings": "stop"}, "host.waited", "warn"),
        ({"load": "stop"}, "docker.load", "warn"),
        ({"load": "stop"}, "host.wait_timeout", "warn"),
        ({"busy": "stop"}, "host.busy", "warn"),
    ],
)
def test_a_word_of_its_own_counts_before_that_of_its_group(
    require: dict[str, str], code: str, decision: str
) -> None:
    finding = Finding(code, Severity.WARNING, "something", "do something")
    assert preflight.decision(finding, Require.model_validate(require)) == decision


def test_groups_hold_findings_that_there_are() -> None:
    members = [code for codes in GROUPS.values() for code in codes]
    assert set(members) <= set(CODES)
    assert len(set(members)) == len(members)


def test_a_run_stops_at_all_that_it_must_stop_at_at_once() -> None:
    require = Require.model_validate({"load": "stop", "governor": "stop", "guests": "wait"})
    preflight.refuse([GUESTS, DOCKER], require)
    with pytest.raises(EngineError) as caught:
        preflight.refuse([LOAD, GUESTS, GOVERNOR, DOCKER], require)
    assert caught.value.what == (
        "load: load 9.5 on 2 CPUs\n  hint: wait\ngovernor: the governor is ondemand\n  hint: set performance"
    )
    assert caught.value.exit_code == 3


def test_a_host_is_not_looked_at_where_nothing_waits() -> None:
    host = Host([LOAD])
    host.find = lambda: pytest.fail("looked")  # type: ignore[method-assign]
    assert host.settle(load="stop", governor="warn") == []


def test_a_quiet_host_is_not_waited_for() -> None:
    host = Host([GOVERNOR, DOCKER])
    assert host.settle(busy="wait") == []
    assert (host.ticks, host.told) == (0, [])


def test_a_run_waits_until_the_host_is_quiet_and_says_so() -> None:
    host = Host([LOAD, GOVERNOR], [LOAD, GUESTS], [GUESTS], [GOVERNOR])
    (finding,) = host.settle(busy="wait")
    assert (finding.code, finding.severity) == ("host.waited", Severity.INFO)
    assert "waited 3 s before the first trial" in finding.what
    assert "load: load 9.5 on 2 CPUs; guests: 2 of containerd-shim" in finding.what
    assert [codes for codes, _ in host.told] == [["host.load"], ["host.load", "host.guests"], ["host.guests"]]
    assert [left for _, left in host.told] == [600.0, 599.0, 598.0]
    assert host.ticks == 30, "a request to stop is heeded several times a second"


def test_a_run_does_not_wait_for_ever() -> None:
    host = Host([LOAD, GOVERNOR])
    with pytest.raises(EngineError) as caught:
        host.settle(load="wait", wait_timeout=2.5)
    assert caught.value.what == "load: load 9.5 on 2 CPUs\n  hint: wait"
    assert "did not pass within 2.5 s" in caught.value.hint
    assert host.clock.at == 8_000_000_000


def test_waiting_can_be_interrupted() -> None:
    host = Host([LOAD])

    def tick() -> None:
        raise Interrupted("enough")

    host.tick = tick  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        host.settle(load="wait")
    assert host.clock.at == 5_000_000_000
