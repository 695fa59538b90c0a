"""A loaded experiment -> a run's folder: check, sweep, prepare, run, write; and take a run up again.

Prints nothing: a watcher is told what happens.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from filelock import FileLock, Timeout

import vmvc
from vmvc import durable, host, journal, load, results
from vmvc.contract import Backend, Finding, Guest, Preparation, Severity, Tag
from vmvc.errors import EngineError, Interrupted, ResultsError, StorageError
from vmvc.journal import Journal
from vmvc.load import Loaded
from vmvc.plan import Condition, Plan, group_metrics
from vmvc.records import VERSION, QuantityRecord, ResumeRecord, RunRecord, Summary
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


def digest(source: bytes) -> str:
    """Return the SHA-256 that ties a journal to its experiment."""
    return hashlib.sha256(source).hexdigest()


def plan_of(loaded: Loaded, *, only: Sequence[str] = (), count: int | None = None) -> Plan:
    """Return the plan of an experiment; ``count`` overrides its number of measured trials."""
    settings = loaded.experiment.trials
    if count is not None:
        settings = settings.model_copy(update={"count": count})
    axes = {name: loaded.axes(name) for name in loaded.experiment.backends}
    loading = [metric.name for metric in loaded.metrics if metric.loads_guest]
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
            _write_inputs(loaded, plan, folder, run, findings, prepared, _describe(backends, worker))
        with Journal(path) as book:
            if resumed:
                wall = datetime.now(UTC).isoformat(timespec="seconds")
                book.append(ResumeRecord(wall=wall, boot=host.boot_id(), repaired_bytes=book.repaired))
            else:
                book.append(_head(loaded, plan, run))
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


def _stopper(signals: Signals) -> Any:
    def tick() -> None:
        if signals.count:
            raise Interrupted("interrupted before the first trial; nothing was measured")

    return tick


# --- what the folder says about the run -------------------------------------------------------------------


def _head(loaded: Loaded, plan: Plan, run: str) -> RunRecord:
    return RunRecord(
        version=VERSION,
        run=run,
        experiment_sha256=digest(loaded.source),
        name=loaded.experiment.name,
        seed=plan.settings.seed,
        count=plan.settings.count,
        trials=len(plan),
        axes=plan.axes,
        only=plan.only,
        quantities=tuple(
            QuantityRecord.of(metric.name, quantity)
            for metric in loaded.metrics
            for quantity in metric.quantities
        ),
        boot=host.boot_id(),
    )


def _write_inputs(
    loaded: Loaded,
    plan: Plan,
    folder: Path,
    run: str,
    findings: Sequence[Finding],
    prepared: Mapping[str, Preparation],
    backends: Mapping[str, Any],
) -> None:
    settings = plan.settings
    about = {
        "version": VERSION,
        "run": run,
        "vmvc": vmvc.__version__,
        "wall": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": str(loaded.folder.resolve()),
        "git": _git(loaded.folder),
        "experiment": loaded.experiment.model_dump(mode="json", by_alias=True, exclude_none=True),
        "plan": {
            "conditions": plan.condition_count,
            "trials": len(plan),
            "blocks": plan.blocks,
            "warmup": settings.warmup,
            "count": settings.count,
            "order": settings.order,
            "seed": settings.seed,
            "groups": plan.groups,
            "only": plan.only,
        },
        "host": dict(host.facts()),
        "findings": [asdict(finding) for finding in findings],
        "backends": backends,
        "metrics": {
            metric.name: metric.options.model_dump(mode="json", exclude_none=True)
            for metric in loaded.metrics
        },
        "conditions": {
            name: {"facts": dict(one.facts), "findings": [asdict(finding) for finding in one.findings]}
            for name, one in prepared.items()
        },
    }
    try:
        durable.write(folder / "experiment.yaml", loaded.source)
        durable.write(folder / "run.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}", hint="make room, or choose --results") from error


def _git(folder: Path) -> dict[str, object]:
    """Return commit and state of the checkout that holds the experiment; empty where there is none."""
    try:
        head = _git_says(folder, "rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(_git_says(folder, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git_says(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout.strip()


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
