"""A loaded experiment -> a run's folder: check, sweep, prepare, run, write; and take a run up again.

Prints nothing: a watcher is told what happens.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from filelock import FileLock, Timeout

from vmvc import host, journal, load, results
from vmvc.contract import Backend, Finding, Guest, Observes, Preparation, Severity, Tag
from vmvc.errors import EngineError, Interrupted, ResultsError
from vmvc.journal import Journal
from vmvc.load import Loaded
from vmvc.manifest import digest, head_of, write_inputs
from vmvc.plan import Condition, Plan, group_metrics
from vmvc.records import ResumeRecord, RunRecord, Summary
from vmvc.runner import Campaign, Runner, Signals, Watcher
from vmvc.worker import Worker

CHECK_TIMEOUT: Final = 60.0
PREPARE_TIMEOUT: Final = 3600.0


class RunWatcher(Watcher, Protocol):
    """A watcher of a whole run."""

    def checking(self, backend: str) -> None: ...
    def found(self, finding: Finding) -> None: ...
    def swept(self, tag: Tag) -> None: ...
    def opened(self, folder: Path, plan: Plan, done: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has come to its end; ``failed`` counts trials, warm-ups included."""

    folder: Path
    summary: Summary


def plan_of(loaded: Loaded, *, only: Sequence[str] = (), count: int | None = None) -> Plan:
    """Return the plan of an experiment; ``count`` overrides its number of measured trials."""
    settings = loaded.experiment.trials
    if count is not None:
        settings = settings.model_copy(update={"count": count})
    axes = {name: loaded.axes(name) for name in loaded.experiment.backends}
    loading = [
        metric.name for metric in loaded.metrics if metric.loads_guest or metric.observes is Observes.FLEET
    ]
    groups = group_metrics([metric.name for metric in loaded.metrics], loading)
    return Plan(axes, groups, settings, tuple(only))


def start(loaded: Loaded, plan: Plan, parent: Path, watcher: RunWatcher, *, wait: bool = False) -> Finished:
    """Run an experiment into a new folder ``parent/EXPERIMENT/RUN``.

    Raises: EngineError, ImageError, ResultsError, StorageError, CleanupError, Interrupted.
    """
    run = f"{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{secrets.token_hex(2)}"
    folder = parent / loaded.experiment.name / run
    with _measuring(wait), Signals().installed() as signals:
        _make(folder)
        try:
            return _run(loaded, plan, folder, run, watcher, signals)
        except BaseException:
            if not (folder / "journal.jsonl").exists():
                _discard(folder)
            raise


def resume(folder: Path, watcher: RunWatcher, *, wait: bool = False) -> Finished:
    """Run the trials of a run that are not in its journal yet.

    Raises: ResultsError where the folder is not a run, is of another version, or its experiment was changed;
    else as ``start``.
    """
    head = journal.head(folder / "journal.jsonl")
    loaded = _reload(folder, head)
    plan = plan_of(loaded, only=head.only, count=head.count)
    with _measuring(wait), Signals().installed() as signals:
        return _run(loaded, plan, folder, head.run, watcher, signals)


def prepare_only(loaded: Loaded, plan: Plan, watcher: RunWatcher) -> dict[str, Preparation]:
    """Check the engines and prepare every guest, as a run would, and stop there.

    Raises: EngineError, ImageError, InputError, Interrupted.
    """
    worker = Worker()
    try:
        with Signals().installed() as signals:
            _check(_backends(loaded, plan), worker, watcher, signals)
            return _prepare(loaded, plan, worker, watcher, signals)
    finally:
        worker.close()


