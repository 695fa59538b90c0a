"""A few words -> a run's folder with a journal as vmvc writes it, without any engine."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vmvc import journal, registry
from vmvc.manifest import digest
from vmvc.plan import Plan, group_metrics
from vmvc.records import FindingRecord
from vmvc.records_journal import (
    EventRecord,
    Failure,
    QuantityRecord,
    ReadingRecord,
    RunRecord,
    SeriesRecord,
    TrialRecord,
    UntilRecord,
)
from vmvc.spec import Trials
from vmvc.spec_claims import Claim

METRICS = ("startup", "shutdown", "memory", "disk")
SPEED = {"process": 0.01, "docker": 0.25, "kvm": 2.5}
WORK = (
    QuantityRecord(metric="encode", quantity="frames", unit="1", better="higher", says="Frames encoded."),
    QuantityRecord(metric="encode", quantity="latency", unit="s", better="lower", says="Time of one frame."),
    QuantityRecord(metric="encode", quantity="size", unit="B", better="neutral", says="Bytes of the result."),
)
"""Quantities of a workload of one's own."""
SOURCE = """\
name: made
# made for a test
backends: {process: {}, docker: {}, kvm: {kind: libvirt}}
metrics: [startup]
"""
MIB = 2**20
CLAIMS: tuple[Mapping[str, Any], ...] = (
    {
        "id": "slow",
        "says": "The VM needs ten times as long as the host",
        "metric": "startup.ready",
        "ratio": {"of": "kvm", "to": "process", "above": 10.0},
    },
    {
        "id": "fast",
        "says": "A container answers within 10 ms",
        "metric": "startup.ready",
        "backend": "docker",
        "median": {"below": 0.01},
    },
    {
        "id": "close",
        "says": "A container answers in 268 ms",
        "metric": "startup.ready",
        "backend": "docker",
        "median": {"between": (0.268, 0.269)},
    },
)
"""One claim that is supported, one that is refuted, one that stays open."""


def quantities(metrics: Sequence[str] = METRICS) -> tuple[QuantityRecord, ...]:
    """Return what the metrics declare, but for the time to have an image again: here it is there."""
    return tuple(
        QuantityRecord.of(name, one)
        for name in metrics
        for one in registry.metric_class(name).quantities
        if (name, one.name) != ("startup", "image")
    )


def make(
    folder: Path,
    *,
    backends: Sequence[str] = ("process", "docker", "kvm"),
    levels: Sequence[str] = (),
    count: int = 8,
    warmup: int = 1,
    until: int | None = None,
    failing: Mapping[int, str] | None = None,
    title: str = "What a machine costs",
    source: str = SOURCE,
    console: str = "booting\nready\n",
    findings: Sequence[FindingRecord] = (),
    about: Mapping[str, Any] | None = None,
    claims: Sequence[Mapping[str, Any]] = (),
    retried: Mapping[int, str] | None = None,
    rule: UntilRecord | None = None,
    without: str = "",
    metrics: Sequence[str] = METRICS,
    work: Sequence[QuantityRecord] = (),
    events: Mapping[str, float] | None = None,
) -> Path:
    """Write a run.

    ``until``: trials that are recorded; ``failing``: trial -> reason of its failure; ``retried``: the same,
    but its second attempt succeeds; ``rule``: the stop rule;
    ``without``: a quantity that has no values; ``work``: quantities besides those of ``metrics``; ``events``:
    events besides the usual ones -> share of the time to ready.
    """
    axes = {name: {"guest.memory": tuple(levels)} if levels else {} for name in backends}
    settings = Trials(count=count, warmup=warmup, seed=7)
    names = (*metrics, *dict.fromkeys(one.metric for one in work))
    declared = (*quantities(metrics), *work)
    plan = Plan(axes, group_metrics(names, ()), settings)
    (folder / "logs").mkdir(parents=True)
    (folder / "experiment.yaml").write_text(source)
    head = RunRecord(
        version=1,
        run="20261124t120000z-0001",
        experiment_sha256=digest(source.encode()),
        name="made",
        seed=7,
        count=count,
        until=rule,
        trials=len(plan),
        axes=axes,
        only=(),
        quantities=declared,
        findings=tuple(findings),
        claims=tuple(Claim.model_validate(one) for one in claims),
        baseline=backends[0],
    )
    (folder / "run.json").write_text(json.dumps(run_json(plan, title, backends) | dict(about or {})))
    chance = random.Random(7)

    def made(trial: Any, reason: str | None, attempt: int = 1) -> TrialRecord:
        return _trial(trial, chance, reason, attempt, names, declared, events or {})

    records: list[RunRecord | TrialRecord] = [head]
    for trial in plan:
        if until is not None and trial.number > until:
            break
        first = (retried or {}).get(trial.number)
        if first is not None:
            records.append(made(trial, first))
        reason = (failing or {}).get(trial.number)
        record = made(trial, reason, 1 if first is None else 2)
        kept = tuple(one for one in record.readings if f"{one.metric}.{one.quantity}" != without)
        records.append(record.model_copy(update={"readings": kept}))
        if console:
            (folder / "logs" / f"trial-{trial.number}.console").write_text(console)
    check = b""
    with (folder / "journal.jsonl").open("wb") as file:
        for one in records:
            line, check = journal.line_of(one, check)
            file.write(line)
    return folder


