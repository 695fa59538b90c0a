"""A loaded experiment -> a run's folder: check, sweep, prepare, run, write; and take a run up again.

Prints nothing: a watcher is told what happens.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vmvc import (
    attempts,
    checksums,
    claims_spoilers,
    host,
    journal,
    pagecache,
    preflight,
    results,
    run_folder,
    settling,
)
from vmvc.contract import Backend, Finding, Guest, MonotonicClock, Preparation, Severity
from vmvc.engines import CHECK_TIMEOUT, check, describe, prepare, selected, stopper, sweep
from vmvc.errors import CleanupError, Interrupted
from vmvc.journal import Journal
from vmvc.loading import Loaded
from vmvc.lock import measuring
from vmvc.manifest import head_of, write_inputs
from vmvc.needs import lacks
from vmvc.plan import Condition, Plan
from vmvc.planning import plan_of
from vmvc.records import FindingRecord
from vmvc.records_claims import VerdictRecord
from vmvc.records_journal import ResumeRecord, TrialRecord
from vmvc.records_summary import Summary
from vmvc.runner import Bind, Campaign, Runner
from vmvc.signals import Signals
from vmvc.status import posted
from vmvc.stopping import Stopping, rule_of
from vmvc.tuning import Tuned, tuned
from vmvc.watching import RunWatcher
from vmvc.worker import Worker


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has come to its end; ``stopped`` says why where that is not the end of its plan."""

    folder: Path
    summary: Summary
    verdicts: tuple[VerdictRecord, ...] = ()
    stopped: str = ""


def start(loaded: Loaded, plan: Plan, parent: Path, watcher: RunWatcher, *, wait: bool = False) -> Finished:
    """Run an experiment into a new folder ``parent/EXPERIMENT/RUN``.

    Raises: EngineError, ImageError, ResultsError, StorageError, CleanupError, Interrupted.
    """
    run = f"{datetime.now(UTC):%Y%m%dt%H%M%Sz}-{secrets.token_hex(2)}"
    folder = parent / loaded.experiment.name / run
    lock = measuring(wait, f"vmvc run {loaded.experiment.name}", _queued(watcher))
    with lock, Signals().installed() as signals, _tuned(loaded, plan, watcher) as about:
        run_folder.make(folder)
        try:
            with posted(folder, watcher, signals) as posting:
                return _run(loaded, plan, folder, run, posting, signals, about)
        except BaseException:
            if not (folder / "journal.jsonl").exists():
                run_folder.discard(folder)
            raise


def resume(folder: Path, watcher: RunWatcher, *, wait: bool = False) -> Finished:
    """Run the trials of a run that are not in its journal yet.

    Raises: ResultsError where the folder is not a run, is of another version, or its experiment was changed;
    else as ``start``.
    """
    head = journal.head(folder / "journal.jsonl")
    loaded = run_folder.reload(folder, head)
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
            _told(watcher, host.findings(None))
            check(selected(loaded, plan), worker, watcher, signals)
            return prepare(_binder(loaded, None), plan, worker, watcher, signals)
    finally:
        worker.close()


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
        lacking = _told(watcher, lacks(loaded, plan))
        path = folder / "journal.jsonl"
        resumed = path.exists()
        first = selected(loaded, plan)
        settled = settling.recorded(folder) if resumed else {}
        backends = {name: settling.holding(one, one, settled) for name, one in first.items()}
        findings = [
            *check(backends, worker, watcher, signals, _cold_findings(plan)),
            *_about_claims(loaded, plan, watcher),
            *lacking,
        ]
        if not resumed:
            settled = settling.decided(first, lambda one: worker.call("settled", one, timeout=CHECK_TIMEOUT))
            backends = {name: settling.holding(one, one, settled) for name, one in first.items()}
        sweep(list(backends.values()), worker, watcher)
        findings = [*about.findings, *_told(watcher, host.findings(before)), *findings]
        preflight.refuse(findings, require)
        bind = _binder(loaded, about.cpuset, lambda one: settling.holding(one, first[one.name], settled))
        prepared = prepare(bind, plan, worker, watcher, signals)
        findings = [one for one in findings if preflight.decision(one, require) != "wait"]
        findings += preflight.settle(
            require, host.findings, MonotonicClock(), waiting=watcher.waiting, tick=stopper(signals)
        )
        if not resumed:
            facts = describe(first, backends, worker, settled)
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
    return _told(watcher, claims_spoilers.findings(loaded.experiment.claims, units, plan.settings.most))


def _told(watcher: RunWatcher, found: Iterable[Finding]) -> list[Finding]:
    findings = list(found)
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


def _about_conditions(prepared: Mapping[str, Preparation]) -> Iterator[Finding]:
    """Yield what was found on conditions, each once, naming the first condition that it holds for."""
    seen: set[Finding] = set()
    for condition, one in prepared.items():
        for finding in one.findings:
            if finding not in seen:
                seen.add(finding)
                yield replace(finding, what=f"{condition}: {finding.what}")
