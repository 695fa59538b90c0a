"""What happens in a run -> a table on a terminal that is drawn anew; what was found stays above it.

Nothing is drawn by a thread, at most four times a second, and never so often that drawing takes more than a
hundredth of a core. While a trial is under way a second passes before anything is drawn, so that the steps of
a short one are not disturbed at all.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live as Drawing
from rich.text import Text

from vmvc import stats
from vmvc.attempts import trials_of
from vmvc.cli.board import Board
from vmvc.cli.progress import Lines, outcome, waited_for
from vmvc.cli.text import plain
from vmvc.contract import Finding
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records_journal import StopRecord, TrialRecord
from vmvc.stopping import says
from vmvc.units import show_seconds

SOONEST: Final = 0.25
"""Seconds between two drawings, at least."""
IN_TRIAL: Final = 1.0
"""The same while a trial is under way, counted from its begin."""
SHARE: Final = 0.01
"""Share of a core that drawing may take."""
_SHOWN_AGAIN: Final = 6
"""Messages that are printed again where the terminal was made narrower."""


class Live(Lines):
    """A table with the current step and the time that is left; findings and failures stay above it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._drawing = Drawing(console=console, auto_refresh=False, transient=True)
        self._board: Board | None = None
        self._words = ""
        self._step = self._what = ""
        self._pending: list[str] = []
        self._said: deque[str] = deque(maxlen=_SHOWN_AGAIN)
        self._size = console.size
        self._next = self._last = 0.0
        self._step_begun = 0.0
        self.drawn = 0

    def __enter__(self) -> Live:
        self._drawing.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._flush()
        self._drawing.stop()

    def say(self, text: str) -> None:
        self._pending.append(plain(text))
        self._draw()

    def checking(self, backend: str) -> None:
        self._show(f"checking {backend}")

    def preparing(self, condition: Condition, done: int, total: int) -> None:
        self._show(f"preparing {condition.id} ({done + 1} of {total})")

    def waiting(self, findings: Sequence[Finding], left: float) -> None:
        self._show(f"waiting at most {show_seconds(left)} for: {waited_for(findings)}")

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        self._board = Board(folder.parent.name, plan, len(plan))
        before = 0
        for trial in trials_of(folder / "journal.jsonl") if done else ():
            self._board.take(trial, again=trial.trial == before)
            before = trial.trial
        super().opened(folder, plan, done)
        stats.median_interval(range(6))  # Half a second for SciPy is spent here, before the first trial.
        self._draw(now=True)

    def begun(self, trial: PlannedTrial) -> None:
        super().begun(trial)
        warm = " (warm-up)" if trial.warmup else ""
        self._what = f"trial {trial.number} {trial.condition.id}{warm}"
        self._enter("begin")
        if self._board is not None:
            self._board.begun(trial.condition.id)
        self._draw()

    def step(self, name: str) -> None:
        if name != self._step:
            self._enter(name)
        if time.monotonic() - self._last >= IN_TRIAL:
            self._draw()

    def decided(self, stop: StopRecord) -> None:
        if self._board is not None:
            self._board.stop(stop)
        self.say(f"{stop.condition}: {says(stop)}")
        self._reckon(stop)

    def ended(self, record: TrialRecord) -> None:
        again = self._again(record)
        self._enter("end")
        if self._board is not None and self._pace is not None:
            self._board.take(record, again=again)
            self._pace.ended(record.backend, again=again)
            self._board.left = self._left()
        self._pending += [plain(one) for one in self._news(record)]
        if record.outcome != "measured":
            self._pending.append(plain(f"trial {record.trial} {record.condition}: {outcome(record)}"))
        self._draw(now=self._done == self._total)

    def asked(self, now: str) -> None:
        self._pending.append(plain(now))
        self._draw(now=True)

    def _enter(self, step: str) -> None:
        self._step, self._step_begun = step, time.monotonic()

    def _show(self, words: str) -> None:
        self._words = plain(words)
        self._draw()

    def _flush(self) -> None:
        for text in self._pending:
            self._console.print(Text(text))
        self._said.extend(self._pending)
        self._pending.clear()

    def _draw(self, *, now: bool = False) -> None:
        """Draw, unless that was done a moment ago; ``now``: all the same, since nothing is timed any more."""
        began = time.monotonic()
        if began < self._next and not now:
            return
        cpu = time.thread_time()
        if self._console.size != self._size:
            self._resized()
        self._flush()
        width, height = self._size
        if self._board is None:
            shown: RenderableType = Text(self._words, no_wrap=True, overflow="ellipsis")
        else:
            lasted = began - self._step_begun
            spent = f" for {show_seconds(float(round(lasted)))}" if lasted >= IN_TRIAL else ""
            self._board.now = f"{self._what}: {self._step}{spent}" if self._what else ""
            shown = self._board.draw(width - 1, height - 2)
        self._drawing.update(shown, refresh=True)
        self.drawn += 1
        self._last = began
        self._next = began + max(SOONEST, (time.thread_time() - cpu) / SHARE)

    def _resized(self) -> None:
        """Begin on a clean screen: what was drawn for more columns has been wrapped by the terminal."""
        narrower = self._console.size.width < self._size.width
        self._size = self._console.size
        if narrower:
            self._drawing.stop()
            self._console.clear()
            for text in self._said:
                self._console.print(Text(text))
            self._drawing.start()
