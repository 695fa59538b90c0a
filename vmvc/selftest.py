"""A kind of backend -> one life of a tiny guest on it, through the path of a real trial, as a report.

The report is fit for a bug report: what each step did, how long it took, what was read, what is missing and
why, what was found, and the facts that decide it.
"""

from __future__ import annotations

import platform
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from vmvc import host, loading, owner
from vmvc.contract import Backend, Finding, Guest, Preparation, Scalar, Severity, Tag
from vmvc.engines import CHECK_TIMEOUT, PREPARE_TIMEOUT
from vmvc.errors import EngineError, Interrupted, VmvcError
from vmvc.job import Job, Outcome
from vmvc.lock import measuring
from vmvc.signals import Signals
from vmvc.worker import Worker, WorkerDied

METRICS: Final = ("startup", "shutdown", "memory", "disk", "isolation")
STEP_TIMEOUT: Final = 180.0
"""Seconds that each step of the life may take."""
STOP_TIMEOUT: Final = 60.0
LAST_WORDS: Final = 2000
"""Characters of the guest's console that a failure shows."""


@dataclass
class Step:
    """One step: ``ok``, or what went wrong; ``seconds`` where it came to an end."""

    name: str
    ok: bool
    seconds: float | None = None
    what: str = ""
    hint: str = ""


@dataclass
class Report:
    """What the self-test of one backend gave; without a failed step it works."""

    backend: str
    ok: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Scalar] = field(default_factory=dict)
    prepared: dict[str, Scalar] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    readings: dict[str, tuple[float, str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    console: str = ""


class _Stopped(Exception):
    """A step has failed: what comes after it makes no sense."""


def self_test(kind: str, tell: Callable[[str], None] = lambda step: None) -> Report:
    """Make, boot, measure and remove a tiny guest; whatever fails is in the report.

    ``tell`` hears the name of each step before it begins.

    Raises: Interrupted; EngineError where another run measures on this host.
    """
    report = Report(kind, versions={"vmvc": version("vmvc"), "python": platform.python_version()})
    report.versions |= {name: str(host.facts().get(name, "")) for name in ("kernel", "distribution")}
    worker = Worker()
    try:
        with measuring(wait=False), Signals().installed() as signals, tempfile.TemporaryDirectory() as folder:

            def tick() -> None:
                if signals.count:
                    raise Interrupted("interrupted", hint="vmvc clean removes what may be left")

            test = _Test(report, worker, tick, tell, Path(folder) / "console")
            with suppress(_Stopped):
                test.run()
    finally:
        worker.close()
    report.ok = all(step.ok for step in report.steps)
    return report


class _Test:
    def __init__(
        self,
        report: Report,
        worker: Worker,
        tick: Callable[[], None],
        tell: Callable[[str], None],
        console: Path,
    ) -> None:
        self._report = report
        self._worker = worker
        self._tick = tick
        self._tell = tell
        self._console = console

    def run(self) -> None:
        """Go through all steps.

        Raises: _Stopped.
        """
        report = self._report
        text = f"name: self-test\nbackends: [{report.backend}]\nmetrics: [{', '.join(METRICS)}]\n"
        with self._step("load"):
            loaded = loading.loads(text.encode(), "self-test", Path.cwd())
            backend, guest = loaded.bind(report.backend, {})
        with self._step("check"):
            report.findings += self._call("check", backend, timeout=CHECK_TIMEOUT)
            errors = [finding for finding in report.findings if finding.severity is Severity.ERROR]
            if errors:
                raise EngineError("; ".join(one.what for one in errors), hint=errors[0].remedy)
            report.facts = dict(self._call("describe", backend, timeout=CHECK_TIMEOUT))
        with self._step("prepare"):
            made: Preparation = self._call("prepare", backend, guest, timeout=PREPARE_TIMEOUT)
            report.prepared, report.findings = dict(made.facts), [*report.findings, *made.findings]
        tag = Tag(f"selftest-{secrets.token_hex(4)}", 1, owner.current())
        job = Job(tag, backend, guest, loaded.metrics, STEP_TIMEOUT, STOP_TIMEOUT, self._console)
        self._tell("trial")
        try:
            outcome: Outcome = self._call("trial", job, timeout=STEP_TIMEOUT)
        except Interrupted:
            self._remove(backend, tag, guest)
            raise
        except VmvcError as error:
            step = error.step if isinstance(error, WorkerDied) else self._worker.step.name
            outcome = Outcome(failure=(step, error))
        units = {f"{one.name}.{it.name}": it.unit for one in loaded.metrics for it in one.quantities}
        self._take(outcome, units)
        with self._step("remove"):
            self._remove(backend, tag, guest)
            left = self._call("leftovers", backend, timeout=CHECK_TIMEOUT)
            if any(one.run == tag.run for one, _ in left):
                raise EngineError(f"{tag.name} is still there", hint="vmvc clean")

    def _take(self, outcome: Outcome, units: dict[str, str]) -> None:
        """Write down what the life gave: a step for every instant that the trial itself makes."""
        report = self._report
        report.findings += outcome.findings
        report.readings = {
            (name := f"{metric}.{one.quantity}"): (one.value, units[name]) for metric, one in outcome.readings
        }
        report.absent = {f"{metric}.{one.quantity}": one.reason for metric, one in outcome.absent}
        events = outcome.events
        failed, error = outcome.failure if outcome.failure is not None else ("", None)
        spans = (
            ("create", "requested", "created"),
            ("start", "created", "started"),
            ("ready", "started", "ready"),
            ("stop", "stop_requested", "gone"),
        )
        for name, begin, end in spans:
            if name == failed:
                break
            if end in events and begin in events:
                report.steps.append(Step(name, True, (events[end].at - events[begin].at) / 1e9))
            elif name == "stop" and error is None:
                forced = next((one for one in outcome.findings if one.code == "stop.forced"), None)
                what, hint = (forced.what, forced.remedy) if forced is not None else ("it did not end", "")
                report.steps.append(Step(name, False, None, what, hint))
        if error is not None:
            report.steps.append(Step(failed, False, None, error.what, error.hint))
        if outcome.cleanup is not None:
            report.steps.append(Step("destroy", False, None, outcome.cleanup.what, outcome.cleanup.hint))
        if not all(step.ok for step in report.steps) and self._console.exists():
            report.console = self._console.read_bytes().decode(errors="replace")[-LAST_WORDS:]

    def _remove(self, backend: Backend, tag: Tag, guest: Guest) -> None:
        self._worker.call("destroy", backend, tag, guest, timeout=CHECK_TIMEOUT)

    def _call(self, verb: str, *arguments: Any, timeout: float) -> Any:
        return self._worker.call(verb, *arguments, timeout=timeout, tick=self._tick)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._tell(name)
        began = time.monotonic()
        try:
            yield
        except Interrupted:
            raise
        except VmvcError as error:
            self._report.steps.append(Step(name, False, time.monotonic() - began, error.what, error.hint))
            raise _Stopped from error
        self._report.steps.append(Step(name, True, time.monotonic() - began))