def run_json(plan: Plan, title: str, backends: Sequence[str]) -> dict[str, Any]:
    settings = plan.settings
    facts: Mapping[str, Mapping[str, object]] = {
        "docker": {"version": "27.1", "runtime": "runc", "runtime_version": "1.1", "cgroup_version": "2"},
        "kvm": {"qemu_version": "9.0", "libvirt_version": "10.0", "accelerator": "tcg", "emulated": True},
    }
    kinds = {"process": ("process", "none"), "docker": ("docker", "container"), "kvm": ("libvirt", "vm")}
    return {
        "version": 1,
        "run": "20261124t120000z-0001",
        "vmvc": "0.1.0",
        "wall": "2026-11-24T12:00:00+00:00",
        "folder": "/nowhere",
        "git": {"commit": "abc123", "dirty": True},
        "experiment": {
            "title": title,
            "images": {"web": {"base": "debian:bookworm", "packages": ["nginx-light"]}},
            "guest": {"image": "web", "cpus": 1, "memory": "512MiB", "ready": {"http": {"port": 80}}},
            "backends": {name: {"options": {}, "guest": {}} for name in backends},
            "trials": {"timeout": "3m"},
            "claims": [],
        },
        "plan": {"warmup": settings.warmup, "order": settings.order},
        "host": {
            "kernel": "Linux 6.1", "distribution": "Debian", "cpu": "A CPU", "threads": 8, "memory": 2**34,
        },
        "backends": {
            name: {
                "kind": kinds.get(name, ("fake", "none"))[0],
                "isolation": kinds.get(name, ("fake", "none"))[1],
                "options": {},
                "facts": facts.get(name, {}),
            }
            for name in backends
        },
        "metrics": {"memory": {"settle": "1s"}},
        "conditions": {},
    }  # fmt: skip


def _trial(
    trial: Any,
    chance: random.Random,
    reason: str | None,
    attempt: int = 1,
    metrics: tuple[str, ...] = METRICS,
    declared: Sequence[QuantityRecord] = (),
    more: Mapping[str, float] | None = None,
) -> TrialRecord:
    backend = trial.condition.backend
    speed = SPEED.get(backend, 1.0) * chance.uniform(0.9, 1.3)
    begin = trial.number * 10**10
    shares = {"requested": 0.0, "created": 0.1, "started": 0.4, "console": 0.7, **(more or {}), "ready": 1.0}
    events = {
        name: EventRecord(at_ns=begin + round(speed * share * 1e9), resolution=0)
        for name, share in shares.items()
    }
    events["ready"] = events["ready"].model_copy(update={"resolution": 0.001})
    failure = None
    if reason is not None:
        failure = Failure(phase="ready", error="DeadlineExceeded", reason=reason, hint="wait longer")
        del events["ready"]
    return TrialRecord(
        trial=trial.number,
        attempt=attempt,
        block=trial.block,
        position=trial.position,
        warmup=trial.warmup,
        backend=backend,
        condition=trial.condition.id,
        factors=trial.condition.factors,
        metrics=metrics,
        instance=f"vmvc-made-{trial.number}",
        wall="2026-11-24T12:00:00.000+00:00",
        outcome="measured" if failure is None else "failed",
        failure=failure,
        events=events,
        readings=tuple(_readings(events, begin, speed, chance, declared)) if failure is None else (),
        series=(_fleet(speed, chance),) if "density" in metrics and failure is None else (),
        noise={"seconds": 1.5, "context_switches": 100.0},
    )


def _readings(
    events: Mapping[str, EventRecord],
    begin: int,
    speed: float,
    chance: random.Random,
    declared: Sequence[QuantityRecord],
) -> list[ReadingRecord]:
    found = []
    for one in declared:
        if one.metric == "startup" and one.quantity not in events:
            continue
        if one.metric == "startup":
            value, resolution = (events[one.quantity].at_ns - begin) / 1e9, 0.001
        elif one.metric == "shutdown":
            value, resolution = speed / 3, 0.0
        elif one.metric == "isolation":
            value, resolution = float(speed > 0.1), 0.0
        elif one.metric == "density":
            ends = {"slope_low": 0.9, "slope_high": 1.1}
            share = next((ends[end] for end in ends if one.quantity.endswith(end)), 1.0)
            value, resolution = float(round(speed * 16 * MIB * share)), 0.0
        elif one.better == "higher":
            value, resolution = 1000 / (1 + speed) * chance.uniform(0.98, 1.02), 0.0
        elif one.unit == "s":
            value, resolution = speed * chance.uniform(0.9, 1.1), 0.0
        else:
            value, resolution = float(round(speed * 64 * MIB * chance.uniform(0.95, 1.05))), 0.0
        found.append(
            ReadingRecord(
                metric=one.metric, quantity=one.quantity, value=value, unit=one.unit, resolution=resolution
            )
        )
    return found


def _fleet(speed: float, chance: random.Random) -> SeriesRecord:
    """Return what density leaves of a fleet of five: each takes 16 MiB times its backend's speed."""
    rows = tuple(
        {
            "instance": float(number),
            "ready": speed * chance.uniform(0.9, 1.2),
            "available": float(round(2**33 - speed * 16 * MIB * (number + chance.uniform(-0.1, 0.1)))),
        }
        for number in range(1, 6)
    )
    return SeriesRecord(
        metric="density", columns={"instance": "1", "ready": "s", "available": "B"}, rows=rows
    )
