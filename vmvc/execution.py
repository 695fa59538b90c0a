"""A loaded experiment -> a run's folder: check, sweep, prepare, run, write; and take a run up again.

Prints nothing: a watcher is told what happens.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vmvc import (
    attempts,
    checksums,
    claims_spoilers,
    existing,
    host,
    journal,
    loading,
    pagecache,
    preflight,
    results,
    settling,
)
from vmvc.contract import Backend, Finding, Guest, MonotonicClock, Observes, Preparation, Severity, Tag
from vmvc.errors import CleanupError, EngineError, Interrupted, ResultsError, Unavailable
from vmvc.journal import Journal
from vmvc.loading import Loaded
from vmvc.lock import measuring
from vmvc.manifest import digest, head_of, write_inputs
from vmvc.needs import lacks
from vmvc.plan import Condition, Plan, group_metrics
from vmvc.records import FindingRecord
from vmvc.records_claims import VerdictRecord
from vmvc.records_journal import ResumeRecord, RunRecord, TrialRecord
from vmvc.records_summary import Summary
from vmvc.runner import Bind, Campaign, Runner, Signals
from vmvc.status import posted
from vmvc.stopping import Stopping, rule_of
from vmvc.tuning import Tuned, tuned
from vmvc.watching import RunWatcher
from vmvc.worker import Worker

CHECK_TIMEOUT: Final = 60.0
PREPARE_TIMEOUT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has come to its end; ``stopped`` says why where that is not the end of its plan."""

    folder: Path
    summary: Summary
    verdicts: tuple[VerdictRecord, ...] = ()
    stopped: str = ""


def plan_of(loaded: Loaded, *, only: Sequence[str] = (), count: int | None = None) -> Plan:
    """Return the plan of an experiment; ``count`` overrides its number of measured trials or stop rule."""
    settings = loaded.experiment.trials
    if count is not None:
        settings = settings.model_copy(update={"count": count, "until": None})
    axes = {name: loaded.axes(name) for name in loaded.experiment.backends}
    loading = [
        metric.name for metric in loaded.metrics if metric.loads_guest or metric.observes is Observes.FLEET
    ]
    groups = group_metrics([metric.name for metric in loaded.metrics], loading)
    return Plan(axes, groups, settings, tuple(only), loaded.include, loaded.exclude)


def start(loaded: Loaded, plan: Plan, parent: Path, watcher: RunWatcher, *, wait: bool = False) -> Finished:
    """Run an experiment into a new folder ``parent/EXPERIMENT/RUN``.

    Raises: EngineError, ImageError, ResultsError, StorageError, CleanupError, Interrupted.
    """
    run = f"{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{secrets.token_hex(2)}"
    folder = parent / loaded.experiment.name / run
    lock = measuring(wait, f"vmvc run {loaded.experiment.name}", _queued(watcher))
    with lock, Signals().installed() as signals, _tuned(loaded, plan, watcher) as about:
        _make(folder)
        try:
            with posted(folder, watcher, signals) as posting:
                return _run(loaded, plan, folder, run, posting, signals, about)
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
    plan = plan_of(loaded, only=head.only, count=head.count if head.until is None else None)
    lock = measuring(wait, f"vmvc run --resume {folder}", _queued(watcher))
    with lock, Signals().installed() as signals, _tuned(loaded, plan, watcher) as about:
        checksums.forget(folder)
        with posted(folder, watcher, signals) as posting:
            return _run(loaded, plan, folder, head.run, posting, signals, about)


def _queued(watcher: RunWatcher) -> Callable[[str], None]:
    """Tell the watcher who measures while this run waits."""

    def tell(holder: str) -> None:
        watcher.found(Finding("host.lock", Severity.INFO, holder, "waiting until it is over"))

    return tell


def prepare_only(loaded: Loaded, plan: Plan, watcher: RunWatcher) -> dict[str, Preparation]:
    """Check the engines and prepare every guest, as a run would, and stop there.

    Raises: EngineError, ImageError, InputError, Interrupted.
    """
    worker = Worker()
    try:
        with Signals().installed() as signals:
            _host(watcher, None)
            _check(_backends(loaded, plan), worker, watcher, signals)
            return _prepare(_binder(loaded, None), plan, worker, watcher, signals)
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
    return loading.loads(source, str(folder / "experiment.yaml"), anchor, references=False)


