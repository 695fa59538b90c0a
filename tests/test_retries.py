"""Trials that fail: tried again on record, or the end of the run; and the idle time before each trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.command import vmvc
from tests.edited import unchecked
from tests.test_runner import GUEST, Bench, Stops
from vmvc import journal, results
from vmvc.attempts import attempts_of, trials_of
from vmvc.cli.progress import Quiet
from vmvc.contract import Backend, Guest
from vmvc.errors import Interrupted, ResultsError
from vmvc.execution import Finished, resume, start
from vmvc.journal import Journal
from vmvc.loading import Loaded, loads
from vmvc.metrics.startup import Startup
from vmvc.plan import Condition, Plan
from vmvc.planning import plan_of
from vmvc.records_journal import TrialRecord
from vmvc.runner import Campaign, Runner
from vmvc.trial import IMAGE_THERE

FLAKY = "ready: 20ms, fail: {start: no room}, fault_trials: [2, 3]"
"""Trials 2 and 3 fail at their start."""


class Killed(Exception):
    """Stands for the end of the process."""


class Dies(Quiet):
    """Ends the run just after the record of that number."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def ended(self, record: TrialRecord) -> None:
        self._left -= 1
        if not self._left:
            raise Killed


def load(folder: Path, options: str, trials: str) -> Loaded:
    text = (
        f"name: first\nmetrics: [startup, shutdown]\n"
        f"backends: {{fake: {{options: {{state: {folder}/state, {options}}}}}}}\n"
        f"trials: {{count: 3, warmup: 1, timeout: 5s, {trials}}}\n"
    )
    return loads(text.encode(), "x.yaml", folder)


def run(folder: Path, loaded: Loaded, watcher: Quiet | None = None) -> Finished:
    return start(loaded, plan_of(loaded), folder / "results", watcher or Quiet())


def attempts(folder: Path) -> list[tuple[int, int, str]]:
    return [(one.trial, one.attempt, one.outcome) for one in attempts_of(folder / "journal.jsonl")]


def the_run(folder: Path) -> Path:
    (one,) = (folder / "results" / "first").iterdir()
    return one


# --- retries ----------------------------------------------------------------------------------------------


def test_every_attempt_is_a_record_and_the_last_one_counts(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, f"{FLAKY}, recovers: 2, log: {tmp_path}/log", "retries: 3"))
    assert attempts(finished.folder) == [
        *((1, 1, "measured"), (2, 1, "failed"), (2, 2, "failed"), (2, 3, "measured")),
        *((3, 1, "failed"), (3, 2, "failed"), (3, 3, "measured"), (4, 1, "measured")),
    ]
    summary = finished.summary
    assert (summary.trials, summary.measured, summary.failed) == (4, 4, 0)
    for row in summary.rows:
        assert (row.failed, row.retried, row.attempts, row.planned) == (0, 2, 7, 3)
        there = row.quantity not in ("kernel", "init", "network", "pull", "image")
        assert row.n == (3 if there else 0)
        assert row.reason.startswith("3 of 3: ") is not there
        assert row.quantity != "image" or row.reason == f"3 of 3: {IMAGE_THERE}"
    (found,) = [finding for finding in summary.findings if finding.code == "trial.retried"]
    assert found.what == "fake: 2 trials needed more than one attempt (4 of 4: start: no room)"
    assert {path.name for path in (finished.folder / "logs").glob("trial-2*")} == {"trial-2-3.console"}
    assert len((finished.folder / "measurements.csv").read_text().splitlines()) == 1 + 4 * len(summary.rows)
    lives = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()]
    assert lives.count("create") == lives.count("destroy") == 8


def test_a_trial_that_fails_to_the_last_is_one_failed_trial(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, FLAKY, "retries: 1"))
    assert [one for one in attempts(finished.folder) if one[0] == 2] == [(2, 1, "failed"), (2, 2, "failed")]
    row = finished.summary.rows[0]
    assert (row.n, row.failed, row.retried, row.attempts) == (1, 2, 2, 5)
    assert row.reason == "2 of 3: start: no room"


def test_without_retries_nothing_is_tried_again(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, f"{FLAKY}, recovers: 1", "retries: 0"))
    row = finished.summary.rows[0]
    assert (row.failed, row.retried, row.attempts) == (2, 0, 3)
    assert [finding for finding in finished.summary.findings if finding.code == "trial.retried"] == []


@pytest.mark.parametrize("after", [2, 3, 5])
def test_a_run_that_ends_between_two_attempts_is_taken_up_there(tmp_path: Path, after: int) -> None:
    with pytest.raises(Killed):
        run(tmp_path, load(tmp_path, f"{FLAKY}, recovers: 2", "retries: 2"), Dies(after))
    assert len(attempts(the_run(tmp_path))) == after
    finished = resume(the_run(tmp_path), Quiet())
    assert attempts(finished.folder) == [
        *((1, 1, "measured"), (2, 1, "failed"), (2, 2, "failed"), (2, 3, "measured")),
        *((3, 1, "failed"), (3, 2, "failed"), (3, 3, "measured"), (4, 1, "measured")),
    ]
    assert finished.summary.rows[0].retried == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [(1, 1, "failed"), (2, 1, "measured"), (1, 2, "measured")],
            "attempt 2 at trial 1 follows no failed",
        ),
        ([(1, 1, "measured"), (1, 2, "measured")], "attempt 2 at trial 1 follows no failed one before it"),
        ([(1, 1, "failed"), (1, 3, "measured")], "attempt 3 at trial 1 follows no failed one before it"),
        ([(1, 1, "failed"), (1, 1, "measured")], "trial 1 is recorded twice"),
        ([(1, 1, "failed"), (2, 1, "measured"), (1, 1, "measured")], "trial 1 is recorded twice"),
        ([(1, 2, "measured")], "attempt 2 at trial 1 follows no failed one before it"),
    ],
)
def test_attempts_out_of_order_are_refused(
    tmp_path: Path, lines: list[tuple[int, int, str]], words: str
) -> None:
    finished = run(tmp_path, load(tmp_path, "", ""))
    first, *_ = journal.read(finished.folder / "journal.jsonl")
    one = next(trials_of(finished.folder / "journal.jsonl"))
    failure = {"phase": "start", "error": "StepFailed", "reason": "no room"}
    with Journal(tmp_path / "journal.jsonl") as book:
        book.append(first)
        for trial, attempt, outcome in lines:
            changes = {"trial": trial, "attempt": attempt, "outcome": outcome}
            if outcome == "failed":
                changes["failure"] = failure
            book.append(TrialRecord.model_validate(one.model_dump() | changes))
    with pytest.raises(ResultsError, match=words):
        results.rebuild(tmp_path)


