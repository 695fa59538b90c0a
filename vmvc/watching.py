"""Who is told what happens in a whole run; telling nobody is the default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from vmvc.contract import Finding, Tag
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records_journal import StopRecord, TrialRecord
from vmvc.runner import Watcher


class RunWatcher(Watcher, Protocol):
    """A watcher of a whole run."""

    def checking(self, backend: str) -> None: ...
    def found(self, finding: Finding) -> None: ...
    def waiting(self, findings: Sequence[Finding], left: float) -> None: ...
    def swept(self, tag: Tag) -> None: ...
    def opened(self, folder: Path, plan: Plan, done: int) -> None: ...
    def asked(self, now: str) -> None: ...


class Silent:
    """A watcher that keeps everything to itself."""

    def checking(self, backend: str) -> None:
        pass

    def found(self, finding: Finding) -> None:
        pass

    def waiting(self, findings: Sequence[Finding], left: float) -> None:
        pass

    def swept(self, tag: Tag) -> None:
        pass

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

    def asked(self, now: str) -> None:
        """Somebody asked where the run is (SIGUSR1): ``now`` says it in a line."""