def _run(
    loaded: Loaded,
    plan: Plan,
    folder: Path,
    run: str,
    watcher: RunWatcher,
    signals: Signals,
    about: Tuned,
) -> Finished:
    worker = Worker(folder / "logs" / "worker.log")
    require, before = loaded.experiment.require, host.noise()
    try:
        lacking = _lacking(loaded, plan, watcher)
        path = folder / "journal.jsonl"
        resumed = path.exists()
        first = _backends(loaded, plan)
        settled = settling.recorded(folder) if resumed else {}
        backends = {name: settling.holding(one, one, settled) for name, one in first.items()}
        findings = [
            *_check(backends, worker, watcher, signals, _cold_findings(plan)),
            *_about_claims(loaded, plan, watcher),
            *lacking,
        ]
        if not resumed:
            settled = settling.decided(first, lambda one: worker.call("settled", one, timeout=CHECK_TIMEOUT))
            backends = {name: settling.holding(one, one, settled) for name, one in first.items()}
        sweep(list(backends.values()), worker, watcher)
        findings = [*about.findings, *_host(watcher, before), *findings]
        preflight.refuse(findings, require)
        bind = _binder(loaded, about.cpuset, lambda one: settling.holding(one, first[one.name], settled))
        prepared = _prepare(bind, plan, worker, watcher, signals)
        findings = [one for one in findings if preflight.decision(one, require) != "wait"]
        findings += preflight.settle(
            require, host.findings, MonotonicClock(), waiting=watcher.waiting, tick=_stopper(signals)
        )
        if not resumed:
            facts = _describe(first, backends, worker, settled)
            write_inputs(loaded, plan, folder, run, findings, prepared, facts, about.settings)
        with Journal(path) as book:
            if resumed:
                wall = datetime.now(UTC).isoformat(timespec="seconds")
                found = tuple(FindingRecord.of(finding) for finding in findings)
                record = ResumeRecord(
                    wall=wall, boot=host.boot_id(), repaired_bytes=book.repaired, findings=found
                )
                book.append(record)
            else:
                written = (folder / "run.json").read_bytes()
                book.append(head_of(loaded, plan, run, [*findings, *_about_conditions(prepared)], written))
            done, tried = _past(path, plan.settings.retries)
            watcher.opened(folder, plan, len(done))
            stopping = _stopping(plan, path, book, done, watcher)
            campaign = Campaign(run, plan, bind, loaded.metrics, folder / "logs", about.disturbed)
            try:
                tally = Runner(campaign, worker, watcher, signals).run(book, done, tried, stopping)
            except Interrupted as stop:
                results.rebuild(folder)
                raise Interrupted(stop.what, hint=f"vmvc run --resume {folder}") from None
            except CleanupError as leak:
                results.rebuild(folder)
                raise CleanupError(leak.what, hint=f"{leak.hint}; then: vmvc run --resume {folder}") from leak
        summary = results.rebuild(folder)
        return Finished(folder, summary, results.verdicts_of(folder), _why_stopped(tally.stopped))
    finally:
        worker.close()


def _past(path: Path, retries: int) -> tuple[set[int], dict[int, int]]:
    """Return the trials that are done, and how often one was tried whose retries are not used up."""
    done, tried = set(), {}
    for trial in attempts.trials_of(path):
        if trial.outcome == "failed" and trial.attempt <= retries:
            tried[trial.trial] = trial.attempt
        else:
            done.add(trial.trial)
    return done, tried


def _stopping(
    plan: Plan, path: Path, book: Journal, done: Container[int], watcher: RunWatcher
) -> Stopping | None:
    """Follow the stop rule over what is done; write down a decision that a kill has kept from the journal."""
    rule = rule_of(plan.settings)
    if rule is None:
        return None
    stopping = Stopping(rule, len(plan.groups), attempts.stops_of(path))
    for trial in attempts.trials_of(path):
        if trial.trial in done and (stop := stopping.add(trial)) is not None:
            book.append(stop)
    for stop in stopping.stops:
        watcher.decided(stop)
    return stopping