def test_a_journal_from_before_there_were_attempts_still_loads(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, "", ""))
    path = unchecked(finished.folder / "journal.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for key in ("attempt", "pause"):
            line.pop(key, None)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    again = results.rebuild(finished.folder)
    assert again.model_copy(update={"seal": finished.summary.seal}) == finished.summary


# --- on_failure -------------------------------------------------------------------------------------------


def test_a_failure_can_end_the_run_which_goes_on_when_resumed(tmp_path: Path) -> None:
    finished = run(tmp_path, load(tmp_path, FLAKY, "on_failure: stop"))
    assert attempts(finished.folder) == [(1, 1, "measured"), (2, 1, "failed")]
    assert finished.stopped == "trial 2 fake failed in start: no room; trials.on_failure is stop"
    assert finished.summary.rows[0].reason == "1 of 3: start: no room"
    again = resume(finished.folder, Quiet())
    assert attempts(again.folder)[2:] == [(3, 1, "failed")]
    assert again.stopped.startswith("trial 3")
    last = resume(finished.folder, Quiet())
    assert (attempts(last.folder)[3:], last.stopped) == ([(4, 1, "measured")], "")


def test_a_trial_that_recovers_and_a_warm_up_end_nothing(tmp_path: Path) -> None:
    options = "fail: {start: no room}, fault_trials: [1, 3], recovers: 1"
    finished = run(tmp_path, load(tmp_path, options, "on_failure: stop, retries: 1"))
    assert len(attempts(finished.folder)) == 6
    options = "fail: {start: no room}, fault_trials: [1]"
    finished = run(tmp_path, load(tmp_path, options, "on_failure: stop"))
    assert len(attempts(finished.folder)) == 4


def test_the_command_says_why_it_stopped_and_exits_with_1(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    path = experiment(load(tmp_path, FLAKY, "on_failure: stop").source.decode())
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 1
    assert "stopped: trial 2 fake failed in start: no room; trials.on_failure is stop" in said.err
    assert f"vmvc run --resume results/first/{the_run(tmp_path).name} goes on" in said.err


# --- pause ------------------------------------------------------------------------------------------------


class Watch:
    """A clock on which only sleeping takes time."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> int:
        return round(self.slept * 1e9)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def paused(bench: Bench, clock: Watch, pause: float) -> None:
    def bind(condition: Condition) -> tuple[Backend, Guest]:
        return bench.backends[condition.backend], GUEST

    settings = bench.settings.model_copy(update={"pause": pause})
    plan = Plan({"fake": {}}, (("startup",),), settings)
    campaign = Campaign("r1", plan, bind, (Startup(Startup.options_model()),), bench.folder / "logs")
    with Journal(bench.folder / "journal.jsonl") as book:
        Runner(campaign, bench.worker, bench.watcher, bench.signals, clock).run(book)


def test_there_is_a_pause_before_each_trial(tmp_path: Path) -> None:
    bench, clock = Bench(tmp_path, fake={}), Watch()
    paused(bench, clock, 2.5)
    bench.worker.close()
    assert clock.slept == pytest.approx(3 * 2.5)
    assert all(one.value < 2.5 for record in bench.records for one in record.readings)


def test_a_pause_can_be_interrupted(tmp_path: Path) -> None:
    class InPause(Stops):
        def step(self, name: str) -> None:
            if name == "pause" and self._now == 2:
                self._signals.count = 1

    bench, clock = Bench(tmp_path, fake={}), Watch()
    bench.watcher = InPause(bench.signals, 2, 1)
    with pytest.raises(Interrupted):
        paused(bench, clock, 3600.0)
    bench.worker.close()
    assert [record.trial for record in bench.records] == [1]
    assert 3600 <= clock.slept < 3601


def test_the_pause_is_in_the_estimate_and_that_of_an_earlier_run_is_not(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    def seconds(pause: str) -> float:
        path = experiment(load(tmp_path, "", f"pause: {pause}").source.decode())
        said = vmvc("plan", path, "--json", cwd=tmp_path)
        return float(json.loads(said.out.splitlines()[0])["estimated_seconds"])

    assert seconds("1h") == pytest.approx(4 * (3600 + 0.3))
    journal_of = unchecked(run(tmp_path, load(tmp_path, "", "")).folder / "journal.jsonl")
    head, *trials = [json.loads(line) for line in journal_of.read_text().splitlines()]
    head["pause"] = 1000.0
    for number, one in enumerate(trials):
        begun = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=1000.5 * number)
        one["wall"] = begun.isoformat(timespec="milliseconds")
    journal_of.write_text("".join(f"{json.dumps(line)}\n" for line in (head, *trials)))
    assert seconds("1h") == pytest.approx(4 * (3600 + 0.5))
    assert seconds("0s") == pytest.approx(4 * 0.5)
