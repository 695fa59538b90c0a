"""What a run is made of -> the first line of its journal, experiment.yaml and run.json."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vmvc
from vmvc import durable, host, reference
from vmvc.contract import Finding, Isolation, Preparation
from vmvc.errors import StorageError
from vmvc.loading import Loaded
from vmvc.plan import Plan
from vmvc.records import VERSION, FindingRecord
from vmvc.records_journal import QuantityRecord, ReferenceRecord, RunRecord, recorded_options
from vmvc.stopping import rule_of


def digest(source: bytes) -> str:
    """Return the SHA-256 that ties a journal to its experiment."""
    return hashlib.sha256(source).hexdigest()


def head_of(
    loaded: Loaded, plan: Plan, run: str, findings: Sequence[Finding], about: bytes = b""
) -> RunRecord:
    """Return the journal's first record; ``about``: what run.json holds, where there is one.

    Raises: ResultsError where a run that a claim refers to cannot be read any more.
    """
    return RunRecord(
        version=VERSION,
        run=run,
        experiment_sha256=digest(loaded.source),
        about_sha256=digest(about) if about else "",
        name=loaded.experiment.name,
        seed=plan.settings.seed,
        pause=plan.settings.pause,
        count=plan.settings.most,
        until=rule_of(plan.settings),
        trials=len(plan),
        axes=plan.axes,
        include=plan.include,
        exclude=plan.exclude,
        only=plan.only,
        quantities=tuple(
            QuantityRecord.of(metric.name, quantity)
            for metric in loaded.metrics
            for quantity in metric.quantities
        ),
        options=options_of(loaded),
        baseline=_baseline(loaded, plan),
        isolation={name: loaded.backends[name].isolation.value for name in plan.axes},
        findings=tuple(FindingRecord.of(finding) for finding in findings),
        boot=host.boot_id(),
        claims=loaded.experiment.claims,
        references=tuple(_references(loaded, plan)),
    )


def options_of(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """Return every metric's options, defaults written out: values under others are of another quantity."""
    return {metric.name: recorded_options(metric) for metric in loaded.metrics}


def _baseline(loaded: Loaded, plan: Plan) -> str:
    """Return the first backend of the plan without isolation, else its first."""
    names = dict.fromkeys(condition.backend for condition in plan.conditions)
    bare = (name for name in names if loaded.backends[name].isolation is Isolation.NONE)
    return next(bare, next(iter(names), ""))


def _references(loaded: Loaded, plan: Plan) -> Iterator[ReferenceRecord]:
    """Copy what claims refer to, so that verdicts stand on this run's journal alone."""
    for claim in loaded.experiment.claims:
        if claim.reference is not None:
            metric, _, quantity = claim.metric.partition(".")
            conditions = {
                one.id
                for one in plan.conditions
                if one.backend == claim.backend
                and all(one.factors.get(path) == level for path, level in claim.at.items())
            }
            folder = loaded.folder / claim.reference.run
            yield reference.read(folder, claim.id, metric, quantity, conditions)


def write_inputs(
    loaded: Loaded,
    plan: Plan,
    folder: Path,
    run: str,
    findings: Sequence[Finding],
    prepared: Mapping[str, Preparation],
    backends: Mapping[str, Any],
    tuned: Sequence[str] = (),
) -> None:
    """Write experiment.yaml and run.json; ``tuned``: settings of the host that the run has changed.

    Raises: StorageError.
    """
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
            "count": settings.most,
            "order": settings.order,
            "seed": settings.seed,
            "groups": plan.groups,
            "only": plan.only,
        },
        "host": {**host.facts(), "tuned": " ".join(tuned)},
        "findings": [asdict(finding) for finding in findings],
        "backends": backends,
        "metrics": options_of(loaded),
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
