"""All statistics of a million readings in 100 conditions, against polars reading their measurements.csv."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median

from vmvc.cli.text import write
from vmvc.units import show_bytes, show_seconds

CONDITIONS = 100
EACH = 10_000
ROUNDS = 5

STATISTICS = """
import sys, time, resource
from array import array
import numpy as np
from vmvc.comparisons import comparisons, trends
from vmvc.plan import Condition
from vmvc.records import QuantityRecord
from vmvc.rows import Cell, row_of

conditions, each = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.RandomState(1)
every = [Condition(number, "kvm" if number % 2 else "process", {"guest.cpus": number // 2 + 1})
         for number in range(conditions)]
ready = QuantityRecord(metric="startup", quantity="ready", unit="s", better="lower", says="Ready.")
blocks = array("q", range(each))
def values(number):
    return array("d", np.exp(0.1 * rng.standard_normal(each)) * (1 + number / 1000))
cells = {one.id: Cell(values(one.number), blocks, 0.001, each) for one in every}
def find(condition, quantity):
    return cells[condition.id]
for again in range(2):  # the first round imports SciPy
    begun = time.perf_counter()
    rows = [row_of(one, ready, cells[one.id], each) for one in every]
    compared = list(comparisons(every, [ready], find, "process", 1))
    followed = list(trends(every, [ready], find))
    taken = time.perf_counter() - begun
assert len(rows) == conditions and len(compared) == conditions // 2 and len(followed) == 2
print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""

READING = """
import sys, time
import polars
polars.read_csv(sys.argv[1], n_rows=10)
begun = time.perf_counter()
table = polars.read_csv(sys.argv[1])
print(time.perf_counter() - begun, table.height)
"""


def bench_a_million_readings(tmp_path: Path) -> None:
    path = tmp_path / "measurements.csv"
    with path.open("w") as file:
        file.write("run,trial,block,position,warmup,backend,condition,metric,quantity,value,unit\n")
        for number in range(CONDITIONS * EACH):
            place = number % CONDITIONS
            backend, cpus = ("kvm" if place % 2 else "process"), place // 2 + 1
            file.write(
                f"20261125t150000z-abcd,{number + 1},{number // CONDITIONS + 1},{place + 1},false,{backend},"
                f"{backend} guest.cpus={cpus},startup,ready,{1 + number * 0.618034 % 0.1!r},s\n"
            )
    ours: list[float] = []
    floor: list[float] = []
    peaks: list[float] = []
    for _ in range(ROUNDS):
        taken, peak = _said(STATISTICS, str(CONDITIONS), str(EACH))
        ours.append(taken)
        peaks.append(peak)
        floor.append(_said(READING, str(path))[0])
    ratios = [mine / theirs for mine, theirs in zip(ours, floor, strict=True)]
    quickest = min(ours) / min(floor)
    print()
    write(
        [
            "1,000,000 readings, 100 conditions",
            "statistics",
            "polars reads the CSV",
            "ratio",
            "peak",
            "promise",
        ],
        [
            [
                "rows, comparisons, trends",
                show_seconds(median(ours)),
                show_seconds(median(floor)),
                f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), quickest {quickest:.2f}",
                show_bytes(max(peaks)),
                "at most 2, under 1 GB",
            ]
        ],
    )


def _said(code: str, *arguments: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.split()
    return float(first), float(second)
