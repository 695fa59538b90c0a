"""What happens in a run -> a live line on a terminal, plain lines in a log, or JSON lines."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from vmvc.cli.text import plain
from vmvc.contract import Finding, Severity, Tag
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records import StopRecord, TrialRecord
from vmvc.stopping import says
from vmvc.units import show_seconds


class Style(Enum):
    """How progress is shown."""

    LIVE = "live"
    LINES = "lines"
    JSON = "json"
    QUIET = "quiet"

    @classmethod
    def of(cls, *, quiet: bool, as_json: bool, terminal: bool) -> Style:
        if as_json:
            return cls.JSON
        if quiet:
            return cls.QUIET
        return cls.LIVE if terminal else cls.LINES


class Pace:
    """Time that is left: mean seconds per backend so far, times the trials that are to come."""

    def __init__(self, plan: Plan) -> None:
        self._left: Counter[str] = Counter()
        self._blocks: dict[str, int] = {}
        self._most, self._groups = plan.blocks, len(plan.groups)
        for condition in plan.conditions:
            self._left[condition.backend] += len(plan.groups) * plan.blocks
        self._taken: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
        self._begun = time.monotonic()

    def begun(self) -> None:
        self._begun = time.monotonic()

    def ended(self, backend: str, *, again: bool = False) -> None:
        """Count a trial, or its time alone where it was tried ``again``."""
        tally = self._taken[backend]
        if not again:
            self._left[backend] -= 1
            tally[0] += 1
        tally[1] += time.monotonic() - self._begun

    def expect(self, backend: str, condition: str, blocks: int) -> None:
        """Reckon with so many blocks of a condition in all."""
        before = self._blocks.get(condition, self._most)
        self._blocks[condition] = blocks
        self._left[backend] += (blocks - before) * self._groups

    def skip(self, count: int) -> None:
        """Leave out trials that an earlier call has done, spread over the backends."""
        total = self._left.total()
        for backend in self._left:
            self._left[backend] -= round(count * self._left[backend] / total) if total else 0

    def left(self) -> str:
        """Say how long it still takes; empty until every backend has been seen."""
        if any(left > 0 and backend not in self._taken for backend, left in self._left.items()):
            return ""
        seconds = sum(
            max(0, left) * self._taken[backend][1] / self._taken[backend][0]
            for backend, left in self._left.items()
            if backend in self._taken
        )
        return f"about {show_seconds(seconds)} left" if seconds else ""


class Quiet:
    """Shows nothing but warnings that spoil numbers."""

    def __init__(self) -> None:
        self._plan: Plan | None = None

    def say(self, text: str) -> None:
        """Print one line for people."""

    def checking(self, backend: str) -> None:
        pass

    def found(self, finding: Finding) -> None:
        if finding.severity is not Severity.ERROR:
            remedy = f" ({finding.remedy})" if finding.remedy else ""
            self.say(f"{finding.severity.value}: {finding.what}{remedy}")

    def waiting(self, findings: Sequence[Finding], left: float) -> None:
        pass

    def swept(self, tag: Tag) -> None:
        self.say(f"removed {tag.name}, left behind by a run that died")

    def preparing(self, condition: Condition, done: int, total: int) -> None:
        pass

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        pass

    def begun(self, trial: PlannedTrial) -> None:
        pass

    def step(self, name: str) -> None:
        pass

    def ended(self, record: TrialRecord) -> None:
        pass

    def decided(self, stop: StopRecord) -> None:
        pass

    def expecting(self, backend: str, condition: str, trials: int) -> None:
        pass


class JsonLines(Quiet):
    """Each trial's and each stop's record as a line on stdout."""

    def ended(self, record: TrialRecord) -> None:
        click.echo(record.model_dump_json(exclude_none=True))

    def decided(self, stop: StopRecord) -> None:
        click.echo(stop.model_dump_json(exclude_none=True))


class Lines(Quiet):
    """One plain line a trial, for logs."""

    def __init__(self) -> None:
        super().__init__()
        self._pace: Pace | None = None
        self._total = 0
        self._done = 0
        self._waiting: set[str] = set()
        self._counted = 0
        self._warmup = 0

    def say(self, text: str) -> None:
        click.echo(plain(text), err=True)

    def checking(self, backend: str) -> None:
        self.say(f"checking {backend}")

    def preparing(self, condition: Condition, done: int, total: int) -> None:
        self.say(f"preparing {condition.id} ({done + 1} of {total})")

    def waiting(self, findings: Sequence[Finding], left: float) -> None:
        codes = {finding.code for finding in findings}
        if not codes <= self._waiting:
            self._waiting |= codes
            self.say(f"waiting at most {show_seconds(left)} until this is over: {waited_for(findings)}")

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        self._pace = Pace(plan)
        self._pace.skip(done)
        self._total, self._done = len(plan), done
        self._warmup = plan.settings.warmup
        self.say(f"run {folder}: {len(plan)} trials" + (f", {done} done before" if done else ""))

    def begun(self, trial: PlannedTrial) -> None:
        if self._pace is not None:
            self._pace.begun()

    def decided(self, stop: StopRecord) -> None:
        self.say(f"{stop.condition}: {says(stop)}")
        self._total -= stop.skipped
        self.expecting(stop.backend, stop.condition, stop.trials)

    def expecting(self, backend: str, condition: str, trials: int) -> None:
        if self._pace is not None:
            self._pace.expect(backend, condition, self._warmup + trials)

    def _again(self, record: TrialRecord) -> bool:
        """Say whether the trial was counted at an earlier attempt."""
        counted, self._counted = self._counted, record.trial
        self._done += counted != record.trial
        return counted == record.trial

    def ended(self, record: TrialRecord) -> None:
        again = self._again(record)
        left = ""
        if self._pace is not None:
            self._pace.ended(record.backend, again=again)
            left = self._pace.left()
        self.say(
            ", ".join(
                filter(None, [f"{self._done}/{self._total} {record.condition}: {outcome(record)}", left])
            )
        )


class Live(Lines):
    """A bar with the current step and the time that is left; findings and failures stay above it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task: TaskID = progress.add_task("checking engines", total=None, left="")

    def say(self, text: str) -> None:
        self._progress.console.print(Text(plain(text)))

    def checking(self, backend: str) -> None:
        self._progress.update(self._task, description=f"checking {backend}")

    def preparing(self, condition: Condition, done: int, total: int) -> None:
        self._progress.update(self._task, description=f"preparing {condition.id} ({done + 1} of {total})")

    def waiting(self, findings: Sequence[Finding], left: float) -> None:
        what = f"waiting at most {show_seconds(left)} for: {plain(waited_for(findings))}"
        self._progress.update(self._task, description=what)

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        super().opened(folder, plan, done)
        self._progress.update(self._task, total=len(plan), completed=done)

    def begun(self, trial: PlannedTrial) -> None:
        super().begun(trial)
        warm = " (warm-up)" if trial.warmup else ""
        self._what = f"{trial.condition.id}{warm}"
        self._step = ""

    def decided(self, stop: StopRecord) -> None:
        super().decided(stop)
        self._progress.update(self._task, total=self._total)

    def step(self, name: str) -> None:
        if name != self._step:
            self._step = name
            self._progress.update(self._task, description=f"{plain(self._what)}: {name}")

    def ended(self, record: TrialRecord) -> None:
        again = self._again(record)
        if self._pace is not None:
            self._pace.ended(record.backend, again=again)
            self._progress.update(self._task, left=self._pace.left())
        self._progress.update(self._task, completed=self._done)
        if record.failure is not None:
            self.say(f"trial {record.trial} {record.condition}: {outcome(record)}")


def waited_for(findings: Sequence[Finding]) -> str:
    """Name what is waited for, without the numbers that change with every look."""
    return ", ".join(finding.code.removeprefix("host.") for finding in findings)


def outcome(record: TrialRecord) -> str:
    """Say in a few words how a trial ended."""
    if record.failure is not None:
        attempt = f" (attempt {record.attempt})" if record.attempt > 1 else ""
        return f"failed in {record.failure.phase}: {record.failure.reason}{attempt}"
    ready, requested = record.events.get("ready"), record.events.get("requested")
    warm = "warm-up, " if record.warmup else ""
    if ready is None or requested is None:
        return f"{warm}measured"
    return f"{warm}ready after {show_seconds((ready.at_ns - requested.at_ns) / 1e9)}"


@contextmanager
def watcher(style: Style) -> Iterator[Quiet]:
    """Show a run in a style until the block ends."""
    if style is not Style.LIVE:
        yield {Style.LINES: Lines, Style.JSON: JsonLines, Style.QUIET: Quiet}[style]()
        return
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    ]
    with Progress(
        *columns, console=Console(file=sys.stderr), refresh_per_second=4, transient=True
    ) as progress:
        yield Live(progress)
