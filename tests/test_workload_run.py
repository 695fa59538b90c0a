"""Whole runs with workloads on the fake backend: what is recorded, told at plan time, and read again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import vmvc

EXPERIMENT = """\
name: works
backends:
  fake: {{options: {{state: {state}}}}}
metrics:
  one: {{kind: workload, iterations: 3, warmup: 2, rule: median, run: {{command: [echo, "5"], quantities: \
{{n: {{lines: {{}}, unit: MiB/s, better: higher}}}}}}}}
  two: {{kind: workload, iterations: 1, warmup: 0, run: {{command: [sleep, "0.05"]}}}}
trials: {{count: 6, warmup: 1, order: interleaved, timeout: 10s}}
claims:
  - {{id: fast, says: It is fast, metric: one.n, backend: fake, median: {{above: 4MiB/s}}}}
"""


@pytest.fixture
def ran(tmp_path: Path, experiment: Callable[[str], Path]) -> Path:
    said = vmvc("run", experiment(EXPERIMENT.format(state=tmp_path / "state")), cwd=tmp_path)
    assert said.code == 0, said.err
    assert "the median of one.n on fake is 5 MiB/s" in said.out
    (run,) = (tmp_path / "results" / "works").iterdir()
    return run


def test_iterations_are_nested_in_their_trials_and_never_pooled(ran: Path) -> None:
    with (ran / "iterations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["quantity"] == "n"]
    assert len(rows) == 7 * 5
    assert [row["discarded"] for row in rows[:5]] == ["true", "true", "false", "false", "false"]
    assert [row["iteration"] for row in rows[:5]] == ["1", "2", "3", "4", "5"]
    assert {(row["value"], row["unit"]) for row in rows} == {(str(5 * 2**20), "B/s")}
    summary = json.loads((ran / "summary.json").read_text())
    by_name = {(row["metric"], row["quantity"]): row for row in summary["rows"]}
    one, two = by_name["one", "n"], by_name["two", "wall"]
    assert (one["n"], one["iterations"], one["sd_within"], one["sd_between"]) == (6, 3, 0, 0)
    assert one["iterations_best"] == 1
    assert "sd_within" not in two, "one iteration has no spread of its own"
    assert 0.05 <= two["median"] < 1
    with (ran / "measurements.csv").open() as file:
        assert len([row for row in csv.DictReader(file) if row["quantity"] == "n"]) == 7


def test_the_run_records_the_kind_and_every_option(ran: Path) -> None:
    head: dict[str, Any] = json.loads((ran / "journal.jsonl").read_text().splitlines()[0])
    assert head["options"]["one"]["kind"] == "workload"
    assert head["options"]["one"]["run"]["command"] == ["echo", "5"]
    assert head["isolation"] == {"fake": "none"}
    told = {(one["metric"], one["quantity"]): one for one in head["quantities"]}
    assert (told["one", "n"]["rule"], told["one", "n"]["host_best"]) == ("median", True)


def test_derived_files_are_made_again_byte_for_byte_and_fit_their_schemas(ran: Path, tmp_path: Path) -> None:
    names = ("iterations.csv", "summary.csv", "summary.json", "measurements.csv")
    before = [(ran / name).read_bytes() for name in names]
    for name in names:
        (ran / name).unlink()
    assert vmvc("show", ran, "--rebuild", cwd=tmp_path).code == 0
    assert [(ran / name).read_bytes() for name in names] == before
    said = vmvc("validate", ran, cwd=tmp_path)
    assert said.code == 0, said.err


def test_a_workload_that_fails_is_a_failed_trial_with_its_place(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    text = EXPERIMENT.format(state=tmp_path / "state").replace('echo, "5"', "echo, soon")
    said = vmvc("run", experiment(text), cwd=tmp_path)
    assert said.code == 1
    (run,) = (tmp_path / "results" / "works").iterdir()
    trials = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()[1:]]
    failed = [one for one in trials if one["metrics"] == ["one"]]
    assert {one["failure"]["reason"] for one in failed} == {
        "warm-up 1: n: stdout:1: expected a number, got 'soon'"
    }
    assert not any(one.get("readings") for one in failed)
    assert {one["outcome"] for one in trials if one["metrics"] == ["two"]} == {"measured"}


@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_the_image_lacks_is_told_before_the_first_trial(
    command: str, tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    path = experiment(
        "name: lacks\nbackends: [fake]\nmetrics:\n  disk-load: {kind: workload, use: fio-seqread}\n"
    )
    said = vmvc(command, path, cwd=tmp_path)
    assert said.code == 2
    assert "metrics.disk-load: the image of base tiny lacks the package fio" in said.err
    assert "give the image base: debian:bookworm and packages: [fio]" in said.err


def test_ready_made_workloads_are_listed_with_what_they_give(tmp_path: Path) -> None:
    said = vmvc("list", "metrics", cwd=tmp_path)
    assert "workload fio-randread.iops" in said.out
    assert "workload sysbench-cpu.exec_cost" in said.out
