"""Interference: what answers become, when nothing is let loose, and that all is gone afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from vmvc import host
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import Completed, Guest, Limits, Metric, MonotonicClock, Tag
from vmvc.errors import GuestDied, VmvcError
from vmvc.job import Job, Outcome
from vmvc.metrics import interference
from vmvc.metrics.asking import Answers
from vmvc.metrics.interference import LOADS, Interference, InterferenceOptions
from vmvc.spec import BUILT_IN_IMAGES, Exec, Http, ReadyExec, ReadyHttp
from vmvc.testing import MetricContract
from vmvc.trial import Trial

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**26, ready=ReadyHttp(http=Http(port=80)))
HELD = Limits(1.0, 2**26, None, "cgroup", {"pids": "no limit is set"})
GOOD = Answers([0.001] * 99 + [0.4], 2.0)


class TestInterference(MetricContract):
    def metric(self) -> Metric:
        return Interference(InterferenceOptions(window=0.01))


class Bounded(FakeInstance):
    """An instance with limits; hogs take ``lasts`` seconds, and single tries answer as ``tries`` says."""

    held: ClassVar[Limits] = HELD
    lasts: ClassVar[float] = 0.7
    tries: ClassVar[Completed | VmvcError] = Completed(0, b"", b"")
    asked: ClassVar[list[tuple[int, Sequence[str]]]] = []

    def limits(self) -> Limits:
        return self.held

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        self.asked.append((self.tag.member, argv))
        if argv[4]:
            time.sleep(self.lasts)
            return Completed(0, b"", b"")
        if isinstance(self.tries, VmvcError):
            raise self.tries
        return self.tries


class BoundedBackend(FakeBackend):
    instance_type = Bounded


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bounded, "asked", [])
    monkeypatch.setattr(host, "mem_available", lambda: 2**40)
    monkeypatch.setattr(interference, "LONGEST_LEAD", 0.0)
    monkeypatch.setattr(interference, "WARM", 0.01)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a trial of interference on the fake backend; nothing is left of it."""

    def one(
        backend: type[FakeBackend] = BoundedBackend,
        fake: Mapping[str, object] | None = None,
        guest: Guest = GUEST,
        **options: object,
    ) -> Outcome:
        asked = InterferenceOptions.model_validate_json('{"window": "50ms"}').model_copy(update=options)
        used = backend("fake", FakeOptions.model_validate({"state": str(tmp_path / "state"), **(fake or {})}))
        job = Job(Tag("r", 1, "h:1:1"), used, guest, (Interference(asked),), 5.0, 5.0)
        outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
        assert not used.leftovers()
        return outcome

    return one


def values(outcome: Outcome) -> dict[str, float]:
    return {one.quantity: one.value for _, one in outcome.readings}


def reasons(outcome: Outcome) -> dict[str, str]:
    return {one.quantity: one.reason for _, one in outcome.absent}


def scripted(monkeypatch: pytest.MonkeyPatch, *answers: Answers) -> None:
    """Give these answers, one a window, after those by which the victim shows that it is calm."""
    left = [GOOD] * interference.CALM + list(answers)
    monkeypatch.setattr(interference, "ask", lambda *given: left.pop(0))


def test_a_whole_trial_asks_the_victim_and_loads_the_other(run: Run) -> None:
    outcome = run()
    assert outcome.failure is None
    found = values(outcome)
    for name in ("alone", *LOADS):
        assert found[f"{name}_finished"] == 1
        assert 0 < found[f"{name}_p50"] < 0.5
        assert found[f"{name}_rate"] > 1
    assert 0.01 < found["cpu_share"] < 100
    assert {member for member, _ in Bounded.asked} == {2}
    assert len(Bounded.asked) == 2 * len(LOADS)


def test_answers_become_rate_and_quantiles(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, GOOD, Answers([0.002] * 99, 4.0))
    outcome = run(bullies=("cpu",))
    found = values(outcome)
    assert (found["alone_rate"], found["alone_p50"], found["alone_p99"]) == (50.0, 0.001, 0.001)
    assert (found["cpu_rate"], found["cpu_share"]) == (24.75, 0.495)
    assert reasons(outcome)["cpu_p99"] == "a 99th percentile needs 100 answers, and there were 99"
    assert reasons(outcome)["disk_rate"] == "metrics.interference.bullies leaves it out"


STALLED = Answers([0.001, 6.3], 6.4)


def test_a_victim_is_asked_until_it_is_calm(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [STALLED, GOOD, GOOD, STALLED, GOOD, GOOD, GOOD, Answers([0.002] * 100, 2.0), GOOD]
    monkeypatch.setattr(interference, "ask", lambda *given: left.pop(0))
    outcome = run(bullies=("cpu",))
    assert left == []
    assert values(outcome)["alone_p50"] == 0.002
    assert not outcome.findings


def test_a_victim_that_never_calms_down_is_a_finding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference, "LONGEST_WARM", 0.05)
    monkeypatch.setattr(interference, "ask", lambda *given: STALLED)
    outcome = run(bullies=("cpu",))
    assert [one.code for one in outcome.findings] == ["interference.restless"]
    assert values(outcome)["alone_finished"] == 1


