"""How long a plan takes: by rule of thumb and what metrics wait for, then as it took before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vmvc import loading
from vmvc.estimate import estimate
from vmvc.journal import Journal
from vmvc.planning import plan_of
from vmvc.records_journal import RunRecord, TrialRecord

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)


def loaded(metrics: str) -> loading.Loaded:
    text = f"name: e\nbackends: [fake]\nmetrics: {metrics}\ntrials: {{count: 2, warmup: 1}}\n"
    return loading.loads(text.encode(), "e.yaml", Path())


def seconds(metrics: str, results: Path) -> float:
    of = loaded(metrics)
    return estimate(of, plan_of(of), results).seconds


def test_only_the_trial_of_the_metrics_that_wait_takes_longer(tmp_path: Path) -> None:
    assert seconds("{startup: {}}", tmp_path) == pytest.approx(3 * 0.3)
    assert seconds("{startup: {}, memory: {settle: 10s}}", tmp_path) == pytest.approx(3 * 10.3)


def test_a_fleet_takes_a_trial_of_its_own_and_a_life_a_burst(tmp_path: Path) -> None:
    fleet = "density: {instances: 21, concurrency: 4, settle: 2s, idle: 5s}"
    alone = 6 * 0.3 + 6 * 2 + 5
    assert seconds(f"{{{fleet}}}", tmp_path) == pytest.approx(3 * alone)
    assert seconds(f"{{startup: {{}}, {fleet}}}", tmp_path) == pytest.approx(3 * (0.3 + alone))


def test_an_earlier_run_tells_for_each_group_of_metrics(tmp_path: Path) -> None:
    run = tmp_path / "e" / "r1"
    run.mkdir(parents=True)
    with Journal(run / "journal.jsonl") as book:
        book.append(
            RunRecord(
                version=1,
                run="r1",
                experiment_sha256="0",
                name="e",
                seed=1,
                count=2,
                trials=6,
                axes={"fake": {}},
                only=(),
                quantities=(),
            )
        )
        at = BEGIN
        for number in range(1, 7):
            metrics = ("density",) if number % 2 == 0 else ("startup",)
            book.append(
                TrialRecord(
                    trial=number,
                    block=(number + 1) // 2,
                    position=1,
                    warmup=False,
                    backend="fake",
                    condition="fake",
                    factors={},
                    metrics=metrics,
                    instance=f"vmvc-r1-{number}",
                    wall=at.isoformat(),
                    outcome="measured",
                    events={},
                )
            )
            at += timedelta(seconds=60 if number % 2 == 0 else 1)
    assert seconds("{startup: {}, density: {}}", tmp_path) == pytest.approx(3 * 61)
    assert seconds("{startup: {}}", tmp_path) == pytest.approx(3)
