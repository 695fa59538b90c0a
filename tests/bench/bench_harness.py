"""What the harness costs: memory over 10,000 trials, and wall time beyond what the engine itself took."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from vmvc import load
from vmvc.cli.progress import Quiet
from vmvc.cli.text import write
from vmvc.plan import Plan
from vmvc.records import TrialRecord
from vmvc.run import plan_of, start
from vmvc.units import show_bytes, show_seconds


class Meter(Quiet):
    """Reads this process's memory now and then, and notes when the trials began and ended."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: dict[int, int] = {}
        self.from_ = self.until = 0.0

    def opened(self, folder: Path, plan: Plan, done: int) -> None:
        self.from_ = time.perf_counter()

    def ended(self, record: TrialRecord) -> None:
        self.until = time.perf_counter()
        if record.trial in (100, 1000, 2500, 5000, 10_000):
            self.memory[record.trial] = psutil.Process().memory_info().rss


def bench_memory_stays_flat(tmp_path: Path) -> None:
    text = "name: many\nbackends: [fake]\nmetrics: [startup, shutdown]\ntrials: {count: 10000, warmup: 0}\n"
    loaded = load.loads(text.encode(), "many.yaml", tmp_path)
    meter = Meter()
    start(loaded, plan_of(loaded), tmp_path, meter)
    rows = [[f"{trial:,}", show_bytes(rss)] for trial, rss in meter.memory.items()]
    each = (meter.until - meter.from_) / 10_000
    print()
    write(["after trials", "resident memory of the parent (pytest included)"], rows)
    print(f"{show_seconds(each)} a trial; promise: flat, under 60 MB without the test runner")


def bench_a_campaign_costs_little_beyond_its_engine(tmp_path: Path) -> None:
    text = (
        "name: paced\nbackends:\n"
        "  fake: {options: {create: 100ms, start: 100ms, ready: 600ms, stop: 200ms}}\n"
        "metrics: [startup, shutdown]\ntrials: {count: 20, warmup: 0}\n"
    )
    loaded = load.loads(text.encode(), "paced.yaml", tmp_path)
    meter = Meter()
    start(loaded, plan_of(loaded), tmp_path, meter)
    wall, engine = meter.until - meter.from_, 20 * 1.0
    print()
    write(
        ["campaign", "wall time", "engine's own time", "ratio", "promise"],
        [["20 trials", show_seconds(wall), show_seconds(engine), f"{wall / engine:.4f}", "at most 1.03"]],
    )