def test_a_quantile_is_an_answer_that_was_given() -> None:
    assert Answers([3.0, 1.0, 2.0], 1.0).quantile(0.5) == 2.0
    assert Answers([0.001] * 98 + [0.5, 0.6], 1.0).quantile(0.99) == 0.5
    assert Answers([4.0], 1.0).quantile(0.99) == 4.0


def test_a_victim_that_does_not_finish_has_that_as_its_value(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, GOOD, Answers([0.1] * 7, 11.0, "no answer within 10 s"), GOOD)
    outcome = run(bullies=("memory", "cpu"))
    found, why = values(outcome), reasons(outcome)
    assert (found["memory_finished"], found["cpu_finished"]) == (0, 1)
    assert why["memory_rate"] == "the victim did not finish, after 7 answers: no answer within 10 s"
    assert why["memory_share"] == "the victim did not finish"
    assert not {"memory_rate", "memory_p50", "memory_p99"} & found.keys()


def test_a_victim_that_fails_alone_is_not_bullied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, Answers([], 0.1, "connection refused"))
    outcome = run()
    assert values(outcome) == {"alone_finished": 0}
    assert "the victim did not finish alone" in reasons(outcome)["cpu_finished"]
    assert Bounded.asked == []


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (
            Limits(absent={"cpus": "the bare host limits nothing"}),
            "limit on cpus is not let loose: the bare host",
        ),
        (
            Limits(1.0, None, None, "cgroup", {"memory": "no limit is set"}),
            "limit on memory is not let loose: no",
        ),
    ],
)
def test_without_limits_nothing_is_let_loose(
    run: Run, monkeypatch: pytest.MonkeyPatch, held: Limits, reason: str
) -> None:
    monkeypatch.setattr(Bounded, "held", held)
    outcome = run()
    assert values(outcome) == {}
    assert all(reason in one for one in reasons(outcome).values())
    assert Bounded.asked == []


def test_a_backend_that_says_nothing_of_limits_is_left_alone(run: Run) -> None:
    assert "this backend sets no limit" in reasons(run(backend=FakeBackend))["cpu_rate"]


def test_a_host_short_of_memory_is_spared(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "mem_available", lambda: 2**20)
    assert "would leave less than" in reasons(run())["cpu_rate"]


def test_a_victim_without_a_page_cannot_be_asked(run: Run) -> None:
    guest = Guest(BUILT_IN_IMAGES["tiny"], 1, 2**26, ReadyExec(exec=Exec(command=("true",))))
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(Bounded, "run", FakeInstance.run)
        assert "no http probe" in reasons(run(guest=guest))["cpu_rate"]


def test_a_guest_that_cannot_be_a_victim_is_told_before_the_first_trial() -> None:
    metric = Interference(InterferenceOptions())
    assert metric.check(GUEST) == ()
    silent = replace(GUEST, ready=ReadyExec(exec=Exec(command=("true",))))
    assert "no http probe" in metric.check(silent)[0].what
    assert "exists already" in metric.check(replace(GUEST, machine="mine"))[0].what


@pytest.mark.parametrize(
    ("tries", "reason"),
    [
        (Completed(127, b"", b""), "the guest has no command 'sh'"),
        (Completed(1, b"", b"dd: no\nspace"), "the load cannot run: status 1 dd: no space"),
        (GuestDied("out of memory"), "the bully itself ended: out of memory"),
    ],
)
def test_a_load_that_does_not_run_gives_no_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, tries: Completed | VmvcError, reason: str
) -> None:
    monkeypatch.setattr(Bounded, "tries", tries)
    outcome = run(bullies=("disk",))
    assert outcome.failure is None
    assert values(outcome).keys() >= {"alone_rate"}
    assert {reasons(outcome)[f"disk_{part}"] for part in ("rate", "p50", "finished", "share")} == {reason}


def test_a_load_that_ends_before_the_window_gives_no_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bounded, "lasts", 0.0)
    assert reasons(run(bullies=("cpu",), window=0.1))["cpu_rate"] == "the load ended before the window did"


def test_a_bully_that_does_not_start_is_a_failed_trial_and_leaves_nothing(run: Run) -> None:
    outcome = run(fake={"fail": {"start": "no room"}, "fault_members": (2,)})
    assert outcome.failure is not None
    assert "instance 2 failed in start" in outcome.failure[1].what


def test_every_load_is_bounded(run: Run) -> None:
    run(bullies=LOADS)
    for _, argv in Bounded.asked:
        if argv[4]:
            assert 2 < int(argv[4]) < 10, "seconds"
            assert int(argv[5]) == 1, "loops at once: one CPU"
            assert "sleep $seconds\nkill $pids" in argv[2]
    arguments = {argv[2].split("; do ")[2].split(" ")[0]: argv[6:] for _, argv in Bounded.asked if argv[4]}
    assert arguments["dd"] == [str(2**26 // 4 // 2**20)], (
        "the disk load is the last of dd: a quarter of memory"
    )


@pytest.mark.parametrize(
    "bad",
    [
        '{"bullies": []}', '{"bullies": ["cpu", "cpu"]}', '{"bullies": ["gpu"]}', '{"window": "0s"}',
        '{"window": "2m"}', '{"file": "2GiB"}', '{"file": "1kB"}', '{"patience": "0s"}', '{"cpus": 3}',
    ],
)  # fmt: skip
def test_options_without_a_bound_are_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        InterferenceOptions.model_validate_json(bad)
