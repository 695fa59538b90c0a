"""The loop: failed trials are records, broken workers are replaced, and a leak stops the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from vmvc import host, journal, worker
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_options import FakeOptions
from vmvc.cli.progress import Quiet
from vmvc.contract import Backend, Finding, Guest, Severity
from vmvc.errors import CleanupError, Interrupted
from vmvc.host import KernelLog
from vmvc.host.kernel_log import Lines
from vmvc.journal import Journal
from vmvc.metrics.shutdown import Shutdown
from vmvc.metrics.startup import Startup
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records_journal import TrialRecord
from vmvc.runner import Campaign, Runner, Tally
from vmvc.signals import Signals
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp, Trials
from vmvc.worker import Worker

GUEST = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**20, ready=ReadyHttp(http=Http(port=80, interval=0.001))
)


class Bench:
    """A runner on fake backends, each named after its options."""

    def __init__(self, folder: Path, **backends: dict[str, object]) -> None:
        self.folder = folder
        (folder / "logs").mkdir()
        self.signals = Signals()
        self.worker = Worker(folder / "logs" / "worker.log")
        self.backends = {
            name: FakeBackend(
                name, FakeOptions.model_validate({"state": str(folder / f"state-{name}"), **options})
            )
            for name, options in backends.items()
        }
        self.settings = Trials(count=3, warmup=0, order="interleaved", timeout=5.0, stop_timeout=2.0)
        self.watcher: Quiet = Quiet()
        self.disturbed: Callable[[], Sequence[Finding]] = tuple

    def bind(self, condition: Condition) -> tuple[Backend, Guest]:
        return self.backends[condition.backend], GUEST

    def run(self, *done: int) -> Tally:
        plan = Plan({name: {} for name in self.backends}, (("startup", "shutdown"),), self.settings)
        metrics = (Startup(Startup.options_model()), Shutdown(Shutdown.options_model()))
        campaign = Campaign("r1", plan, self.bind, metrics, self.folder / "logs", self.disturbed)
        with Journal(self.folder / "journal.jsonl") as book:
            return Runner(campaign, self.worker, self.watcher, self.signals).run(book, done)

    @property
    def records(self) -> list[TrialRecord]:
        lines = journal.read(self.folder / "journal.jsonl")
        return [line for line in lines if isinstance(line, TrialRecord)]

    @property
    def left(self) -> list[str]:
        return [one.tag.name for used in self.backends.values() for one in used.leftovers()]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what else this host does out of the records."""
    monkeypatch.setattr(host, "noise_findings", lambda found, *, threads, cpus, room: ())
    monkeypatch.setattr(KernelLog, "new", lambda self: None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, fake={})
    yield made
    made.worker.kill()


def scripted(bench: Bench, **options: object) -> None:
    state = str(bench.folder / "state-fake")
    bench.backends["fake"] = FakeBackend("fake", FakeOptions.model_validate({"state": state, **options}))


def test_every_trial_is_measured_and_recorded(bench: Bench) -> None:
    assert bench.run() == Tally(measured=3)
    assert [record.trial for record in bench.records] == [1, 2, 3]
    for record in bench.records:
        assert record.outcome == "measured"
        assert {reading.quantity for reading in record.readings} == {
            *("created", "started", "console", "exec", "ready", "stopped", "gone", "orderly", "code"),
        }
        assert all(reading.unit in ("s", "1") and reading.value >= 0 for reading in record.readings)
    assert (bench.folder / "logs" / "trial-1.console").read_text().startswith("fake guest: booting")
    assert bench.left == []


def test_a_trial_that_was_disturbed_is_flagged_and_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the host did before a trial is not the trial's; what it did meanwhile is."""
    monkeypatch.undo()
    steal, looks = [0.0, 0.0, 0.0, 50.0, 50.0, 50.0], iter(range(6))
    lines = iter([9, 0, 9, 2, 0, 0])
    monkeypatch.setattr(
        host, "noise", lambda: host.Noise(float(at := next(looks)), 0, steal[at], None, {"cpu": 0.0})
    )
    monkeypatch.setattr(KernelLog, "new", lambda self: Lines(count := next(lines), ("a fan failed",) * count))
    assert bench.run() == Tally(measured=3)
    found = [[finding.code for finding in record.findings] for record in bench.records]
    assert found == [[], ["host.steal", "host.kernel-log"], []]
    assert [record.noise["kernel_warnings"] for record in bench.records] == [0, 2, 0]
    assert all(len(record.readings) == 9 for record in bench.records)


def test_a_sleep_is_told_with_the_trial_that_it_befell_or_came_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    looks = iter([0.0, 0.0, 40.0, 40.0, 40.0, 100.0])

    def noise() -> host.Noise:
        slept = next(looks)
        return host.Noise(1.0, 0, None, None, {}, wall=1e9 + slept, slept=slept)

    monkeypatch.setattr(host, "noise", noise)
    monkeypatch.setattr(KernelLog, "new", lambda self: None)
    assert bench.run() == Tally(measured=3)
    found = [[finding.code for finding in record.findings] for record in bench.records]
    assert found == [[], ["host.woken"], ["host.suspended"]]
    assert [record.noise["suspended_s"] for record in bench.records] == [0, 0, 60]
    assert "40 s between the trial before and this one" in bench.records[1].findings[0].what
    assert "suspended for 60 s during the trial" in bench.records[2].findings[0].what


