"""A run killed at any instant and taken up again: every trial exactly once, nothing invented, lost or left.

An instant is just before or just after a call by which the command or its worker changes what others see
(``tests/killing``). By default some of them, spread over the whole run; ``VMVC_KILLS=all`` takes every one.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.command import VMVC, vmvc
from vmvc.audit import audit

EXPERIMENT = """\
name: killed
backends: {{fake: {{options: {{state: {state}, ready: 1ms, disk: {{allocated: 1MB}}}}}}}}
metrics: [startup, shutdown, disk]
trials: {{count: 2, warmup: 1, timeout: 5s, stop_timeout: 2s}}
claims: [{{id: quick, says: It is quick, metric: startup.ready, backend: fake, median: {{below: 1s}}}}]
"""
TRIALS = [1, 2, 3]
SOME = 12
"""Instants of each process that are tried by default."""


@dataclass(frozen=True)
class Site:
    """A folder with an experiment, where runs are killed."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Site:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "experiment.yaml").write_text(EXPERIMENT.format(state=folder / "state"))
        return cls(folder)

    def run(self, **killing: str) -> int:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).with_name("killing")),
            "VMVC_LOCK": str(self.folder / "lock"),
            "KILL_ONCE": str(self.folder / "killed"),
            **killing,
        }
        command = [VMVC, "run", "experiment.yaml", "--quiet"]
        return subprocess.run(command, cwd=self.folder, env=environment, timeout=120, check=False).returncode

    def take_up(self) -> None:
        environment = {**os.environ, "VMVC_LOCK": str(self.folder / "lock")}
        said = vmvc("run", "--resume", self.results, cwd=self.folder, env=environment)
        assert said.code in (0, 1), said.err

    @property
    def results(self) -> Path:
        (one,) = (self.folder / "results" / "killed").iterdir()
        return one

    @property
    def begun(self) -> bool:
        """Whether the journal holds its first record: before that, no trial can have been run."""
        return any(b"\n" in path.read_bytes() for path in self.folder.glob("results/killed/*/journal.jsonl"))

    def left(self) -> list[str]:
        """Name what should not be there: instances, temporary files, processes of this run."""
        found = [str(path) for path in (self.folder / "state").glob("*")]
        found += [str(path) for path in self.folder.glob("results/**/.*")]
        for process in psutil.process_iter(["cmdline"]):
            if "vmvc.worker" in (line := " ".join(process.info["cmdline"] or ())):
                try:
                    there = Path(process.cwd())
                except psutil.Error:
                    continue
                if there == self.folder:
                    found.append(line)
        return found


def instants(folder: Path) -> dict[str, int]:
    """Count the instants of a run that nobody kills, by process."""
    site, log = Site.at(folder), folder / "instants"
    assert site.run(KILL_LOG=str(log)) == 0
    return dict(Counter(line.partition(":")[0] for line in log.read_text().splitlines()))


def chosen(count: int) -> list[int]:
    """Return the instants to try: all of them, or some that are spread evenly from a random one on."""
    if os.environ.get("VMVC_KILLS") == "all":
        return list(range(1, count + 1))
    step = count / SOME
    first = random.SystemRandom().uniform(0, step)
    return [1 + int(first + step * number) for number in range(SOME)]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", ["parent", "worker"])
def test_killed_at_any_instant_and_taken_up_every_trial_is_there_once(tmp_path: Path, part: str) -> None:
    count = instants(tmp_path / "whole")[part]
    for number in chosen(count):
        site = Site.at(tmp_path / str(number))
        code = site.run(KILL_AT=f"{part}:{number}")
        about = f"KILL_AT={part}:{number} of {count}"
        if part == "parent":
            assert code in (0, -signal.SIGKILL), about  # Counts differ a little from run to run.
        if not site.begun:
            assert trials_there(site.folder) == [], about
            continue
        before = (site.results / "journal.jsonl").read_bytes()
        site.take_up()
        assert_exactly_once(site, before, about)


def trials_there(folder: Path) -> list[int]:
    return [
        line["trial"]
        for path in folder.glob("results/killed/*/journal.jsonl")
        for text in path.read_text().splitlines()
        if (line := json.loads(text))["record"] == "trial"
    ]


def assert_exactly_once(site: Site, before: bytes, about: str) -> None:
    journal = (site.results / "journal.jsonl").read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    assert journal.startswith(whole), f"{about}: a record was changed"
    assert sorted(trials_there(site.folder)) == TRIALS, about
    with (site.results / "measurements.csv").open() as file:
        rows = Counter((row["trial"], row["metric"], row["quantity"]) for row in csv.DictReader(file))
    assert set(rows.values()) == {1}, about
    summary = json.loads((site.results / "summary.json").read_text())
    failed = summary["failed"]
    assert (summary["trials"], summary["measured"]) == (3, 3 - failed), about
    assert len({trial for trial, _, _ in rows}) == 3 - failed, f"{about}: a failed trial has no readings"
    assert failed <= int(about.startswith("KILL_AT=worker")), f"{about}: a killed parent fails no trial"
    for name in ("summary.json", "summary.csv", "claims.json", "run.json"):
        assert (site.results / name).exists(), about
    assert list(audit(site.results)) == [], about
    assert site.left() == [], about