def _reload(folder: Path, head: RunRecord) -> Loaded:
    try:
        source = (folder / "experiment.yaml").read_bytes()
        anchor = Path(json.loads((folder / "run.json").read_bytes())["folder"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{folder}: experiment.yaml or run.json cannot be read: {error}",
            hint="restore the folder from a copy, or start the experiment again",
        ) from error
    if digest(source) != head.experiment_sha256:
        raise ResultsError(
            f"{folder / 'experiment.yaml'}: changed since the run was started",
            hint="put the original back, or start a new run of the changed file",
        )
    return load.loads(source, str(folder / "experiment.yaml"), anchor)


def _run(
    loaded: Loaded, plan: Plan, folder: Path, run: str, watcher: RunWatcher, signals: Signals
) -> Finished:
    worker = Worker(folder / "logs" / "worker.log")
    try:
        backends = _backends(loaded, plan)
        findings = _check(backends, worker, watcher, signals)
        sweep(list(backends.values()), worker, watcher)
        prepared = _prepare(loaded, plan, worker, watcher, signals)
        path = folder / "journal.jsonl"
        resumed = path.exists()
        if not resumed:
            write_inputs(loaded, plan, folder, run, findings, prepared, _describe(backends, worker))
        with Journal(path) as book:
            if resumed:
                wall = datetime.now(UTC).isoformat(timespec="seconds")
                book.append(ResumeRecord(wall=wall, boot=host.boot_id(), repaired_bytes=book.repaired))
            else:
                book.append(head_of(loaded, plan, run, [*findings, *_about_conditions(prepared)]))
            done = {trial.trial for trial in results.trials_of(path)}
            watcher.opened(folder, plan, len(done))
            campaign = Campaign(run, plan, _binder(loaded), loaded.metrics, folder / "logs")
            try:
                Runner(campaign, worker, watcher, signals).run(book, done)
            except Interrupted as stop:
                results.rebuild(folder)
                raise Interrupted(stop.what, hint=f"vmvc run --resume {folder}") from None
        return Finished(folder, results.rebuild(folder))
    finally:
        worker.close()


def _binder(loaded: Loaded) -> Any:
    def bind(condition: Condition) -> tuple[Backend, Guest]:
        return loaded.bind(condition.backend, condition.factors)

    return bind


def _backends(loaded: Loaded, plan: Plan) -> dict[str, Backend]:
    """Return one backend object per selected backend, at its first condition."""
    chosen: dict[str, Backend] = {}
    for condition in plan.conditions:
        if condition.backend not in chosen:
            chosen[condition.backend] = loaded.bind(condition.backend, condition.factors)[0]
    return chosen


def _check(
    backends: Mapping[str, Backend], worker: Worker, watcher: RunWatcher, signals: Signals
) -> list[Finding]:
    """Ask host and engines whether a run makes sense here.

    Raises: EngineError naming every engine that cannot be used.
    """
    findings = list(host.findings())
    for name, backend in backends.items():
        watcher.checking(name)
        found: Sequence[Finding] = worker.call(
            "check", backend, timeout=CHECK_TIMEOUT, tick=_stopper(signals)
        )
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


def _describe(backends: Mapping[str, Backend], worker: Worker) -> dict[str, Any]:
    return {
        name: {
            "kind": backend.kind,
            "isolation": backend.isolation.value,
            "options": backend.options.model_dump(mode="json", exclude_none=True),
            "facts": worker.call("describe", backend, timeout=CHECK_TIMEOUT),
        }
        for name, backend in backends.items()
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


def _prepare(
    loaded: Loaded, plan: Plan, worker: Worker, watcher: RunWatcher, signals: Signals
) -> dict[str, Preparation]:
    """Prepare every condition's guest before the first trial, so that nothing slow or wrong comes later."""
    prepared: dict[str, Preparation] = {}
    known: dict[str, Preparation] = {}
    for number, condition in enumerate(plan.conditions):
        watcher.preparing(condition, number, plan.condition_count)
        backend, guest = loaded.bind(condition.backend, condition.factors)
        key = repr((backend.name, backend.options, guest))
        if key not in known:
            known[key] = worker.call(
                "prepare", backend, guest, timeout=PREPARE_TIMEOUT, tick=_stopper(signals)
            )
            for finding in known[key].findings:
                watcher.found(replace(finding, what=f"{condition.id}: {finding.what}"))
        prepared[condition.id] = known[key]
    return prepared


def _about_conditions(prepared: Mapping[str, Preparation]) -> Iterator[Finding]:
    """Yield what was found on conditions, each once, naming the first condition that it holds for."""
    seen: set[Finding] = set()
    for condition, one in prepared.items():
        for finding in one.findings:
            if finding not in seen:
                seen.add(finding)
                yield replace(finding, what=f"{condition}: {finding.what}")


def _stopper(signals: Signals) -> Any:
    def tick() -> None:
        if signals.count:
            raise Interrupted("interrupted before the first trial; nothing was measured")

    return tick


# --- the folder and the lock ------------------------------------------------------------------------------


def _make(folder: Path) -> None:
    try:
        (folder / "logs").mkdir(parents=True)
    except OSError as error:
        raise ResultsError(
            f"{error.filename or folder}: the results folder cannot be written: {error.strerror}",
            hint="choose another folder with --results",
        ) from error


def _discard(folder: Path) -> None:
    """Remove the folder of a run that never began, unless the worker left words in it."""
    log = folder / "logs" / "worker.log"
    if log.exists() and log.stat().st_size:
        return
    for path in (log, folder / "run.json", folder / "experiment.yaml"):
        path.unlink(missing_ok=True)
    (folder / "logs").rmdir()
    folder.rmdir()


@contextmanager
def _measuring(wait: bool) -> Iterator[None]:
    """Hold the host's lock, so that two runs never measure at once.

    Raises: EngineError where another run measures and ``wait`` is false.
    """
    path = Path(os.environ.get("VMVC_LOCK") or Path(tempfile.gettempdir()) / "vmvc.lock")
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise EngineError(
            "another vmvc run measures on this host; two at once would spoil each other's numbers",
            hint="wait for it, or add --wait",
        ) from error
    except OSError as error:
        raise EngineError(
            f"{path}: {error.strerror}", hint="set VMVC_LOCK to a file you can write"
        ) from error
    try:
        yield
    finally:
        lock.release()
