"""A run that goes on -> status.json in its folder, and back: where it is, read from another terminal.

The process that runs writes into a file that it holds open, without waiting for the disk: some hundred bytes
where a step begins. The file goes when the run ends in good order; where it stays, its owner was killed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from vmvc import host, journal, owner
from vmvc.attempts import stops_of, trials_of
from vmvc.contract import Finding, Tag
from vmvc.errors import ResultsError
from vmvc.pace import Pace
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records import FindingRecord, Record
from vmvc.records_journal import UNCLEAN, StopRecord, TrialRecord
from vmvc.signals import Signals
from vmvc.units import show_seconds
from vmvc.watching import RunWatcher

NAME: Final = "status.json"
_READS: Final = 20
"""Looks at a file that is being written; each takes microseconds."""

State = Literal["running", "dead", "elsewhere", "interrupted", "finished"]


class Now(Record):
    """status.json: what the owner of a run does."""

    mark: int = Field(ge=0, description="Counts the changes; the same as `end`, or the file is half written.")
    owner: str = Field(description="Process that runs: host, process id, its start.")
    boot: str = Field(default="", description="Boot id of that host.")
    step: str = Field(default="", description="What it does: a step of the trial, or what comes before.")
    since_ns: int = Field(ge=0, description="Since when, on that host's monotonic clock.")
    since: str = Field(description="The same by its wall clock (UTC, ISO 8601).")
    trial: int | None = Field(default=None, ge=1, description="Trial; absent before the first.")
    condition: str = Field(default="", description="Condition of the trial.")
    warmup: bool = Field(default=False, description="Whether the trial is a warm-up.")
    planned: int | None = Field(default=None, ge=0, description="Trials that are to be done in all.")
    done: int = Field(default=0, ge=0, description="Trials that are done.")
    failed: int = Field(default=0, ge=0, description="Trials that failed since this process began.")
    left: float | None = Field(
        default=None, ge=0, description="Seconds that the rest takes, at `since_ns`; absent where unknown."
    )
    end: int = Field(ge=0, description="As `mark`.")


class Status(Record):
    """Where a run is, from its folder alone."""

    run: str = Field(description="Id of the run: the folder's name before its first trial.")
    experiment: str = Field(description="Name of the experiment.")
    folder: str = Field(description="Folder of the run.")
    state: State = Field(
        description="`running`; `dead`: its owner was killed; `elsewhere`: its owner is on another host; "
        "`interrupted`: it ended before its plan; `finished`."
    )
    planned: int | None = Field(default=None, ge=0, description="Planned trials; absent before the first.")
    done: int = Field(ge=0, description="Trials that have ended.")
    measured: int = Field(ge=0, description="Those with readings.")
    cleanup_failed: int = Field(
        default=0, ge=0, description="Those measured whose instance could not be removed."
    )
    failed: int = Field(ge=0, description="Those whose last attempt failed.")
    owner: str = Field(default="", description="Process that runs or ran it; absent where it ended.")
    trial: int | None = Field(default=None, description="Trial under way.")
    condition: str = Field(default="", description="Its condition.")
    step: str = Field(default="", description="What its owner does, or did last.")
    since: str = Field(default="", description="Since when (UTC, ISO 8601).")
    seconds: float | None = Field(default=None, description="How long; absent where that cannot be known.")
    left: float | None = Field(default=None, description="Seconds that the rest takes; absent if unknown.")
    findings: tuple[FindingRecord, ...] = Field(
        default=(), description="Warnings so far: on the host before the first trial, then in trials."
    )


# --- the process that runs --------------------------------------------------------------------------------


class Posting:
    """A watcher that writes down where the run is, and tells another watcher everything."""

    def __init__(self, folder: Path, inner: RunWatcher) -> None:
        """Begin the file; where that cannot be, there is none."""
        self._inner = inner
        self._path = folder / NAME
        self._pace: Pace | None = None
        self._warmup = self._counted = 0
        self._now = Now(mark=0, owner=owner.current(), boot=host.boot_id(), since_ns=0, since="", end=0)
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._post(step="begin")

    def close(self) -> None:
        """Take the file away: the run has ended in good order."""
        if self._file >= 0:
            os.close(self._file)
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def says(self) -> str:
        """Say in a line where the run is now."""
        now = self._now
        seconds = (time.monotonic_ns() - now.since_ns) / 1e9
        done = "" if now.planned is None else f"{now.done} of {now.planned} trials done"
        failed = f"{now.failed} failed" if now.failed else ""
        what = f"trial {now.trial} {now.condition}: " if now.trial is not None else ""
        left = f"about {show_seconds(max(0.0, now.left - seconds))} left" if now.left else ""
        doing = f"{what}{now.step} for {show_seconds(seconds)}"
        return ", ".join(filter(None, [done, failed, doing, left]))

    def _post(self, **changes: object) -> None:
        """Write it down; a full disk costs the status and never the run."""
        mark = self._now.mark + 1
        wall = datetime.now(UTC).isoformat(timespec="milliseconds")
        now = {"since_ns": time.monotonic_ns(), "since": wall, **changes, "mark": mark, "end": mark}
        self._now = self._now.model_copy(update=now)
        text = self._now.model_dump_json(exclude_none=True).encode() + b"\n"
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))

    def checking(self, backend: str) -> None:
        self._post(step=f"checking {backend}")
        self._inner.checking(backend)

    def found(self, finding: Finding) -> None:
        self._inner.found(finding)

    def waiting(self, findings: Sequence[Finding], left: float) -> None:
        if self._now.step != "waiting for a quiet host":
            self._post(step="waiting for a quiet host")
        self._inner.waiting(findings, left)

    def swept(self, tag: Tag) -> None:
        self._inner.swept(tag)

    def preparing(self, condition: Condition, done: int, total: int) -> None:
        self._post(step=f"preparing {condition.id}")
        self._inner.preparing(condition, done, total)

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        self._pace = Pace(plan)
        self._pace.skip(done)
        self._warmup = plan.settings.warmup
        self._post(step="begin", planned=len(plan), done=done)
        self._inner.opened(folder, plan, done)

    def begun(self, trial: PlannedTrial) -> None:
        if self._pace is not None:
            self._pace.begun()
        self._post(step="begin", trial=trial.number, condition=trial.condition.id, warmup=trial.warmup)
        self._inner.begun(trial)

    def step(self, name: str) -> None:
        if name != self._now.step:
            self._post(step=name)
        self._inner.step(name)

    def ended(self, record: TrialRecord) -> None:
        again = self._counted == record.trial
        self._counted = record.trial
        left = None
        if self._pace is not None:
            self._pace.ended(record.backend, again=again)
            left = self._pace.left()
        done = self._now.done + (not again)
        failed = self._now.failed + (record.failure is not None)
        self._post(step="end", done=done, failed=failed, left=left)
        self._inner.ended(record)

    def decided(self, stop: StopRecord) -> None:
        if self._now.planned is not None:
            self._post(planned=self._now.planned - stop.skipped)
        if self._pace is not None:
            self._pace.expect(stop.backend, stop.condition, self._warmup + stop.trials)
        self._inner.decided(stop)

    def expecting(self, backend: str, condition: str, trials: int) -> None:
        if self._pace is not None:
            self._pace.expect(backend, condition, self._warmup + trials)
        self._inner.expecting(backend, condition, trials)

    def asked(self, now: str) -> None:
        self._inner.asked(now)


@contextmanager
def posted(folder: Path, inner: RunWatcher, signals: Signals) -> Iterator[Posting]:
    """Keep status.json while the block runs, and answer who asks by a signal."""
    posting = Posting(folder, inner)
    signals.on_asked = lambda: inner.asked(posting.says())
    try:
        yield posting
    finally:
        posting.close()


# --- another process --------------------------------------------------------------------------------------


def place(folder: Path) -> Path:
    """Return the folder itself where it is a run, also one without a trial yet, else the newest run below it.

    Raises: ResultsError.
    """
    names = ("journal.jsonl", NAME)
    if any((folder / name).exists() for name in names):
        return folder
    found = sorted({path.parent for name in names for path in folder.glob(f"*/{name}")})
    if not found:
        raise ResultsError(f"{folder}: holds no run", hint="give the folder of a run, results/EXPERIMENT/RUN")
    return found[-1]


def read(folder: Path) -> Status:
    """Return where the run in this folder is.

    Raises: ResultsError where its journal cannot be read.
    """
    now = _now(folder / NAME)
    path = folder / "journal.jsonl"
    if not path.exists() or not path.stat().st_size:
        about = Status(
            run=folder.name, experiment=folder.parent.name, folder=str(folder), state="interrupted",
            done=0, measured=0, failed=0,
        )  # fmt: skip
        return _with_now(about, now)
    head = journal.head(path)
    outcomes: Counter[str] = Counter()
    findings = dict.fromkeys(one for one in head.findings if one.severity != "info")
    for trial in trials_of(path):
        outcomes[trial.outcome] += 1
        for one in trial.findings:
            if one.severity != "info":
                findings[one.model_copy(update={"what": f"{trial.condition}: {one.what}"})] = None
    planned = head.trials - sum(stop.skipped for stop in stops_of(path))
    done = outcomes.total()
    about = Status(
        run=head.run,
        experiment=head.name,
        folder=str(folder),
        state="finished" if done >= planned else "interrupted",
        planned=planned,
        done=done,
        measured=outcomes["measured"] + outcomes[UNCLEAN],
        cleanup_failed=outcomes[UNCLEAN],
        failed=outcomes["failed"],
        findings=tuple(findings),
    )
    return _with_now(about, now)


def _with_now(about: Status, now: Now | None) -> Status:
    if now is None:
        return about
    here = now.owner.partition(":")[0] == owner.current().partition(":")[0]
    state: State = "elsewhere" if not here else "running" if owner.alive(now.owner) else "dead"
    if state == "dead" and about.state == "finished":
        return about
    changes: dict[str, object] = {"state": state, "owner": now.owner, "step": now.step, "since": now.since}
    if now.trial is not None:
        changes |= {"trial": now.trial, "condition": now.condition}
    if state == "running" and now.boot == host.boot_id():
        seconds = max(0.0, (time.monotonic_ns() - now.since_ns) / 1e9)
        changes |= {"seconds": seconds}
        if now.left is not None:
            changes |= {"left": max(0.0, now.left - seconds)}
    return about.model_copy(update=changes)


def _now(path: Path) -> Now | None:
    """Return what status.json says; ``None`` where there is none, or nothing that can be read."""
    for _ in range(_READS):
        try:
            now = Now.model_validate_json(path.read_bytes())
        except OSError:
            return None
        except ValidationError:
            continue
        if now.mark == now.end:
            return now
    return None