def test_a_log_that_cannot_be_read_counts_nothing(bench: Bench) -> None:
    bench.run()
    assert not any("kernel_warnings" in record.noise for record in bench.records)


def test_a_host_that_no_longer_is_as_tuned_is_told_with_each_trial(bench: Bench) -> None:
    changed = Finding("tune.changed", Severity.WARNING, "the governor is powersave again", "see who did it")
    answers = iter([[], [changed], [changed]])
    bench.disturbed = lambda: next(answers)
    bench.run()
    assert [[one.code for one in record.findings] for record in bench.records] == [
        *([], ["tune.changed"], ["tune.changed"])
    ]


def test_what_is_done_is_not_run_again(bench: Bench) -> None:
    bench.run(1, 3)
    assert [record.trial for record in bench.records] == [2]


def test_a_failed_trial_is_a_record_and_the_run_goes_on(bench: Bench) -> None:
    scripted(bench, fail={"start": "no room"}, fault_trials=(2,))
    assert bench.run() == Tally(measured=2, failed=1)
    failed = bench.records[1]
    assert failed.failure is not None
    assert (failed.failure.phase, failed.failure.reason) == ("start", "no room")
    assert failed.readings == ()
    assert failed.absent == ()
    assert bench.left == []


def test_a_blocked_engine_call_costs_its_trial_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "GRACE", 0.2)
    bench.settings = bench.settings.model_copy(update={"timeout": 0.5})
    scripted(bench, hang="start", fault_trials=(2,))
    assert bench.run() == Tally(measured=2, failed=1)
    failed = bench.records[1].failure
    assert failed is not None
    assert (failed.phase, failed.error) == ("start", "DeadlineExceeded")
    assert bench.left == []


@pytest.mark.parametrize("step", ["create", "start", "ready", "stop"])
def test_a_crash_of_the_worker_costs_its_trial_only(bench: Bench, step: str) -> None:
    scripted(bench, ready=0.05, crash=step, fault_trials=(2,))
    assert bench.run() == Tally(measured=2, failed=1)
    failed = bench.records[1].failure
    assert failed is not None
    assert (failed.phase, failed.error) == (step, "WorkerDied")
    assert bench.left == []


def test_a_crash_while_the_instance_is_removed_costs_no_measurement(bench: Bench) -> None:
    scripted(bench, crash="destroy", fault_trials=(2,))
    assert bench.run() == Tally(measured=3)
    record = bench.records[1]
    assert record.outcome == "measured"
    assert "stopped" in {reading.quantity for reading in record.readings}
    (found,) = record.findings
    assert (found.code, "ended with exit code" in found.what) == ("cleanup.retried", True)
    assert bench.left == []


def test_a_failure_keeps_its_reason_also_where_the_removal_crashes(bench: Bench) -> None:
    scripted(bench, fail={"start": "it is broken"}, crash="destroy", fault_trials=(2,))
    assert bench.run() == Tally(measured=2, failed=1)
    failed = bench.records[1].failure
    assert failed is not None
    assert (failed.phase, failed.reason) == ("start", "it is broken")
    assert bench.left == []


def test_a_destroy_that_fails_once_is_tried_again(bench: Bench) -> None:
    scripted(bench, destroy_fails=1)
    assert bench.run() == Tally(measured=3)
    assert [finding.code for record in bench.records for finding in record.findings] == [
        "cleanup.retried"
    ] * 3
    assert bench.left == []


def test_a_leak_stops_the_run_and_the_measurement_is_kept(bench: Bench) -> None:
    scripted(bench, destroy_fails=5)
    with pytest.raises(CleanupError, match="could not be removed"):
        bench.run()
    (record,) = bench.records
    assert record.outcome == "measured-cleanup-failed"
    assert record.readings
    assert [finding.code for finding in record.findings] == ["cleanup.failed"]


def test_a_failed_trial_whose_cleanup_fails_stays_a_failed_one(bench: Bench) -> None:
    scripted(bench, fail={"start": "it is broken"}, destroy_fails=5)
    with pytest.raises(CleanupError, match="could not be removed"):
        bench.run()
    (record,) = bench.records
    assert (record.outcome, [finding.code for finding in record.findings]) == ("failed", ["cleanup.failed"])


class Stops(Quiet):
    """Asks for a stop in the middle of a trial."""

    def __init__(self, signals: Signals, trial_number: int, times: int) -> None:
        super().__init__()
        self._signals, self._number, self._times = signals, trial_number, times
        self._now = 0

    def begun(self, trial: PlannedTrial) -> None:
        self._now = trial.number

    def step(self, name: str) -> None:
        if self._now == self._number and name == "ready" and self._signals.count < self._times:
            self._signals.count += 1


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_leaves_no_instance_and_no_record(bench: Bench, times: int) -> None:
    scripted(bench, ready=0.5)
    bench.watcher = Stops(bench.signals, 2, times)
    with pytest.raises(Interrupted):
        bench.run()
    assert [record.trial for record in bench.records] == [1]
    assert bench.left == []
