"""Backends and guests -> what their engines say and make before the first trial, through the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from vmvc import existing, settling
from vmvc.contract import Backend, Finding, Guest, Preparation, Severity, Tag
from vmvc.errors import EngineError, Interrupted, Unavailable
from vmvc.loading import Loaded
from vmvc.plan import Condition, Plan
from vmvc.runner import Bind
from vmvc.signals import Signals
from vmvc.watching import RunWatcher
from vmvc.worker import Worker

CHECK_TIMEOUT: Final = 60.0
"""Seconds that an engine may take to answer one question."""
PREPARE_TIMEOUT: Final = 3600.0
"""Seconds to pull, build or convert one image."""


def selected(loaded: Loaded, plan: Plan) -> dict[str, Backend]:
    """Return one backend object per selected backend, at its first condition."""
    chosen: dict[str, Backend] = {}
    for condition in plan.conditions:
        if condition.backend not in chosen:
            chosen[condition.backend] = loaded.bind(condition.backend, condition.factors)[0]
    return chosen


def check(
    backends: Mapping[str, Backend],
    worker: Worker,
    watcher: RunWatcher,
    signals: Signals,
    more: Sequence[Finding] = (),
) -> list[Finding]:
    """Ask the engines whether a run makes sense here.

    Raises: EngineError naming every engine that cannot be used.
    """
    findings = list(more)
    for name, backend in backends.items():
        watcher.checking(name)
        found: Sequence[Finding] = worker.call("check", backend, timeout=CHECK_TIMEOUT, tick=stopper(signals))
        findings += [replace(finding, what=f"{name}: {finding.what}") for finding in found]
    for finding in findings:
        watcher.found(finding)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise EngineError(
            "\n".join(f"{finding.what}\n  hint: {finding.remedy}" for finding in errors),
            hint="vmvc doctor shows what works here; --only leaves a backend out",
        )
    return findings


def describe(
    first: Mapping[str, Backend], backends: Mapping[str, Backend], worker: Worker, settled: settling.Settled
) -> dict[str, Any]:
    """Return what run.json keeps of each backend: its kind, options, what was settled, and facts."""
    return {
        name: {
            "kind": backend.kind,
            "isolation": backend.isolated_by().value,
            "options": backend.options.model_dump(mode="json", exclude_none=True),
            "settled": dict(settled[name]),
            "facts": worker.call("describe", backends[name], timeout=CHECK_TIMEOUT),
        }
        for name, backend in first.items()
    }


def sweep(backends: Sequence[Backend], worker: Worker, watcher: RunWatcher) -> None:
    """Remove what dead runs left on these backends' engines.

    Raises: CleanupError.
    """
    for backend in backends:
        found: Sequence[tuple[Tag, bool]] = worker.call("leftovers", backend, timeout=CHECK_TIMEOUT)
        tags = [tag for tag, alive in found if not alive]
        if tags:
            for tag in worker.call("sweep", backend, tags, timeout=CHECK_TIMEOUT * 5):
                watcher.swept(tag)


def prepare(
    bind: Bind, plan: Plan, worker: Worker, watcher: RunWatcher, signals: Signals
) -> dict[str, Preparation]:
    """Prepare every condition's guest before the first trial, so that nothing slow or wrong comes later."""
    prepared: dict[str, Preparation] = {}
    known: dict[str, Preparation] = {}
    renewed: set[str] = set()
    for number, condition in enumerate(plan.conditions):
        watcher.preparing(condition, number, plan.condition_count)
        backend, guest = bind(condition)
        key = repr((backend.name, backend.options, guest))
        if key not in known:
            known[key] = worker.call(
                "prepare", backend, guest, timeout=PREPARE_TIMEOUT, tick=stopper(signals)
            )
            if guest.machine is not None:
                found = (*existing.findings(guest), *known[key].findings)
                known[key] = replace(known[key], findings=found)
            for finding in known[key].findings:
                watcher.found(replace(finding, what=f"{condition.id}: {finding.what}"))
        prepared[condition.id] = known[key]
        if plan.absent(condition) and key not in renewed:
            renewed.add(key)
            _renew(backend, guest, condition, worker, signals)
    return prepared


def _renew(backend: Backend, guest: Guest, condition: Condition, worker: Worker, signals: Signals) -> None:
    """Let the image be removed and made once, before the first trial.

    Raises: EngineError where this backend cannot do that with this image.
    """
    try:
        worker.call("renew", backend, guest, timeout=PREPARE_TIMEOUT, tick=stopper(signals))
    except Unavailable as error:
        raise EngineError(
            f"{condition.id}: trials.image: absent is not possible: {error.what}",
            hint=error.hint or "leave trials.image out for this backend",
        ) from error


def stopper(signals: Signals) -> Callable[[], None]:
    """Return what to call while something lasts: it raises Interrupted once somebody asks to stop."""

    def tick() -> None:
        signals.answer()
        if signals.count:
            raise Interrupted("interrupted before the first trial; nothing was measured")

    return tick
