"""What happens in a run -> plain lines, JSON lines or nothing; ``live`` draws it on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import click
from rich.console import Console

from vmvc.cli.text import plain
from vmvc.contract import Finding, Severity, Tag
from vmvc.pace import Pace
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records import FindingRecord
from vmvc.records_journal import UNCLEAN, StopRecord, TrialRecord
from vmvc.stopping import says
from vmvc.units import show_seconds
from vmvc.watching import Silent


class Style(Enum):
    """How progress is shown."""

    LIVE = "live"
    LINES = "lines"
    JSON = "json"
    QUIET = "quiet"

    @classmethod
    def of(cls, *, quiet: bool, as_json: bool, lines: bool = False) -> Style:
        """Choose: what was asked for, else a table where stderr is a terminal that can draw it."""
        if as_json:
            return cls.JSON
        if quiet:
            return cls.QUIET
        return cls.LINES if lines or not _draws() else cls.LIVE


def _draws() -> bool:
    """Say whether stderr is a terminal that moves its cursor and shows more than ASCII."""
    dumb = os.environ.get("TERM", "") in ("", "dumb", "unknown")
    encoding = (getattr(sys.stderr, "encoding", "") or "").lower().replace("-", "")
    return sys.stderr.isatty() and not dumb and encoding == "utf8"


class Quiet(Silent):
    """Shows nothing but warnings that spoil numbers."""

    def say(self, text: str) -> None:
        """Print one line for people."""

    def found(self, finding: Finding) -> None:
        if finding.severity is not Severity.ERROR:
            remedy = f" ({finding.remedy})" if finding.remedy else ""
            self.say(f"{finding.severity.value}: {finding.what}{remedy}")

    def swept(self, tag: Tag) -> None:
        self.say(f"removed {tag.name}, left behind by a run that died")

    def asked(self, now: str) -> None:
        click.echo(plain(now), err=True)


class JsonLines(Quiet):
    """One JSON object a line on stdout: the folder, each finding, each trial's and each stop's record."""

    def found(self, finding: Finding) -> None:
        about = {"record": "finding", **FindingRecord.of(finding).model_dump(exclude_none=True)}
        click.echo(json.dumps(about))

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        about = {"record": "opened", "folder": str(folder), "trials": len(plan), "done": done}
        click.echo(json.dumps(about))

    def ended(self, record: TrialRecord) -> None:
        click.echo(record.model_dump_json(exclude_none=True))

    def decided(self, stop: StopRecord) -> None:
        click.echo(stop.model_dump_json(exclude_none=True))


class Lines(Quiet):
    """One plain line a trial, for logs and for screen readers; findings as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._pace: Pace | None = None
        self._total = 0
        self._done = 0
        self._waiting: set[str] = set()
        self._told: set[tuple[str, str]] = set()
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
        self._reckon(stop)

    def _reckon(self, stop: StopRecord) -> None:
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

    def _left(self) -> str:
        seconds = self._pace.left() if self._pace is not None else None
        return f"about {show_seconds(seconds)} left" if seconds else ""

    def ended(self, record: TrialRecord) -> None:
        again = self._again(record)
        if self._pace is not None:
            self._pace.ended(record.backend, again=again)
        said = f"{self._done}/{self._total} {record.condition}: {outcome(record)}"
        self.say(", ".join(filter(None, [said, self._left()])))
        for one in self._news(record):
            self.say(one)

    def _news(self, record: TrialRecord) -> Iterator[str]:
        """Say what was found in a trial, at the first trial of a condition that it was found in."""
        for finding in record.findings:
            if finding.severity != "info" and (record.condition, finding.code) not in self._told:
                self._told.add((record.condition, finding.code))
                yield f"{finding.severity}: {record.condition}: {finding.what}"


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
    left = ", measured, cleanup failed" if record.outcome == UNCLEAN else ""
    if ready is None or requested is None:
        return f"{warm}measured{left.removeprefix(', measured')}"
    return f"{warm}ready after {show_seconds((ready.at_ns - requested.at_ns) / 1e9)}{left}"


@contextmanager
def watcher(style: Style) -> Iterator[Quiet]:
    """Show a run in a style until the block ends."""
    if style is not Style.LIVE:
        yield {Style.LINES: Lines, Style.JSON: JsonLines, Style.QUIET: Quiet}[style]()
        return
    from vmvc.cli.live import Live

    with Live(Console(file=sys.stderr, highlight=False)) as live:
        yield live
