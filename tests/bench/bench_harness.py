"""What the harness costs: memory over 10,000 trials, and wall time beyond what the engine itself took."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil

from tests.command import VMVC
from vmvc import loading
from vmvc.cli.progress import Quiet
from vmvc.cli.text import write
from vmvc.execution import start
from vmvc.plan import Plan
from vmvc.planning import plan_of
from vmvc.records_journal import TrialRecord
from vmvc.units import show_seconds

MEGABYTE = 10**6


def bench_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(
        "name: many\nbackends: [fake]\nmetrics: [startup, shutdown]\ntrials: {count: 10000, warmup: 0}\n"
    )
    rows: list[list[str]] = []
    peak = 0
    begun = time.perf_counter()
    with subprocess.Popen([VMVC, "run", path, "--quiet"], cwd=tmp_path) as running:
        process = psutil.Process(running.pid)
        marks = [100, 1000, 2500, 5000, 7500, 9900]
        while running.poll() is None and marks:
            journals = list(tmp_path.glob("results/many/*/journal.jsonl"))
            done = _lines(journals[0]) - 1 if journals else 0
            resident = process.memory_info().rss
            peak = max(peak, resident)
            if done >= marks[0]:
                worker = sum(child.memory_info().rss for child in process.children())
                rows.append([f"{done:,}", f"{resident / MEGABYTE:.1f} MB", f"{worker / MEGABYTE:.1f} MB"])
                marks.pop(0)
            time.sleep(0.2)
        running.wait()
    each = (time.perf_counter() - begun) / 10_000
    print()
    write(["after trials", "resident: parent", "resident: process that runs trials"], rows)
    print(f"{show_seconds(each)} a trial; promise: flat, under 60 MB")


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


class Stopwatch(Quiet):
    """Notes when the first trial began and when the last one ended."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.last = 0.0

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        self.first = time.perf_counter()

    def ended(self, record: TrialRecord) -> None:
        self.last = time.perf_counter()


def bench_a_campaign_costs_little_beyond_its_engine(tmp_path: Path) -> None:
    text = (
        "name: paced\nbackends:\n"
        "  fake: {options: {create: 100ms, start: 100ms, ready: 600ms, stop: 200ms}}\n"
        "metrics: [startup, shutdown]\ntrials: {count: 20, warmup: 0}\n"
    )
    loaded = loading.loads(text.encode(), "paced.yaml", tmp_path)
    watch = Stopwatch()
    start(loaded, plan_of(loaded), tmp_path, watch)
    wall, engine = watch.last - watch.first, 20 * 1.0
    print()
    write(
        ["campaign", "wall time", "engine's own time", "ratio", "promise"],
        [["20 trials", show_seconds(wall), show_seconds(engine), f"{wall / engine:.4f}", "at most 1.03"]],
    )