def _why_stopped(trial: TrialRecord | None) -> str:
    if trial is None or trial.failure is None:
        return ""
    how = f"{trial.failure.phase}: {trial.failure.reason}"
    return f"trial {trial.trial} {trial.condition} failed in {how}; trials.on_failure is stop"


def _about_claims(loaded: Loaded, plan: Plan, watcher: RunWatcher) -> list[Finding]:
    units = {f"{metric.name}.{one.name}": one.unit for metric in loaded.metrics for one in metric.quantities}
    findings = list(claims_spoilers.findings(loaded.experiment.claims, units, plan.settings.most))
    for finding in findings:
        watcher.found(finding)
    return findings


def _lacking(loaded: Loaded, plan: Plan, watcher: RunWatcher) -> list[Finding]:
    findings = lacks(loaded, plan)
    for finding in findings:
        watcher.found(finding)
    return findings


def _tuned(loaded: Loaded, plan: Plan, watcher: RunWatcher) -> AbstractContextManager[Tuned]:
    """Tune the host as the experiment says; whatever an earlier run left tuned is put back first."""
    settings = loaded.experiment.tune
    conditions = plan.conditions if "cpus" in settings else ()
    most = max((loaded.bind(one.backend, one.factors)[1].cpus or 1 for one in conditions), default=1)
    return tuned(settings, cpus=most, tell=watcher.found)


def _as_it_is(backend: Backend) -> Backend:
    return backend


def _binder(
    loaded: Loaded, cpuset: tuple[int, ...] | None, settle: Callable[[Backend], Backend] = _as_it_is
) -> Bind:
    def bind(condition: Condition) -> tuple[Backend, Guest]:
        backend, guest = loaded.bind(condition.backend, condition.factors)
        return settle(backend), guest if cpuset is None else replace(guest, cpuset=cpuset)

    return bind


def _host(watcher: RunWatcher, since: host.Noise | None) -> list[Finding]:
    """Say what may spoil numbers on this host now; ``since``: an earlier look at its counters."""
    findings = host.findings(since)
    for finding in findings:
        watcher.found(finding)
    return findings


def _backends(loaded: Loaded, plan: Plan) -> dict[str, Backend]:
    """Return one backend object per selected backend, at its first condition."""
    chosen: dict[str, Backend] = {}
    for condition in plan.conditions:
        if condition.backend not in chosen:
            chosen[condition.backend] = loaded.bind(condition.backend, condition.factors)[0]
    return chosen


def _cold_findings(plan: Plan) -> list[Finding]:
    """Say what stands in the way of cold trials, and how cold they are; nothing where all are warm."""
    if not any(plan.cold(condition) for condition in plan.conditions):
        return []
    found = list(pagecache.findings(virtualised=host.facts().get("virtualised") is not False))
    if plan.mixed:
        found.append(
            Finding(
                "cache.rehearsed",
                Severity.INFO,
                "a life that nobody times comes before each warm trial, since cold ones empty the cache",
                "measure warm and cold in runs of their own where the time matters",
            )
        )
    return found


def _check(
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


def _describe(
    first: Mapping[str, Backend], backends: Mapping[str, Backend], worker: Worker, settled: settling.Settled
) -> dict[str, Any]:
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


def _prepare(
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
                "prepare", backend, guest, timeout=PREPARE_TIMEOUT, tick=_stopper(signals)
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
        worker.call("renew", backend, guest, timeout=PREPARE_TIMEOUT, tick=_stopper(signals))
    except Unavailable as error:
        raise EngineError(
            f"{condition.id}: trials.image: absent is not possible: {error.what}",
            hint=error.hint or "leave trials.image out for this backend",
        ) from error


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
        signals.answer()
        if signals.count:
            raise Interrupted("interrupted before the first trial; nothing was measured")

    return tick


# --- the folder -------------------------------------------------------------------------------------------


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
