"""Validating and planning 10,000 conditions with 1,000,000 trials: about a second, memory flat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vmvc.cli.text import write
from vmvc.units import show_bytes, show_seconds

PROBE = """
import resource, sys, time
from pathlib import Path
from vmvc import loading
from vmvc.execution import plan_of
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.perf_counter()
loaded = loading.read(Path(sys.argv[1]))
read = time.perf_counter()
plan = plan_of(loaded)
trials = sum(1 for _ in plan)
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(plan.condition_count, trials, read - begun, done - read, base * 1024, peak * 1024)
"""


def bench_a_million_trials(tmp_path: Path) -> None:
    rows = []
    for count in (9, 99):
        path = tmp_path / f"large-{count}.yaml"
        cpus = ", ".join(str(number) for number in range(1, 101))
        sizes = ", ".join(f"{number}MiB" for number in range(1, 101))
        path.write_text(
            "name: large\nbackends: [fake]\nmetrics: [startup]\n"
            f"factors: {{guest.cpus: [{cpus}], guest.memory: [{sizes}]}}\n"
            f"trials: {{count: {count}, warmup: 1}}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True
        )
        conditions, trials, read, planned, base, peak = done.stdout.split()
        rows.append(
            [
                f"{int(conditions):,}",
                f"{int(trials):,}",
                show_seconds(float(read)),
                show_seconds(float(planned)),
                show_bytes(int(peak) - int(base)),
            ]
        )
    print()
    write(["conditions", "trials", "load", "plan, every trial visited", "memory above imports"], rows)
    print("promise: about a second together, and no more memory for more trials")
